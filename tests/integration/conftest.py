"""What integration tests share."""

from __future__ import annotations

import os

import pytest

from tests._database import database
from tests._landing import WarehouseProcess

SERVER = os.environ.get("CLEARLINE_TEST_CLICKHOUSE", "").rstrip("/")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The URL of a ClickHouse, without a database."""
    if SERVER:
        yield SERVER
        return
    process = WarehouseProcess(tmp_path_factory.mktemp("warehouse"))
    try:
        process.start()
        yield process.base
    finally:
        process.kill()


@pytest.fixture
def client(server):
    """A client of a database of this test's own, with all tables."""
    with database(server) as (_, client):
        yield client
