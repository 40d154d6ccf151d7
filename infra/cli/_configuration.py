"""What commands that change configuration share: the tables, read to their ends, and the one log that changes go through."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from confluent_kafka import KafkaException

from api.http._tables import Tables
from api.http.errors import NoAnswer
from api.identity.log import ConfigurationLog, Decide
from infra.errors import InfraError, KafkaRefused, KafkaUnreachable
from infra.stack import reach
from schemas import environment
from schemas.records import Attribution, Tenant

_Result = TypeVar("_Result")


class NoSuchTenant(InfraError):
    """Nobody configured this tenant."""

    def __init__(self, tenant: str, known: list[str]) -> None:
        super().__init__(
            f"There is no tenant {tenant}; there are {', '.join(known) or 'none'}",
            remedy="Configure it with `clearline configure FILE`, or make it with POST /v1/tenants",
        )


class Opened:
    """The tables and a way to change what they show."""

    def __init__(self, settings: environment.Environment, tables: Tables) -> None:
        self.tables = tables
        self._log = ConfigurationLog(settings.kafka, dict(settings.kafka_config), tables)

    def tenant(self, tenant: str) -> Tenant:
        """Raises `NoSuchTenant`."""
        found = self.tables.tenants.get(tenant)
        if found is None:
            raise NoSuchTenant(tenant, sorted(self.tables.tenants))
        return found

    def write(self, decide: Decide[_Result]) -> _Result:
        """Decide and write; what was written is in the tables. Raises `KafkaRefused` and what `decide` raises."""
        try:
            return self._log.apply(decide)
        except NoAnswer as error:
            raise KafkaRefused("write the change", "it was not confirmed") from error


@contextmanager
def opened(data: Path) -> Iterator[Opened]:
    """Raises `KafkaUnreachable`."""
    settings = environment.read(reach(data, os.environ))
    tables = Tables(settings.kafka, dict(settings.kafka_config), failed=lambda _error: None)
    try:
        tables.read()
        yield Opened(settings, tables)
    except KafkaException as error:
        raise KafkaUnreachable(settings.kafka, error.args[0].str()) from error
    finally:
        tables.close()


def who(command: str) -> Attribution:
    """Whoever is logged in on this machine."""
    return Attribution(actor_kind="operator", actor_id=getpass.getuser(), reason=command)


def now_ms() -> int:
    """The wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000
