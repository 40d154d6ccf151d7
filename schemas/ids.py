"""The ids that more than one side computes: a payment's, from who creates it and under which key."""

from __future__ import annotations

from hashlib import blake2b

PAYMENT_PREFIX = "pi_"
CHARGE_PREFIX = "ch_"
CUSTOMER_PREFIX = "cus_"
METHOD_PREFIX = "pm_"
SETUP_PREFIX = "seti_"
PAYOUT_PREFIX = "po_"

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


def customer_id(tenant: str, idempotency_key: str) -> str:
    """The customer that a create with this key makes."""
    return CUSTOMER_PREFIX + digest(f"cus/{tenant}/{idempotency_key}")


def method_id(tenant: str, idempotency_key: str) -> str:
    """The payment method that a command with this key makes: a create, an attachment of a token, or a setup."""
    return METHOD_PREFIX + digest(f"pm/{tenant}/{idempotency_key}")


def saved_method_id(tenant: str, payment_id: str) -> str:
    """The payment method that is saved of a payment that succeeded."""
    return METHOD_PREFIX + digest(f"pm/{tenant}/{payment_id}/saved")


def setup_id(tenant: str, idempotency_key: str) -> str:
    """The setup intent that a create with this key makes."""
    return SETUP_PREFIX + digest(f"seti/{tenant}/{idempotency_key}")


def payout_id(tenant: str, idempotency_key: str) -> str:
    """The payout that a create with this key makes."""
    return PAYOUT_PREFIX + digest(f"po/{tenant}/{idempotency_key}")


def is_payout_id(text: str) -> bool:
    """Whether a text could be a payout's id at all."""
    return _is_id(text, PAYOUT_PREFIX)


def is_refund_id(text: str) -> bool:
    """Whether a text could be a refund's id at all."""
    return _is_id(text, "re_")


def is_dispute_id(text: str) -> bool:
    """Whether a text could be a dispute's id at all."""
    return _is_id(text, "dp_")


def is_customer_id(text: str) -> bool:
    """Whether a text could be a customer's id at all; what tenants call customers themselves is none."""
    return _is_id(text, CUSTOMER_PREFIX)


def is_method_id(text: str) -> bool:
    """Whether a text could be a saved payment method's id at all; a token such as pm_card_visa is none."""
    return _is_id(text, METHOD_PREFIX)


def is_setup_id(text: str) -> bool:
    """Whether a text could be a setup intent's id at all."""
    return _is_id(text, SETUP_PREFIX)


def _is_id(text: str, prefix: str) -> bool:
    return (
        len(text) == len(prefix) + 2 * _DIGEST_BYTES
        and text.startswith(prefix)
        and _HEX.issuperset(text[len(prefix) :])
    )


def proposal_id(tenant: str, payment_id: str, idempotency_key: str) -> str:
    """What operators propose about a payment by a command with this key."""
    return "prop_" + digest(f"prop/{tenant}/{payment_id}/{idempotency_key}")
