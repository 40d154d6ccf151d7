"""Effects of the transition table; the first line of each docstring is what the documentation says of it."""

from __future__ import annotations

from msgspec.structs import replace

from schemas.records import ProposalObject, ProviderOperation
from streams.core import checks, conversions, fees, ids, keys, ledger, reserves
from streams.core._guards import dispute_of, evidence_of, metadata_of, refund_of, voiding
from streams.core._objects import disputed_minor, left_minor, refunded_minor
from streams.core._step import Step
from streams.core.ledger import Postings
from streams.core.state import Attempt, Dispute, Payment, Proposal, Refund, Texts, encode


def create(step: Step) -> None:
    """The payment exists."""
    command = step.command
    assert command.amount_minor is not None
    has_texts = bool(command.description or command.metadata or command.personal)
    if has_texts:
        step.texts = Texts(command.description, command.metadata, command.personal_key, command.personal)
        step.decision.writes.append((keys.texts(step.tenant, step.payment_id), encode(step.texts)))
    step.payment = Payment(
        "none",
        command.amount_minor,
        command.currency,
        command.capture_method == "manual",
        command.payment_method,
        command.customer,
        step.input.time_ms,
        has_texts=has_texts,
        saved_method=command.saved_method,
        setup_future_usage=command.setup_future_usage,
    )


def update(step: Step) -> None:
    """What the command names is changed."""
    _take_method(step)
    command, payment = step.command, step.payment
    asked = command.amount_minor
    if asked is not None and asked != payment.amount_minor:
        step.changes["amount_minor"] = asked
        step.changes["created_minor"] = payment.created_minor or payment.amount_minor
    if "currency" in command.given and command.currency != payment.currency:
        step.changes["currency"] = command.currency
        step.changes["created_currency"] = payment.created_currency or payment.currency
    if "capture_method" in command.given:
        step.changes["manual"] = command.capture_method == "manual"
    if "customer" in command.given:
        step.changes["customer"] = command.customer
    update_words(step)


def update_words(step: Step) -> None:
    """Description and metadata are changed."""
    payment, before = step.payment, step.texts
    after = _written(step, before)
    if after != before:
        step.changes["texts"] = step.write_texts("", after, replaces=payment.texts if payment.has_texts else None)
        step.changes["has_texts"] = True


def update_charge(step: Step) -> None:
    """Description and metadata of the charge are changed; until then they are the payment's."""
    step.number = ids.attempt_of(step.command.object_id, step.payment_id)
    attempt = step.payment.attempts[step.number - 1]
    before = step.texts_of(step.charge_id, attempt.texts) if attempt.texts else step.texts
    after = _written(step, Texts(before.description, before.metadata))
    version = step.write_texts(step.charge_id, after, replaces=attempt.texts or None)
    step.attempt = replace(attempt, texts=version)


def update_refund(step: Step) -> None:
    """Metadata of the refund is changed."""
    refund = refund_of(step)
    assert refund is not None  # required before
    step.number, step.attempt = refund.attempt, step.payment.attempts[refund.attempt - 1]
    after = _written(step, step.texts_of(refund.id, refund.texts))
    step.refund = replace(refund, texts=step.write_texts(refund.id, after, replaces=refund.texts or None))


def update_dispute(step: Step) -> None:
    """Metadata of the dispute is changed, and what is to be submitted as evidence later."""
    dispute = dispute_of(step)
    assert dispute is not None  # required before
    step.number, step.attempt = dispute.attempt, step.payment.attempts[dispute.attempt - 1]
    after = _written(step, step.texts_of(dispute.id, dispute.texts))
    step.dispute = replace(dispute, texts=step.write_texts(dispute.id, after, replaces=dispute.texts or None))


def _written(step: Step, before: Texts) -> Texts:
    """The texts with what the command changes of them."""
    command = step.command
    return replace(
        before,
        description=command.description if "description" in command.given else before.description,
        metadata=metadata_of(step, before.metadata),
        evidence=evidence_of(step, before.evidence),
    )


