"""What a worker answers when the API asks for a payment: the objects that events carry, as they stand now."""

from __future__ import annotations

import msgspec

from schemas.records import ChargeObject, DisputeObject, PaymentObject, RefundObject


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A payment with everything within it. The objects of attempts, refunds and disputes are in the order of their making."""

    tenant: str
    payment: PaymentObject
    charges: tuple[ChargeObject, ...] = ()
    refunds: tuple[RefundObject, ...] = ()
    disputes: tuple[DisputeObject, ...] = ()
    sequence: int = 0
    """Of the payment's newest event."""
    partition: int = 0
    """Partition of payments.inputs."""
    position: int = 0
    """Inputs before this offset are in it; it never goes back from one answer to a later one."""
