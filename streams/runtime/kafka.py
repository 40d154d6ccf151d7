"""The task's edges on librdkafka, and the one place where its errors become ours."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin import OffsetSpec as _OffsetSpec  # type: ignore[attr-defined]

from streams.runtime import seams
from streams.runtime.config import PREFETCH_KBYTES_MAX, TaskConfig
from streams.runtime.errors import (
    Abortable,
    ConfigurationFault,
    Fatal,
    Fenced,
    Indefinite,
    InputLost,
    Retriable,
    StreamsError,
)
from streams.runtime.record import Output, Record

logger = logging.getLogger(__name__)

# A message read or delivered has a topic, a partition and an offset; the client's stubs say None for its error events.
_Message = Any
_LATEST: Any = _OffsetSpec.latest()  # type: ignore[no-untyped-call]

# Messages taken from the client's queue at a time while a batch fills, so that its byte limit is looked at in between.
CONSUME_CHUNK = 250

# librdkafka's local queue; above what a batch may emit with its changelog, so that produce never waits in practice.
QUEUE_MESSAGES_MAX = 200_000
QUEUE_FULL_WAIT_S = 0.05

_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.TRANSACTION_COORDINATOR_FENCED,
}
_TIMED_OUT = {KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE, KafkaError._MSG_TIMED_OUT}
_CONFIGURATION = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError._INVALID_ARG,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.INVALID_TRANSACTION_TIMEOUT,
    KafkaError.INVALID_SESSION_TIMEOUT,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError.UNSUPPORTED_VERSION,
}
# The member is no longer of the group's generation: forget the batch and join again.
_GENERATION = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
}
# What librdkafka reports for information while it reconnects by itself.
_INFORMATION = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._PARTITION_EOF,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
}


def mapped(error: KafkaError, *, doing: str) -> StreamsError:
    """The runtime's error for a client's error; the message names what was being done."""
    code, text = error.code(), f"{doing}: {error.str()} ({error.name()})"
    if code in _FENCED:
        return Fenced(f"{text}; another process runs as this instance, or this one slept past its time-outs")
    if code in _CONFIGURATION:
        return ConfigurationFault(f"{text}; check the Kafka address, credentials, ACLs and time-outs")
    if code in _TIMED_OUT:
        return Indefinite(text)
    if code in _GENERATION or error.txn_requires_abort():
        return Abortable(text)
    if error.fatal():
        return Fatal(f"{text}; start the process again")
    if error.retriable() or code in _INFORMATION:
        return Retriable(text)
    return Abortable(text)


@contextlib.contextmanager
def boundary(doing: str) -> Iterator[None]:
    """Run one client call; what it raises leaves as one of our errors."""
    try:
        yield
    except KafkaException as exception:
        error = exception.args[0] if exception.args else None
        if isinstance(error, KafkaError):
            raise mapped(error, doing=doing) from exception
        raise Abortable(f"{doing}: {exception}") from exception
    except RuntimeError as error:
        # The client object is closed already.
        raise Abortable(f"{doing}: {error}") from error


class SystemClock:
    """The machine's clock."""

    def monotonic_ms(self) -> int:
        """Milliseconds that only grow."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def sleep_ms(self, duration_ms: int) -> None:
        """Wait."""
        time.sleep(duration_ms / 1_000)


class KafkaConsumer:
    """A static member of the task's group; classic protocol, range assignor (see `consumer_settings`)."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        with boundary("making the consumer"):
            self._consumer = Consumer(dict(settings))
        self._positions: dict[seams.TopicPartition, int] = {}
        self._failure: StreamsError | None = None
        self._metadata: object | None = None

    def subscribe(self, topics: Sequence[str], listener: seams.RebalanceListener) -> None:
        """Join the group; the listener hears of assignments inside `poll` and `close`."""

        def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            # The group's assignment is acknowledged with nothing to fetch: the task fetches a partition only when its
            # position is known and its state restored, always from an explicit offset.
            self._forget()
            listener.on_assigned(_pairs(partitions))
            consumer.assign([])

        def revoked(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            listener.on_revoked(_pairs(partitions))
            self._forget()
            consumer.unassign()

        def lost(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            listener.on_lost(_pairs(partitions))
            self._forget()
            consumer.unassign()

        with boundary("subscribing"):
            self._consumer.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def _forget(self) -> None:
        self._positions, self._metadata = {}, None

    def poll(self, *, records_max: int, bytes_max: int, timeout_ms: int) -> list[Record]:
        """
        Wait for a first record, then take what is there already.

        `Consumer.consume(n, timeout)` would wait for all n or the whole time-out, so that a lone record is late.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        with boundary("polling"):
            first = self._consumer.poll(timeout_ms / 1_000)
            if first is None:
                return []
            records: list[Record] = []
            size_bytes = self._take([first], records)
            while len(records) < records_max and size_bytes < bytes_max and self._failure is None:
                wanted = min(CONSUME_CHUNK, records_max - len(records))
                messages = self._consumer.consume(wanted, 0)
                size_bytes += self._take(messages, records)
                if len(messages) < wanted:
                    break
        return records

    def _take(self, messages: Sequence[_Message], records: list[Record]) -> int:
        size_bytes = 0
        append = records.append
        for message in messages:
            if (error := message.error()) is not None:
                self._failure = self._failure or self._judged(message, error)
                continue
            value = message.value()
            headers = message.headers()
            append(
                Record(
                    message.topic(),
                    message.partition(),
                    message.offset(),
                    message.timestamp()[1],
                    message.key(),
                    value,
                    tuple(headers) if headers else (),
                )
            )
            if value is not None:
                size_bytes += len(value)
        return size_bytes

    def _judged(self, message: _Message, error: KafkaError) -> StreamsError | None:
        """What an error event between the records means; None for what the client mends by itself."""
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            topic, partition = message.topic(), message.partition()
            return InputLost(f"{topic}[{partition}]: {error.str()}", topic=topic or "", partition=partition or 0)
        if error.code() in _INFORMATION and not error.fatal():
            logger.info("consumer: %s", error.str())
            return None
        return mapped(error, doing="consuming")

    def assign(self, positions: Mapping[seams.TopicPartition, int]) -> None:
        """Fetch exactly these, from these offsets."""
        self._positions = dict(positions)
        with boundary("assigning"):
            self._consumer.assign([TopicPartition(topic, number, at) for (topic, number), at in positions.items()])

    def committed(
        self, partitions: Sequence[seams.TopicPartition], *, timeout_ms: int
    ) -> dict[seams.TopicPartition, int | None]:
        """
        Offsets that the group committed, None where it never did.

        The client asks for stable offsets (it reads committed), and repeats the question until they are; so a time-out
        means that some offset waits for a transaction, and each partition is asked alone.
        """
        asked = [TopicPartition(topic, number) for topic, number in partitions]
        try:
            with boundary("asking for committed offsets"):
                return _offsets(self._consumer.committed(asked, timeout_ms / 1_000))
        except (Indefinite, Retriable):
            if len(asked) == 1:
                return {}
        answers: dict[seams.TopicPartition, int | None] = {}
        for pair in partitions:
            answers |= self.committed([pair], timeout_ms=max(50, timeout_ms // len(partitions)))
        return answers

    def group_metadata(self) -> object:
        """Member and generation."""
        # Asking takes 0.7 ms and the answer only changes with an assignment. A stale one would be refused, not accepted.
        if self._metadata is None:
            with boundary("asking for the group's metadata"):
                self._metadata = self._consumer.consumer_group_metadata()
        return self._metadata

    def end_offsets(self) -> dict[seams.TopicPartition, int]:
        """Last known ends of what is fetched."""
        ends = {}
        for topic, number in self._positions:
            with contextlib.suppress(KafkaException, RuntimeError):
                _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)
                if high >= 0:
                    ends[topic, number] = high
        return ends

    def close(self) -> None:
        """Close; a static member doesn't leave, so its partitions wait for its return until the session ends."""
        with boundary("closing the consumer"):
            self._consumer.close()


class KafkaProducer:
    """The transactional producer."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        with boundary("making the producer"):
            self._producer = Producer(dict(settings))
        self._delivered: dict[seams.TopicPartition, int] = {}

    def init_transactions(self, *, timeout_ms: int) -> None:
        """Fence any earlier producer of this id."""
        with boundary("fencing earlier producers"):
            self._producer.init_transactions(timeout_ms / 1_000)

    def begin(self) -> None:
        """Start a transaction."""
        self._delivered.clear()
        with boundary("beginning a transaction"):
            self._producer.begin_transaction()

    def produce(self, outputs: Sequence[Output], *, track_last: bool = False) -> None:
        """
        Hand records over.

        Only a tracked record has a delivery callback, which would double the cost of each; the failed delivery of any
        record fails the commit.
        """
        produce = self._producer.produce
        last = len(outputs) - 1 if track_last else -1
        with boundary("producing"):
            for index, output in enumerate(outputs):
                partition = -1 if output.partition is None else output.partition
                callback = self._track if index == last else None
                while True:
                    try:
                        if output.headers:
                            produce(
                                output.topic, output.value, output.key, partition, callback, None,
                                output.timestamp_ms, list(output.headers),
                            )  # fmt: skip
                        else:
                            produce(
                                output.topic, output.value, output.key, partition, callback, None, output.timestamp_ms
                            )
                    except BufferError:
                        self._producer.poll(QUEUE_FULL_WAIT_S)
                    else:
                        break

    def _track(self, error: KafkaError | None, message: _Message) -> None:
        if error is None:
            self._delivered[message.topic(), message.partition()] = message.offset()

    def delivered_offset(self, topic: str, partition: int) -> int:
        """Offset of the last tracked record of this partition."""
        offset = self._delivered.get((topic, partition), -1)
        assert offset >= 0, f"{topic}[{partition}] was acknowledged without an offset"
        return offset

    def send_offsets(
        self, offsets: Mapping[seams.TopicPartition, int], group_metadata: object, *, timeout_ms: int
    ) -> None:
        """Add the group's next offsets to the transaction."""
        positions = [TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()]
        with boundary("adding offsets to the transaction"):
            self._producer.send_offsets_to_transaction(positions, group_metadata, timeout_ms / 1_000)

    def commit(self, *, timeout_ms: int) -> None:
        """Commit."""
        with boundary("committing"):
            self._producer.commit_transaction(timeout_ms / 1_000)

    def abort(self, *, timeout_ms: int) -> None:
        """Abort."""
        with boundary("aborting"):
            self._producer.abort_transaction(timeout_ms / 1_000)

    def close(self) -> None:
        """
        Drop the client.

        `Producer.close` would abort and flush, and wait for a broker that may be gone; purging lets the client be
        destroyed at once. Its open transaction, if any, is ended by the next `init_transactions` or by the broker.
        """
        with contextlib.suppress(KafkaException, RuntimeError):
            self._producer.purge(blocking=False)
            self._producer.poll(0)
        del self._producer


class KafkaReader:
    """Reads one topic outside any group."""

    def __init__(self, settings: Mapping[str, Any], admin: AdminClient, topic: str) -> None:
        self._settings, self._admin, self._topic = settings, admin, topic
        self._consumer: Consumer | None = None
        self._reached: dict[int, int] = {}
        self._described: tuple[str, tuple[int, ...]] | None = None

    def topic_id(self) -> str:
        """Id of the topic's incarnation."""
        return self._description()[0]

    def partitions(self) -> tuple[int, ...]:
        """The topic's partitions."""
        return self._description()[1]

    def _description(self) -> tuple[str, tuple[int, ...]]:
        if self._described is None:
            with boundary(f"describing {self._topic}"):
                future = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=10)[self._topic]
                described = _result(future)
            self._described = str(described.topic_id), tuple(sorted(part.id for part in described.partitions))
        return self._described

    def end_offsets(self, partitions: Sequence[int], *, timeout_ms: int) -> dict[int, int]:
        """Offsets after the last record, committed or not."""
        asked = {TopicPartition(self._topic, number): _LATEST for number in partitions}
        with boundary(f"asking for the ends of {self._topic}"):
            futures = self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=timeout_ms / 1_000
            )
            return {pair.partition: _result(future).offset for pair, future in futures.items()}

    def assign(self, positions: Mapping[int, int]) -> None:
        """Start reading."""
        assert self._consumer is None, "a reader is assigned once: what an earlier assignment fetched may still arrive"
        self._reached = dict(positions)
        with boundary(f"reading {self._topic}"):
            self._consumer = Consumer(dict(self._settings))
            self._consumer.assign([TopicPartition(self._topic, number, at) for number, at in positions.items()])

    def read(self, *, records_max: int, timeout_ms: int) -> list[Record]:
        """Records that are there, waiting for a first one."""
        assert self._consumer is not None, "assign before read"
        with boundary(f"reading {self._topic}"):
            first = self._consumer.poll(timeout_ms / 1_000)
            if first is None:
                return []
            messages: list[_Message] = [first, *self._consumer.consume(records_max - 1, 0)]
        records = []
        for message in messages:
            number = message.partition()
            if (error := message.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    # Only this event passes over markers and aborted records at the end.
                    self._reached[number] = max(self._reached[number], message.offset())
                elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                    raise InputLost(f"{self._topic}[{number}]: {error.str()}", topic=self._topic, partition=number)
                elif error.code() not in _INFORMATION or error.fatal():
                    raise mapped(error, doing=f"reading {self._topic}")
                continue
            offset = message.offset()
            if offset < self._reached[number]:
                continue
            self._reached[number] = offset + 1
            headers = message.headers()
            records.append(
                Record(
                    self._topic, number, offset, message.timestamp()[1], message.key(), message.value(),
                    tuple(headers) if headers else (),
                )
            )  # fmt: skip
        return records

    def position(self, partition: int) -> int:
        """Offset up to which everything was returned."""
        return self._reached[partition]

    def close(self) -> None:
        """Drop the client."""
        if self._consumer is not None:
            with boundary(f"closing the reader of {self._topic}"):
                self._consumer.close()
            self._consumer = None


class KafkaClients:
    """Makes librdkafka clients from a task's configuration."""

    def __init__(self, config: TaskConfig) -> None:
        self._config = config
        self._admin: AdminClient | None = None

    def consumer(self) -> KafkaConsumer:
        """A member of the task's group."""
        return KafkaConsumer(consumer_settings(self._config))

    def producer(self) -> KafkaProducer:
        """The task's producer."""
        return KafkaProducer(producer_settings(self._config))

    def reader(self, topic: str) -> KafkaReader:
        """A reader of a changelog or table."""
        return KafkaReader(reader_settings(self._config), self.admin(), topic)

    def admin(self) -> AdminClient:
        """One admin client, shared."""
        if self._admin is None:
            self._admin = AdminClient(dict(_common(self._config)))
        return self._admin


def consumer_settings(config: TaskConfig) -> dict[str, Any]:
    """
    librdkafka settings of the group member.

    Range: partition n of every source goes to one worker, which a co-partitioned task needs; the cooperative assignor
    doesn't promise it. Classic protocol: with the new one (KIP-848) the broker refuses a restarted static member until
    its dead predecessor's session expires. No reset: a committed offset that is gone means lost money, not "earliest".
    """
    return _common(config) | {
        "group.id": config.group,
        "group.instance.id": config.instance,
        "group.protocol": "classic",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": config.session_timeout_ms,
        "heartbeat.interval.ms": max(100, min(3_000, config.session_timeout_ms // 6)),
        "max.poll.interval.ms": config.poll_interval_max_ms,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 100,
        "fetch.error.backoff.ms": 50,
        "queued.max.messages.kbytes": PREFETCH_KBYTES_MAX,
        "queued.min.messages": 50_000,
    }


def producer_settings(config: TaskConfig) -> dict[str, Any]:
    """
    librdkafka settings of the transactional producer.

    With the default retry back-off each commit waits some 47 ms on the coordinator's CONCURRENT_TRANSACTIONS answer;
    with 1 ms it takes 4.5.
    """
    return _common(config) | {
        "transactional.id": config.transactional_id,
        "transaction.timeout.ms": config.transaction_timeout_ms,
        "message.timeout.ms": config.transaction_timeout_ms,
        "partitioner": "murmur2_random",
        "linger.ms": 0,
        "retry.backoff.ms": 1,
        "retry.backoff.max.ms": 2,
        "queue.buffering.max.messages": QUEUE_MESSAGES_MAX,
    }


def reader_settings(config: TaskConfig) -> dict[str, Any]:
    """librdkafka settings of readers outside the group."""
    return _common(config) | {
        "group.id": f"{config.group}-reader",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 50,
        "queued.max.messages.kbytes": PREFETCH_KBYTES_MAX,
    }


def _common(config: TaskConfig) -> dict[str, Any]:
    return {
        "bootstrap.servers": config.bootstrap,
        "client.id": config.transactional_id,
        "allow.auto.create.topics": False,
        "topic.metadata.refresh.interval.ms": 30_000,
        "reconnect.backoff.max.ms": 1_000,
        "error_cb": _log_error,
        **config.client,
    }


def _log_error(error: KafkaError) -> None:
    if error.fatal():
        logger.error("kafka client: %s (%s)", error.str(), error.name())
    else:
        logger.info("kafka client: %s (%s)", error.str(), error.name())


def _pairs(partitions: Sequence[TopicPartition]) -> list[seams.TopicPartition]:
    return [(pair.topic, pair.partition) for pair in partitions]


def _offsets(answers: Sequence[TopicPartition]) -> dict[seams.TopicPartition, int | None]:
    found: dict[seams.TopicPartition, int | None] = {}
    for answer in answers:
        if answer.error is not None:
            failure = mapped(answer.error, doing=f"asking for the offset of {answer.topic}[{answer.partition}]")
            if isinstance(failure, Fatal):
                raise failure
            continue
        found[answer.topic, answer.partition] = answer.offset if answer.offset >= 0 else None
    return found


def _result(future: Any) -> Any:
    """An admin future's result; a wait that outlasts the request's own time-out is a time-out too."""
    try:
        return future.result(timeout=30)
    except TimeoutError as error:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from error
