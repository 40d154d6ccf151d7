"""Typed views of the records, one frozen struct for each. Made by `python -m schemas.generate`; do not edit."""

from __future__ import annotations

from typing import Literal

import msgspec

CaptureMethod = Literal[
    "unrecognized",
    "automatic",
    "manual",
]
"""automatic: authorise and capture at once; manual: authorise now, capture by a later command."""


class PaymentIntent(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that an upstream system wants made. Topic payment.intents."""

    tenant: str = ""
    """Tenant on whose behalf."""
    intent_key: str = ""
    """The upstream system's own unique name of this payment within the tenant, 1 to 255 characters; sending it again has no second effect."""
    amount_minor: int = 0
    """Amount in minor units of currency, positive."""
    currency: str = ""
    """ISO 4217 code, upper case."""
    payment_method: str = ""
    """Token of the payment method; never a card number."""
    capture_method: CaptureMethod = "automatic"
    """When money is captured."""
    confirm: bool = True
    """Whether to charge at once."""
    customer: str = ""
    """The tenant's customer."""
    description: str = ""
    """The tenant's own text, at most 1,000 characters."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """At most 50 keys of 40 characters with values of 500."""
    personal: dict[str, str] = msgspec.field(default_factory=dict)
    """The customer's personal data, such as receipt_email or billing_name; sealed with the customer's own key before it goes on."""
    upstream: str = ""
    """Name of the upstream system, for attribution."""
    request_id: str = ""
    """The upstream system's request, for attribution."""
    traceparent: str = ""
    """W3C trace context."""


CommandKind = Literal[
    "unrecognized",
    "create",
    "confirm",
    "capture",
    "cancel",
    "refund",
    "update",
    "submit_evidence",
    "close_dispute",
    "propose",
    "approve",
    "inquire",
    "increment",
]
"""What the command asks for."""


ActorKind = Literal[
    "unrecognized",
    "api_key",
    "operator",
    "system",
    "provider",
    "upstream",
]
"""What kind of actor caused this."""


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """Who caused this, on whose behalf, and under which request."""

    actor_kind: ActorKind = "unrecognized"
    """What kind of actor."""
    actor_id: str = ""
    """The actor's identity within its kind: key id, operator id, component, provider or upstream system."""
    on_behalf_of: str = ""
    """Whom the actor acts for; empty when for itself."""
    reason: str = ""
    """Why, in the actor's words; empty when none was asked."""
    request_id: str = ""
    """The request that started it."""
    idempotency_key: str = ""
    """The caller's idempotency key."""
    traceparent: str = ""
    """W3C trace context; empty when the caller sent none."""


class PaymentCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A wish about one payment, checked and attributed. Topic payments.inputs."""

    tenant: str = ""
    """Tenant."""
    payment_id: str = ""
    """pi_..."""
    kind: CommandKind = "unrecognized"
    """What is asked."""
    amount_minor: int | None = None
    """create, update: the amount; capture, refund: how much, null for all that is left; increment: the new amount; propose: how much, where the resolution has an amount; in minor units."""
    currency: str = ""
    """ISO 4217 code; create only."""
    payment_method: str = ""
    """Token; create and confirm."""
    capture_method: CaptureMethod = "automatic"
    """create: when money is captured."""
    confirm: bool = False
    """create: whether to charge at once."""
    customer: str = ""
    """create: the tenant's customer."""
    description: str = ""
    """create: the tenant's own text."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """create, refund: the tenant's own keys and values; update: those to set, and with an empty value those to remove."""
    given: tuple[str, ...] = ()
    """update, submit_evidence: which of capture_method, currency, customer, description, evidence and metadata are changed. Named and empty: cleared."""
    personal_key: str = ""
    """ck_...: the customer's key that personal is sealed with; empty when there is nothing personal."""
    personal: bytes = b""
    """The customer's personal data, sealed; see CustomerKey."""
    reason: str = ""
    """cancel, refund: Stripe's reason; empty when none."""
    object_id: str = ""
    """submit_evidence, close_dispute: dp_...; approve: prop_...; inquire: ch_... or re_...; update: ch_..., re_... or dp_..., empty for the payment itself; empty otherwise."""
    final_capture: bool = True
    """capture: false keeps the rest of the authorisation for later captures."""
    evidence: dict[str, str] = msgspec.field(default_factory=dict)
    """submit_evidence, update: what the tenant says, by Stripe's names, added to what was said before; with an empty value, what is taken back."""
    resolution: str = ""
    """propose: what operators found to be true, such as captured, or how to adjust; empty otherwise."""
    saved_method: str = ""
    """create, confirm, update: pm_... of the customer's that payment_method is the token of; empty: none."""
    setup_future_usage: str = ""
    """create, confirm, update: off_session or on_session saves the method for the customer once the payment succeeds; empty: no."""
    off_session: bool = False
    """create, confirm: whether the customer is away; what is asked of providers is the same."""
    fingerprint: str = ""
    """Digest of the caller's parsed, sorted parameters; empty: the fields above are digested instead."""
    reply_partition: int | None = None
    """Partition of payments.replies on which the answer is awaited; null when nobody waits."""
    correlation_id: str = ""
    """Ties the reply to the request."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


ProviderOperation = Literal[
    "unrecognized",
    "authorize",
    "capture",
    "void",
    "refund",
    "submit_evidence",
    "accept_dispute",
    "inquire",
    "increment",
]
"""What a provider is asked to do."""


ProviderOutcome = Literal[
    "unrecognized",
    "authorized",
    "captured",
    "voided",
    "refunded",
    "refund_pending",
    "refund_failed",
    "requires_action",
    "declined",
    "refused",
    "unknown",
    "integrity_failure",
    "evidence_submitted",
    "dispute_accepted",
    "incremented",
]
"""What a provider did. declined: the issuer said no; refused: the provider said no before any effect; unknown: nobody can say yet, an inquiry goes on; integrity_failure: another amount or currency than asked."""


DeclineKind = Literal[
    "unrecognized",
    "none",
    "soft",
    "hard",
]
"""soft: another provider or a later try may succeed; hard: it won't with this payment method."""


class ProviderResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider did about one request. Topic payments.inputs."""

    tenant: str = ""
    """Tenant."""
    payment_id: str = ""
    """pi_..."""
    request_id: str = ""
    """The ProviderRequest that is answered."""
    object_id: str = ""
    """ch_..., re_... or dp_... it is about."""
    provider: str = ""
    """Provider."""
    operation: ProviderOperation = "unrecognized"
    """What was asked."""
    outcome: ProviderOutcome = "unrecognized"
    """What the provider did."""
    amount_minor: int = 0
    """Amount the provider reports, in minor units."""
    currency: str = ""
    """Currency the provider reports."""
    provider_reference: str = ""
    """The provider's own id of the effect."""
    decline_code: str = ""
    """Issuer's or provider's code of the refusal; empty otherwise."""
    decline_kind: DeclineKind = "none"
    """Whether another try may succeed."""
    settlement_amount_minor: int = 0
    """What the amount came to, in minor units of settlement_currency; 0 when nothing was converted."""
    settlement_currency: str = ""
    """ISO 4217 code that the provider settles in, provider_fee_minor too; empty when nothing was converted."""
    fx_rate: str = ""
    """Units of settlement_currency for one of currency, a decimal number as the provider stated it; empty when nothing was converted."""
    message: str = ""
    """The provider's words, without secrets."""
    provider_fee_minor: int = 0
    """The provider's fee, in minor units."""
    action_url: str = ""
    """Where the customer completes a challenge; empty otherwise."""
    inquiries: int = 0
    """How many inquiries it took to learn this."""
    observed_ms: int = 0
    """When the gateway learned it, ms since the epoch, UTC."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


class ClockTick(msgspec.Struct, frozen=True, kw_only=True):
    """Time, as an input: what is due by then is due. Topics payments.inputs and settlement.inputs, one per partition."""

    time_ms: int = 0
    """ms since the epoch, UTC."""
    source: str = ""
    """Who ticked."""


RoutingUpdateKind = Literal[
    "unrecognized",
    "policy",
    "health",
]
"""policy: the tenant's provider order; health: a provider's state."""


class RoutingUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What routing must know from now on. Topic payments.inputs, on every partition."""

    kind: RoutingUpdateKind = "policy"
    """What changed."""
    tenant: str = ""
    """Tenant; empty: every tenant without a policy of its own."""
    policy_version: int = 0
    """Version, rising."""
    providers: tuple[str, ...] = ()
    """Providers in order of priority."""
    provider: str = ""
    """health: the provider."""
    healthy: bool = True
    """health: whether it may be chosen."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


TenantStatus = Literal[
    "unrecognized",
    "active",
    "suspended",
]
"""A suspended tenant's new payments are refused."""


class FeeRule(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant pays for a payment: the first rule that fits."""

    payment_method: str = ""
    """Start of the payment method's token; empty: any."""
    currency: str = ""
    """ISO 4217 code; empty: any."""
    basis_points: int = 0
    """Of the captured amount, rounded half to even."""
    fixed_minor: int = 0
    """Added to it, in minor units of the currency."""
    dispute_minor: int = 0
    """For a dispute that takes money back, in minor units."""


class CaptureRule(msgspec.Struct, frozen=True, kw_only=True):
    """How long an authorisation may be captured: the first rule that fits."""

    payment_method: str = ""
    """Start of the payment method's token; empty: any."""
    days: int = 0
    """Days from the authorisation."""


PayoutSchedule = Literal[
    "unrecognized",
    "manual",
    "automatic",
]
"""manual: a payout is made when the tenant asks; automatic: also whenever a window closes."""


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's configuration. Topics tenants (compacted), payments.inputs and settlement.inputs (on every partition)."""

    tenant: str = ""
    """Id, 1 to 64 characters of a-z, 0-9, _ and -."""
    name: str = ""
    """For people."""
    status: TenantStatus = "active"
    """Status."""
    version: int = 0
    """Version, rising."""
    timezone: str = "UTC"
    """IANA time zone of the business day."""
    settlement_cutoff: str = "00:00"
    """HH:MM in that zone at which a business day ends."""
    settlement_interval_ms: int = 0
    """0: windows are business days; otherwise windows of this length, aligned to the epoch."""
    settlement_grace_ms: int = 0
    """How long after the cut-off a window waits for stragglers."""
    fees: tuple[FeeRule, ...] = ()
    """What the tenant pays; none: the provider's own fees, as they are."""
    refund_fees_returned: bool = False
    """Whether a refund returns its share of the charge's fee."""
    capture_days: int = 7
    """Days from the authorisation within which it may be captured."""
    capture_rules: tuple[CaptureRule, ...] = ()
    """Exceptions from capture_days."""
    action_hours: int = 24
    """Hours that a customer has to complete a challenge."""
    available_delay_ms: int = 0
    """How long after it is earned money may be paid out."""
    reserve_basis_points: int = 0
    """What of each capture is kept in reserve, in hundredths of a per cent; 0: nothing."""
    reserve_days: int = 0
    """Days that a reserve is kept."""
    settlement_currency: str = ""
    """ISO 4217 code that other currencies are converted to by providers that can; empty: each stays in its own."""
    payout_schedule: PayoutSchedule = "manual"
    """Who makes payouts."""
    payout_delay_ms: int = 0
    """How long a payout stays pending, and can be canceled, before the provider is asked for it."""
    api_version: str = ""
    """The API version of its keys that name none; empty: the newest."""
    organization: str = ""
    """org_...: the organisation that it belongs to; empty: none."""
    livemode: bool = False
    """Whether its keys move real money."""
    created_ms: int = 0
    """When it was made, ms since the epoch, UTC; 0: before that was kept."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


class RoutingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's routing policy. Topic routing.policies (compacted)."""

    tenant: str = ""
    """Tenant; empty: every tenant without a policy of its own."""
    policy_version: int = 0
    """Version, rising."""
    providers: tuple[str, ...] = ()
    """Providers in order of priority."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


PaymentStatus = Literal[
    "unrecognized",
    "none",
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "canceled",
    "succeeded",
]
"""A payment intent's status in Stripe's words; none: before it existed."""


class PaymentObject(msgspec.Struct, frozen=True, kw_only=True):
    """A payment intent as it stands after the event."""

    id: str = ""
    """pi_..."""
    status: PaymentStatus = "unrecognized"
    """Status."""
    amount_minor: int = 0
    """Amount asked, in minor units."""
    currency: str = ""
    """ISO 4217 code, upper case."""
    capture_method: CaptureMethod = "unrecognized"
    """When money is captured."""
    amount_capturable_minor: int = 0
    """Authorised and not yet captured, in minor units."""
    amount_received_minor: int = 0
    """Captured, in minor units."""
    amount_refunded_minor: int = 0
    """Refunded or being refunded, in minor units."""
    payment_method: str = ""
    """Token of the payment method; never a card number."""
    customer: str = ""
    """The tenant's customer; empty when none."""
    description: str = ""
    """The tenant's own text."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """The tenant's own keys and values."""
    personal_key: str = ""
    """ck_...: the customer's key that personal is sealed with; empty when there is nothing personal."""
    personal: bytes = b""
    """The customer's personal data, sealed; see CustomerKey."""
    latest_charge: str = ""
    """ch_... of the newest attempt; empty before the first."""
    provider: str = ""
    """Provider of the newest attempt; empty before the first."""
    outcome_unknown: bool = False
    """Whether the newest attempt's outcome is unknown, so that no other provider may be tried."""
    cancellation_reason: str = ""
    """Why it was canceled; empty otherwise."""
    last_error_code: str = ""
    """Code of the newest attempt's failure; empty when none."""
    last_error_decline_code: str = ""
    """Issuer's decline code; empty when none."""
    last_error_message: str = ""
    """What the failure means and what to do."""
    amount_disputed_minor: int = 0
    """Taken back for disputes and not given back, in minor units."""
    action_url: str = ""
    """requires_action: where the customer completes the challenge; empty otherwise."""
    due_ms: int = 0
    """requires_action: until when the customer may act; requires_capture: until when it may be captured; ms since the epoch, UTC; 0 otherwise."""
    created_ms: int = 0
    """When it was created, ms since the epoch, UTC."""
    saved_method: str = ""
    """pm_...: the saved method that is charged, or that was saved of this payment; empty: none."""
    setup_future_usage: str = ""
    """off_session or on_session: the method is saved for the customer once the payment succeeds; empty: no."""


ChargeStatus = Literal[
    "unrecognized",
    "pending",
    "succeeded",
    "failed",
]
"""A charge's status in Stripe's words."""


class ChargeObject(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a provider, as it stands after the event."""

    id: str = ""
    """ch_..."""
    attempt: int = 0
    """Number of the attempt, from 1."""
    provider: str = ""
    """Provider."""
    status: ChargeStatus = "unrecognized"
    """Status."""
    outcome: ProviderOutcome = "unrecognized"
    """What the provider did."""
    amount_minor: int = 0
    """Amount asked, in minor units."""
    amount_captured_minor: int = 0
    """Captured, in minor units."""
    amount_refunded_minor: int = 0
    """Refunded, in minor units."""
    currency: str = ""
    """ISO 4217 code."""
    provider_reference: str = ""
    """The provider's own id."""
    provider_fee_minor: int = 0
    """The provider's fee, in minor units, as it reported it."""
    tenant_fee_minor: int = 0
    """What the charge cost the tenant, in minor units."""
    failure_code: str = ""
    """Why it failed; empty otherwise."""
    failure_message: str = ""
    """The failure in words."""
    has_texts: bool = False
    """Whether it has a description and metadata of its own; otherwise they are the payment's."""
    description: str = ""
    """The tenant's own text, where the charge has one."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """The tenant's own keys and values, where the charge has any."""


RefundStatus = Literal[
    "unrecognized",
    "pending",
    "requires_action",
    "succeeded",
    "failed",
    "canceled",
]
"""A refund's status in Stripe's words."""


class RefundObject(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as it stands after the event."""

    id: str = ""
    """re_..."""
    charge: str = ""
    """ch_... that is refunded."""
    amount_minor: int = 0
    """Amount in minor units."""
    currency: str = ""
    """ISO 4217 code."""
    status: RefundStatus = "unrecognized"
    """Status."""
    reason: str = ""
    """duplicate, fraudulent, requested_by_customer, or empty."""
    provider: str = ""
    """Provider."""
    provider_reference: str = ""
    """The provider's own id."""
    failure_reason: str = ""
    """Why it failed; empty otherwise."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """The tenant's own keys and values."""
    created_ms: int = 0
    """When it began, ms since the epoch, UTC; 0 when that was not kept."""


DisputeStatus = Literal[
    "unrecognized",
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "won",
    "lost",
    "prevented",
]
"""A dispute's status in Stripe's words; warnings are inquiries, which move no money."""


class DisputeObject(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute as it stands after the event."""

    id: str = ""
    """dp_..."""
    charge: str = ""
    """ch_... that is disputed."""
    amount_minor: int = 0
    """Amount disputed, in minor units."""
    currency: str = ""
    """ISO 4217 code."""
    status: DisputeStatus = "unrecognized"
    """Status."""
    reason: str = ""
    """Why, in the network's words; empty when unknown."""
    provider: str = ""
    """Provider."""
    provider_reference: str = ""
    """The provider's own id."""
    withdrawn_minor: int = 0
    """What the provider has taken back for it and not given back, in minor units."""
    fee_minor: int = 0
    """What the dispute costs the tenant, in minor units."""
    evidence_due_ms: int = 0
    """Until when evidence is taken, ms since the epoch, UTC; 0 when no more is."""
    evidence_submitted: bool = False
    """Whether the provider has taken evidence."""
    outcome_unknown: bool = False
    """Whether something asked about it has no clear answer yet, or what the provider says can't be right."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """The tenant's own keys and values."""
    evidence: dict[str, str] = msgspec.field(default_factory=dict)
    """What the tenant has to say so far, by Stripe's names; in answers only, never in events."""
    created_ms: int = 0
    """When we first heard of it, ms since the epoch, UTC; 0 when that was not kept."""


class ProposalObject(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator proposed, and who approved it."""

    id: str = ""
    """prop_..."""
    resolution: str = ""
    """What it says is true, or how to adjust."""
    amount_minor: int = 0
    """Amount, in minor units; 0 when none."""
    object_id: str = ""
    """ch_..., re_... or pi_... it is about."""
    reason: str = ""
    """Why, in the operator's words."""
    proposed_by: str = ""
    """The first operator."""
    approved_by: str = ""
    """The second operator; empty until then."""


class RoutingDecision(msgspec.Struct, frozen=True, kw_only=True):
    """Why a provider was chosen."""

    attempt: int = 0
    """Number of the attempt, from 1."""
    chosen: str = ""
    """Provider chosen; empty when none was left."""
    candidates: tuple[str, ...] = ()
    """Providers of the policy, in order."""
    excluded: tuple[str, ...] = ()
    """Providers passed over, each as 'provider: why'."""
    policy_version: int = 0
    """Version of the policy that decided."""


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """One leg of a balanced ledger entry; the legs of an event sum to zero per currency."""

    account: str = ""
    """Account of the chart of accounts, with its owner: 'kind:owner'."""
    amount_minor: int = 0
    """Signed amount in minor units of currency: positive debits, negative credits."""
    currency: str = ""
    """ISO 4217 code."""


BalanceTransactionType = Literal[
    "unrecognized",
    "charge",
    "refund",
    "refund_failure",
    "dispute",
    "dispute_reversal",
    "fee",
    "fee_return",
    "adjustment",
    "reserve",
    "reserve_release",
]
"""Why a tenant's balance changed."""


class BalanceTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a tenant's balance; net is gross less fee."""

    id: str = ""
    """txn_..."""
    type: BalanceTransactionType = "unrecognized"
    """Why."""
    gross_minor: int = 0
    """Signed, in minor units, as the tenant sees it."""
    fee_minor: int = 0
    """Fees within it, in minor units; negative when returned."""
    net_minor: int = 0
    """gross_minor less fee_minor."""
    currency: str = ""
    """ISO 4217 code."""
    source: str = ""
    """ch_..., re_..., dp_... or prop_... it is about."""
    available_on_ms: int = 0
    """From when it may be paid out, ms since the epoch, UTC."""
    exchange_rate: str = ""
    """Rate of the conversion that it came through; empty when there was none."""


class FxFact(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion as the provider reported it: a fact of the log, never computed again."""

    from_minor: int = 0
    """What was converted, in minor units of from_currency."""
    from_currency: str = ""
    """ISO 4217 code of the payment."""
    to_minor: int = 0
    """What it came to, in minor units of to_currency."""
    to_currency: str = ""
    """ISO 4217 code that the provider settles in."""
    rate: str = ""
    """Units of to_currency for one unit of from_currency, a decimal number as the provider stated it."""


class PaymentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One transition of a payment. Topic payments.events."""

    event_id: str = ""
    """evt_..., a hash of its cause."""
    type: str = ""
    """What happened, in Stripe's words where Stripe has one, such as payment_intent.succeeded."""
    tenant: str = ""
    """Tenant."""
    payment_id: str = ""
    """pi_..."""
    sequence: int = 0
    """Position among this payment's events, from 1 without gap."""
    previous_event_id: str = ""
    """The event before; empty for the first."""
    occurred_ms: int = 0
    """Time of the input, ms since the epoch, UTC."""
    from_status: PaymentStatus = "unrecognized"
    """Status before."""
    to_status: PaymentStatus = "unrecognized"
    """Status after."""
    payment: PaymentObject | None = None
    """The payment after it."""
    charge: ChargeObject | None = None
    """The charge it is about, after it."""
    refund: RefundObject | None = None
    """The refund it is about, after it."""
    dispute: DisputeObject | None = None
    """The dispute it is about, after it."""
    proposal: ProposalObject | None = None
    """The operators' proposal it is about, after it."""
    decision: RoutingDecision | None = None
    """The routing decision, where one was made."""
    postings: tuple[Posting, ...] = ()
    """The event's balanced ledger entry; empty when no money moves."""
    balance_transactions: tuple[BalanceTransaction, ...] = ()
    """How the tenant's balance changed; empty when it did not."""
    fx: FxFact | None = None
    """The conversion that the event came through; null when there was none."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""
    cause_topic: str = ""
    """Topic of the input that caused this."""
    cause_partition: int = 0
    """Partition of that input."""
    cause_offset: int = 0
    """Offset of that input."""
    ordinal: int = 0
    """Position among the events of that input, from 0."""
    policy_version: int = 0
    """Version of the routing policy in force; 0 when none decided."""


class ProviderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider shall do: the outbox. Topic provider.requests."""

    request_id: str = ""
    """Deterministic; the idempotency key at the provider."""
    tenant: str = ""
    """Tenant."""
    payment_id: str = ""
    """pi_..."""
    object_id: str = ""
    """ch_..., re_... or dp_... it is about."""
    attempt: int = 0
    """Number of the attempt, from 1."""
    provider: str = ""
    """Provider."""
    operation: ProviderOperation = "unrecognized"
    """What to do."""
    amount_minor: int = 0
    """Amount in minor units."""
    currency: str = ""
    """ISO 4217 code."""
    settlement_currency: str = ""
    """ISO 4217 code that the provider is asked to settle in; empty: the payment's own."""
    payment_method: str = ""
    """authorize: token."""
    capture: bool = False
    """authorize: whether to capture at once."""
    provider_reference: str = ""
    """The provider's id of the authorisation, charge or dispute that is followed up."""
    description: str = ""
    """Text for the provider."""
    evidence: dict[str, str] = msgspec.field(default_factory=dict)
    """submit_evidence: what the tenant says, by Stripe's names."""
    final_capture: bool = True
    """capture: false keeps the rest of the authorisation."""
    requested_ms: int = 0
    """Time of the input that caused it, ms since the epoch, UTC."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


class ErrorObject(msgspec.Struct, frozen=True, kw_only=True):
    """A typed error in Stripe's shape."""

    type: str = ""
    """invalid_request_error, card_error, idempotency_error or api_error."""
    code: str = ""
    """Machine-readable code."""
    message: str = ""
    """What is wrong and what to do."""
    param: str = ""
    """The parameter it is about; empty when none."""
    decline_code: str = ""
    """Issuer's decline code; empty when none."""
    retryable: bool = False
    """Whether the same request can succeed later."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one command. Topic payments.replies."""

    correlation_id: str = ""
    """Of the request."""
    tenant: str = ""
    """Tenant."""
    payment_id: str = ""
    """pi_..."""
    status_code: int = 0
    """HTTP status of the answer."""
    replayed: bool = False
    """Whether it is the stored answer to an earlier request with the same key."""
    error: ErrorObject | None = None
    """Null when it worked."""
    payment: PaymentObject | None = None
    """The payment after the command; null when there is none."""
    refund: RefundObject | None = None
    """The refund the command made; null otherwise."""
    dispute: DisputeObject | None = None
    """The dispute after the command, where it was about one."""
    charge: ChargeObject | None = None
    """The charge after the command, where it was about one."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""
    cause_topic: str = ""
    """Topic of the input that caused this."""
    cause_partition: int = 0
    """Partition of that input."""
    cause_offset: int = 0
    """Offset of that input."""
    ordinal: int = 0
    """Position among the events of that input, from 0."""


MovementKind = Literal[
    "unrecognized",
    "capture",
    "refund",
    "refund_failure",
    "fee",
    "dispute",
    "dispute_reversal",
    "adjustment",
    "reserve",
    "reserve_release",
]
"""Why money moved between a provider and a tenant."""


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """Money that moved between a provider and a tenant. Topic settlement.inputs."""

    movement_id: str = ""
    """mv_..., a hash of its cause."""
    tenant: str = ""
    """Tenant."""
    provider: str = ""
    """Provider."""
    currency: str = ""
    """ISO 4217 code."""
    kind: MovementKind = "unrecognized"
    """Why money moved."""
    amount_minor: int = 0
    """Signed, in minor units, as the tenant sees it: a capture is positive, a refund negative."""
    payment_id: str = ""
    """pi_..."""
    object_id: str = ""
    """ch_... or re_... that moved."""
    event_id: str = ""
    """The payment event that caused it."""
    occurred_ms: int = 0
    """Event time, ms since the epoch, UTC: it decides the window."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


class ReportLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a provider's settlement report. Topic settlement.inputs."""

    tenant: str = ""
    """Tenant."""
    provider: str = ""
    """Provider."""
    currency: str = ""
    """ISO 4217 code."""
    report_id: str = ""
    """The provider's report."""
    line: int = 0
    """Line number, from 1."""
    kind: MovementKind = "unrecognized"
    """Why money moved."""
    provider_reference: str = ""
    """The provider's own id."""
    gross_minor: int = 0
    """Signed, in minor units."""
    fee_minor: int = 0
    """In minor units."""
    net_minor: int = 0
    """Signed, in minor units."""
    occurred_ms: int = 0
    """ms since the epoch, UTC."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


PayoutOutcome = Literal[
    "unrecognized",
    "in_transit",
    "paid",
    "failed",
    "canceled",
    "unknown",
    "integrity_failure",
]
"""What became of a payout. unknown: nobody can say yet, an inquiry goes on; integrity_failure: another amount or currency than asked."""


class PayoutResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a payout, as its provider answered or told later. Topic settlement.inputs."""

    tenant: str = ""
    """Tenant."""
    provider: str = ""
    """Provider."""
    currency: str = ""
    """ISO 4217 code."""
    payout_id: str = ""
    """po_..."""
    request_id: str = ""
    """The request that is answered."""
    outcome: PayoutOutcome = "unrecognized"
    """Outcome."""
    amount_minor: int = 0
    """In minor units."""
    provider_reference: str = ""
    """The provider's own id."""
    failure_code: str = ""
    """Why it failed; empty otherwise."""
    message: str = ""
    """The provider's own words on it."""
    observed_ms: int = 0
    """ms since the epoch, UTC."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


WindowStatus = Literal[
    "unrecognized",
    "open",
    "closed",
]
"""A settlement window's status; a closed one never changes."""


class WindowMovement(msgspec.Struct, frozen=True, kw_only=True):
    """A movement as a window holds it."""

    movement_id: str = ""
    """mv_..., a hash of its cause."""
    tenant: str = ""
    """Tenant."""
    provider: str = ""
    """Provider."""
    currency: str = ""
    """ISO 4217 code."""
    kind: MovementKind = "unrecognized"
    """Why money moved."""
    amount_minor: int = 0
    """Signed, in minor units, as the tenant sees it: a capture is positive, a refund negative."""
    payment_id: str = ""
    """pi_..."""
    object_id: str = ""
    """ch_... or re_... that moved."""
    event_id: str = ""
    """The payment event that caused it."""
    occurred_ms: int = 0
    """Event time, ms since the epoch, UTC: it decides the window."""


class WindowTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What a window adds up to, in minor units."""

    movements: int = 0
    """How many movements."""
    captured_minor: int = 0
    """Sum of captures."""
    refunded_minor: int = 0
    """Sum of refunds less failed ones, as a positive number."""
    fees_minor: int = 0
    """Sum of fees, as a positive number."""
    other_minor: int = 0
    """Sum of all other kinds, signed."""
    net_minor: int = 0
    """captured - refunded - fees + other."""


class SettlementEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a settlement window. Topic settlement.events."""

    event_id: str = ""
    """evt_..., a hash of its cause."""
    type: str = ""
    """settlement_window.opened, settlement_window.movement_added or settlement_window.closed."""
    tenant: str = ""
    """Tenant."""
    provider: str = ""
    """Provider."""
    currency: str = ""
    """ISO 4217 code."""
    window_id: str = ""
    """sw_..., a hash of tenant, provider, currency and opening time."""
    sequence: int = 0
    """Position among the events of this tenant, provider and currency, from 1 without gap."""
    previous_event_id: str = ""
    """The event before; empty for the first."""
    occurred_ms: int = 0
    """Time of the input, ms since the epoch, UTC."""
    opens_ms: int = 0
    """First instant of the window, ms since the epoch, UTC."""
    closes_ms: int = 0
    """First instant after the window: the cut-off."""
    closed_ms: int = 0
    """The tick that closed it; 0 while open."""
    status: WindowStatus = "unrecognized"
    """Status after."""
    movement: WindowMovement | None = None
    """The movement that was added."""
    late: bool = False
    """Whether the movement missed its own window."""
    missed_window_id: str = ""
    """The window it missed; empty otherwise."""
    totals: WindowTotals | None = None
    """What the window adds up to after it."""
    postings: tuple[Posting, ...] = ()
    """The event's balanced ledger entry; empty when no money moves."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""
    cause_topic: str = ""
    """Topic of the input that caused this."""
    cause_partition: int = 0
    """Partition of that input."""
    cause_offset: int = 0
    """Offset of that input."""
    ordinal: int = 0
    """Position among the events of that input, from 0."""


RejectionReason = Literal[
    "unrecognized",
    "not_avro",
    "unknown_schema",
    "wrong_record",
    "undecodable",
    "invalid_field",
    "invalid_amount",
    "unknown_currency",
    "unknown_tenant",
    "card_number",
    "wrong_key",
    "oversized",
    "secret",
]
"""Why a record was refused."""


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was refused, with its bytes and the reason. Topic records.rejected."""

    source_topic: str = ""
    """Where it came from."""
    source_partition: int = 0
    """Partition."""
    source_offset: int = 0
    """Offset."""
    source_timestamp_ms: int = 0
    """Its timestamp, ms since the epoch, UTC."""
    key: bytes | None = None
    """Its key."""
    value: bytes | None = None
    """Its value; null when it must not be kept (a card number, a secret)."""
    value_sha256: str = ""
    """Digest of the value, hexadecimal."""
    reason: RejectionReason = "unrecognized"
    """Why."""
    field: str = ""
    """The field it is about; empty when none."""
    message: str = ""
    """What is wrong and what to do."""
    component: str = ""
    """Who refused it."""
    tenant: str = ""
    """Tenant, where it could be read."""


NoticeKind = Literal[
    "unrecognized",
    "dispute",
]
"""What a provider tells without being asked."""


class ProviderNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider tells of its own accord: how a dispute stands. Topic payments.inputs."""

    tenant: str = ""
    """Tenant."""
    payment_id: str = ""
    """pi_..."""
    provider: str = ""
    """Provider."""
    notice_id: str = ""
    """The provider's own id of this notice: the same one counts once."""
    kind: NoticeKind = "unrecognized"
    """What it tells of."""
    sequence: int = 0
    """The provider's count of what it told about this dispute, rising: an older notice changes nothing."""
    charge_reference: str = ""
    """The provider's own id of the charge."""
    dispute_reference: str = ""
    """The provider's own id of the dispute."""
    dispute_status: DisputeStatus = "unrecognized"
    """How the dispute stands."""
    amount_minor: int = 0
    """Amount disputed, in minor units."""
    currency: str = ""
    """ISO 4217 code."""
    withdrawn_minor: int = 0
    """What the provider has taken back for it and not given back, all in all, in minor units."""
    provider_fee_minor: int = 0
    """What the provider charges for it, all in all, in minor units."""
    reason: str = ""
    """Why, in the network's words."""
    evidence_due_ms: int = 0
    """Until when evidence is taken, ms since the epoch, UTC; 0 when no more is."""
    occurred_ms: int = 0
    """When it happened, ms since the epoch, UTC, by the provider's clock."""
    observed_ms: int = 0
    """When the gateway learned it, ms since the epoch, UTC."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


class AuditDigest(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant's events of one UTC day hash to, so that nobody can change them unnoticed. Topic audit.digests."""

    tenant: str = ""
    """Whose events."""
    day: str = ""
    """UTC day of the events' timestamps, YYYY-MM-DD."""
    algorithm: str = ""
    """How the root is made: rfc6962-sha256/1, a hash tree over the values as docs/replay.md orders them."""
    events: int = 0
    """How many events, the tree's leaves."""
    root_sha256: str = ""
    """The tree's root, hexadecimal."""
    published_ms: int = 0
    """When it was published, ms since the epoch, UTC."""


KeyStatus = Literal[
    "unrecognized",
    "active",
    "erased",
]
"""erased: the key is gone for ever, and what it sealed can't be read."""


class CustomerKey(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's key, itself encrypted; erasing it erases what it sealed, wherever that is. Topic customers.keys."""

    tenant: str = ""
    """Tenant."""
    customer: str = ""
    """The tenant's customer."""
    key_id: str = ""
    """ck_..."""
    status: KeyStatus = "unrecognized"
    """Status."""
    wrapped: bytes = b""
    """The key, encrypted with the installation's master key; empty once erased."""
    master_key_id: str = ""
    """Which master key."""
    created_ms: int = 0
    """When it was made, ms since the epoch, UTC."""
    erased_ms: int = 0
    """When it was erased, ms since the epoch, UTC; 0 before."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


ApiKeyKind = Literal[
    "unrecognized",
    "secret",
    "restricted",
    "publishable",
]
"""restricted: only its scopes; publishable: may be shown in a browser, confirms payments only."""


ApiKeyStatus = Literal[
    "unrecognized",
    "active",
    "revoked",
]
"""A revoked key is refused at once."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A credential of the API; the secret itself is nowhere, only its digest. Topic api.keys."""

    key_id: str = ""
    """key_..."""
    tenant: str = ""
    """Tenant that it acts for."""
    organization: str = ""
    """Organisation of the tenant; empty when it has none."""
    kind: ApiKeyKind = "unrecognized"
    """Kind."""
    livemode: bool = False
    """Whether it moves real money."""
    digest: bytes = b""
    """SHA-256 of the whole key."""
    hint: str = ""
    """Its last four characters, to tell keys apart."""
    name: str = ""
    """What its owner calls it."""
    scopes: tuple[str, ...] = ()
    """restricted: what it may do, such as payment_intents:write; empty otherwise."""
    api_version: str = ""
    """The API version of requests that name none; empty: the tenant's."""
    status: ApiKeyStatus = "unrecognized"
    """Status."""
    created_ms: int = 0
    """When it was made, ms since the epoch, UTC."""
    expires_ms: int = 0
    """When it ends by itself, as after a rotation, ms since the epoch, UTC; 0: never."""
    fingerprint: str = ""
    """Digest of the parameters that it was made with, for a repeated idempotency key."""
    successor: str = ""
    """key_... that took its place when it was rolled; empty otherwise."""
    updated_ms: int = 0
    """When it was last changed, ms since the epoch, UTC; 0: never."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


EndpointStatus = Literal[
    "unrecognized",
    "enabled",
    "disabled",
    "deleted",
]
"""disabled: nothing is sent."""


class SealedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A signing secret, encrypted with the installation's master key."""

    sealed: bytes = b""
    """The secret, encrypted."""
    master_key_id: str = ""
    """Which master key."""
    expires_ms: int = 0
    """When it ends, ms since the epoch, UTC; 0: not yet known."""


class EndpointRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that changed an endpoint, so that the same idempotency key has one effect."""

    kind: str = ""
    """What was asked: create, update, roll_secret, replay."""
    key: str = ""
    """SHA-256 of the idempotency key, hexadecimal."""
    fingerprint: str = ""
    """SHA-256 of the checked parameters, hexadecimal."""
    result: str = ""
    """What it made beside the endpoint, as JSON; empty when nothing."""
    made_ms: int = 0
    """When, ms since the epoch, UTC."""


class WebhookEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a tenant wants to hear of events. Topic webhooks.endpoints."""

    endpoint_id: str = ""
    """we_..."""
    tenant: str = ""
    """Tenant."""
    livemode: bool = False
    """Whether it hears of real money."""
    url: str = ""
    """Where events are sent."""
    enabled_events: tuple[str, ...] = ()
    """Types of events; * for all."""
    api_version: str = ""
    """The API version that its events are written in."""
    description: str = ""
    """The tenant's own text."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """The tenant's own keys and values."""
    status: EndpointStatus = "unrecognized"
    """Status."""
    disabled_reason: str = ""
    """Why it was disabled; empty otherwise."""
    secrets: tuple[SealedSecret, ...] = ()
    """Its signing secrets, newest first; more than one while a rotation overlaps."""
    version: int = 0
    """Grows with each change."""
    created_ms: int = 0
    """When it was made, ms since the epoch, UTC."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""
    updated_ms: int = 0
    """When this version was made, ms since the epoch, UTC."""
    requests: tuple[EndpointRequest, ...] = ()
    """The newest requests, newest first."""


class WorkerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a worker answers questions about the payments that it holds. Topic workers."""

    worker: str = ""
    """The worker's stable name."""
    url: str = ""
    """Base URL of its web views."""
    partitions: tuple[int, ...] = ()
    """Partitions of payments.inputs that it runs and has restored."""
    observed_ms: int = 0
    """When this was so, ms since the epoch, UTC."""
    customers_partitions: tuple[int, ...] = ()
    """Partitions of customers.inputs whose state it holds."""


DeliveryState = Literal[
    "unrecognized",
    "queued",
    "accepted",
    "retrying",
    "abandoned",
    "skipped",
    "dropped",
]
"""queued: no attempt yet; accepted: answered with 2xx; retrying: another attempt follows; abandoned: tried for as long as is promised; skipped: the endpoint is disabled or gone; dropped: too many wait for the endpoint."""


class WebhookDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one endpoint: queued (topic webhooks.deliveries), between two attempts (webhooks.pending), or what came of an attempt (webhooks.attempts)."""

    delivery_id: str = ""
    """wd_..., a hash of event, endpoint and, of a replay, the replay."""
    tenant: str = ""
    """Tenant."""
    endpoint_id: str = ""
    """we_..."""
    event_id: str = ""
    """evt_... as the endpoint hears of it."""
    event_type: str = ""
    """Type of the event as the endpoint hears of it."""
    payment_id: str = ""
    """pi_... it is about."""
    sequence: int = 0
    """Position of the event among the payment's, from 1 without gap."""
    api_version: str = ""
    """The API version that it is written in."""
    source_topic: str = ""
    """Topic of the event."""
    source_partition: int = 0
    """Partition of the event."""
    source_offset: int = 0
    """Offset of the event."""
    event: bytes = b""
    """The event as it stands on its topic; empty in the log of attempts."""
    replay: str = ""
    """The replay that asked for it; empty for the event's own delivery."""
    state: DeliveryState = "unrecognized"
    """Where it stands."""
    attempt: int = 0
    """Attempts made."""
    queued_ms: int = 0
    """When it was queued, ms since the epoch, UTC."""
    attempted_ms: int = 0
    """When the newest attempt began, ms since the epoch, UTC; 0 before the first."""
    next_attempt_ms: int = 0
    """When the next attempt is due, ms since the epoch, UTC; 0 when none is."""
    duration_ms: int = 0
    """How long the newest attempt took, in ms."""
    status_code: int = 0
    """HTTP status of the newest attempt's answer; 0 when there was none."""
    failure: str = ""
    """Why the newest attempt failed, in words; empty otherwise."""


CustomerCommandKind = Literal[
    "unrecognized",
    "create_customer",
    "update_customer",
    "delete_customer",
    "create_method",
    "update_method",
    "attach_method",
    "detach_method",
    "save_method",
    "create_setup",
    "update_setup",
    "confirm_setup",
    "cancel_setup",
    "complete_action",
]
"""What the command asks for."""


class SealedField(msgspec.Struct, frozen=True, kw_only=True):
    """One field of personal data, sealed; see CustomerKey."""

    name: str = ""
    """Which field: name, email, phone or description."""
    key_id: str = ""
    """ck_...: the customer's key that it is sealed with."""
    sealed: bytes = b""
    """The sealed text; in a command, empty clears the field."""


class CustomerCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A wish about one customer, saved payment method or setup intent, checked and attributed. Topic customers.inputs."""

    tenant: str = ""
    """Tenant."""
    object_id: str = ""
    """What it is about: cus_..., pm_... or seti_...; of a create, the id to be."""
    kind: CustomerCommandKind = "unrecognized"
    """What is asked."""
    customer: str = ""
    """attach_method, save_method, create_setup, update_setup: cus_...; empty: none."""
    method: str = ""
    """create_setup, update_setup, confirm_setup: a saved pm_...; empty: none."""
    token: str = ""
    """What the provider knows the card by: create_method; attach_method, setups: where the method is not saved yet. Never a card number."""
    default_method: str | None = None
    """create_customer, update_customer: the method that bills are paid with; empty clears, null leaves it."""
    personal: tuple[SealedField, ...] = ()
    """create_customer, update_customer: the fields that change, each sealed by itself."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """Keys and values that are set."""
    metadata_removed: tuple[str, ...] = ()
    """Keys that are removed."""
    metadata_cleared: bool = False
    """Whether all earlier keys are removed first."""
    usage: str = ""
    """create_setup: off_session or on_session."""
    confirm: bool = False
    """create_setup: whether to confirm at once."""
    succeeded: bool = False
    """complete_action: whether the customer did what their bank asked."""
    reason: str = ""
    """cancel_setup: Stripe's reason; empty when none."""
    payment_id: str = ""
    """save_method: the payment whose success saves the method; empty otherwise."""
    fingerprint: str = ""
    """Digest of the caller's checked parameters; empty: the fields above are digested instead."""
    reply_partition: int | None = None
    """Partition of payments.replies on which the answer is awaited; null when nobody waits."""
    correlation_id: str = ""
    """Ties the reply to the request."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


class CustomerObject(msgspec.Struct, frozen=True, kw_only=True):
    """A customer."""

    id: str = ""
    """cus_..."""
    deleted: bool = False
    """Whether it was deleted; then nothing else of it is left."""
    personal: tuple[SealedField, ...] = ()
    """Name, email, phone and description, each sealed by itself."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """The tenant's own keys and values; never anything personal."""
    default_method: str = ""
    """pm_...: the method that bills are paid with; empty: none."""
    created_ms: int = 0
    """When it was made, ms since the epoch, UTC."""


class CardFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a card; never its number."""

    brand: str = ""
    """visa, mastercard, amex, ...; unknown where nothing is known."""
    last4: str = ""
    """The last four digits; empty: not known."""
    exp_month: int = 0
    """Month in which it expires, 1 to 12; 0: not known."""
    exp_year: int = 0
    """Year in which it expires; 0: not known."""
    fingerprint: str = ""
    """The same for the same card, whatever the token."""
    funding: str = ""
    """credit, debit, prepaid or unknown."""
    country: str = ""
    """ISO 3166 code of the issuer's country; empty: not known."""


class MethodObject(msgspec.Struct, frozen=True, kw_only=True):
    """A saved payment method."""

    id: str = ""
    """pm_..."""
    customer: str = ""
    """cus_...: whose it is; empty: nobody's."""
    token: str = ""
    """What the provider knows the card by."""
    card: CardFacts = msgspec.field(default_factory=lambda: CardFacts())
    """The card."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """The tenant's own keys and values."""
    created_ms: int = 0
    """When it was made, ms since the epoch, UTC."""


SetupStatus = Literal[
    "unrecognized",
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "succeeded",
    "canceled",
]
"""Where a setup intent stands."""


class SetupObject(msgspec.Struct, frozen=True, kw_only=True):
    """A setup intent: a payment method on its way to being saved."""

    id: str = ""
    """seti_..."""
    status: SetupStatus = "unrecognized"
    """Status."""
    customer: str = ""
    """cus_...: for whom; empty: nobody."""
    method: str = ""
    """pm_...; empty: none."""
    usage: str = ""
    """off_session or on_session."""
    cancellation_reason: str = ""
    """Stripe's reason; empty when none was given."""
    error_code: str = ""
    """Why the last confirmation failed; empty: it didn't."""
    error_decline_code: str = ""
    """The issuer's reason; empty: none."""
    error_message: str = ""
    """The same in words."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """The tenant's own keys and values."""
    created_ms: int = 0
    """When it was made, ms since the epoch, UTC."""


class CustomerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a customer, a saved payment method or a setup intent. Topic customers.events."""

    event_id: str = ""
    """evt_...; the same for the same input, however often it is decided."""
    type: str = ""
    """Stripe's type where it has one: customer.created, payment_method.attached, setup_intent.succeeded."""
    tenant: str = ""
    """Tenant."""
    object_id: str = ""
    """What it is about: cus_..., pm_... or seti_..."""
    sequence: int = 0
    """Counts the object's events from 1."""
    previous_event_id: str = ""
    """The object's event before this one; empty for its first."""
    occurred_ms: int = 0
    """When, ms since the epoch, UTC."""
    customer: CustomerObject | None = None
    """The customer after it; null when it is not about one."""
    method: MethodObject | None = None
    """The payment method after it; null when it is not about one."""
    setup: SetupObject | None = None
    """The setup intent after it; null when it is not about one."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""
    cause_topic: str = ""
    """Topic of the input that caused this."""
    cause_partition: int = 0
    """Partition of that input."""
    cause_offset: int = 0
    """Offset of that input."""
    ordinal: int = 0
    """Position among the events of that input, from 0."""


class CustomerReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a command about customers, for whoever waits. Topic payments.replies."""

    correlation_id: str = ""
    """Of the command."""
    tenant: str = ""
    """Tenant."""
    object_id: str = ""
    """What it was about."""
    status_code: int = 0
    """As HTTP has it."""
    replayed: bool = False
    """Whether this is the stored answer to an earlier command with the same key."""
    error: ErrorObject | None = None
    """Null when it worked."""
    customer: CustomerObject | None = None
    """The customer after it; null when it is not about one."""
    method: MethodObject | None = None
    """The payment method after it; null when it is not about one."""
    setup: SetupObject | None = None
    """The setup intent after it; null when it is not about one."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""
    cause_topic: str = ""
    """Topic of the input that caused this."""
    cause_partition: int = 0
    """Partition of that input."""
    cause_offset: int = 0
    """Offset of that input."""
    ordinal: int = 0
    """Position among the events of that input, from 0."""


PayoutCommandKind = Literal[
    "unrecognized",
    "claim",
    "create",
    "cancel",
    "update",
    "inquire",
    "propose",
    "approve",
]
"""claim: say at which provider the payout of this key is, for good; create: make it there; cancel: while it is pending; update: its metadata; inquire: have the provider asked at once; propose: say what became of it; approve: what another operator proposed."""


class PayoutCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A wish about a payout, attributed. Topic settlement.inputs; key tenant/provider/currency, of a claim tenant//."""

    tenant: str = ""
    """Tenant."""
    provider: str = ""
    """Provider; claim: the one to use if the key is new, empty when none is known to have enough."""
    currency: str = ""
    """ISO 4217 code, upper case; claim: empty."""
    payout_id: str = ""
    """po_..., a hash of tenant and idempotency key."""
    kind: PayoutCommandKind = "unrecognized"
    """What is asked."""
    amount_minor: int = 0
    """create: amount in minor units."""
    destination: str = ""
    """create: token of the account that it goes to; empty: the one on file."""
    description: str = ""
    """create: the tenant's own text."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """create: the tenant's own keys and values. update: those that change; an empty value removes its key."""
    fingerprint: str = ""
    """Digest of what the caller asked, so that the same key with other parameters is seen."""
    reply_partition: int | None = None
    """Partition of payments.replies on which the sender waits; null when nobody does."""
    correlation_id: str = ""
    """Ties the reply to the request."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""
    metadata_cleared: bool = False
    """update: whether all keys are removed."""
    resolution: str = ""
    """propose: paid or failed."""
    reference: str = ""
    """propose: the provider's own id of the payout, where it is known; empty: as it told it."""
    proposal_id: str = ""
    """approve: prop_... that another operator proposed."""


PayoutStatus = Literal[
    "unrecognized",
    "pending",
    "in_transit",
    "paid",
    "failed",
    "canceled",
]
"""A payout's status in Stripe's words."""


class PayoutObject(msgspec.Struct, frozen=True, kw_only=True):
    """A payout as it stands after the event."""

    id: str = ""
    """po_..."""
    amount_minor: int = 0
    """Amount in minor units."""
    currency: str = ""
    """ISO 4217 code."""
    provider: str = ""
    """Provider that pays it."""
    status: PayoutStatus = "unrecognized"
    """Status."""
    destination: str = ""
    """Token of the account that it goes to; empty: the one that the provider has on file."""
    description: str = ""
    """The tenant's own text."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """The tenant's own keys and values."""
    automatic: bool = False
    """Whether a window's close made it."""
    window_id: str = ""
    """sw_... whose close made it; empty when nobody's did."""
    provider_reference: str = ""
    """The provider's own id; empty before it told one."""
    failure_code: str = ""
    """Why it failed; empty otherwise."""
    failure_message: str = ""
    """The provider's words on it."""
    outcome_unknown: bool = False
    """Whether nobody can say yet what the provider did, or what it says can't be right."""
    created_ms: int = 0
    """When it was made, ms since the epoch, UTC."""
    due_ms: int = 0
    """From when the provider is asked for it; until then it can be canceled; ms since the epoch, UTC."""
    paid_ms: int = 0
    """When the provider said that it was paid; 0 before."""
    doubt: str = ""
    """What is not known: unknown, the provider's outcome; held, what it says can't be right; empty: nothing."""
    conflict: str = ""
    """What the provider said last that contradicts the payout; empty: nothing, or operators have resolved it."""


class PayoutReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one payout command. Topic payments.replies."""

    correlation_id: str = ""
    """Of the request."""
    tenant: str = ""
    """Tenant."""
    payout_id: str = ""
    """po_..."""
    status_code: int = 0
    """HTTP status of the answer."""
    replayed: bool = False
    """Whether it is the answer to an earlier request with the same key."""
    error: ErrorObject | None = None
    """Null when it worked."""
    provider: str = ""
    """claim: the provider at which the payout of this key is."""
    payout: PayoutObject | None = None
    """The payout after the command; null when there is none."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""
    cause_topic: str = ""
    """Topic of the input that caused this."""
    cause_partition: int = 0
    """Partition of that input."""
    cause_offset: int = 0
    """Offset of that input."""
    ordinal: int = 0
    """Position among the events of that input, from 0."""


class PayoutRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A payout that a provider shall make. Topic provider.requests; key tenant/payout_id."""

    request_id: str = ""
    """Deterministic; the idempotency key at the provider."""
    tenant: str = ""
    """Tenant."""
    payout_id: str = ""
    """po_..."""
    provider: str = ""
    """Provider."""
    currency: str = ""
    """ISO 4217 code."""
    amount_minor: int = 0
    """Amount in minor units."""
    destination: str = ""
    """Token of the account that it goes to; empty: the one on file."""
    description: str = ""
    """Text for the provider."""
    requested_ms: int = 0
    """Time of the input that caused it, ms since the epoch, UTC."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""
    inquiry: int = 0
    """From 1: nothing is to be made; the provider is asked what became of the request with this request_id, as an operator wished. 0: a request."""


PayoutTransactionType = Literal[
    "unrecognized",
    "payout",
    "payout_cancel",
    "payout_failure",
]
"""Why a payout changed the balance: it took money off, or gave it back."""


class PayoutTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """The change of a tenant's balance by a payout."""

    id: str = ""
    """txn_..."""
    type: PayoutTransactionType = "unrecognized"
    """Why."""
    amount_minor: int = 0
    """Signed, in minor units, as the tenant sees it: a payout is negative."""
    currency: str = ""
    """ISO 4217 code."""
    available_on_ms: int = 0
    """From when it counts, ms since the epoch, UTC."""


class PayoutProposal(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator found out of a payout; it is so once another approves."""

    id: str = ""
    """prop_..."""
    resolution: str = ""
    """paid or failed."""
    reference: str = ""
    """The provider's own id of the payout; empty: as it told it."""
    reason: str = ""
    """Why, in the operator's words."""
    proposed_by: str = ""
    """Operator who proposed."""
    approved_by: str = ""
    """Operator who approved; empty before."""


class PayoutEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a payout. Topic settlement.events."""

    event_id: str = ""
    """evt_..., a hash of its cause."""
    type: str = ""
    """payout.created, .updated, .paid, .failed, .canceled or .conflict; .inquiry_requested, .resolution_proposed, .resolution_approved."""
    tenant: str = ""
    """Tenant."""
    payout_id: str = ""
    """po_..."""
    provider: str = ""
    """Provider."""
    currency: str = ""
    """ISO 4217 code."""
    sequence: int = 0
    """Position among the events of this payout, from 1 without gap."""
    previous_event_id: str = ""
    """The payout's event before; empty for the first."""
    occurred_ms: int = 0
    """Time of the input, ms since the epoch, UTC."""
    from_status: PayoutStatus = "unrecognized"
    """Status before; unrecognized before it existed."""
    to_status: PayoutStatus = "unrecognized"
    """Status after."""
    payout: PayoutObject | None = None
    """The payout after it."""
    postings: tuple[Posting, ...] = ()
    """The event's balanced ledger entry; empty when no money moves."""
    transaction: PayoutTransaction | None = None
    """How it changed the tenant's balance; null when it did not."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""
    cause_topic: str = ""
    """Topic of the input that caused this."""
    cause_partition: int = 0
    """Partition of that input."""
    cause_offset: int = 0
    """Offset of that input."""
    ordinal: int = 0
    """Position among the events of that input, from 0."""
    proposal: PayoutProposal | None = None
    """The operators' proposal that it is about, after it."""


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """Whom tenants and operators belong to. Topic organizations."""

    organization: str = ""
    """org_..."""
    name: str = ""
    """For people."""
    version: int = 0
    """Version, rising."""
    created_ms: int = 0
    """When it was made, ms since the epoch, UTC."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


OperatorStatus = Literal[
    "unrecognized",
    "active",
    "disabled",
]
"""A disabled operator's sessions end at once."""


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """A person who works for an organisation, and what they may do. Topic operators."""

    operator_id: str = ""
    """op_..."""
    organization: str = ""
    """org_..."""
    name: str = ""
    """For people."""
    email: str = ""
    """By which the issuer knows them, in lower case; nothing else of theirs is kept."""
    issuer: str = ""
    """URL of the issuer that signed them in first; empty: never signed in."""
    subject: str = ""
    """What that issuer calls them for ever; empty: never signed in."""
    roles: tuple[str, ...] = ()
    """admin, operator, analyst, auditor, developer; see docs/identity.md."""
    tenants: tuple[str, ...] = ()
    """Tenants that they may act on; none: all of the organisation."""
    status: OperatorStatus = "unrecognized"
    """Status."""
    version: int = 0
    """Version, rising."""
    created_ms: int = 0
    """When they were added, ms since the epoch, UTC."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


SessionStatus = Literal[
    "unrecognized",
    "active",
    "ended",
]
"""An ended session is refused at once."""


class OperatorSession(msgspec.Struct, frozen=True, kw_only=True):
    """That an operator signed in; the cookie itself is nowhere, only its digest. Topic operators.sessions."""

    session_id: str = ""
    """os_..."""
    operator_id: str = ""
    """op_..."""
    digest: bytes = b""
    """SHA-256 of the cookie's value."""
    status: SessionStatus = "unrecognized"
    """Status."""
    created_ms: int = 0
    """When it began, ms since the epoch, UTC."""
    expires_ms: int = 0
    """When it ends by itself, ms since the epoch, UTC."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


ApprovalStatus = Literal[
    "unrecognized",
    "pending",
    "approved",
    "rejected",
]
"""One that is not decided in time expires."""


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Something dangerous that one person asked for and another has to agree to. Topic approvals."""

    approval_id: str = ""
    """apr_..."""
    organization: str = ""
    """org_... of whom it is about."""
    tenant: str = ""
    """Tenant that it is about; empty when none."""
    action: str = ""
    """What is to be done, such as api_keys.create_live."""
    object_id: str = ""
    """What it is done to; empty when that is yet to be made."""
    parameters: str = ""
    """What was asked, as a JSON object; never holds a secret."""
    status: ApprovalStatus = "unrecognized"
    """Status."""
    proposed_by: str = ""
    """Who asked: op_... or key_..."""
    reason: str = ""
    """Why, in their words."""
    decided_by: str = ""
    """Who approved or rejected; empty while it is pending."""
    result: str = ""
    """Id of what came of it; empty when nothing did."""
    created_ms: int = 0
    """When it was asked, ms since the epoch, UTC."""
    expires_ms: int = 0
    """Until when it can be approved, ms since the epoch, UTC."""
    attribution: Attribution = msgspec.field(default_factory=lambda: Attribution())
    """Who caused this."""


class ApiKeyUse(msgspec.Struct, frozen=True, kw_only=True):
    """That an API key was used, told at most once an hour by each process. Topic api.keys.uses."""

    key_id: str = ""
    """key_..."""
    tenant: str = ""
    """Tenant whose key it is; empty for an organisation's."""
    used_ms: int = 0
    """When, ms since the epoch, UTC."""


Record = (
    PaymentIntent
    | PaymentCommand
    | ProviderResult
    | ClockTick
    | RoutingUpdate
    | Tenant
    | RoutingPolicy
    | PaymentEvent
    | ProviderRequest
    | Reply
    | Movement
    | ReportLine
    | PayoutResult
    | SettlementEvent
    | Rejection
    | ProviderNotice
    | AuditDigest
    | CustomerKey
    | ApiKey
    | WebhookEndpoint
    | WorkerAddress
    | WebhookDelivery
    | CustomerCommand
    | CustomerEvent
    | CustomerReply
    | PayoutCommand
    | PayoutReply
    | PayoutRequest
    | PayoutEvent
    | Organization
    | Operator
    | OperatorSession
    | Approval
    | ApiKeyUse
)

RECORDS: dict[str, type[Record]] = {
    "PaymentIntent": PaymentIntent,
    "PaymentCommand": PaymentCommand,
    "ProviderResult": ProviderResult,
    "ClockTick": ClockTick,
    "RoutingUpdate": RoutingUpdate,
    "Tenant": Tenant,
    "RoutingPolicy": RoutingPolicy,
    "PaymentEvent": PaymentEvent,
    "ProviderRequest": ProviderRequest,
    "Reply": Reply,
    "Movement": Movement,
    "ReportLine": ReportLine,
    "PayoutResult": PayoutResult,
    "SettlementEvent": SettlementEvent,
    "Rejection": Rejection,
    "ProviderNotice": ProviderNotice,
    "AuditDigest": AuditDigest,
    "CustomerKey": CustomerKey,
    "ApiKey": ApiKey,
    "WebhookEndpoint": WebhookEndpoint,
    "WorkerAddress": WorkerAddress,
    "WebhookDelivery": WebhookDelivery,
    "CustomerCommand": CustomerCommand,
    "CustomerEvent": CustomerEvent,
    "CustomerReply": CustomerReply,
    "PayoutCommand": PayoutCommand,
    "PayoutReply": PayoutReply,
    "PayoutRequest": PayoutRequest,
    "PayoutEvent": PayoutEvent,
    "Organization": Organization,
    "Operator": Operator,
    "OperatorSession": OperatorSession,
    "Approval": Approval,
    "ApiKeyUse": ApiKeyUse,
}
