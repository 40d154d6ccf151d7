"""Migrations against a real ClickHouse engine: repeated, cut off, changed, unknown; and tables that fit landing's rows."""

import re

import pytest

from connectors.clickhouse import migrate
from connectors.clickhouse.client import connect
from connectors.clickhouse.errors import (
    AccessDenied,
    MigrationChanged,
    MigrationsMissing,
    MigrationUnknown,
    StatementRefused,
    Unavailable,
)
from connectors.clickhouse.landing import _tables
from tests._database import database

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ALL = [migration.name for migration in migrate.migrations()]


@pytest.fixture
def client(server):
    """A client of a database of this test's own, without tables."""
    with database(server, tables=False) as (_, client):
        yield client


def test_migrations_are_applied_once_and_repeating_changes_nothing(client):
    """All are applied in order and noted with their digests; the second time there is nothing to do."""
    with pytest.raises(MigrationsMissing, match="0001_landing"):
        migrate.check(client)
    assert migrate.apply(client) == ALL
    assert migrate.apply(client) == []
    migrate.check(client)
    noted = client.rows("SELECT version, name, digest FROM schema_migrations ORDER BY version")
    assert noted == [(one.version, one.name, one.digest) for one in migrate.migrations()]


def test_a_migration_cut_off_amid_its_statements_is_completed(client):
    """A crash after any statement leaves a database that the next run brings to the same state, with its rows kept."""
    migrate.apply(client, folder=migrate.FOLDER.parent / "migrations")
    whole = tables(client)
    client.execute("INSERT INTO landing_errors (reason) SELECT 'kept'", settings={"async_insert": 0})
    client.execute("TRUNCATE TABLE schema_migrations")
    client.execute("DROP TABLE ledger_entries")
    client.execute("DROP VIEW audit_trail")
    assert migrate.apply(client) == ALL
    assert tables(client) == whole
    assert client.rows("SELECT reason FROM landing_errors") == [("kept",)]


@pytest.mark.parametrize("statements", [1, 2, 4])
def test_a_first_run_cut_off_after_some_statements_is_completed(client, statements):
    """Tables that exist while nothing is noted yet are taken as they are."""
    (first, second, *_) = migrate.migrations()
    for statement in [*first.statements(), *second.statements()][:statements]:
        client.execute(statement)
    assert migrate.apply(client) == ALL
    migrate.check(client)


def test_a_changed_or_unknown_migration_is_refused(client, tmp_path):
    """An applied file that was edited, or one that this code does not have, stops before anything is touched."""
    for migration in migrate.migrations():
        (tmp_path / migration.name).write_text(migration.text)
    migrate.apply(client, folder=tmp_path)
    added = tmp_path / f"{len(ALL) + 1:04}_more.sql"
    added.write_text(
        "CREATE TABLE IF NOT EXISTS more $on_cluster (a Int64) ENGINE = $engine ORDER BY a SETTINGS $once;\n"
    )
    migrate.migrations.cache_clear()
    assert migrate.apply(client, folder=tmp_path) == [added.name]
    with pytest.raises(MigrationUnknown, match=re.escape(added.name)):
        migrate.apply(client)
    added.write_text(
        "CREATE TABLE IF NOT EXISTS more $on_cluster (b Int64) ENGINE = $engine ORDER BY b SETTINGS $once;\n"
    )
    migrate.migrations.cache_clear()
    with pytest.raises(MigrationChanged, match=re.escape(f"{added.name} was changed")):
        migrate.apply(client, folder=tmp_path)
    assert client.rows("SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'more'") == [
        ("a",)
    ]


def test_the_tables_have_the_columns_that_landing_fills(client):
    """Names and order of landing's rows are those of the tables, computed columns aside."""
    migrate.apply(client)
    for table in (_tables.CLAIMS, _tables.RANGES, *_tables.BOOKS):
        found = client.rows(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "AND default_kind NOT IN ('ALIAS', 'MATERIALIZED')",
            {"table": table.name},
        )
        filled = set(table.columns) | ({table.seq} if table is not _tables.CLAIMS else set())
        assert {name for (name,) in found} == filled, table.name


def test_a_query_for_one_payment_reads_by_key(client):
    """The views let tenant and payment reach the tables' keys, so that one payment's trail does not read them all."""
    migrate.apply(client)
    for number in range(3):
        client.execute(
            "INSERT INTO payment_events (tenant, payment_id, sequence, _seq) "
            f"SELECT 'tenant', concat('pi_', toString(number)), 1, {number} FROM numbers(30000)",
            settings={"async_insert": 0},
        )
    for view in ("payments", "audit_trail"):
        plan = client.rows(f"EXPLAIN indexes = 1 SELECT * FROM {view} WHERE tenant = 'tenant' AND payment_id = 'pi_7'")
        text = "\n".join(str(row[0]) for row in plan)
        assert "PrimaryKey" in text
        assert "payment_id" in text.split("PrimaryKey", 1)[1][:200]


def test_errors_are_mapped_at_the_boundary(server, client):
    """Wrong SQL, a wrong password and an absent server are three different errors."""
    with pytest.raises(StatementRefused) as refused:
        client.rows("SELECT nonsense")
    assert refused.value.code == 47
    wrong = server.replace(":secret@", ":wrong@") if ":secret@" in server else None
    if wrong is not None:
        with pytest.raises(AccessDenied, match="check user and password"):
            connect(f"{wrong}/clearline")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        connect("http://clearline:x@127.0.0.1:1/clearline")


def tables(client):
    """All tables with their definitions."""
    return client.rows(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    )
