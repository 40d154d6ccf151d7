"""What a worker answers when the API asks for an object: what events carry of it, as it stands now."""

from __future__ import annotations

import msgspec

from schemas.records import (
    ChargeObject,
    CustomerObject,
    DisputeObject,
    MethodObject,
    PaymentObject,
    ProposalObject,
    RefundObject,
    SetupObject,
)


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A payment with everything within it. The objects of attempts, refunds and disputes are in the order of their making."""

    tenant: str
    payment: PaymentObject
    charges: tuple[ChargeObject, ...] = ()
    refunds: tuple[RefundObject, ...] = ()
    disputes: tuple[DisputeObject, ...] = ()
    proposal: ProposalObject | None = None
    """What an operator proposed and nobody has approved yet."""
    sequence: int = 0
    """Of the payment's newest event."""
    partition: int = 0
    """Partition of payments.inputs."""
    position: int = 0
    """Inputs before this offset are in it; it never goes back from one answer to a later one."""


class CustomerView(msgspec.Struct, frozen=True, kw_only=True):
    """A customer with its payment methods in the order in which they were attached, or one method, or one setup intent."""

    tenant: str
    customer: CustomerObject | None = None
    methods: tuple[MethodObject, ...] = ()
    """A customer's; or the one that was asked for, or the setup intent's."""
    setup: SetupObject | None = None
    sequence: int = 0
    """Of the newest event of what was asked for."""
