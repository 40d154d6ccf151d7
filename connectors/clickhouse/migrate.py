"""Applies the numbered SQL migrations in order, each once, and refuses a database that is not what they made."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

from connectors.clickhouse.client import Client, connect
from connectors.clickhouse.errors import (
    MigrationChanged,
    MigrationError,
    MigrationsMissing,
    MigrationUnknown,
    StatementRefused,
    WarehouseError,
)
from schemas import environment

FOLDER = Path(__file__).parent / "migrations"
WAIT_S = 60.0

# How many of a table's newest inserts are remembered by their token. It has to outlive one statement's running time, since
# older ones are stopped by each append's own condition; at ten inserts a second this is a quarter of an hour.
TOKENS_REMEMBERED = 10_000

_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_UNKNOWN_DATABASE = 81  # ClickHouse's number
_CLUSTER = re.compile(r"[A-Za-z0-9_.-]+")
_DATABASE = re.compile(r"[A-Za-z0-9_]+")
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
_END = re.compile(r";\s*$", re.MULTILINE)  # statements end with a semicolon at a line's end, and only they do

_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations $on_cluster
(
    version    UInt32 COMMENT 'Number of the migration',
    name       String COMMENT 'Name of its file',
    digest     String COMMENT 'SHA-256 of the file, hexadecimal',
    applied_ms Int64  COMMENT 'When, ms since the epoch, UTC'
)
ENGINE = $engine
ORDER BY (version, digest)
SETTINGS $once
COMMENT 'Which migrations were applied, as they were'
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the file, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, *, cluster: str | None = None) -> list[str]:
        """The file's statements, filled in for one server or for a cluster."""
        filled = Template(_COMMENT.sub("", self.text)).substitute(_blanks(cluster))
        return [statement.strip() for statement in _END.split(filled) if statement.strip()]


@cache
def migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The files of a folder in order. Raises `MigrationError` when a number is missing or used twice."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named NNNN_what_it_does.sql")
        found.append(Migration(version=int(match[1]), name=path.name, text=path.read_text(encoding="utf-8")))
    numbers = [migration.version for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise MigrationError(f"migrations are numbered 1, 2, 3 ... without gap; {folder} has {numbers}")
    return tuple(found)


def apply(client: Client, *, folder: Path = FOLDER, cluster: str | None = None) -> list[str]:
    """Apply what is not applied yet and return the names. Safe to repeat, also after a crash amid a migration.

    `cluster` names the ClickHouse cluster on which replicated tables are made; None: plain tables on one server.
    Raises `MigrationChanged`, `MigrationUnknown` or an error of the client.
    """
    if cluster is not None and not _CLUSTER.fullmatch(cluster):
        raise MigrationError(f"{cluster!r} is no name of a cluster: letters, digits, '_', '.' and '-' only")
    client.execute(Template(_RECORD).substitute(_blanks(cluster)))
    pending = _pending(client, folder)
    for migration in pending:
        for statement in migration.statements(cluster=cluster):
            client.execute(statement)
        client.execute(
            "INSERT INTO schema_migrations (version, name, digest, applied_ms) SELECT "
            "{version:UInt32}, {name:String}, {digest:String}, {now:Int64}",
            {
                "version": migration.version,
                "name": migration.name,
                "digest": migration.digest,
                "now": time.time_ns() // 1_000_000,
            },
            settings={"async_insert": 0, "insert_deduplication_token": f"{migration.version}:{migration.digest}"},
        )
    return [migration.name for migration in pending]


def check(client: Client, *, folder: Path = FOLDER) -> None:
    """Raises `MigrationsMissing` when the database is older than this code, `MigrationUnknown` when it is newer."""
    known = client.value(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
    )
    missing = _pending(client, folder) if known else list(migrations(folder))
    if missing:
        names = ", ".join(migration.name for migration in missing)
        raise MigrationsMissing(
            f"database {client.database} lacks {names}; run `python -m connectors.clickhouse.migrate`"
        )


def open_database(place: environment.Warehouse, *, cluster: str | None = None, wait_s: float = 0.0) -> Client:
    """A client of the URL's database, which is created where it is not there yet."""
    try:
        return connect(place, wait_s=wait_s)
    except StatementRefused as error:
        if error.code != _UNKNOWN_DATABASE:
            raise
    if not _DATABASE.fullmatch(place.database):
        raise MigrationError(f"{place.database!r} is no name of a database: letters, digits and '_' only")
    outside = connect(place, database="", wait_s=wait_s)
    try:
        outside.execute(f"CREATE DATABASE IF NOT EXISTS {place.database} {_blanks(cluster)['on_cluster']}")
    finally:
        outside.close()
    return connect(place, wait_s=wait_s)


def _pending(client: Client, folder: Path) -> list[Migration]:
    applied = {
        version: (name, digest)
        for version, name, digest in client.rows("SELECT version, name, digest FROM schema_migrations ORDER BY version")
    }
    ours = migrations(folder)
    for version in applied.keys() - {migration.version for migration in ours}:
        raise MigrationUnknown(
            f"database {client.database} has migration {applied[version][0]}, which this code does not know; run newer code"
        )
    for migration in ours:
        if migration.version in applied and applied[migration.version][1] != migration.digest:
            raise MigrationChanged(
                f"{migration.name} was changed after it was applied to {client.database}: "
                "put the file back as it was and write a new migration"
            )
    return [migration for migration in ours if migration.version not in applied]


def _blanks(cluster: str | None) -> dict[str, str]:
    """What the blanks of a migration stand for. Power may fail: a part is on the disk before an append is answered."""
    durable = "fsync_after_insert = 1, fsync_part_directory = 1"
    if cluster is None:
        return {
            "engine": "MergeTree",
            "on_cluster": "",
            "once": f"non_replicated_deduplication_window = {TOKENS_REMEMBERED}, {durable}",
        }
    return {
        "engine": "ReplicatedMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}')",
        "on_cluster": f"ON CLUSTER '{cluster}'",
        "once": f"replicated_deduplication_window = {TOKENS_REMEMBERED}, {durable}",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m connectors.clickhouse.migrate`: bring the database of CLEARLINE_CLICKHOUSE up to this code."""
    parser = argparse.ArgumentParser(prog="python -m connectors.clickhouse.migrate", description=main.__doc__)
    parser.add_argument("--cluster", help="make replicated tables on this ClickHouse cluster")
    parser.add_argument("--check", action="store_true", help="only say whether something is missing")
    options = parser.parse_args(arguments)
    try:
        place = environment.read().warehouse
        client = (
            connect(place, wait_s=WAIT_S)
            if options.check
            else open_database(place, cluster=options.cluster, wait_s=WAIT_S)
        )
        try:
            if options.check:
                check(client)
                done = []
            else:
                done = apply(client, cluster=options.cluster)
        finally:
            client.close()
    except environment.VariableError as error:
        print(f"{error}; {error.remedy}", file=sys.stderr)
        return 2
    except WarehouseError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(f"applied {name}" for name in done) or "nothing to apply: the database is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
