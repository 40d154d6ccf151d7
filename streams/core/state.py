"""State as it is kept: small structs in msgpack arrays behind one byte that names their version.

A field is only ever added at the end and with a default; then the version stays and old bytes still read. Any other
change is a new version with a decoder that lifts the older one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, TypeVar

import msgspec

from schemas.records import (
    DisputeStatus,
    PaymentStatus,
    PayoutOutcome,
    PayoutStatus,
    ProviderOperation,
    ProviderOutcome,
    RefundStatus,
    WindowStatus,
)
from streams.core.errors import StateUnreadable

STATE_VERSION = 1
_VERSION_BYTE = bytes([STATE_VERSION])
_CONFIGURATION_CACHED = 4096

AttemptStatus = Literal["pending", "authorized", "captured", "failed", "voided", "stray", "reversed"]
"""pending: not known to have an effect; stray: had an effect after it was given up; reversed: that effect is undone."""

Doubt = Literal["", "unknown", "held"]
"""unknown: nobody can say yet what the provider did; held: what it says can't be right, a person must look."""


class Conversion(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a provider was asked to convert a charge to, and what it says that came to."""

    currency: str
    settled_minor: int = 0
    """All captures so far, in minor units of `currency`."""
    rate: str = ""
    """The newest capture's rate as the provider stated it; empty before it has converted anything."""


class Attempt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One try to charge at one provider. Its number is its place in `Payment.attempts`, from 1."""

    provider: str
    status: AttemptStatus = "pending"
    operation: ProviderOperation | Literal[""] = "authorize"
    """What the provider is doing; empty when nothing is under way."""
    doubt: Doubt = ""
    requests: int = 1
    """Requests made so far; the newest one carries this number."""
    asked_minor: int = 0
    """Amount of the newest capture (or of a stray effect that is to be undone)."""
    captured_minor: int = 0
    reference: str = ""
    fee_minor: int = 0
    outcome: ProviderOutcome = "unrecognized"
    """What the provider last said; unrecognized before it said anything."""
    failure_code: str = ""
    conflict: ProviderOutcome | Literal[""] = ""
    """The last outcome that contradicted this attempt, so that its repetition is no news."""
    tenant_fee_minor: int = 0
    """What the tenant paid for it."""
    scheduled: bool = False
    """Whether that was by the tenant's own rules, and the provider's fee is ours to bear."""
    asked_final: bool = True
    """Whether the newest capture ends the authorisation."""
    captures: tuple[int, ...] = ()
    """Numbers of the requests that captured a part and left the rest authorised."""
    conversion: Conversion | None = None
    """None: it settles in the payment's own currency. Fees of a converted charge are in the other one."""
    texts: int = 0
    """Version of its own description and metadata; 0: it has none, and shows the payment's."""
    increments: int = 0
    """How often its authorisation was raised."""
    first_minor: int = 0
    """What it was authorised with at first, once that was raised; else 0."""


class Refund(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Money on its way back to the customer."""

    id: str
    attempt: int
    amount_minor: int
    status: RefundStatus = "pending"
    doubt: Doubt = ""
    reason: str = ""
    reference: str = ""
    waiting: str = ""
    """Idempotency key of the command that still waits for an answer; empty when none does."""
    conflict: ProviderOutcome | Literal[""] = ""
    failure: str = ""
    fee_returned_minor: int = 0
    """Its share of the charge's fee, which the tenant has back."""
    settled_minor: int = 0
    """Of a converted charge: what the tenant has paid for it, in the currency that the charge settled in."""
    texts: int = 0
    """Version of its metadata; 0: it has none."""
    created_ms: int = 0
    """When it began; 0 for one of before that was kept."""


class Dispute(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Money that a customer's bank wants back, as the provider last told of it."""

    id: str
    attempt: int
    reference: str
    amount_minor: int
    status: DisputeStatus
    reason: str = ""
    sequence: int = 0
    """The provider's count of what it told; what is not newer changes nothing."""
    due_ms: int = 0
    stated_minor: int = 0
    """What the provider says it has taken back and not given back."""
    stated_fee_minor: int = 0
    withdrawn_minor: int = 0
    """What of it is posted against the tenant."""
    excess_minor: int = 0
    """What of it is posted against the provider, because the charge no longer held so much."""
    fee_minor: int = 0
    """What the tenant has paid for the dispute."""
    cost_minor: int = 0
    """What of the provider's fee is posted."""
    submitted: bool = False
    operation: ProviderOperation | Literal[""] = ""
    """What the provider is asked to do; empty when nothing is under way."""
    requests: int = 0
    doubt: Doubt = ""
    waiting: str = ""
    """Idempotency key of the command that still waits for an answer; empty when none does."""
    settled_minor: int = 0
    """Of a converted charge: what `withdrawn_minor` is posted as, in the currency that the charge settled in."""
    texts: int = 0
    """Version of its metadata and evidence; 0: it has neither."""
    created_ms: int = 0
    """When we first heard of it; 0 for one of before that was kept."""


class Reserve(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What of one capture is kept from the tenant until its day."""

    attempt: int
    amount_minor: int
    """In minor units of the currency that the charge settled in."""
    due_ms: int


class Proposal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one operator found, and another has yet to approve."""

    id: str
    resolution: str
    object_id: str
    amount_minor: int
    reason: str
    proposed_by: str


class Payment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A payment intent with its attempts and refunds. Tenant and id are in its key."""

    status: PaymentStatus
    amount_minor: int
    currency: str
    manual: bool
    payment_method: str
    customer: str
    created_ms: int
    sequence: int = 0
    last_event_id: str = ""
    attempts: tuple[Attempt, ...] = ()
    refunds: tuple[Refund, ...] = ()
    tried_from: int = 0
    """How many attempts earlier confirmations made; failover passes over providers tried since."""
    policy_version: int = 0
    waiting: str = ""
    """Idempotency key of the command on the charge that still waits for an answer; empty when none does."""
    canceling: bool = False
    """Whether the authorisation is to be given up as soon as it is there."""
    cancellation_reason: str = ""
    error_code: str = ""
    error_decline_code: str = ""
    has_texts: bool = False
    disputes: tuple[Dispute, ...] = ()
    action_url: str = ""
    """Where the customer completes the newest attempt's challenge."""
    due_ms: int = 0
    """When the authorisation or the challenge ends by itself; 0 when neither waits."""
    proposal: Proposal | None = None
    created_minor: int = 0
    """The amount it was created with, once that has been changed; else 0."""
    authorized_ms: int = 0
    """When the newest authorisation began."""
    reserves: tuple[Reserve, ...] = ()
    """What is kept of its captures and was not released yet."""
    texts: int = 0
    """Version of its texts, where it has any; 0: those that it was created with."""
    created_currency: str = ""
    """The currency it was created with, once that has been changed; else empty."""
    saved_method: str = ""
    """pm_...: what `payment_method` is the token of, where it is saved; set when it is saved of this payment."""
    setup_future_usage: str = ""
    """off_session or on_session: the method is to be saved for the customer once the payment succeeds."""
    method_saved: bool = False
    """Whether the customers' fold was asked to save it."""


class Texts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the tenant wrote about a payment, or about a charge, refund or dispute of it, in one version."""

    description: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    personal_key: str = ""
    """ck_...: what `personal` is sealed with; the core never opens it."""
    personal: bytes = b""
    evidence: dict[str, str] = msgspec.field(default_factory=dict)
    """Of a dispute: what the tenant has to say, by Stripe's names."""


class StoredError(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The fields of an `ErrorObject`, so that a later catalogue does not change what was answered."""

    type: str
    code: str
    message: str
    param: str
    decline_code: str
    retryable: bool


class StoredReply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The answer to a command, kept by its idempotency key. While it is running, http_status is 0."""

    fingerprint: bytes
    http_status: int = 0
    reply_partition: int | None = None
    correlation_id: str = ""
    payment: bytes = b""
    """The payment's state at the answer: the answer is made from it again, bit for bit."""
    refund_id: str = ""
    """The refund, the dispute or the charge that the command was about."""
    error: StoredError | None = None


class Fees(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a tenant pays for payments by methods that start so, in a currency; empty: any."""

    payment_method: str
    currency: str
    basis_points: int
    fixed_minor: int
    dispute_minor: int


class TenantState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the folds need of a tenant."""

    version: int
    active: bool
    timezone: str = "UTC"
    cutoff: str = "00:00"
    interval_ms: int = 0
    grace_ms: int = 0
    fees: tuple[Fees, ...] = ()
    refund_fees_returned: bool = False
    capture_days: int = 7
    capture_rules: tuple[tuple[str, int], ...] = ()
    """Start of a payment method's token, and days."""
    action_hours: int = 24
    available_delay_ms: int = 0
    reserve_basis_points: int = 0
    reserve_days: int = 0
    settlement_currency: str = ""


class Policy(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Providers in order of priority."""

    version: int
    providers: tuple[str, ...]


class Health(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Providers that may not be chosen now."""

    unhealthy: tuple[str, ...] = ()


class Clock(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The newest tick, in ms since the epoch."""

    time_ms: int = 0


class Flow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A tenant's money at a provider in a currency, over all its windows."""

    sequence: int = 0
    last_event_id: str = ""
    closed_until_ms: int = 0
    """Every window that ends by then is closed."""
    net_minor: int = 0
    """All movements ever."""
    closed_net_minor: int = 0
    """All closed windows' nets."""


class Window(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A settlement window: its bounds and what it adds up to, in minor units."""

    window_id: str
    opens_ms: int
    closes_ms: int
    grace_ms: int
    movements: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    fees_minor: int = 0
    other_minor: int = 0
    status: WindowStatus = "open"


class PayoutTerms(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """When and by whom a tenant's payouts are made."""

    automatic: bool = False
    delay_ms: int = 0
    """How long a payout stays pending, and can be canceled."""


class PayoutClaim(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where the payout of an idempotency key is, for good."""

    provider: str
    fingerprint: bytes


class PayoutMoney(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What of a flow's settled money was paid out or is being paid out, and what may not be yet."""

    taken_minor: int = 0
    maturing: tuple[tuple[int, int], ...] = ()
    """From when (ms since the epoch) a closed window's net may be paid out, and how much that is."""


class ProposedPayout(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one operator found out of a payout, and another has yet to approve."""

    id: str
    resolution: str
    reference: str
    reason: str
    proposed_by: str


class Payout(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A payout. Its flow and id are in its key."""

    status: PayoutStatus
    amount_minor: int
    created_ms: int
    due_ms: int
    fingerprint: bytes = b""
    """What was asked, so that the same key with other parameters is seen; empty of an automatic one."""
    destination: str = ""
    description: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    window_id: str = ""
    """The window whose close made it; empty when somebody asked for it."""
    request_id: str = ""
    """The request that made it, so that what follows can be tied to it."""
    idempotency_key: str = ""
    requests: int = 0
    """Requests made of the provider so far; the newest one carries this number."""
    reference: str = ""
    failure_code: str = ""
    failure_message: str = ""
    doubt: Doubt = ""
    conflict: PayoutOutcome | Literal[""] = ""
    """The last outcome that contradicted this payout, so that its repetition is no news."""
    canceled_by: str = ""
    """Idempotency key of the command that canceled it."""
    paid_ms: int = 0
    sequence: int = 0
    last_event_id: str = ""
    updates: tuple[tuple[bytes, bytes], ...] = ()
    """The newest updates, newest first: what stands for the key of each, and for what was asked."""
    metadata_as_made: dict[str, str] | None = None
    """The metadata of its first answer, where that has changed since."""
    proposal: ProposedPayout | None = None


_S = TypeVar("_S", bound=msgspec.Struct)

_encode = msgspec.msgpack.Encoder().encode
_DECODERS: dict[type[msgspec.Struct], msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (
        Attempt,
        Payment,
        Texts,
        StoredReply,
        TenantState,
        Policy,
        Health,
        Clock,
        Flow,
        Window,
        PayoutTerms,
        PayoutClaim,
        PayoutMoney,
        Payout,
    )
}


def register(*kinds: type[msgspec.Struct]) -> None:
    """Make further kinds decodable: state of a fold that keeps it in a module of its own."""
    _DECODERS.update((kind, msgspec.msgpack.Decoder(kind)) for kind in kinds)


def encode(state: msgspec.Struct) -> bytes:
    """The state's bytes, in the newest version."""
    return _VERSION_BYTE + _encode(state)


def decode(kind: type[_S], value: bytes) -> _S:
    """State of that kind from its bytes. Raises `StateUnreadable`."""
    if value[:1] != _VERSION_BYTE:
        message = (
            f"{kind.__name__}: state version {value[:1].hex()} is not known here; this code reads up to {STATE_VERSION}"
        )
        raise StateUnreadable(message)
    try:
        decoded: _S = _DECODERS[kind].decode(memoryview(value)[1:])
    except msgspec.MsgspecError as error:
        message = f"{kind.__name__}: the state's bytes are damaged: {error}"
        raise StateUnreadable(message) from error
    return decoded


@lru_cache(maxsize=_CONFIGURATION_CACHED)
def decode_configuration(kind: type[_S], value: bytes) -> _S:
    """Like `decode`, remembered: for what many inputs read and few change."""
    return decode(kind, value)
