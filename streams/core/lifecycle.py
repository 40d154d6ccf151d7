"""The fold of a payment's life: one input after another, each deciding what changes, what is said and what is asked."""

from __future__ import annotations

from msgspec.structs import replace

from schemas.records import (
    Attribution,
    ClockTick,
    PaymentCommand,
    ProviderNotice,
    ProviderOutcome,
    ProviderResult,
    RoutingUpdate,
    Tenant,
)
from streams.core import (
    checks,
    conversions,
    disputes,
    idempotency,
    ids,
    keys,
    late,
    refunds,
    reserves,
    resolutions,
    routing,
    table,
    tenants,
)
from streams.core._row import Row
from streams.core._step import NO_PAYMENT, Step
from streams.core.deadlines import EXPIRIES_PER_TICK_MAX
from streams.core.decision import Decision, Input, View
from streams.core.errors import CommandError, InvariantBroken, Refused, of_refusal
from streams.core.state import Attempt, Clock, Payment, StoredReply, TenantState, decode, encode

_WISHES = {
    "increment": "have its authorisation raised",
    "update": "have more changed than its description and metadata",
}
"""What a command is called in a refusal, where its kind says too little."""
_OF_DISPUTES = ("submit_evidence", "accept_dispute")
_EFFECTS = frozenset({"authorized", "captured", "refunded", "incremented"})
"""Outcomes that must name the amount and currency that were asked."""


def decide(view: View, input: Input) -> Decision:  # noqa: A002 - what it is called everywhere here
    """
    What follows from one record of payments.inputs.

    An input that breaks its contract comes back with `refused` set. Raises `StateUnreadable` and `InvariantBroken`
    only: the partition must stop.
    """
    message = input.message
    try:
        if isinstance(message, PaymentCommand):
            return _command(view, input, message)
        if isinstance(message, ProviderResult):
            return _result(view, input, message)
        if isinstance(message, ProviderNotice):
            return _notice(view, input, message)
        decision = Decision()
        if isinstance(message, ClockTick):
            _tick(view, input, message, decision)
        elif isinstance(message, RoutingUpdate):
            routing.learn(view, message, decision)
        elif isinstance(message, Tenant):
            tenants.learn(view, message, decision)
        else:
            name = type(message).__name__
            decision.refused = Refused(
                reason="wrong_record", field="", message=f"{name} does not belong on payments.inputs."
            )
    except Refused as refused:
        return Decision(refused=refused)
    return decision


def _tick(view: View, input: Input, tick: ClockTick, decision: Decision) -> None:  # noqa: A002
    known = view.get(keys.CLOCK)
    if known is not None and decode(Clock, known).time_ms >= tick.time_ms:
        return
    decision.writes.append((keys.CLOCK, encode(Clock(tick.time_ms))))
    idempotency.prune(view, tick.time_ms, decision)
    changed: set[tuple[str, str]] = set()
    for count, (mark, _) in enumerate(view.range(keys.DUE_PREFIX)):
        due_ms, tenant, payment_id = keys.due_parts(mark)
        if due_ms > tick.time_ms or count == EXPIRIES_PER_TICK_MAX:
            break
        _expire(view, input, decision, tenant=tenant, payment_id=payment_id)
        changed.add((tenant, payment_id))
    for count, (mark, _) in enumerate(view.range(keys.RESERVE_PREFIX)):
        due_ms, tenant, payment_id = keys.due_parts(mark)
        if due_ms > tick.time_ms or count == reserves.RELEASES_PER_TICK_MAX:
            break
        if (tenant, payment_id) not in changed:  # else the next tick finds it: a decision changes a payment once
            _release(view, input, decision, tenant=tenant, payment_id=payment_id, until_ms=tick.time_ms)
            changed.add((tenant, payment_id))


def _expire(view: View, input: Input, decision: Decision, *, tenant: str, payment_id: str) -> None:  # noqa: A002
    """An authorisation or a challenge has lasted long enough."""
    step = _timed(view, input, decision, tenant=tenant, payment_id=payment_id, reason="expired")
    before = step.payment
    if table.run(step, "expire") is None:
        message = f"{tenant}/{payment_id} was to expire while it is {before.status}"
        raise InvariantBroken(message)
    _save(step, before)


