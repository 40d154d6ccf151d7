"""A broker of this folder's own: its tests need the catalogue's topics by their names, as they want them."""

from __future__ import annotations

import shutil

import pytest

from infra.kafka import Broker
from infra.topics import ensure

PARTITIONS = 3


@pytest.fixture(scope="package")
def bootstrap(tmp_path_factory):
    """A broker with the catalogue's topics."""
    directory = tmp_path_factory.mktemp("kafka-topics")
    broker = Broker(directory, quick=True)
    try:
        broker.start()
        ensure(broker.bootstrap, partitions=PARTITIONS, replication=1)
        yield broker.bootstrap
    finally:
        broker.kill()
        shutil.rmtree(directory, ignore_errors=True)
