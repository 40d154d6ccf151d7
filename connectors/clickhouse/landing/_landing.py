"""The landing's loop: read a batch, claim it, append it to every table, go on."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from confluent_kafka import KafkaException

from connectors.clickhouse import migrate
from connectors.clickhouse.client import Backoff, Client
from connectors.clickhouse.errors import TopicMissing, Unavailable
from connectors.clickhouse.landing import _rows
from connectors.clickhouse.landing._log import Claim, Log
from connectors.clickhouse.landing._rows import LANDED_TOPICS
from connectors.clickhouse.landing._source import Batch, Raws, Source

PARTITIONS_CHECKED_S = 30.0  # how long a new partition may stay unnoticed
STANDBY_S = 5.0  # a rival that claims nothing for so long no longer keeps us waiting
STANDBY_CHECK_S = 0.5
COMPLAINT_S = 10.0  # how often a lasting trouble is logged

_log = logging.getLogger("landing")
_T = TypeVar("_T")


class Stopped(Exception):
    """The landing was told to stop amid a batch; whoever starts next completes it."""


class Status(msgspec.Struct, kw_only=True):
    """What health tells.

    `state`: starting, landing, waiting (for Kafka or ClickHouse) or standing by (for another landing). `errors`: records
    that went to landing_errors since the start; an operator looks at them, a restart would not help.
    """

    state: str = "starting"
    trouble: str = ""
    batches: int = 0
    records: int = 0
    errors: int = 0
    landed_ms: int = 0
    partitions: int = 0

    @property
    def healthy(self) -> bool:
        """Whether records are being landed as they come."""
        return self.state in {"landing", "standing by"}


class Landing:
    """Lands one share of all partitions until told to stop.

    `connect` gives a client of ClickHouse, `fault` is called with the name of each point at which a crash must do no harm.
    Any number of landings may work on the same partitions: each batch is claimed by one, and completed by anyone.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], Client],
        bootstrap: str,
        kafka_config: Mapping[str, Any] | None = None,
        share: int = 0,
        shares: int = 1,
        migrating: bool = True,
        fault: Callable[[str], None] = lambda _point: None,
    ) -> None:
        self.writer = uuid.uuid4().hex
        self.status = Status()
        self._connect = connect
        self._migrating = migrating
        self._fault = fault
        self._stopping = threading.Event()
        self._source = Source(
            bootstrap,
            topics=[topic.name for topic in LANDED_TOPICS],
            share=share,
            shares=shares,
            extra=kafka_config,
        )
        self._client: Client | None = None
        self._partitions_checked = 0.0
        self._complained = 0.0

    def stop(self) -> None:
        """Finish the batch and return from `run`. May be called from a signal handler or another thread."""
        self._stopping.set()

    def run(self) -> None:
        """Land until told to stop. Raises `LandingError` or `StatementRefused` when going on would do harm."""
        try:
            log = self._patiently(self._open)
            self._resume(log)
            _log.info("ready: landing %d partitions as writer %s", len(self._source.places), self.writer)
            while not self._stopping.is_set():
                self._look_for_partitions(log)
                batch = self._source.collect(self._stopping.is_set)
                if batch.raws and not self._stopping.is_set():
                    self._land(log, batch)
        except Stopped:
            _log.info("told to stop amid a batch; it is completed at the next start")
        finally:
            self._source.close()
            if self._client is not None:
                self._client.close()
        _log.info("stopped after %d batches with %d records", self.status.batches, self.status.records)

    def _open(self) -> Log:
        self._client = self._client or self._connect()
        if self._migrating:
            for name in migrate.apply(self._client):
                _log.info("applied migration %s", name)
        else:
            migrate.check(self._client)
        return Log(self._client, writer=self.writer)

    def _resume(self, log: Log) -> None:
        """Find out from the data where to go on, having completed what somebody claimed and did not complete."""
        places = self._patiently(self._source.find)
        for claim in self._patiently(log.refresh):
            if claim.covers(places):
                _log.info("completing batch %d, claimed by %s and not landed", claim.seq, claim.writer)
                self._complete(log, claim, self._reread(claim))
        landed = self._patiently(log.positions)
        self._patiently(lambda: self._source.begin(places, landed))
        self._partitions_checked = time.monotonic()
        self.status.partitions = len(places)
        self.status.state = "landing"

    def _land(self, log: Log, batch: Batch) -> None:
        """1. claim the offsets, 2. append every table's rows and check them, 3. append the ranges, 4. tell Kafka."""
        self._fault("collected")
        claim = self._patiently(lambda: log.claim(batch.spans))  # 1
        if claim is None:
            self._stand_by(log)
            return
        self._fault("claimed")
        self._complete(log, claim, batch.raws)  # 2, 3
        self._source.landed()
        try:
            self._source.commit({place: after for place, (_, after) in batch.spans.items()})  # 4
        except KafkaException as error:
            _log.debug("Kafka did not take the position, which only lag tools read: %s", error)

    def _complete(self, log: Log, claim: Claim, raws: Raws) -> None:
        rows = _rows.build(raws)
        assert rows.tallies.keys() == claim.spans.keys(), "a batch holds other partitions than were claimed"
        self._patiently(lambda: log.complete(claim, rows, fault=self._fault))
        status = self.status
        status.batches += 1
        status.records += sum(tally.records for tally in rows.tallies.values())
        status.landed_ms = time.time_ns() // 1_000_000
        if rows.errors:
            status.errors += rows.errors
            _log.error(
                "%d records can't be read and are kept in landing_errors; SELECT * FROM landing_errors", rows.errors
            )

    def _reread(self, claim: Claim) -> Raws:
        raws = self._patiently(lambda: self._source.reread(claim.spans, self._stopping.is_set))
        if not raws:
            raise Stopped
        return raws

    def _stand_by(self, log: Log) -> None:
        """Another landing works on our partitions: let it, and take over when it claims nothing any more."""
        _log.warning("another landing claims batches of the same partitions; standing by")
        self.status.state = "standing by"
        newest, since = log.known, time.monotonic()
        while time.monotonic() - since < STANDBY_S:
            self._sleep(STANDBY_CHECK_S)
            seen = self._patiently(log.newest)
            if seen != newest:
                newest, since = seen, time.monotonic()
        self._resume(log)

    def _look_for_partitions(self, log: Log) -> None:
        if time.monotonic() - self._partitions_checked < PARTITIONS_CHECKED_S:
            return
        self._partitions_checked = time.monotonic()
        try:
            found = self._source.find()
        except (KafkaException, TopicMissing) as error:
            _log.warning("could not look for new partitions: %s", error)
            return
        if found != self._source.places:
            _log.info("%d new partitions", len(found - self._source.places))
            self._resume(log)

    def _patiently(self, action: Callable[[], _T]) -> _T:
        """The action's result, however long Kafka or ClickHouse is away. Raises `Stopped` when told to stop meanwhile."""
        backoff = Backoff(deadline_s=None, sleep=self._sleep)
        before = self.status.state
        while True:
            try:
                result = action()
            except (Unavailable, TopicMissing, KafkaException) as error:
                if isinstance(error, KafkaException) and error.args[0].fatal():
                    raise
                self._complain(str(error))
                backoff.wait()
            else:
                if backoff.waits:
                    _log.info("going on after %d tries", backoff.waits)
                    self._complained = 0.0
                    self.status.state, self.status.trouble = before, ""
                return result

    def _complain(self, trouble: str) -> None:
        self.status.state, self.status.trouble = "waiting", trouble
        if not self._complained or time.monotonic() - self._complained > COMPLAINT_S:
            _log.warning("waiting, nothing is lost: %s", trouble)
            self._complained = time.monotonic()

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopped
