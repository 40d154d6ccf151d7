"""What a task is told at its start, and the limits that hold while it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from schemas.clients import turn_id
from streams.runtime.errors import ConfigurationFault

# A batch is one transaction, of what is there, up to this. Waiting for its records and the commit costs 4 to 6 ms and
# now and then 20 (the broker is still ending the one before), a record 5 us: with 4,000 records that is a fifth of the
# batch, with 2,000 a third. So many payment commands are some 100 ms of work, which is what an abort does again.
BATCH_RECORDS_MAX = 4_000

# Bounds the memory of a batch whose records are large: 2,000 records of 1 MB would be two gigabytes.
BATCH_BYTES_MAX = 8 * 1024 * 1024

# What the client may fetch ahead. The batch in hand and the one behind it are enough to keep the task busy.
PREFETCH_KBYTES_MAX = 16 * 1024

# Outputs of one batch; beyond either the batch ends early and the records left over make the next one.
BATCH_OUTPUTS_MAX = 20_000
BATCH_OUTPUT_BYTES_MAX = 32 * 1024 * 1024

# Kafka's default `max.message.bytes` is 1,048,588; a little below it, so that the broker never refuses what we accept.
OUTPUT_BYTES_MAX = 1_000_000

# A rejection holds a whole record that was refused, of up to Kafka's default limit, and says why: more than any record.
# The rejected topic's own `max.message.bytes` has to allow it.
REJECTION_BYTES_MAX = 2_200_000

# A dead worker's partitions move after this. Lower makes take-over faster and a long stop of the machine costlier.
SESSION_TIMEOUT_MS = 10_000

# An open transaction holds back every read-committed reader of the partitions it wrote to, so it must be short; it must
# outlast a slow commit, too. Above it, the broker aborts a dead worker's transaction.
TRANSACTION_TIMEOUT_MS = 15_000

# Time for one client call before its outcome counts as unknown. Below the transaction's time-out, so that we know first.
CALL_TIMEOUT_MS = 12_000

# A handler may take this long for a whole batch before the task gives up on it.
BATCH_TIMEOUT_MS = 60_000

# librdkafka gives the partitions up when poll isn't called for this long. Restores go in slices between polls, so only
# a batch and its commit lie between two polls; this is above the sum of their deadlines with room for a stalled disk.
POLL_INTERVAL_MAX_MS = 300_000

# How long a poll waits for a first record. It bounds how late a stop is noticed, nothing else: a record that arrives
# ends the wait at once.
POLL_TIMEOUT_MS = 200

# Who gathers for longer would rather run less often.
GATHER_MS_MAX = 10_000

# A retriable call is made again this often, with the wait doubling from the first to the last.
CALL_RETRIES_MAX = 6
BACKOFF_FIRST_MS = 20
BACKOFF_LAST_MS = 5_000

# Sessions that failed in a row before the process gives up. With the back-off above and the call time-out it outlasts a
# broker's restart by minutes, and still ends on a fault that repeats for ever.
FAILURES_IN_A_ROW_MAX = 25

# Failures are in a row until a batch commits; a task without work forgets those before this long a peace.
FAILURES_FORGOTTEN_MS = 10 * 60_000

# Records of a changelog that are applied between two polls.
RESTORE_SLICE_RECORDS = 5_000

# Compaction may remove a tombstone this long after it was written (`delete.retention.ms`, Kafka's default is 24 h). A
# store that stood still for longer may have missed deletions for ever, so it is rebuilt. An hour short of it, for clocks.
TOMBSTONE_RETENTION_MS = 23 * 3600 * 1000

# Recent values kept in front of RocksDB, per partition: a read from the dictionary costs a tenth of one from RocksDB.
CACHE_BYTES_MAX = 8 * 1024 * 1024

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,100}")


class TaskConfig(msgspec.Struct, frozen=True, kw_only=True):
    """
    A task's identity, its topics and its limits.

    `instance` is the worker's stable ordinal or host name: it names the group member (static membership), the
    producer (`transactional_id`) and must be unique among running workers of one application. With `gather_ms` records may
    wait so long for others, so that batches are fewer.
    """

    name: str
    application: str
    instance: str
    sources: tuple[str, ...]
    changelog: str | None = None
    rejected: str | None = None
    bootstrap: str = "127.0.0.1:9092"
    state_directory: Path = Path(".clearline/state")
    client: Mapping[str, str | int | float | bool] = {}
    state_version: int = 1
    batch_records_max: int = BATCH_RECORDS_MAX
    batch_bytes_max: int = BATCH_BYTES_MAX
    output_bytes_max: int = OUTPUT_BYTES_MAX
    rejection_bytes_max: int = REJECTION_BYTES_MAX
    session_timeout_ms: int = SESSION_TIMEOUT_MS
    transaction_timeout_ms: int = TRANSACTION_TIMEOUT_MS
    call_timeout_ms: int = CALL_TIMEOUT_MS
    batch_timeout_ms: int = BATCH_TIMEOUT_MS
    poll_interval_max_ms: int = POLL_INTERVAL_MAX_MS
    poll_timeout_ms: int = POLL_TIMEOUT_MS
    gather_ms: int = 0
    failures_in_a_row_max: int = FAILURES_IN_A_ROW_MAX
    tombstone_retention_ms: int = TOMBSTONE_RETENTION_MS
    cache_bytes_max: int = CACHE_BYTES_MAX

    def __post_init__(self) -> None:
        for field in ("name", "application", "instance"):
            value = getattr(self, field)
            if not _NAME.fullmatch(value):
                raise ConfigurationFault(
                    f"task {field} {value!r} must be 1 to 100 letters, digits, '.', '_' or '-': it names a group, "
                    "a transactional id and a directory"
                )
        if not self.sources or len(set(self.sources)) != len(self.sources):
            raise ConfigurationFault(f"task {self.name} needs at least one source topic, each named once")
        if self.changelog in self.sources:
            raise ConfigurationFault(f"task {self.name} can't read its own changelog {self.changelog} as a source")
        if not 0 < self.batch_records_max <= 100_000:
            raise ConfigurationFault(f"task {self.name}: batch_records_max must lie in 1 to 100,000")
        if not 0 <= self.gather_ms <= GATHER_MS_MAX:
            raise ConfigurationFault(f"task {self.name}: gather_ms must lie in 0 to {GATHER_MS_MAX:,}")
        if self.call_timeout_ms >= self.transaction_timeout_ms:
            raise ConfigurationFault(
                f"task {self.name}: call_timeout_ms must be below transaction_timeout_ms, else the broker aborts "
                "a transaction before the task knows that it is late"
            )
        if self.batch_timeout_ms + 3 * self.call_timeout_ms >= self.poll_interval_max_ms:
            raise ConfigurationFault(
                f"task {self.name}: poll_interval_max_ms must exceed batch_timeout_ms and three calls, else a slow "
                "batch loses its partitions"
            )

    @property
    def group(self) -> str:
        """Consumer group of all workers that run this task."""
        return f"{self.application}-{self.name}"

    @property
    def transactional_id(self) -> str:
        """Stable id of this worker's producer: a restarted worker fences its predecessor at once."""
        return f"{self.application}-{self.name}-{self.instance}"

    def transactional_id_of(self, turn: int) -> str:
        """Id of the producer of that turn."""
        return turn_id(self.transactional_id, turn)

    @property
    def task_directory(self) -> Path:
        """Where this task's stores are, one directory a partition."""
        return self.state_directory / self.name
