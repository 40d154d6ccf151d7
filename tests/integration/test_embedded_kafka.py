"""The embedded Kafka serves what the product needs, survives kills, and tells why it does not start."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.kafka import Broker, DataDirectoryInUse, PortInUse, _ports, wait_until_serving
from tests._kafka import KafkaService

pytestmark = pytest.mark.integration
DEADLINE_S = 90
KILLS = 2
ROOT = Path(__file__).parents[2]


def _produce_transaction(kafka: KafkaService, topic: str, values: list[bytes], *, transactional_id: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": transactional_id})
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.commit_transaction(DEADLINE_S)


def _read_all(kafka: KafkaService, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": kafka.name("read"), "isolation.level": "read_committed"}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        messages = consumer.consume(count, DEADLINE_S)
        assert all(message.error() is None for message in messages)
        return [message.value() for message in messages]
    finally:
        consumer.close()


def test_a_transaction_is_read_back(any_kafka):
    """What one transaction wrote, a reader of committed data reads in order."""
    topic = any_kafka.topic("transaction")
    values = [b"1", b"2", b"3"]
    _produce_transaction(any_kafka, topic, values, transactional_id=any_kafka.name("t"))
    assert _read_all(any_kafka, topic, 3) == values


def test_committed_records_survive_kills(kafka_broker):
    """After SIGKILL right behind a commit, and a start, readers of committed data get past it: no marker is lost."""
    topic = kafka_broker.topic("kill")
    address = kafka_broker.bootstrap
    values: list[bytes] = []
    for number in range(KILLS):
        values.append(b"%d" % number)
        _produce_transaction(kafka_broker, topic, values[-1:], transactional_id=kafka_broker.name("t"))
        kafka_broker.broker.kill()
        assert not kafka_broker.broker.is_alive()
        kafka_broker.broker.start()
        assert kafka_broker.broker.bootstrap == address
        assert _read_all(kafka_broker, topic, len(values)) == values


def test_a_stopped_broker_keeps_its_data_for_another_object(tmp_path):
    """Data belong to the directory: a new object on other ports serves what the old one committed."""
    with Broker(tmp_path / "data", quick=True) as broker:
        kafka = KafkaService(broker.bootstrap, broker)
        topic = kafka.topic("kept")
        _produce_transaction(kafka, topic, [b"kept"], transactional_id="t")
    assert not broker.is_alive()
    with Broker(tmp_path / "data", quick=True) as again:
        assert _read_all(KafkaService(again.bootstrap), topic, 1) == [b"kept"]


def test_a_port_in_use_is_refused(tmp_path):
    """A port that was asked for and is taken is an error that names it; nothing is left running."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        broker = Broker(tmp_path / "data", port=port, quick=True)
        with pytest.raises(PortInUse) as caught:
            broker.start()
        assert caught.value.port == port
        assert not broker.is_alive()


def test_a_data_directory_in_use_is_refused(kafka, tmp_path):
    """A second broker on the same directory does not start and does not disturb the first."""
    second = Broker(kafka.broker.log_file.parent.parent, quick=True)
    with pytest.raises(DataDirectoryInUse):
        second.start()
    kafka.broker.wait_ready()


def test_topics_are_not_made_by_a_typing_mistake(kafka):
    """Producing to a topic that nobody created makes none."""
    name = kafka.name("mistake")
    outcomes: list[KafkaError] = []
    # Propagation 0: the first "no such topic" is final, instead of after half a minute.
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "topic.metadata.propagation.max.ms": 0})
    producer.produce(name, b"", on_delivery=lambda error, _: outcomes.append(error))
    assert producer.flush(DEADLINE_S) == 0
    # The broker's word or the client's, whichever comes first.
    assert [error.code() for error in outcomes] in (
        [KafkaError.UNKNOWN_TOPIC_OR_PART],
        [KafkaError._UNKNOWN_TOPIC],
    )
    assert name not in AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=DEADLINE_S).topics


def test_the_command_becomes_the_broker_and_dies_with_its_parent(tmp_path):
    """`python -m infra.kafka` serves, is ended by SIGTERM, keeps its data, and does not outlive a killed supervisor."""
    port, controller_port = _ports.free_ports(2)
    arguments = ["--data", str(tmp_path / "data"), "--port", str(port), "--controller-port", str(controller_port)]
    command = [sys.executable, "-m", "infra.kafka", *arguments, "--quick"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_until_serving({1: f"127.0.0.1:{port}"}, check=lambda: _assert_runs(process))
        process.terminate()
        assert process.wait(DEADLINE_S) == 128 + signal.SIGTERM
    finally:
        process.kill()

    supervisor = subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, *command],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    broker = psutil.Process(int(supervisor.stdout.readline()))
    try:
        wait_until_serving({1: f"127.0.0.1:{port}"})
    finally:
        supervisor.kill()
        supervisor.communicate()
    _wait_for(lambda: not broker.is_running() or broker.status() == psutil.STATUS_ZOMBIE, "the broker's end")
    assert not _ports.is_taken(port)


_SUPERVISOR = """
import subprocess, sys
print(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL).pid, flush=True)
sys.stdin.read()
"""


def _assert_runs(process: subprocess.Popen) -> None:
    assert process.poll() is None, f"the broker ended with status {process.returncode}"


def _wait_for(condition, what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.05)


def test_the_command_refuses_a_port_in_use(kafka, tmp_path):
    """The command ends with status 1 and a last line that says what to do."""
    arguments = ["--data", str(tmp_path / "data"), "--port", kafka.bootstrap.rpartition(":")[2]]
    done = subprocess.run(
        [sys.executable, "-m", "infra.kafka", *arguments], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "is in use" in done.stderr.splitlines()[-1]
    assert "choose another port" in done.stderr.splitlines()[-1]


def test_a_cluster_survives_the_loss_of_one_broker(kafka_cluster):
    """With one of three killed, transactions go on; started again, it is in sync and knows of the others."""
    kafka = KafkaService(kafka_cluster.bootstrap)
    topic = kafka.topic("cluster", replication=3)
    _produce_transaction(kafka, topic, [b"three"], transactional_id=kafka.name("t"))
    kafka_cluster.kill_broker(2)
    assert not kafka_cluster.is_alive(2)
    kafka_cluster.wait_ready()
    _produce_transaction(kafka, topic, [b"two"], transactional_id=kafka.name("t"))
    kafka_cluster.start_broker(2)
    for number in kafka_cluster.numbers:
        alone = KafkaService(kafka_cluster.address(number))
        assert _read_all(alone, topic, 2) == [b"three", b"two"]
        known = AdminClient({"bootstrap.servers": alone.bootstrap}).list_topics(timeout=DEADLINE_S).brokers
        assert sorted(known) == kafka_cluster.numbers
