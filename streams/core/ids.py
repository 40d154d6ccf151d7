"""Ids are hashes of their cause, so that the same input always makes the same things.

A hash has 96 bits (24 hexadecimal digits): two of a thousand million ids coincide with a probability below 1e-10.
"""

from __future__ import annotations

from hashlib import blake2b

from schemas.ids import (
    CHARGE_PREFIX,
    PAYMENT_ID_CHARS,
    PAYMENT_PREFIX,
    PAYOUT_PREFIX,
    is_payout_id,
    payment_id,
    payout_id,
    proposal_id,
)
from schemas.ids import digest as _digest

__all__ = [
    "CHARGE_PREFIX",
    "PAYMENT_ID_CHARS",
    "PAYMENT_PREFIX",
    "PAYOUT_PREFIX",
    "attempt_of",
    "automatic_payout_id",
    "charge_id",
    "dispute_id",
    "event_id",
    "fingerprint",
    "input_digest",
    "is_payout_id",
    "movement_id",
    "payment_id",
    "payout_id",
    "proposal_id",
    "refund_id",
    "request_id",
    "request_number",
    "transaction_id",
    "window_id",
]

_FINGERPRINT_BYTES = 16
_CHARGE_ID_CHARS = PAYMENT_ID_CHARS + 2


def fingerprint(data: bytes) -> bytes:
    """16 bytes that stand for a command's parameters."""
    return blake2b(data, digest_size=_FINGERPRINT_BYTES).digest()


def charge_id(payment_id: str, attempt: int) -> str:
    """The payment's own hash and the attempt's number, 1 to 255: a charge shows whose it is."""
    return f"{CHARGE_PREFIX}{payment_id[len(PAYMENT_PREFIX) :]}{attempt:02x}"


def attempt_of(charge_id: str, payment_id: str) -> int:
    """The attempt's number from its charge id; 0 when the id is no charge of this payment."""
    if len(charge_id) != _CHARGE_ID_CHARS or charge_id[3:-2] != payment_id[3:] or charge_id[:3] != CHARGE_PREFIX:
        return 0
    try:
        return int(charge_id[-2:], 16)
    except ValueError:
        return 0


def refund_id(tenant: str, payment_id: str, idempotency_key: str) -> str:
    """The refund that a command with this key makes."""
    return "re_" + _digest(f"re/{tenant}/{payment_id}/{idempotency_key}")


def dispute_id(tenant: str, payment_id: str, provider: str, reference: str) -> str:
    """The dispute that a provider knows by this reference."""
    return "dp_" + _digest(f"dp/{tenant}/{payment_id}/{provider}/{reference}")


def request_id(object_id: str, operation: str, number: int) -> str:
    """A provider request, and its idempotency key at the provider. `number` counts the object's requests from 1."""
    return f"{object_id}_{operation}_{number}"


def request_number(request_id: str, object_id: str, operation: str) -> int:
    """The number within a request id; 0 when the id is no request of that object and operation."""
    prefix = f"{object_id}_{operation}_"
    number = request_id[len(prefix) :]
    if (
        request_id.startswith(prefix)
        and len(number) <= 4
        and number.isascii()
        and number.isdecimal()
        and number[0] != "0"
    ):
        return int(number)
    return 0


def input_digest(topic: str, partition: int, offset: int) -> str:
    """What the ids of everything that one input causes have in common."""
    return _digest(f"in/{topic}/{partition}/{offset}")


def event_id(input_digest: str, ordinal: int) -> str:
    """The event with this ordinal among those of its input."""
    return f"evt_{input_digest}{ordinal:02x}"


def movement_id(input_digest: str, number: int) -> str:
    """The movement with this number among those of its input."""
    return f"mv_{input_digest}{number:02x}"


def transaction_id(input_digest: str, number: int) -> str:
    """The balance transaction with this number among those of its input."""
    return f"txn_{input_digest}{number:02x}"


def automatic_payout_id(window_id: str) -> str:
    """The payout that this window's close makes."""
    return PAYOUT_PREFIX + _digest(f"po/{window_id}")


def window_id(tenant: str, provider: str, currency: str, opens_ms: int) -> str:
    """The settlement window that opens at this time."""
    return "sw_" + _digest(f"sw/{tenant}/{provider}/{currency}/{opens_ms}")
