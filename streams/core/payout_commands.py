"""What tenants, providers and time ask of payouts: commands and their answers, results, terms, and what is due.

An idempotency key is claimed before a payout is made under it: the claim says, once and for good, at which provider that
payout is. It lies on the partition of the key `tenant//`, whatever provider it names; so a key that comes again meets
its first payout, also where the caller leaves the choice of provider to whoever asks for it.
"""

from __future__ import annotations

from msgspec.structs import replace

from schemas.currencies import EXPONENTS
from schemas.records import (
    PayoutCommand,
    PayoutObject,
    PayoutReply,
    PayoutResult,
    Tenant,
)
from streams.core import checks, ids, keys, payout_operators, tenants
from streams.core._payout_keys import came_before, remembered
from streams.core._texts import merged
from streams.core.checks import (
    DESCRIPTION_CHARS_MAX,
    FINGERPRINT_CHARS_MAX,
    METADATA_KEYS_MAX,
    TEXT_CHARS_MAX,
    _check_amount,
    _check_attribution,
    _check_cards,
    _check_currency,
    _check_key,
    _check_metadata,
    _check_texts_and_cards,
    _check_traceparent,
    _refuse,
)
from streams.core.decision import Decision, Input, View
from streams.core.errors import CommandError, Refused, of_refusal
from streams.core.payouts import OPERATION, Flow, Money, PayoutStep, payout_object
from streams.core.state import Clock, Payout, PayoutClaim, PayoutTerms, decode, decode_configuration, encode
from streams.core.state import Flow as FlowState

ASKED_PER_TICK_MAX = 1_000
"""Bounds the work of one tick; what is left is for the next one."""

_STANDARD = PayoutTerms()


def terms_of(view: View, tenant: str) -> PayoutTerms:
    """When and by whom the tenant's payouts are made."""
    value = view.get(keys.payout_terms(tenant))
    return _STANDARD if value is None else decode_configuration(PayoutTerms, value)


def learn(view: View, tenant: Tenant, decision: Decision) -> None:
    """Take a tenant's terms over, where they are not as everybody's or no longer the known ones. Before `tenants.learn`."""
    known = tenants.known(view, tenant.tenant)
    if known is not None and known.version >= tenant.version:
        return
    terms = PayoutTerms(automatic=tenant.payout_schedule == "automatic", delay_ms=tenant.payout_delay_ms)
    if terms != terms_of(view, tenant.tenant):
        decision.writes.append((keys.payout_terms(tenant.tenant), encode(terms)))


def command(view: View, input: Input, asked: PayoutCommand) -> Decision:  # noqa: A002 - what it is called everywhere here
    """What follows from a command: a claim, a payout or its end, and the answer."""
    decision = Decision()
    try:
        _check(asked)
        if asked.kind == "claim":
            _claim(view, input, asked, decision)
        else:
            of = (asked.tenant, asked.provider, asked.currency)
            step = PayoutStep(view, input, decision, of, asked.payout_id, attribution=asked.attribution)
            _HANDLERS[asked.kind](step, asked)
    except Refused as refused:
        decision = Decision(refused=refused)
        _answer(input, asked, decision, problem=of_refusal(refused))
    except CommandError as problem:
        decision = Decision()
        _answer(input, asked, decision, problem=problem)
    return decision


def _claim(view: View, input: Input, asked: PayoutCommand, decision: Decision) -> None:  # noqa: A002
    key = keys.payout_claim(asked.tenant, asked.payout_id)
    value = view.get(key)
    digest = ids.fingerprint(asked.fingerprint.encode())
    if value is not None:
        claim = decode(PayoutClaim, value)
        if claim.fingerprint != digest:
            raise CommandError("idempotency_error", param="idempotency_key")
        _answer(input, asked, decision, provider=claim.provider, replayed=True)
        return
    _check_may(view, asked.tenant)
    if not asked.provider:
        raise _insufficient(asked, left_minor=0, provider="any provider")
    decision.writes.append((key, encode(PayoutClaim(asked.provider, digest))))
    _answer(input, asked, decision, provider=asked.provider)


def _create(step: PayoutStep, asked: PayoutCommand) -> None:
    digest = ids.fingerprint(asked.fingerprint.encode())
    if step.payout is not None:
        if step.payout.fingerprint != digest:
            raise CommandError("idempotency_error", param="idempotency_key")
        first = payout_object(step.of, step.payout_id, _as_made(step.payout))
        _answer(step.input, asked, step.decision, payout=first, replayed=True)
        return
    _check_may(step.view, asked.tenant)
    left_minor = payable_minor(step.view, step.of)
    if asked.amount_minor > left_minor:
        raise _insufficient(asked, left_minor=max(0, left_minor), provider=asked.provider)
    who, now_ms = asked.attribution, step.input.time_ms
    made = step.create(
        Payout(
            "pending",
            asked.amount_minor,
            now_ms,
            now_ms + terms_of(step.view, asked.tenant).delay_ms,
            fingerprint=digest,
            destination=asked.destination,
            description=asked.description,
            metadata=asked.metadata,
            request_id=who.request_id,
            idempotency_key=who.idempotency_key,
        )
    )
    _answer(step.input, asked, step.decision, payout=payout_object(step.of, step.payout_id, made))


