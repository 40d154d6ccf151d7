"""One input's work in progress: the payment as it changes, and what is to be said about it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from schemas.ids import is_customer_id, saved_method_id
from schemas.records import (
    Attribution,
    BalanceTransaction,
    BalanceTransactionType,
    CustomerCommand,
    FxFact,
    Movement,
    MovementKind,
    PaymentCommand,
    PaymentEvent,
    PaymentStatus,
    ProposalObject,
    ProviderNotice,
    ProviderOperation,
    ProviderRequest,
    ProviderResult,
    RoutingDecision,
)
from streams.core import _objects, _texts, conversions, deadlines, ids, ledger, routing, tenants
from streams.core.decision import Decision, Input, View
from streams.core.errors import InvariantBroken
from streams.core.ledger import Postings
from streams.core.state import Attempt, Dispute, Payment, Refund, TenantState, Texts, encode

NO_PAYMENT = Payment("none", 0, "", manual=False, payment_method="", customer="", created_ms=0)
_SAVING = frozenset({"requires_capture", "succeeded"})
"""Where a payment has the customer's word: its method may be saved from here on."""
_NO_COMMAND = PaymentCommand()
_NO_RESULT = ProviderResult()
_NO_NOTICE = ProviderNotice()


class Step:
    """
    What rows of the table see and change.

    An effect puts what it changes into `attempt`, `refund`, `changes`, `postings`; `record` folds that into the payment
    with one event.
    """

    __slots__ = (
        "_object_texts",
        "_tenant_state",
        "attempt",
        "attribution",
        "changes",
        "command",
        "decision",
        "digest",
        "dispute",
        "event_id",
        "fx",
        "input",
        "message",
        "notice",
        "number",
        "payment",
        "payment_id",
        "postings",
        "proposal",
        "refund",
        "result",
        "routing",
        "tenant",
        "texts",
        "transactions",
        "transactions_made",
        "view",
    )

    def __init__(
        self,
        *,
        view: View,
        input: Input,  # noqa: A002 - what it is called everywhere here
        tenant: str,
        payment_id: str,
        payment: Payment | None,
        attribution: Attribution,
        command: PaymentCommand = _NO_COMMAND,
        result: ProviderResult = _NO_RESULT,
        notice: ProviderNotice = _NO_NOTICE,
        decision: Decision | None = None,
        tenant_state: TenantState | None = None,
    ) -> None:
        self.view = view
        self.input = input
        self.tenant = tenant
        self.payment_id = payment_id
        self.payment = NO_PAYMENT if payment is None else payment
        self.attribution = attribution
        self.command = command
        self.result = result
        self.notice = notice
        self.decision = Decision() if decision is None else decision
        self.digest = ids.input_digest(input.topic, input.partition, input.offset)
        self.texts = _texts.NO_TEXTS
        self._object_texts: dict[str, Texts] = {}
        self.number = 0
        self.attempt: Attempt | None = None
        if payment is not None:
            if payment.attempts:
                self.number = len(payment.attempts)
                self.attempt = payment.attempts[-1]
            if payment.has_texts:
                texts = _texts.of_payment(view.get, tenant, payment_id, payment)
                self.texts = _texts.must_be(texts, tenant=tenant, payment_id=payment_id)
        self.event_id = ""
        self.message = ""
        self.refund: Refund | None = None
        self.dispute: Dispute | None = None
        self.proposal: ProposalObject | None = None
        self.transactions: tuple[BalanceTransaction, ...] = ()
        self.transactions_made = 0
        self._tenant_state = tenant_state
        self.routing: RoutingDecision | None = None
        self.fx: FxFact | None = None
        self.postings: Postings = ()
        self.changes: dict[str, Any] = {}

    @property
    def charge_id(self) -> str:
        """Id of the attempt at hand."""
        return ids.charge_id(self.payment_id, self.number)

    @property
    def settles_in(self) -> str:
        """Currency of the tenant's money for the attempt at hand: the payment's own, or what it was converted to."""
        attempt = self.attempt
        if attempt is None or attempt.conversion is None or not attempt.conversion.rate:
            return self.payment.currency
        return attempt.conversion.currency

    def the_attempt(self) -> Attempt:
        """The attempt at hand, which must be there."""
        if self.attempt is None:
            message = f"{self.tenant}/{self.payment_id} has no attempt"
            raise InvariantBroken(message)
        return self.attempt

    def the_refund(self) -> Refund:
        """The refund at hand, which must be there."""
        if self.refund is None:
            message = f"{self.tenant}/{self.payment_id} has no refund at hand"
            raise InvariantBroken(message)
        return self.refund

    def the_dispute(self) -> Dispute:
        """The dispute at hand, which must be there."""
        if self.dispute is None:
            message = f"{self.tenant}/{self.payment_id} has no dispute at hand"
            raise InvariantBroken(message)
        return self.dispute

    def texts_of(self, object_id: str, version: int) -> Texts:
        """What the tenant wrote about a charge, refund or dispute of the payment; version 0: nothing."""
        if not version:
            return _texts.NO_TEXTS
        texts = self._object_texts.get(object_id)
        if texts is None:
            found = _texts.of_object(self.view.get, self.tenant, self.payment_id, object_id, version)
            texts = self._object_texts[object_id] = _texts.must_be(
                found, tenant=self.tenant, payment_id=self.payment_id
            )
        return texts

    def write_texts(self, object_id: str, texts: Texts, *, replaces: int | None) -> int:
        """Keep what the tenant wrote, of the payment where `object_id` is empty; returns the version's number."""
        if object_id:
            self._object_texts[object_id] = texts
        else:
            self.texts = texts
        return _texts.keep(
            self.decision,
            texts,
            tenant=self.tenant,
            payment_id=self.payment_id,
            object_id=object_id,
            replaces=replaces,
            now_ms=self.input.time_ms,
        )

    def tenant_state(self) -> TenantState | None:
        """The tenant's configuration; None for one that was never known."""
        if self._tenant_state is None:
            self._tenant_state = tenants.known(self.view, self.tenant)
        return self._tenant_state

    def route(self, tried: tuple[str, ...]) -> RoutingDecision:
        """The routing decision for the next attempt."""
        self.routing = routing.choose(
            self.view, tenant=self.tenant, attempt=len(self.payment.attempts) + 1, tried=tried
        )
        return self.routing

    def begin(self) -> None:
        """Start an event; its id is known from here on."""
        self.event_id = ids.event_id(self.digest, len(self.decision.events))

    def request(
        self,
        *,
        object_id: str,
        operation: ProviderOperation,
        number: int,
        attempt: int,
        provider: str,
        amount_minor: int,
        reference: str = "",
        capture: bool = False,
        final_capture: bool = True,
        evidence: dict[str, str] | None = None,
        inquiry: int = 0,
    ) -> None:
        """Ask a provider for something; with `inquiry`, what became of the request that would be made so."""
        payment = self.payment
        request_id = ids.request_id(object_id, operation, number)
        self.decision.requests.append(
            ProviderRequest(
                request_id=ids.request_id(request_id, "inquire", inquiry) if inquiry else request_id,
                tenant=self.tenant,
                payment_id=self.payment_id,
                object_id=object_id,
                attempt=attempt,
                provider=provider,
                operation="inquire" if inquiry else operation,
                amount_minor=amount_minor,
                currency=payment.currency,
                settlement_currency=conversions.asked_currency(self.attempt, operation)
                if self.attempt is not None and self.attempt.conversion is not None
                else "",
                payment_method=self.changes.get("payment_method", payment.payment_method)
                if operation == "authorize"
                else "",
                capture=capture,
                provider_reference=reference,
                description=self.texts.description,
                final_capture=final_capture,
                evidence=evidence or {},
                requested_ms=self.input.time_ms,
                attribution=self.attribution,
            )
        )

    def move(self, *, kind: MovementKind, amount_minor: int, object_id: str, provider: str) -> None:
        """Tell settlement of money that moved; `amount_minor` is signed as the tenant sees it, in `settles_in`."""
        movements = self.decision.movements
        attempt = self.attempt
        movements.append(
            Movement(
                movement_id=ids.movement_id(self.digest, len(movements)),
                tenant=self.tenant,
                provider=provider,
                currency=self.payment.currency if attempt is None or attempt.conversion is None else self.settles_in,
                kind=kind,
                amount_minor=amount_minor,
                payment_id=self.payment_id,
                object_id=object_id,
                event_id=self.event_id,
                occurred_ms=self.input.time_ms,
                attribution=self.attribution,
            )
        )

    def transact(
        self,
        kind: BalanceTransactionType,
        *,
        gross_minor: int,
        fee_minor: int,
        source: str,
        delayed: bool = False,
        rate: str = "",
    ) -> None:
        """
        Say how the tenant's balance changes with the event that has begun; `delayed` when it can't be paid out at once.

        Amounts are in `settles_in`. A converted charge's rate is the charge's own where `rate` names no other.
        """
        if not gross_minor and not fee_minor:
            return
        tenant = self.tenant_state() if delayed else None
        attempt = self.attempt
        conversion = None if attempt is None or attempt.conversion is None else conversions.of(attempt)
        self.transactions = (
            *self.transactions,
            BalanceTransaction(
                id=ids.transaction_id(self.event_id[4:], self.transactions_made),
                type=kind,
                gross_minor=gross_minor,
                fee_minor=fee_minor,
                net_minor=gross_minor - fee_minor,
                currency=self.payment.currency if conversion is None else conversion.currency,
                source=source,
                available_on_ms=self.input.time_ms + (tenant.available_delay_ms if tenant else 0),
                exchange_rate="" if conversion is None else rate or conversion.rate,
            ),
        )
        self.transactions_made += 1

    def record(self, *, event_type: str, from_status: PaymentStatus, to_status: PaymentStatus) -> None:
        """Fold the changes into the payment and tell of it."""
        before = self.payment
        changes = self.changes
        changes["status"] = to_status
        changes["sequence"] = sequence = before.sequence + 1
        changes["last_event_id"] = self.event_id
        attempt, number = self.attempt, self.number
        if attempt is not None:
            attempts = before.attempts
            changes["attempts"] = (*attempts[: number - 1], attempt, *attempts[number:])
        refund = self.refund
        if refund is not None:
            changes["refunds"] = _with_refund(before.refunds, refund)
        dispute = self.dispute
        if dispute is not None:
            changes["disputes"] = _with_dispute(before.disputes, dispute)
        if to_status != from_status:
            if to_status in deadlines.WAITING:
                changes["due_ms"] = deadlines.due_ms(
                    to_status,
                    now_ms=self.input.time_ms,
                    authorized_ms=changes.get("authorized_ms", before.authorized_ms),
                    payment_method=changes.get("payment_method", before.payment_method),
                    tenant=self.tenant_state(),
                )
            elif before.due_ms:
                changes["due_ms"] = 0
        if to_status in _SAVING and before.status not in _SAVING:
            self._save_method()
        payment = self.payment = replace(before, **changes)
        decision = self.decision
        input_ = self.input
        decision.events.append(
            PaymentEvent(
                event_id=self.event_id,
                type=event_type,
                tenant=self.tenant,
                payment_id=self.payment_id,
                sequence=sequence,
                previous_event_id=before.last_event_id,
                occurred_ms=input_.time_ms,
                from_status=from_status,
                to_status=to_status,
                payment=_objects.payment_object(self.payment_id, payment, self.texts),
                charge=None
                if attempt is None
                else _objects.charge_object(
                    self.payment_id,
                    payment,
                    number,
                    attempt,
                    self.message,
                    texts=self.texts_of(self.charge_id, attempt.texts) if attempt.texts else _texts.NO_TEXTS,
                ),
                refund=None
                if refund is None
                else _objects.refund_object(self.payment_id, payment, refund, self.texts_of(refund.id, refund.texts)),
                dispute=None
                if dispute is None
                else _objects.dispute_object(
                    self.payment_id, payment, dispute, self.texts_of(dispute.id, dispute.texts), in_event=True
                ),
                proposal=self.proposal,
                decision=self.routing,
                postings=ledger.balanced(self.postings),
                balance_transactions=self.transactions,
                fx=self.fx,
                attribution=self.attribution,
                cause_topic=input_.topic,
                cause_partition=input_.partition,
                cause_offset=input_.offset,
                ordinal=len(decision.events),
                policy_version=payment.policy_version,
            )
        )
        self.changes = {}
        self.postings = ()
        self.transactions = ()
        self.transactions_made = 0
        self.routing = None
        self.fx = None
        self.message = ""

    def _save_method(self) -> None:
        """The payment succeeds: ask the customers' fold to save its method, where that was wanted and nobody has yet."""
        payment, changes = self.payment, self.changes
        customer = changes.get("customer", payment.customer)
        wanted = changes.get("setup_future_usage", payment.setup_future_usage)
        if not wanted or payment.method_saved or not is_customer_id(customer):
            return
        method = changes.get("saved_method", payment.saved_method) or saved_method_id(self.tenant, self.payment_id)
        changes["saved_method"] = method
        changes["method_saved"] = True
        self.decision.wishes.append(
            CustomerCommand(
                tenant=self.tenant,
                object_id=method,
                kind="save_method",
                customer=customer,
                token=changes.get("payment_method", payment.payment_method),
                payment_id=self.payment_id,
                attribution=Attribution(
                    actor_kind="system",
                    actor_id="lifecycle",
                    on_behalf_of=self.tenant,
                    reason="setup_future_usage",
                    request_id=self.attribution.request_id or self.event_id,
                    idempotency_key=f"save/{self.payment_id}",
                    traceparent=self.attribution.traceparent,
                ),
            )
        )

    def update_refund(self, refund: Refund) -> None:
        """Change a refund without news."""
        self.payment = replace(self.payment, refunds=_with_refund(self.payment.refunds, refund))

    def update_dispute(self, dispute: Dispute) -> None:
        """Change a dispute without news."""
        self.payment = replace(self.payment, disputes=_with_dispute(self.payment.disputes, dispute))

    def payment_bytes(self) -> bytes:
        """The payment's new state, after the invariants were checked."""
        payment = self.payment
        captured = 0
        for attempt in payment.attempts:
            if attempt.status == "captured":
                captured += 1
        if captured > 1:
            message = f"P3: {self.tenant}/{self.payment_id} has {captured} captured attempts"
            raise InvariantBroken(message)
        if (payment.refunds or payment.disputes) and _objects.left_minor(payment) < 0:
            message = f"{self.tenant}/{self.payment_id} has given back more than it captured"
            raise InvariantBroken(message)
        return encode(payment)


def _with_dispute(disputes: tuple[Dispute, ...], dispute: Dispute) -> tuple[Dispute, ...]:
    for index, known in enumerate(disputes):
        if known.id == dispute.id:
            return (*disputes[:index], dispute, *disputes[index + 1 :])
    return (*disputes, dispute)


def _with_refund(refunds: tuple[Refund, ...], refund: Refund) -> tuple[Refund, ...]:
    for index, known in enumerate(refunds):
        if known.id == refund.id:
            return (*refunds[:index], refund, *refunds[index + 1 :])
    return (*refunds, refund)