def begin_confirmation(step: Step) -> None:
    """The first attempt of this confirmation: ask the provider to authorise (and, if automatic, capture)."""
    _take_method(step)
    step.changes["tried_from"] = len(step.payment.attempts)
    step.changes["error_code"] = step.changes["error_decline_code"] = ""
    start_attempt(step)


def no_provider(step: Step) -> None:
    """Nothing is asked; the error is kept."""
    _take_method(step)
    step.attempt = None
    step.changes["error_code"] = "no_route"
    step.changes["error_decline_code"] = ""
    _keep_policy(step)


def start_attempt(step: Step) -> None:
    """A new attempt at the next provider: ask it to authorise (and, if automatic, capture)."""
    assert step.routing is not None
    payment = step.payment
    step.number = len(payment.attempts) + 1
    step.attempt = Attempt(step.routing.chosen, conversion=conversions.wanted(step.tenant_state(), payment.currency))
    _keep_policy(step)
    step.request(
        object_id=step.charge_id,
        operation="authorize",
        number=1,
        attempt=step.number,
        provider=step.attempt.provider,
        amount_minor=payment.amount_minor,
        capture=not payment.manual,
    )


def cancel_at_once(step: Step) -> None:
    """Nothing is asked; the reason is kept."""
    step.changes["cancellation_reason"] = step.command.reason


def cancel_when_authorised(step: Step) -> None:
    """The wish is kept until the provider has answered."""
    step.changes["cancellation_reason"] = step.command.reason
    step.changes["canceling"] = True


def ask_void(step: Step) -> None:
    """Ask the provider to give the authorisation up."""
    step.changes["cancellation_reason"] = step.command.reason or step.payment.cancellation_reason
    step.changes["canceling"] = False
    _ask(step, "void", step.payment.amount_minor - step.the_attempt().captured_minor)


def expire_action(step: Step) -> None:
    """The customer has had time enough: ask the provider to give it up."""
    step.changes["cancellation_reason"] = "abandoned"
    _ask(step, "void", step.payment.amount_minor)


def expire_authorisation(step: Step) -> None:
    """Nobody has captured in time: ask the provider to give the authorisation up."""
    step.changes["cancellation_reason"] = "automatic"
    _ask(step, "void", step.payment.amount_minor - step.the_attempt().captured_minor)


def ask_capture(step: Step) -> None:
    """Ask the provider to capture."""
    asked = step.command.amount_minor
    step.changes["error_code"] = step.changes["error_decline_code"] = ""
    left_minor = step.payment.amount_minor - step.the_attempt().captured_minor
    _ask(step, "capture", left_minor if asked is None else asked, final=step.command.final_capture)


def ask_increment(step: Step) -> None:
    """Ask the provider to authorise more, up to the new amount in all."""
    asked = step.command.amount_minor
    assert asked is not None  # required before
    step.changes["error_code"] = step.changes["error_decline_code"] = ""
    _ask(step, "increment", asked)


def incremented(step: Step) -> None:
    """The payment is of the new amount, and what is more of it is held as well (hold)."""
    before, payment = _heard(step), step.payment
    amount_minor = step.result.amount_minor
    more_minor = amount_minor - payment.amount_minor
    step.attempt = replace(
        before,
        outcome="authorized",
        reference=step.the_attempt().reference or before.reference,
        operation="",
        doubt="",
        increments=before.increments + 1,
        first_minor=before.first_minor or payment.amount_minor,
    )
    step.changes["amount_minor"] = amount_minor
    step.changes["created_minor"] = payment.created_minor or payment.amount_minor
    step.postings = ledger.hold(before.provider, step.tenant, more_minor, payment.currency)