def _as_made(payout: Payout) -> Payout:
    """The payout as its first answer had it."""
    metadata = payout.metadata if payout.metadata_as_made is None else payout.metadata_as_made
    return replace(
        payout,
        status="pending",
        metadata=metadata,
        reference="",
        failure_code="",
        failure_message="",
        doubt="",
        conflict="",
        paid_ms=0,
    )


def _cancel(step: PayoutStep, asked: PayoutCommand) -> None:
    payout = step.payout
    if payout is None:
        raise CommandError("object_missing", what="payout", param="id")
    replayed = payout.status == "canceled" and payout.canceled_by == asked.attribution.idempotency_key
    if not replayed:
        if payout.status != "pending":
            raise CommandError("payout_not_cancelable", status=payout.status, param="id")
        step.signal("cancel")
        assert step.payout is not None
        payout = step.payout
    made = payout_object(step.of, step.payout_id, payout)
    _answer(step.input, asked, step.decision, payout=made, replayed=replayed)


def _update(step: PayoutStep, asked: PayoutCommand) -> None:
    """Its metadata changes, whatever became of it. A key that comes again is answered with the payout as it is then."""
    payout = step.payout
    if payout is None:
        raise CommandError("object_missing", what="payout", param="id")
    replayed = came_before(payout, asked)
    if not replayed:
        metadata = merged(payout.metadata, asked.metadata, cleared=asked.metadata_cleared)
        if len(metadata) > METADATA_KEYS_MAX:
            detail = f"metadata would have {len(metadata)} keys; at most {METADATA_KEYS_MAX} are allowed."
            raise CommandError("parameter_invalid", param="metadata", detail=detail)
        as_made = payout.metadata if payout.metadata_as_made is None else payout.metadata_as_made
        changed = replace(remembered(payout, asked), metadata=metadata, metadata_as_made=as_made)
        payout = step.record("payout.updated", changed, from_status=payout.status)
    made = payout_object(step.of, step.payout_id, payout)
    _answer(step.input, asked, step.decision, payout=made, replayed=replayed)


def _operate(step: PayoutStep, asked: PayoutCommand) -> None:
    """What an operator asks. A key that comes again is answered with the payout as it is then."""
    payout = step.payout
    if payout is None:
        raise CommandError("object_missing", what="payout", param="payout")
    replayed = came_before(payout, asked)
    if not replayed:
        payout = _OPERATIONS[asked.kind](step, payout, asked)
    made = payout_object(step.of, step.payout_id, payout)
    _answer(step.input, asked, step.decision, payout=made, replayed=replayed)


_OPERATIONS = {
    "inquire": payout_operators.inquire,
    "propose": payout_operators.propose,
    "approve": payout_operators.approve,
}
_HANDLERS = {"create": _create, "cancel": _cancel, "update": _update, **dict.fromkeys(_OPERATIONS, _operate)}


def payable_minor(view: View, of: Flow) -> int:
    """What of a flow is settled, available and not taken by payouts, as the view has it."""
    value, clock = view.get(keys.flow(*of)), view.get(keys.CLOCK)
    closed_minor = 0 if value is None else decode(FlowState, value).closed_net_minor
    now_ms = 0 if clock is None else decode(Clock, clock).time_ms
    return Money(view, of).payable_minor(closed_minor, now_ms)


def result(view: View, input: Input, told: PayoutResult) -> Decision:  # noqa: A002
    """What follows from a provider's word on a payout. Raises `Refused`."""
    _check_result(told)
    decision = Decision()
    of = (told.tenant, told.provider, told.currency)
    step = PayoutStep(view, input, decision, of, told.payout_id, attribution=told.attribution, result=told)
    payout = step.payout
    if payout is None:
        _refuse("invalid_field", "payout_id", "There is no such payout of this tenant, provider and currency.")
    if told.request_id != ids.request_id(told.payout_id, OPERATION, payout.requests):
        known = payout.reference and told.provider_reference == payout.reference
        if not known:
            message = "It names neither the payout's newest request nor the provider's own id of the payout."
            _refuse("invalid_field", "request_id", message)
    outcome = told.outcome
    if outcome in ("paid", "in_transit") and told.amount_minor != payout.amount_minor:
        outcome = "integrity_failure"
    step.signal(outcome)
    return decision


def ask_due(view: View, input: Input, now_ms: int, decision: Decision) -> None:  # noqa: A002
    """Ask the providers for the payouts whose time has come."""
    for count, (mark, _) in enumerate(view.range(keys.PAYOUT_DUE_PREFIX)):
        due_ms, of, payout_id = keys.payout_due_parts(mark)
        if due_ms > now_ms or count == ASKED_PER_TICK_MAX:
            return
        PayoutStep(view, input, decision, of, payout_id).signal("due")
        decision.writes.append((mark, None))


