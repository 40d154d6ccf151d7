"""What simulated providers are asked, answer and keep, and what they take for it."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from connectors.providers.base import DeclineKind

Kind = Literal["authorize", "capture", "void", "increment", "refund", "submit_evidence", "accept_dispute", "payout"]
Status = Literal[
    "authorized",
    "captured",
    "voided",
    "incremented",
    "refunded",
    "refund_pending",
    "refund_failed",
    "requires_action",
    "evidence_submitted",
    "dispute_accepted",
    "payout_in_transit",
    "paid_out",
    "payout_failed",
    "declined",
    "refused",
]

FEE_SCHEDULES: dict[str, tuple[int, int]] = {"northpay": (140, 25), "southpay": (190, 10)}
"""Provider to (basis points of the captured amount, fixed minor units)."""
DEFAULT_FEE_SCHEDULE = (150, 20)
DISPUTE_FEE_MINOR = 1_500
"""What a provider charges for a dispute that takes money back."""
MULTICAPTURE = frozenset({"northpay"})
"""Providers that let an authorisation be captured in parts."""
INCREMENTAL = frozenset({"northpay"})
"""Providers that raise an authorisation."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One operation as it is fingerprinted: same key with any other field different is an error."""

    kind: Kind
    amount_minor: int
    currency: str
    payment_reference: str = ""
    payment_method: str = ""
    capture: bool = False
    charge: str = ""
    """The charge that is followed up, or the dispute that is responded to."""
    final: bool = True
    evidence: dict[str, str] = {}
    settlement_currency: str = ""
    destination: str = ""

    @property
    def fingerprint(self) -> str:
        """A digest of every field; one that asks for no conversion has the digest that it had before there were any."""
        fields = msgspec.structs.asdict(self)
        for later in ("settlement_currency", "destination"):
            if not fields[later]:
                del fields[later]
        return hashlib.blake2b(msgspec.json.encode(fields), digest_size=16).hexdigest()


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the provider says, and goes on saying, about an operation. Amounts in minor units."""

    status: Status
    reference: str = ""
    amount_minor: int = 0
    currency: str = ""
    fee_minor: int = 0
    code: str = ""
    message: str = ""
    decline_kind: DeclineKind | None = None
    action_url: str = ""
    settlement_amount_minor: int | None = None
    settlement_currency: str = ""
    fx_rate: str = ""


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the provider's books."""

    sequence: int
    provider: str
    reference: str
    key: str
    payment_reference: str
    payment_method: str
    currency: str
    state: str
    capture_when_authorized: int
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    refund_pending_minor: int
    fee_minor: int


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the provider's payouts."""

    sequence: int
    provider: str
    reference: str
    key: str
    payment_reference: str
    currency: str
    amount_minor: int
    destination: str
    state: str
    due_ms: int
    failure_code: str


class PayoutTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of one provider's payouts in one currency, in minor units."""

    provider: str
    currency: str
    payouts: int
    paid_minor: int
    in_transit_minor: int
    failed_minor: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of one provider in one currency; charges in minor units."""

    provider: str
    currency: str
    charges: int
    captured_charges: int
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    fee_minor: int


KEY_CLOSED = Answer(
    status="refused",
    code="key_closed",
    message="The key was closed by an inquiry; nothing happened or will happen under it.",
)


def fee_minor(provider: str, amount_minor: int) -> int:
    """The provider's fee for capturing an amount, rounded half up, never more than the amount."""
    basis_points, fixed_minor = FEE_SCHEDULES.get(provider, DEFAULT_FEE_SCHEDULE)
    return min(amount_minor, (amount_minor * basis_points + 5_000) // 10_000 + fixed_minor)