def _release(
    view: View,
    input: Input,  # noqa: A002
    decision: Decision,
    *,
    tenant: str,
    payment_id: str,
    until_ms: int,
) -> None:
    """What was kept in reserve of a capture is the tenant's again."""
    step = _timed(view, input, decision, tenant=tenant, payment_id=payment_id, reason="reserve_due")
    before = step.payment
    reserves.release(step, until_ms)
    _save(step, before)


def _timed(
    view: View,
    input: Input,  # noqa: A002
    decision: Decision,
    *,
    tenant: str,
    payment_id: str,
    reason: str,
) -> Step:
    """A step about a payment whose time has come, by nobody but the clock."""
    value = view.get(keys.payment(tenant, payment_id))
    if value is None:
        message = f"{tenant}/{payment_id} has come due and is not there"
        raise InvariantBroken(message)
    return Step(
        view=view,
        input=input,
        tenant=tenant,
        payment_id=payment_id,
        payment=decode(Payment, value),
        attribution=Attribution(
            actor_kind="system",
            actor_id="lifecycle",
            on_behalf_of=tenant,
            reason=reason,
            request_id=f"{input.topic}/{input.partition}/{input.offset}",
        ),
        decision=decision,
    )


def _save(step: Step, before: Payment) -> bytes:
    """Write the payment, and the mark of when it expires where that changed; returns the payment's bytes."""
    payment, writes = step.payment, step.decision.writes
    payment_key = keys.payment(step.tenant, step.payment_id)
    state = step.payment_bytes()
    writes.append((payment_key, state))
    if payment.due_ms != before.due_ms:
        if before.due_ms:
            writes.append((keys.due(before.due_ms, payment_key), None))
        if payment.due_ms:
            writes.append((keys.due(payment.due_ms, payment_key), b"\x01"))
    return state


# Commands.


def _command(view: View, input: Input, command: PaymentCommand) -> Decision:  # noqa: A002
    decision = Decision()
    try:
        checks.check_time(input.time_ms)
        checks.check_command(command)
        terms = tenants.check_may(view, command.tenant, command.kind)
    except Refused as refused:
        decision.refused = refused
        idempotency.refusal(command, input, of_refusal(refused), decision)
        return decision
    digest = idempotency.fingerprint(command)
    known = view.get(keys.reply(command.tenant, command.payment_id, command.attribution.idempotency_key))
    if known is not None:
        return idempotency.replay(view, input, command, decode(StoredReply, known), digest)
    value = view.get(keys.payment(command.tenant, command.payment_id))
    payment = None if value is None else decode(Payment, value)
    if payment is None and command.kind != "create":
        problem = CommandError("resource_missing", param="payment_id", payment_id=command.payment_id)
        idempotency.refusal(command, input, problem, decision)
        if not decision.replies:  # nobody waits, so it must be seen elsewhere
            decision.refused = Refused(reason="invalid_field", field="payment_id", message=problem.error.message)
        return decision
    stored = StoredReply(digest, reply_partition=command.reply_partition, correlation_id=command.correlation_id)
    try:
        return _carry_out(_step(view, input, command, payment, terms), stored)
    except CommandError as problem:
        step = _step(view, input, command, payment, terms)
        stored = idempotency.complete(stored, value or b"", problem=problem)
        # A refused create leaves nothing behind, its answer neither; a key used wrongly stays the first user's.
        if payment is not None and problem.error.type != "idempotency_error":
            idempotency.remember(step, stored)
        idempotency.answer(step, stored)
        return step.decision


def _step(
    view: View,
    input: Input,  # noqa: A002
    command: PaymentCommand,
    payment: Payment | None,
    terms: TenantState,
) -> Step:
    return Step(
        view=view,
        input=input,
        tenant=command.tenant,
        payment_id=command.payment_id,
        payment=payment,
        attribution=command.attribution,
        command=command,
        tenant_state=terms,
    )