def make_automatic(
    view: View,
    input: Input,  # noqa: A002
    decision: Decision,
    of: Flow,
    *,
    money: Money,
    payable_minor: int,
    window_id: str,
) -> bool:
    """The payout of all that can be paid out, once a window of the flow has closed; False when the tenant makes its own."""
    terms, tenant = terms_of(view, of[0]), tenants.known(view, of[0])
    if not terms.automatic or payable_minor <= 0 or tenant is None or not tenant.active:
        return False
    now_ms = input.time_ms
    step = PayoutStep(view, input, decision, of, ids.automatic_payout_id(window_id), money=money)
    step.create(Payout("pending", payable_minor, now_ms, now_ms + terms.delay_ms, window_id=window_id))
    return True


def _check_may(view: View, tenant: str) -> None:
    state = tenants.known(view, tenant)
    if state is None or not state.active:
        what = "not known here" if state is None else "suspended"
        raise Refused(
            reason="unknown_tenant", field="tenant", message=f"This tenant is {what}: it is paid nothing out."
        )


def _insufficient(asked: PayoutCommand, *, left_minor: int, provider: str) -> CommandError:
    return CommandError(
        "balance_insufficient",
        param="amount_minor",
        asked=asked.amount_minor,
        left=left_minor,
        currency=asked.currency,
        provider=provider,
    )


def _check(asked: PayoutCommand) -> None:
    checks._check_tenant(asked.tenant)  # noqa: SLF001 - the same checks as every command's
    _check_attribution(asked.attribution)
    if asked.kind == "unrecognized":
        _refuse("invalid_field", "kind", "kind must be claim, create, cancel, update, inquire, propose or approve.")
    if not ids.is_payout_id(asked.payout_id):
        _refuse("invalid_field", "payout_id", "A payout id is po_ and 24 hexadecimal digits.")
    if asked.reply_partition is not None and asked.reply_partition < 0:
        _refuse("invalid_field", "reply_partition", "reply_partition must not be negative.")
    if asked.kind != "claim" or asked.provider:
        _check_provider(asked.provider)
    if asked.kind in ("claim", "create"):
        if asked.payout_id != ids.payout_id(asked.tenant, asked.attribution.idempotency_key):
            _refuse("invalid_field", "payout_id", "A new payout's id is the hash of tenant and idempotency key.")
        _check_amount(asked.amount_minor)
    _check_currency(asked.currency)
    texts = (
        ("provider", asked.provider, TEXT_CHARS_MAX),
        ("destination", asked.destination, TEXT_CHARS_MAX),
        ("description", asked.description, DESCRIPTION_CHARS_MAX),
        ("fingerprint", asked.fingerprint, FINGERPRINT_CHARS_MAX),
        ("correlation_id", asked.correlation_id, TEXT_CHARS_MAX),
        ("resolution", asked.resolution, TEXT_CHARS_MAX),
        ("reference", asked.reference, TEXT_CHARS_MAX),
        ("proposal_id", asked.proposal_id, TEXT_CHARS_MAX),
    )
    _check_texts_and_cards(texts)
    _check_metadata(asked.metadata)
    _check_cards(("metadata", text) for pair in asked.metadata.items() for text in pair)


def _check_provider(provider: str) -> None:
    _check_key("provider", provider)
    if "/" in provider:
        _refuse("invalid_field", "provider", "A provider's name has no slash.")


def _check_result(told: PayoutResult) -> None:
    if told.currency not in EXPONENTS:
        raise Refused(reason="unknown_currency", field="currency", message="currency must be an active ISO 4217 code.")
    if told.outcome == "unrecognized":
        _refuse("invalid_field", "outcome", "This version does not know this outcome.")
    who = told.attribution
    _check_traceparent(who.traceparent, "attribution.traceparent")
    texts = (
        ("payout_id", told.payout_id, TEXT_CHARS_MAX),
        ("request_id", told.request_id, TEXT_CHARS_MAX),
        ("provider", told.provider, TEXT_CHARS_MAX),
        ("provider_reference", told.provider_reference, TEXT_CHARS_MAX),
        ("failure_code", told.failure_code, TEXT_CHARS_MAX),
        ("attribution.actor_id", who.actor_id, TEXT_CHARS_MAX),
        *checks.attribution_texts(who),
    )
    _check_texts_and_cards(texts)


def _answer(
    input: Input,  # noqa: A002
    asked: PayoutCommand,
    decision: Decision,
    *,
    problem: CommandError | None = None,
    provider: str = "",
    payout: PayoutObject | None = None,
    replayed: bool = False,
) -> None:
    if asked.reply_partition is None or asked.reply_partition < 0:
        return
    reply = PayoutReply(
        correlation_id=asked.correlation_id,
        tenant=asked.tenant,
        payout_id=asked.payout_id,
        status_code=200 if problem is None else problem.http_status,
        replayed=replayed,
        error=None if problem is None else problem.error,
        provider=provider,
        payout=payout,
        attribution=asked.attribution,
        cause_topic=input.topic,
        cause_partition=input.partition,
        cause_offset=input.offset,
        ordinal=len(decision.payout_replies),
    )
    decision.payout_replies.append((asked.reply_partition, reply))
