"""The errors of talking to ClickHouse and of landing.

WarehouseError
├── Unavailable              away, overloaded, read-only or out of space: the same statement can succeed later
├── AccessDenied             user, password or rights: an operator must act
├── StatementRefused         the statement or its data is wrong: a fault of ours, or tables of another version
├── MigrationError
│   ├── MigrationChanged     an applied migration's file is no longer what was applied
│   ├── MigrationUnknown     the database is newer than this code
│   └── MigrationsMissing    the database is older than this code
└── LandingError
    ├── TopicMissing         a topic is not there
    ├── PositionLost         the topic no longer holds what is not landed yet, or was made anew
    ├── RecordsMissing       a claimed batch can't be read again as it was claimed
    └── RowsDiffer           a table holds more rows of a batch than the batch has
"""

from __future__ import annotations


class WarehouseError(Exception):
    """Root of this package's errors. `code` is ClickHouse's number of the error where it gave one."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Unavailable(WarehouseError):
    """ClickHouse can't do it now. Every statement of ours may be repeated."""


class AccessDenied(WarehouseError):
    """ClickHouse does not let this user do it."""


class StatementRefused(WarehouseError):
    """ClickHouse refuses the statement for good."""


class MigrationError(WarehouseError):
    """The tables are not what this code needs."""


class MigrationChanged(MigrationError):
    """An applied migration's file was changed; put it back and write a new one."""


class MigrationUnknown(MigrationError):
    """The database has a migration that this code does not know; run the newer code."""


class MigrationsMissing(MigrationError):
    """Run `python -m connectors.clickhouse.migrate`."""


class LandingError(WarehouseError):
    """Landing must stop, because going on would lose, double or invent rows."""


class TopicMissing(LandingError):
    """A topic that is landed does not exist."""


class PositionLost(LandingError):
    """The topic does not hold the offset at which landing must go on."""


class RecordsMissing(LandingError):
    """A claimed range of a topic can't be read again."""


class RowsDiffer(LandingError):
    """A table holds rows that its batch does not have."""