def increment_failed(step: Step) -> None:
    """The authorisation stands as it was; the error is kept."""
    step.attempt = replace(_heard(step), operation="", doubt="")
    step.changes["error_code"] = "increment_failed"
    step.changes["error_decline_code"] = step.result.decline_code
    step.message = checks.safe_text(step.result.message)


def hold(step: Step) -> None:
    """The authorisation is held (hold)."""
    attempt = _heard(step)
    if voiding(step):  # whatever is known of the void stays
        step.attempt = replace(attempt, status="authorized")
    else:
        step.attempt = replace(attempt, status="authorized", operation="", doubt="")
    step.changes["authorized_ms"] = step.input.time_ms
    step.postings = ledger.hold(attempt.provider, step.tenant, step.payment.amount_minor, step.payment.currency)


def hold_and_void(step: Step) -> None:
    """The authorisation is held (hold); ask the provider to give it up."""
    hold(step)
    ask_void(step)


def hold_and_capture(step: Step) -> None:
    """The authorisation is held (hold); ask the provider to capture."""
    hold(step)
    _ask(step, "capture", step.payment.amount_minor)


def take(step: Step) -> None:
    """The money is taken (release where it was held, capture, fee, reserve); settlement is told."""
    before = _heard(step)
    payment = step.payment
    step.changes["canceling"] = False
    step.changes["cancellation_reason"] = ""
    released: Postings = ()
    if before.status == "authorized":
        held_minor = payment.amount_minor - before.captured_minor
        released = ledger.release(before.provider, step.tenant, held_minor, payment.currency)
    _take(step, replace(before, status="captured", asked_final=True), released)


def take_part(step: Step) -> None:
    """A part of the money is taken (release, capture, fee, reserve); the rest stays authorised; settlement is told."""
    before = _heard(step)
    part_minor = step.result.amount_minor
    released = ledger.release(before.provider, step.tenant, part_minor, step.payment.currency)
    _take(step, replace(before, captures=(*before.captures, before.requests)), released)


def _take(step: Step, attempt: Attempt, released: Postings) -> None:
    """What the result says was captured becomes the tenant's, less fees and what is kept in reserve."""
    payment, result, tenant = step.payment, step.result, step.tenant
    amount_minor, cost_minor, provider = result.amount_minor, result.provider_fee_minor, attempt.provider
    conversion, settled_minor = attempt.conversion, amount_minor
    if conversion is not None:
        conversion, settled_minor = conversions.captured(result, attempt, conversion)
    if conversion is None:
        currency = payment.currency
        taken = ledger.capture(provider, tenant, amount_minor, currency)
    else:
        currency = conversion.currency
        step.fx = conversions.fact(result)
        taken = (
            *ledger.converted_in(provider, amount_minor, payment.currency),
            *ledger.converted_out(provider, tenant, settled_minor, currency),
        )
    terms = step.tenant_state()
    rule = fees.rule(terms, payment_method=payment.payment_method, currency=currency)
    if rule is None:
        fee_minor = cost_minor
        fee_postings = ledger.fee(provider, tenant, fee_minor, currency)
    else:
        fee_minor = fees.charge_minor(rule, settled_minor)
        fee_postings = (
            *ledger.tenant_fee(tenant, fee_minor, currency),
            *ledger.provider_cost(provider, cost_minor, currency),
        )
    step.attempt = replace(
        attempt,
        operation="",
        doubt="",
        captured_minor=attempt.captured_minor + amount_minor,
        asked_minor=amount_minor,
        fee_minor=attempt.fee_minor + cost_minor,
        tenant_fee_minor=attempt.tenant_fee_minor + fee_minor,
        scheduled=rule is not None,
        conversion=conversion,
    )
    step.changes["error_code"] = step.changes["error_decline_code"] = ""
    step.postings = (*released, *taken, *fee_postings)
    if settled_minor:
        step.move(kind="capture", amount_minor=settled_minor, object_id=step.charge_id, provider=provider)
    if fee_minor:
        step.move(kind="fee", amount_minor=-fee_minor, object_id=step.charge_id, provider=provider)
    step.transact("charge", gross_minor=settled_minor, fee_minor=fee_minor, source=step.charge_id, delayed=True)
    if terms is not None and terms.reserve_basis_points:
        reserves.keep(step, terms, settled_minor=settled_minor, fee_minor=fee_minor)


