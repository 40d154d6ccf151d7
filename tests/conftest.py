"""Fixtures that everybody uses: a real Kafka, one per pytest process, and unique names on it."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from infra.kafka import Broker, Cluster, prepare_quick_starts
from tests._kafka import KafkaService

# A shell that starts us in the background has us ignore Ctrl-C, and every process that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


ONE_STACK = "tests/integration/api/"
"""Tests of one folder that share a stack, which takes half a minute to start and would be started anew after each file between them."""


class _Shared(LoadScopeScheduling):
    """What shares fixtures goes to the same process: the API's tests, else those of a file. An end-to-end test is alone."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(ONE_STACK):
            return ONE_STACK
        return nodeid if nodeid.startswith("tests/e2e/") else nodeid.split("::", 1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """`--dist loadscope` shares out by what tests share, rather than by module."""
    # Not `loadgroup`: pytest 9.2 does not see what pytest-xdist 3.8 adds to a test's id for it.
    return _Shared(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaService]:
    """One embedded broker for all tests of this process. A test that kills it must start it again before it ends.

    Tests that kill brokers rather take `kafka_broker`, a broker of their own.
    """
    yield from _embedded(tmp_path_factory)


@pytest.fixture
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaService]:
    """An embedded broker for this test alone: `kafka_broker.broker.kill()` and `.start()` as it likes."""
    yield from _embedded(tmp_path_factory)


@pytest.fixture(scope="module")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers that replicate each other, for the tests of one module; each test leaves all three running."""
    prepare_quick_starts()
    directory = tmp_path_factory.mktemp("kafka-cluster")
    cluster = Cluster(directory, brokers=3)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session", params=["embedded", pytest.param("container", marks=pytest.mark.container)])
def any_kafka(request: pytest.FixtureRequest) -> Iterator[KafkaService]:
    """The same test against the embedded broker and, where a Docker engine runs, against a container."""
    if request.param == "embedded":
        yield request.getfixturevalue("kafka")
        return
    if not _docker_runs():
        pytest.skip("no Docker engine runs here; the same test ran against the embedded broker")
    yield from _container()


def _embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaService]:
    prepare_quick_starts()
    directory = tmp_path_factory.mktemp("kafka")
    broker = Broker(directory, quick=True)
    try:
        broker.start()
        yield KafkaService(broker.bootstrap, broker)
    finally:
        broker.kill()  # nothing on it is wanted any more
        shutil.rmtree(directory, ignore_errors=True)


def _container() -> Iterator[KafkaService]:
    from testcontainers.kafka import KafkaContainer

    # One broker: its transaction log cannot have the three replicas of a default installation.
    one_replica = {"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1", "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1"}
    with KafkaContainer().with_kraft().with_envs(**one_replica) as container:
        yield KafkaService(container.get_bootstrap_server())


def _docker_runs() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], check=False, capture_output=True, timeout=60).returncode == 0
