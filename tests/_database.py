"""A database of a test's own in a ClickHouse that runs, and events that land in it without a broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from connectors.clickhouse import migrate
from connectors.clickhouse.client import Client
from connectors.clickhouse.landing import _rows
from connectors.clickhouse.landing._log import Log
from connectors.clickhouse.landing._rows import Place, Raw
from schemas import codec, environment
from schemas.environment import Warehouse


@contextmanager
def database(server: str, *, tables: bool = True) -> Iterator[tuple[Warehouse, Client]]:
    """Where it is, and a client of it; with all tables, or with none. It is gone afterwards."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    place = environment.warehouse(f"{server}/{name}")
    client = migrate.open_database(place)
    try:
        if tables:
            migrate.apply(client)
        yield place, client
    finally:
        client.execute(f"DROP DATABASE IF EXISTS {name}")
        client.close()


def land(client: Client, events: Mapping[str, Sequence[Any]]) -> None:
    """Land events by topic as one batch, all on partition 0; each must have rows."""
    source = {
        Place(topic, 0): [
            Raw(Place(topic, 0), offset, event.occurred_ms, b"key", codec.encode(event))
            for offset, event in enumerate(some)
        ]
        for topic, some in events.items()
    }
    log = Log(client, writer="test")
    log.refresh()
    claim = log.claim({place: (0, len(raws)) for place, raws in source.items()})
    assert claim is not None
    built = _rows.build(source)
    assert not built.errors
    log.complete(claim, built, fault=lambda _point: None)