def end_with_parts(step: Step) -> None:
    """The rest of the hold ends (release); what was captured of it stays."""
    attempt = _heard(step)
    rest_minor = step.payment.amount_minor - attempt.captured_minor
    step.attempt = replace(attempt, status="captured", outcome="captured", operation="", doubt="", asked_final=False)
    step.changes["cancellation_reason"] = ""
    step.changes["error_code"] = step.changes["error_decline_code"] = ""
    step.postings = ledger.release(attempt.provider, step.tenant, rest_minor, step.payment.currency)


def fail(step: Step) -> None:
    """The attempt has failed; its error is kept."""
    attempt, result = _heard(step), step.result
    code = "card_declined" if result.outcome == "declined" else "processing_error"
    step.attempt = replace(
        attempt, status="failed", operation="", doubt="", failure_code=result.decline_code or result.outcome
    )
    step.changes["error_code"] = code
    step.changes["error_decline_code"] = result.decline_code
    step.message = checks.safe_text(result.message)


def fail_over(step: Step) -> None:
    """The attempt has failed; its error is kept."""
    fail(step)
    step.routing = None  # the event of the next attempt tells of it


def fail_and_cancel(step: Step) -> None:
    """The attempt has failed, which is what the cancellation wanted."""
    fail(step)
    step.changes["error_code"] = step.changes["error_decline_code"] = ""
    step.changes["canceling"] = False


def await_action(step: Step) -> None:
    """The customer has to act at the provider."""
    step.attempt = replace(_heard(step), doubt="")
    step.changes["action_url"] = checks.safe_url(step.result.action_url)


def await_action_and_void(step: Step) -> None:
    """The customer need not act any more: ask the provider to give it up."""
    await_action(step)
    ask_void(step)


def doubt(step: Step) -> None:
    """Nobody may be asked anything until the gateway's inquiry has found out."""
    step.attempt = replace(_heard(step), doubt="unknown")


def distrust(step: Step) -> None:
    """Held for a person to look at; nothing is posted or settled."""
    step.attempt = replace(_heard(step), doubt="held")
    step.message = checks.safe_text(step.result.message)


def capture_failed(step: Step) -> None:
    """The authorisation still stands; the error is kept."""
    step.attempt = replace(_heard(step), operation="", doubt="")
    step.changes["error_code"] = "capture_failed"
    step.changes["error_decline_code"] = step.result.decline_code
    step.message = checks.safe_text(step.result.message)


def void_failed(step: Step) -> None:
    """The payment goes on as before; the error is kept."""
    attempt = _heard(step)
    step.attempt = replace(attempt, operation="" if attempt.status == "authorized" else "authorize", doubt="")
    step.changes["error_code"] = "void_failed"
    step.changes["error_decline_code"] = step.result.decline_code
    step.changes["cancellation_reason"] = ""
    step.message = checks.safe_text(step.result.message)


def void(step: Step) -> None:
    """The hold ends (release where it was held)."""
    attempt = _heard(step)
    step.changes["error_code"] = step.changes["error_decline_code"] = ""
    if attempt.status == "authorized":
        step.attempt = replace(attempt, status="voided", operation="", doubt="")
        step.postings = ledger.release(attempt.provider, step.tenant, step.payment.amount_minor, step.payment.currency)
    else:
        step.attempt = replace(attempt, status="failed", operation="", doubt="", failure_code="canceled")


