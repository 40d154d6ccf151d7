"""Migrations as files: numbers, statements, blanks."""

import re

import pytest

from connectors.clickhouse import migrate
from connectors.clickhouse.errors import MigrationError


def test_the_committed_migrations_can_be_repeated():
    """Every statement may run twice, so that a crash amid a migration is mended by running it again."""
    for migration in migrate.migrations():
        for statement in migration.statements():
            assert re.match(
                r"CREATE (TABLE IF NOT EXISTS|OR REPLACE VIEW) |ALTER TABLE \w+\s+(ADD|MODIFY) ", statement
            ), statement


def test_no_materialized_view_feeds_a_book():
    """An insert and its materialized views are not atomic, so none exists."""
    for migration in migrate.migrations():
        assert not [one for one in migration.statements() if re.search(r"MATERIALIZED\s+VIEW", one, re.IGNORECASE)]


def test_money_is_never_a_float():
    """No table has a floating point column."""
    for migration in migrate.migrations():
        assert "Float" not in migration.text


def test_a_cluster_gets_replicated_tables_everywhere():
    """With a cluster every table is replicated, deduplicates in Keeper and is made on all its servers."""
    for migration in migrate.migrations():
        for statement in migration.statements(cluster="prod"):
            assert "ON CLUSTER 'prod'" in statement
            if statement.startswith("CREATE TABLE"):
                assert "ENGINE = ReplicatedMergeTree(" in statement
                assert " replicated_deduplication_window" in statement
                assert "non_replicated" not in statement


@pytest.mark.parametrize(
    "names", [["0001_a.sql", "0003_b.sql"], ["0002_a.sql"], ["0001_a.sql", "0001_b.sql"], ["one.sql"]]
)
def test_numbers_without_order_are_refused(tmp_path, names):
    """A missing, double or absent number is an error before anything is applied."""
    for name in names:
        (tmp_path / name).write_text("SELECT 1;\n")
    with pytest.raises(MigrationError):
        migrate.migrations(tmp_path)


def test_statements_end_with_a_semicolon_at_the_end_of_a_line(tmp_path):
    """Comments go, semicolons amid a line stay, blanks are filled."""
    (tmp_path / "0001_a.sql").write_text(
        "-- a; comment;\nCREATE x COMMENT 'a; b' ENGINE = $engine;\n\nSELECT ';' ;\nSELECT 2\n"
    )
    (migration,) = migrate.migrations(tmp_path)
    assert migration.statements() == ["CREATE x COMMENT 'a; b' ENGINE = MergeTree", "SELECT ';'", "SELECT 2"]
