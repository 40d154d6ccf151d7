"""
Everything the exactly-once runtime raises.

    StreamsError
    ├── Transient                 a client call failed in a way that a later try may mend
    │   ├── Retriable             nothing happened yet: the same call may be made again
    │   ├── Abortable             the transaction is lost: abort, drop the overlay, rewind to the committed offsets
    │   └── Indefinite            no answer in time: the outcome is unknown, so the clients are replaced and asked
    ├── Fatal                     this process can't go on; its supervisor starts another
    │   ├── Fenced                another member or a newer producer took over
    │   ├── StoreFailed           the state store can't write (disk full, permissions)
    │   ├── StoreBusy             another process has the store open
    │   └── ConfigurationFault    topics or settings are not what was promised
    ├── StoreDamaged              a store's bytes can't be trusted: it is moved aside and rebuilt from its changelog
    ├── NotRead                   a question about state can't be answered here and now
    │   ├── NotHeld               the partition isn't this worker's, or isn't restored
    │   └── Behind                the store has not come so far as the question asks for
    ├── InputLost                 records after a committed offset are gone: that partition stops
    └── PoisonRecord              one record can't be processed; the application subclasses it with its reasons
        └── OutputOversized       a record's output is larger than a topic takes

Errors of the Kafka client become these in one place, `kafka.mapped`; errors of RocksDB in `store.RocksStore`.
"""


class StreamsError(Exception):
    """Root of the runtime's errors."""


class Transient(StreamsError):
    """A client call failed in a way that a later try may mend."""


class Retriable(Transient):
    """Nothing happened yet; the same call may be made again."""


class Abortable(Transient):
    """The transaction can't commit; its work must be forgotten and done again from the committed offsets."""


class Indefinite(Transient):
    """A call got no answer in time, so whether it took effect is unknown."""


class Fatal(StreamsError):
    """This process can't go on and says what to do; its supervisor starts another."""


class Fenced(Fatal):
    """Another group member or a newer producer of the same transactional id took over."""


class StoreFailed(Fatal):
    """The state store can't be written; the disk may be full or the directory not ours."""


class StoreBusy(Fatal):
    """Another process has the same state store open."""


class ConfigurationFault(Fatal):
    """Topics or settings are not what the task was promised; the message says what to change."""


class StoreDamaged(StreamsError):
    """A store's bytes can't be trusted, so it has to be rebuilt from its changelog."""

    def __init__(self, message: str, *, partition: int | None = None) -> None:
        super().__init__(message)
        self.partition = partition


class NotRead(StreamsError):
    """A question about committed state can't be answered by this worker now."""


class NotHeld(NotRead):
    """The partition isn't this worker's, or isn't restored yet."""


class Behind(NotRead):
    """The store has not come as far as the changelog: a commit is about to be applied, or the partition is another's."""


class InputLost(StreamsError):
    """Records after a partition's committed offset were deleted before they were processed."""

    def __init__(self, message: str, *, topic: str, partition: int) -> None:
        super().__init__(message)
        self.topic = topic
        self.partition = partition


class PoisonRecord(StreamsError):
    """One record can't be processed; it is rejected and its neighbours go on."""


class OutputOversized(PoisonRecord):
    """A record led to an output that is larger than the output record limit."""
