"""The ids that more than one side computes: a payment's, from who creates it and under which key."""

from __future__ import annotations

from hashlib import blake2b

PAYMENT_PREFIX = "pi_"
CHARGE_PREFIX = "ch_"

_DIGEST_BYTES = 12
PAYMENT_ID_CHARS = len(PAYMENT_PREFIX) + 2 * _DIGEST_BYTES
_CHARGE_ID_CHARS = PAYMENT_ID_CHARS + 2
_HEX = frozenset("0123456789abcdef")


def digest(text: str) -> str:
    """24 hexadecimal digits that stand for the text: two of a thousand million coincide with a probability below 1e-10."""
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def payment_id(tenant: str, idempotency_key: str) -> str:
    """The payment that a create with this key makes: a retried create always meets its first try."""
    return PAYMENT_PREFIX + digest(f"pi/{tenant}/{idempotency_key}")


def is_payment_id(text: str) -> bool:
    """Whether a text could be a payment's id at all."""
    return len(text) == PAYMENT_ID_CHARS and text.startswith(PAYMENT_PREFIX) and _HEX.issuperset(text[3:])


def payment_of_charge(charge_id: str) -> str:
    """The payment that a charge belongs to, which the charge's id shows; empty when it is no charge's id."""
    if len(charge_id) != _CHARGE_ID_CHARS or not charge_id.startswith(CHARGE_PREFIX):
        return ""
    digits = charge_id[len(CHARGE_PREFIX) :]
    return PAYMENT_PREFIX + digits[:-2] if _HEX.issuperset(digits) else ""
