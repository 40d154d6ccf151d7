"""A small world around the fold: state in a dict, and inputs as short calls."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from schemas.currencies import EXPONENTS
from schemas.records import (
    Attribution,
    ClockTick,
    PaymentCommand,
    ProviderNotice,
    ProviderRequest,
    ProviderResult,
    RoutingUpdate,
    Tenant,
)
from streams.core import Decision, Input, decide, ids, keys
from streams.core.state import Payment, decode

TENANT = "acme"
T0 = 1_767_225_600_000


class DictView:
    """State in memory."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        return self.data.get(key)

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs under a prefix, in order."""
        for key in sorted(self.data):
            if key.startswith(prefix):
                yield key, self.data[key]

    def apply(self, writes: list[tuple[bytes, bytes | None]]) -> None:
        """Take a decision's writes over."""
        for key, value in writes:
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value


class World:
    """A fold over one partition that remembers what it was given and what came of it."""

    def __init__(
        self,
        fold: Any = decide,
        *,
        topic: str = "payments.inputs",
        configured: bool = True,
        tenant: Tenant | None = None,
    ) -> None:
        self.fold = fold
        self.topic = topic
        self.view = DictView()
        self.inputs: list[Input] = []
        self.decisions: list[Decision] = []
        self.time_ms = T0
        self.tenant = tenant or Tenant(tenant=TENANT, version=1)
        self.notices = 0
        if configured and topic == "payments.inputs":
            self.put(self.tenant)
            self.put(RoutingUpdate(kind="policy", tenant="", policy_version=7, providers=("northpay", "southpay")))

    def put(self, message: Any) -> Decision:
        """One more input."""
        entry = Input(message, self.topic, 3, len(self.inputs), self.time_ms)
        self.inputs.append(entry)
        decision = self.fold(self.view, entry)
        self.decisions.append(decision)
        written = [key for key, _ in decision.writes]
        assert len(written) == len(set(written)), written
        if decision.refused is not None:
            assert not decision.writes
            assert not decision.events
        self.view.apply(decision.writes)
        return decision

    def send(self, kind: str, key: str, *, of: str = "", tenant: str = TENANT, **fields: Any) -> Decision:
        """A command with idempotency key `key` about the payment that was made by key `of` (or `key` itself)."""
        fields.setdefault("payment_id", ids.payment_id(tenant, of or key))
        fields.setdefault("reply_partition", 5)
        fields.setdefault("correlation_id", f"corr-{len(self.inputs)}")
        who = Attribution(
            actor_kind="api_key",
            actor_id="key_1",
            request_id=f"req-{key}",
            idempotency_key=key,
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        return self.put(PaymentCommand(tenant=tenant, kind=kind, attribution=who, **fields))

    def create(self, key: str = "k1", **fields: Any) -> Decision:
        """Create (and by default confirm) a payment of 10.00 EUR."""
        fields.setdefault("amount_minor", 1000)
        fields.setdefault("currency", "EUR")
        fields.setdefault("payment_method", "pm_card_visa")
        fields.setdefault("confirm", True)
        return self.send("create", key, **fields)

    def answer(self, request: ProviderRequest, outcome: str, **fields: Any) -> Decision:
        """The provider's answer to a request, or to the one that an inquiry asks about."""
        return self.put(result(self.original(request), outcome, **fields))

    def original(self, request: ProviderRequest) -> ProviderRequest:
        """The request that an inquiry asks about; any other is itself."""
        if request.operation != "inquire":
            return request
        about = request.request_id.partition("_inquire_")[0]
        return next(one for one in self.requests if one.request_id == about)

    def operate(
        self, kind: str, key: str, *, by: str = "ada", reason: str = "seen in the books", **fields: Any
    ) -> Decision:
        """A command by an operator, about the payment that was made by key `k1` (or `of`)."""
        of = fields.pop("of", "k1")
        who = Attribution(
            actor_kind="operator",
            actor_id=by,
            on_behalf_of=TENANT,
            reason=reason,
            request_id=f"req-{key}",
            idempotency_key=key,
        )
        command = PaymentCommand(
            tenant=TENANT,
            payment_id=ids.payment_id(TENANT, of),
            kind=kind,
            attribution=who,
            reply_partition=5,
            correlation_id=f"corr-{len(self.inputs)}",
            **fields,
        )
        return self.put(command)

    def resolve(self, resolution: str, object_id: str, *, of: str = "k1", amount_minor: int | None = None) -> Decision:
        """Two operators find something out together."""
        key = f"p{len(self.inputs)}"
        self.operate("propose", key, of=of, resolution=resolution, object_id=object_id, amount_minor=amount_minor)
        proposal = ids.proposal_id(TENANT, ids.payment_id(TENANT, of), key)
        return self.operate("approve", f"{key} too", by="bob", of=of, object_id=proposal)

    def notify(
        self, status: str, *, withdrawn_minor: int = 0, of: str = "k1", dispute: str = "np_dp_1", **fields: Any
    ) -> Decision:
        """A provider's notice about a dispute of the payment's newest charge."""
        self.notices += 1
        return self.put(self.notice(status, withdrawn_minor=withdrawn_minor, of=of, dispute=dispute, **fields))

    def notice(
        self, status: str, *, withdrawn_minor: int = 0, of: str = "k1", dispute: str = "np_dp_1", **fields: Any
    ) -> Any:
        """The record of such a notice."""
        payment_id = ids.payment_id(TENANT, of)
        payment = self.payment(of)
        number = fields.pop("attempt", len(payment.attempts))
        attempt = payment.attempts[number - 1]
        fields.setdefault("amount_minor", payment.amount_minor)
        fields.setdefault("currency", payment.currency)
        fields.setdefault("sequence", self.notices + 1)
        fields.setdefault("notice_id", f"np_evt_{self.notices}")
        return ProviderNotice(
            tenant=TENANT,
            payment_id=payment_id,
            provider=attempt.provider,
            kind="dispute",
            charge_reference=attempt.reference or f"np_{ids.charge_id(payment_id, number)[-6:]}",
            dispute_reference=dispute,
            dispute_status=status,
            withdrawn_minor=withdrawn_minor,
            **fields,
        )

    def tick(self, time_ms: int) -> Decision:
        """Time."""
        self.time_ms = max(self.time_ms, time_ms)
        return self.put(ClockTick(time_ms=time_ms, source="test"))

    def payment(self, key: str = "k1", tenant: str = TENANT) -> Payment:
        """The payment's state."""
        value = self.view.get(keys.payment(tenant, ids.payment_id(tenant, key)))
        assert value is not None
        return decode(Payment, value)

    @property
    def events(self) -> list[Any]:
        """All events so far."""
        return [event for decision in self.decisions for event in decision.events]

    @property
    def movements(self) -> list[Any]:
        """All movements so far."""
        return [movement for decision in self.decisions for movement in decision.movements]

    @property
    def requests(self) -> list[ProviderRequest]:
        """All requests so far."""
        return [request for decision in self.decisions for request in decision.requests]


MOVING = ("authorized", "captured", "refunded", "incremented")
"""Outcomes that name the amount that was asked."""
RATE = "162.37"
"""What one unit of a currency comes to in another, where a test says nothing else."""


def converted(amount_minor: int, currency: str, to: str, rate: str) -> int:
    """The amount in another currency, rounded half to even."""
    major = Fraction(amount_minor, 10 ** EXPONENTS[currency]) * Fraction(rate)
    return round(major * 10 ** EXPONENTS[to])


def result(request: ProviderRequest, outcome: str, **fields: Any) -> ProviderResult:
    """What a provider says about a request; amount and currencies are those asked where it has an effect."""
    if request.settlement_currency and outcome in ("captured", "refunded") and "settlement_currency" not in fields:
        rate = fields.setdefault("fx_rate", RATE)
        fields["settlement_currency"] = request.settlement_currency
        fields.setdefault(
            "settlement_amount_minor",
            converted(request.amount_minor, request.currency, request.settlement_currency, rate),
        )
    fields.setdefault("amount_minor", request.amount_minor if outcome in MOVING else 0)
    fields.setdefault("currency", request.currency)
    fields.setdefault("provider_reference", f"np_{request.object_id[-6:]}")
    if outcome == "declined":
        fields.setdefault("decline_kind", "hard")
        fields.setdefault("decline_code", "insufficient_funds")
    fields.setdefault("provider", request.provider)
    return ProviderResult(
        tenant=request.tenant,
        payment_id=request.payment_id,
        request_id=request.request_id,
        object_id=request.object_id,
        operation=request.operation,
        outcome=outcome,
        attribution=request.attribution,
        **fields,
    )