def _carry_out(step: Step, stored: StoredReply) -> Decision:
    command, before = step.command, step.payment
    if before is not NO_PAYMENT:
        again = _made_before(step)
        if again is not None:
            stored = idempotency.complete(stored, encode(before), refund_id=again)
            idempotency.remember(step, stored)
            idempotency.answer(step, stored)
            return step.decision
    row = table.run(step, command.kind)
    if row is None:
        raise unexpected_state(before, command.kind)
    if command.kind == "approve":
        _follow(step, resolutions.carry_out(step))
    payment = step.payment
    if before.waiting and before.waiting != payment.waiting:
        # A cancellation overtakes a confirmation: whoever waits for that hears how things stand.
        idempotency.finish(step, before.waiting, encode(payment))
    state = _save(step, before)
    if row.answer != "later":
        problem = idempotency.last_error(payment) if row.answer == "failed" else None
        about = command.object_id if command.kind == "update" else ""
        stored = idempotency.complete(stored, state, refund_id=about, problem=problem)
        idempotency.answer(step, stored)
    idempotency.remember(step, stored)
    return step.decision


def _made_before(step: Step) -> str | None:
    """
    What a command would make that is there already, though its answer was forgotten: "" the payment, else the refund.

    None when the command is new.
    """
    command, payment = step.command, step.payment
    if command.kind == "create":
        if (command.amount_minor, command.currency) != (
            payment.created_minor or payment.amount_minor,
            payment.created_currency or payment.currency,
        ):
            raise CommandError("idempotency_error", param="idempotency_key")
        return ""
    if command.kind == "refund":
        refund_id = ids.refund_id(step.tenant, step.payment_id, command.attribution.idempotency_key)
        for refund in payment.refunds:
            if refund.id == refund_id:
                if command.amount_minor not in (None, refund.amount_minor):
                    raise CommandError("idempotency_error", param="idempotency_key")
                return refund_id
    return None


def unexpected_state(payment: Payment, wish: str) -> CommandError:
    """The error for a command that the payment's state does not allow."""
    allowed = [kind for kind in table.COMMANDS if kind != wish and table.rows(payment.status, kind)]
    why = ""
    if payment.status == "processing":
        allowed = []
        doubt = payment.attempts[-1].doubt
        if doubt == "unknown":
            why = ", and what the provider did is not known yet"
        elif doubt == "held":
            why = ", and held because what the provider said can't be right"
        else:
            why = " at the provider"
    return CommandError(
        "payment_intent_unexpected_state",
        status=payment.status,
        why=why,
        wish=_WISHES.get(wish, wish),
        allowed=", ".join(allowed) or ("to wait" if payment.status == "processing" else "nothing"),
    )


# Provider results.


def _result(view: View, input: Input, result: ProviderResult) -> Decision:  # noqa: A002
    checks.check_time(input.time_ms)
    checks.check_result(result)
    payment = _payment(view, result.tenant, result.payment_id)
    told = result.attribution
    step = Step(
        view=view,
        input=input,
        tenant=result.tenant,
        payment_id=result.payment_id,
        payment=payment,
        attribution=Attribution(
            actor_kind="provider",
            actor_id=result.provider,
            on_behalf_of=told.on_behalf_of,
            reason=told.reason,
            request_id=told.request_id,
            idempotency_key=told.idempotency_key,
            traceparent=told.traceparent,
        ),
        result=result,
    )
    if result.operation in _OF_DISPUTES:
        disputes.take_result(step)
    elif result.operation == "refund" and result.object_id.startswith("re_"):
        _refund_result(step)
    else:
        _charge_result(step)
    if step.payment is not payment:
        _save(step, payment)
    return step.decision


def _payment(view: View, tenant: str, payment_id: str) -> Payment:
    value = view.get(keys.payment(tenant, payment_id))
    if value is None:
        raise _foreign("payment_id", "There is no such payment.")
    return decode(Payment, value)


def _notice(view: View, input: Input, notice: ProviderNotice) -> Decision:  # noqa: A002
    checks.check_time(input.time_ms)
    checks.check_notice(notice)
    payment = _payment(view, notice.tenant, notice.payment_id)
    step = Step(
        view=view,
        input=input,
        tenant=notice.tenant,
        payment_id=notice.payment_id,
        payment=payment,
        attribution=disputes.attribution(notice),
        notice=notice,
    )
    disputes.take_notice(step)
    if step.payment is not payment:
        _save(step, payment)
    return step.decision


