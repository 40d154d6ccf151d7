"""Between bytes and records: decoding with typed refusals, and what becomes of a refused record."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from schemas import codec, contracts, unkept
from schemas.catalogue import RECORD_BYTES_MAX, RECORDS_REJECTED, Topic
from schemas.errors import DecodingError
from schemas.records import PaymentIntent, Rejection, RejectionReason
from schemas.records import Record as Message
from streams.core.errors import Refused
from streams.runtime import Output, OutputOversized, PoisonRecord, Record

# A rejection holds the whole refused record. What is larger than any topic of ours takes is named by its digest only.
REJECTED_VALUE_BYTES_MAX = 2 * RECORD_BYTES_MAX
_MESSAGE_CHARS_MAX = 1_000
_UNKEPT = ("card_number", "secret")
_HEADER_BYTES = 5
# Rejections are kept for ever, personal data isn't: an intent that may hold some is named by its place and digest only.
_MAY_BE_PERSONAL = frozenset(
    b"\x00" + contract.id.to_bytes(4, "big")
    for contract in contracts.all_contracts()
    if contract.record == PaymentIntent.__name__
    and any(field["name"] == "personal" for field in contract.schema["fields"])
)


class Rejected(PoisonRecord):
    """A record that breaks its topic's contract; carries what the rejection says."""

    def __init__(self, *, reason: RejectionReason, message: str, field: str = "", tenant: str = "") -> None:
        super().__init__(message)
        self.reason: RejectionReason = reason
        self.field = field
        self.tenant = tenant

    @classmethod
    def of(cls, refused: Refused, *, tenant: str) -> Rejected:
        """The same refusal, as the runtime understands it."""
        return cls(reason=refused.reason, message=refused.message, field=refused.field, tenant=tenant)


def read(record: Record, topic: Topic) -> Message:
    """The message that a record of this topic holds. Raises `Rejected`."""
    try:
        return codec.decode(record.value, expected=topic.records)
    except DecodingError as error:
        raise Rejected(reason=error.reason, message=str(error)) from error


def check_key(record: Record, expected: str) -> None:
    """Raises `Rejected` when the key is not the one that this message's partition is chosen by."""
    if record.key != expected.encode():
        message = f"the key has to be {expected!r}, since it decides the partition; it is {record.key!r:.200}"
        raise Rejected(reason="wrong_key", message=message, field="key")


def rejection(component: str) -> Callable[[Record, PoisonRecord], Output]:
    """Makes the function that turns a refused record into one on `records.rejected`, in this component's name."""

    def reject(record: Record, poison: PoisonRecord) -> Output:
        reason: RejectionReason = poison.reason if isinstance(poison, Rejected) else "unrecognized"
        if isinstance(poison, OutputOversized):
            reason = "oversized"
        rejected = Rejection(
            source_topic=record.topic,
            source_partition=record.partition,
            source_offset=record.offset,
            source_timestamp_ms=record.timestamp_ms,
            key=None if reason in _UNKEPT or unkept.holds(record.key) else record.key,
            value=_kept(record.value, reason),
            value_sha256=sha256(record.value or b"").hexdigest(),
            reason=reason,
            field=getattr(poison, "field", ""),
            message=unkept.masked(str(poison))[:_MESSAGE_CHARS_MAX],
            component=component,
            tenant=unkept.masked(getattr(poison, "tenant", "")),  # as the record has it, not as tenants are called
        )
        return Output(topic=RECORDS_REJECTED.name, value=codec.encode(rejected), key=rejected.key)

    return reject


def _kept(value: bytes | None, reason: RejectionReason) -> bytes | None:
    """The bytes as they came, unless they must not be kept (a card number, a secret, personal data) or can't be (too large)."""
    if value is None or reason in _UNKEPT or len(value) > REJECTED_VALUE_BYTES_MAX or _is_personal(value):
        return None
    return None if unkept.holds(value) else value


def _is_personal(value: bytes) -> bool:
    """Whether it is an intent with personal data, on whatever topic; one that can't be read might be."""
    if value[:_HEADER_BYTES] not in _MAY_BE_PERSONAL:
        return False
    try:
        intent = codec.decode(value)
    except DecodingError:
        return True
    return not isinstance(intent, PaymentIntent) or bool(intent.personal)