def begin_refund(step: Step) -> None:
    """The tenant pays for the refund (refund), settlement is told, the provider is asked."""
    payment, command = step.payment, step.command
    attempt = step.the_attempt()
    asked = command.amount_minor
    amount_minor = left_minor(payment) if asked is None else asked
    settled_minor, postings = _refund_money(step, attempt, amount_minor)
    key = command.attribution.idempotency_key
    refund = step.refund = Refund(
        ids.refund_id(step.tenant, step.payment_id, key),
        step.number,
        amount_minor,
        reason=command.reason,
        waiting=key,
        fee_returned_minor=_returned_fee_minor(step, attempt, amount_minor),
        settled_minor=0 if conversions.of(attempt) is None else settled_minor,
        created_ms=step.input.time_ms,
    )
    if command.metadata:
        version = step.write_texts(refund.id, Texts(metadata=command.metadata), replaces=None)
        refund = step.refund = replace(refund, texts=version)
    returned_minor = refund.fee_returned_minor
    step.postings = (*postings, *ledger.fee_returned(step.tenant, returned_minor, step.settles_in))
    if settled_minor:
        step.move(kind="refund", amount_minor=-settled_minor, object_id=refund.id, provider=attempt.provider)
    if returned_minor:
        step.move(kind="fee", amount_minor=returned_minor, object_id=refund.id, provider=attempt.provider)
    step.transact("refund", gross_minor=-settled_minor, fee_minor=-returned_minor, source=refund.id)
    step.request(
        object_id=refund.id,
        operation="refund",
        number=1,
        attempt=step.number,
        provider=attempt.provider,
        amount_minor=amount_minor,
        reference=attempt.reference,
    )


def _refund_money(step: Step, attempt: Attempt, amount_minor: int) -> tuple[int, Postings]:
    """What the tenant pays for a refund, in the currency that the charge settled in, and the postings for it."""
    payment, provider, tenant = step.payment, attempt.provider, step.tenant
    conversion = conversions.of(attempt)
    if conversion is None:
        return amount_minor, ledger.refund(provider, tenant, amount_minor, payment.currency)
    settled_minor = conversions.part_minor(
        conversion,
        captured_minor=attempt.captured_minor,
        before_minor=refunded_minor(payment) + disputed_minor(payment),
        amount_minor=amount_minor,
    )
    return settled_minor, (
        *ledger.converted_refund(provider, amount_minor, payment.currency),
        *ledger.converted_out(provider, tenant, -settled_minor, conversion.currency),
    )


def _returned_fee_minor(step: Step, attempt: Attempt, amount_minor: int) -> int:
    tenant = step.tenant_state()
    if not attempt.scheduled or tenant is None or not tenant.refund_fees_returned:
        return 0
    return fees.returned_minor(
        fee_minor=attempt.tenant_fee_minor,
        captured_minor=attempt.captured_minor,
        refunded_minor=refunded_minor(step.payment) + amount_minor,
        returned_minor=sum(one.fee_returned_minor for one in step.payment.refunds if one.status != "failed"),
    )


def ask_evidence(step: Step) -> None:
    """The provider is given the evidence, with what was kept of it before."""
    dispute = dispute_of(step)
    assert dispute is not None  # required before
    before = step.texts_of(dispute.id, dispute.texts)
    after = _written(step, before)
    if after != before:
        dispute = replace(dispute, texts=step.write_texts(dispute.id, after, replaces=dispute.texts or None))
    _ask_about_dispute(step, dispute, "submit_evidence", evidence=after.evidence)


def ask_to_accept(step: Step) -> None:
    """The provider is told that the tenant gives in."""
    dispute = dispute_of(step)
    assert dispute is not None  # required before
    _ask_about_dispute(step, dispute, "accept_dispute", evidence={})