def _foreign(field: str, message: str) -> Refused:
    return Refused(reason="invalid_field", field=field, message=message)


def _refund_result(step: Step) -> None:
    result = step.result
    refund = next((one for one in step.payment.refunds if one.id == result.object_id), None)
    if refund is None:
        raise _foreign("object_id", "The payment has no such refund.")
    step.number = refund.attempt
    step.attempt = step.payment.attempts[refund.attempt - 1]
    if ids.request_number(result.request_id, refund.id, "refund") != 1:
        raise _foreign("request_id", "Nothing was asked under this request id.")
    if result.provider != step.attempt.provider:
        raise _foreign("provider", "Another provider was asked.")
    outcome = _outcome(result, attempt=step.attempt, asked_minor=refund.amount_minor, currency=step.payment.currency)
    if refunds.take_result(step, refund, outcome) and refund.waiting:
        step.update_refund(replace(step.the_refund(), waiting=""))
        idempotency.finish(step, refund.waiting, encode(step.payment), refund_id=refund.id)


def _charge_result(step: Step) -> None:
    result, payment = step.result, step.payment
    number = ids.attempt_of(result.object_id, step.payment_id)
    if not 0 < number <= len(payment.attempts):
        raise _foreign("object_id", "The payment has no such charge.")
    attempt = payment.attempts[number - 1]
    request = ids.request_number(result.request_id, result.object_id, result.operation)
    if not 0 < request <= attempt.requests or (result.operation == "authorize") != (request == 1):
        raise _foreign("request_id", "Nothing was asked under this request id.")
    if result.provider != attempt.provider:
        raise _foreign("provider", "Another provider was asked.")
    step.number, step.attempt = number, attempt
    asked_minor = attempt.first_minor or payment.amount_minor
    if result.operation != "authorize":
        asked_minor = attempt.asked_minor if request == attempt.requests else result.amount_minor
    outcome = _outcome(result, attempt=attempt, asked_minor=asked_minor, currency=payment.currency)
    if outcome != result.outcome:
        step.result = replace(result, outcome=outcome)
    if _is_awaited(attempt, result, request=request, latest=number == len(payment.attempts)):
        row = table.run(step, f"{result.operation}/{outcome}")
        if row is None:
            message = f"no row for {result.operation}/{outcome} on a payment that is {payment.status}"
            raise InvariantBroken(message)
        _follow(step, row)
    elif request not in attempt.captures and late.take_late(step, outcome) == "hold":
        _answer(step, None)


def _follow(step: Step, row: Row | None) -> None:
    """What else follows from a row that was taken: disputes that were told of before the capture, and an answer."""
    if row is None:
        return
    if step.payment.disputes:
        disputes.book_all(step)
    if row.answer in ("now", "failed"):
        _answer(step, idempotency.last_error(step.payment, row.error) if row.answer == "failed" else None)


def _answer(step: Step, problem: CommandError | None) -> None:
    """Answer the command on the charge that waits, if one does."""
    key = step.payment.waiting
    if key:
        step.payment = replace(step.payment, waiting="")
        idempotency.finish(step, key, encode(step.payment), problem=problem)


def _is_awaited(attempt: Attempt, result: ProviderResult, *, request: int, latest: bool) -> bool:
    """Whether the result answers what is under way. The answer to an authorisation counts while it is being voided."""
    if not latest or attempt.doubt == "held" or attempt.status not in ("pending", "authorized"):
        return False
    if result.operation == "authorize":
        return attempt.status == "pending"
    return result.operation == attempt.operation and request == attempt.requests


def _outcome(result: ProviderResult, *, attempt: Attempt, asked_minor: int, currency: str) -> ProviderOutcome:
    """The outcome, or integrity_failure where the provider reports another amount, currency or conversion than can be."""
    if result.outcome in _EFFECTS:
        right = result.amount_minor == asked_minor and result.amount_minor > 0 and result.currency == currency
        return result.outcome if right and conversions.fits(result, attempt) else "integrity_failure"
    return result.outcome