def _ask_about_dispute(step: Step, dispute: Dispute, operation: ProviderOperation, *, evidence: dict[str, str]) -> None:
    step.number, step.attempt = dispute.attempt, step.payment.attempts[dispute.attempt - 1]
    dispute = step.dispute = replace(
        dispute,
        operation=operation,
        requests=dispute.requests + 1,
        waiting=step.command.attribution.idempotency_key,
    )
    step.request(
        object_id=dispute.id,
        operation=operation,
        number=dispute.requests,
        attempt=dispute.attempt,
        provider=step.attempt.provider,
        amount_minor=dispute.amount_minor,
        reference=dispute.reference,
        evidence=evidence,
    )


def propose(step: Step) -> None:
    """What an operator found is kept until another one approves it; it takes the place of an earlier proposal."""
    command = step.command
    who = command.attribution
    proposal = Proposal(
        ids.proposal_id(step.tenant, step.payment_id, who.idempotency_key),
        command.resolution,
        command.object_id,
        command.amount_minor or 0,
        who.reason,
        who.actor_id,
    )
    step.changes["proposal"] = proposal
    step.proposal = proposal_object(proposal)


def approve(step: Step) -> None:
    """A second operator has approved: what it says is carried out at once."""
    proposal = step.payment.proposal
    assert proposal is not None  # required before
    step.changes["proposal"] = None
    step.proposal = proposal_object(proposal, approved_by=step.command.attribution.actor_id)
    if step.attempt is not None and proposal.object_id == step.charge_id:
        step.attempt = replace(step.attempt, doubt="unknown")


def stand(step: Step) -> None:
    """The authorisation stands, and nothing is under way."""
    step.attempt = replace(step.the_attempt(), operation="", doubt="")


def proposal_object(proposal: Proposal, *, approved_by: str = "") -> ProposalObject:
    """The proposal as events tell of it."""
    return ProposalObject(
        id=proposal.id,
        resolution=proposal.resolution,
        amount_minor=proposal.amount_minor,
        object_id=proposal.object_id,
        reason=proposal.reason,
        proposed_by=proposal.proposed_by,
        approved_by=approved_by,
    )


def nothing(step: Step) -> None:
    """Nothing."""


def _take_method(step: Step) -> None:
    command = step.command
    if command.payment_method:
        step.changes["payment_method"] = command.payment_method
        step.changes["saved_method"] = command.saved_method
    if command.setup_future_usage:
        step.changes["setup_future_usage"] = command.setup_future_usage


def _keep_policy(step: Step) -> None:
    assert step.routing is not None
    step.changes["policy_version"] = step.routing.policy_version


def _ask(step: Step, operation: ProviderOperation, amount_minor: int, *, final: bool = True) -> None:
    """One more request about the attempt at hand."""
    attempt = step.the_attempt()
    number = attempt.requests + 1
    step.attempt = replace(
        attempt,
        operation=operation,
        requests=number,
        asked_minor=amount_minor if operation in ("capture", "increment") else attempt.asked_minor,
        asked_final=final,
    )
    step.request(
        object_id=step.charge_id,
        operation=operation,
        number=number,
        attempt=step.number,
        provider=attempt.provider,
        amount_minor=amount_minor,
        reference=attempt.reference,
        final_capture=final,
    )


def _heard(step: Step) -> Attempt:
    """The attempt with the outcome and the provider's reference that the result tells of."""
    attempt, result = step.the_attempt(), step.result
    return replace(attempt, outcome=result.outcome, reference=result.provider_reference or attempt.reference)


def keep_fee(step: Step, provider: str, object_id: str) -> Postings:
    """What the provider keeps for what the result tells of: the tenant's, or, where it pays by rules of its own, ours."""
    fee_minor, currency = step.result.provider_fee_minor, step.settles_in
    if not fee_minor:
        return ()
    if step.the_attempt().scheduled:
        return ledger.provider_cost(provider, fee_minor, currency)
    step.move(kind="fee", amount_minor=-fee_minor, object_id=object_id, provider=provider)
    step.transact("fee", gross_minor=0, fee_minor=fee_minor, source=object_id)
    return ledger.fee(provider, step.tenant, fee_minor, currency)
