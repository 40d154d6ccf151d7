"""Effects of the transition table; the first line of each docstring is what the documentation says of it."""

from __future__ import annotations

from msgspec.structs import replace

from schemas.records import ProviderOperation
from streams.core import checks, ids, keys, ledger
from streams.core._guards import voiding
from streams.core._objects import refunded_minor
from streams.core._step import Step
from streams.core.ledger import Postings
from streams.core.state import Attempt, Payment, Refund, Texts, encode


def create(step: Step) -> None:
    """The payment exists."""
    command = step.command
    assert command.amount_minor is not None
    if command.description or command.metadata:
        step.texts = Texts(command.description, command.metadata)
        step.decision.writes.append((keys.texts(step.tenant, step.payment_id), encode(step.texts)))
    step.payment = Payment(
        "none",
        command.amount_minor,
        command.currency,
        command.capture_method == "manual",
        command.payment_method,
        command.customer,
        step.input.time_ms,
        has_texts=bool(command.description or command.metadata),
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
    step.attempt = Attempt(step.routing.chosen)
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
    _ask(step, "void", step.payment.amount_minor)


def ask_capture(step: Step) -> None:
    """Ask the provider to capture."""
    asked = step.command.amount_minor
    step.changes["error_code"] = step.changes["error_decline_code"] = ""
    _ask(step, "capture", step.payment.amount_minor if asked is None else asked)


def hold(step: Step) -> None:
    """The authorisation is held (hold)."""
    attempt = _heard(step)
    if voiding(step):  # whatever is known of the void stays
        step.attempt = replace(attempt, status="authorized")
    else:
        step.attempt = replace(attempt, status="authorized", operation="", doubt="")
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
    """The money is taken (release where it was held, capture, fee); settlement is told."""
    before = _heard(step)
    payment, result = step.payment, step.result
    step.attempt = replace(
        before,
        status="captured",
        operation="",
        doubt="",
        captured_minor=result.amount_minor,
        asked_minor=result.amount_minor,
        fee_minor=result.provider_fee_minor,
    )
    step.changes["canceling"] = False
    step.changes["cancellation_reason"] = ""
    step.changes["error_code"] = step.changes["error_decline_code"] = ""
    released: Postings = ()
    if before.status == "authorized":
        released = ledger.release(before.provider, step.tenant, payment.amount_minor, payment.currency)
    step.postings = (
        *released,
        *ledger.capture(before.provider, step.tenant, result.amount_minor, payment.currency),
        *ledger.fee(before.provider, step.tenant, result.provider_fee_minor, payment.currency),
    )
    step.move(kind="capture", amount_minor=result.amount_minor, object_id=step.charge_id, provider=before.provider)
    move_fee(step, before.provider, step.charge_id)


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
    amount_minor = attempt.captured_minor - refunded_minor(payment) if asked is None else asked
    key = command.attribution.idempotency_key
    refund = step.refund = Refund(
        ids.refund_id(step.tenant, step.payment_id, key), step.number, amount_minor, reason=command.reason, waiting=key
    )
    step.postings = ledger.refund(attempt.provider, step.tenant, amount_minor, payment.currency)
    step.move(kind="refund", amount_minor=-amount_minor, object_id=refund.id, provider=attempt.provider)
    step.request(
        object_id=refund.id,
        operation="refund",
        number=1,
        attempt=step.number,
        provider=attempt.provider,
        amount_minor=amount_minor,
        reference=attempt.reference,
    )


def nothing(step: Step) -> None:
    """Nothing."""


def _take_method(step: Step) -> None:
    if step.command.payment_method:
        step.changes["payment_method"] = step.command.payment_method


def _keep_policy(step: Step) -> None:
    assert step.routing is not None
    step.changes["policy_version"] = step.routing.policy_version


def _ask(step: Step, operation: ProviderOperation, amount_minor: int) -> None:
    """One more request about the attempt at hand."""
    attempt = step.the_attempt()
    number = attempt.requests + 1
    step.attempt = replace(
        attempt,
        operation=operation,
        requests=number,
        asked_minor=amount_minor if operation == "capture" else attempt.asked_minor,
    )
    step.request(
        object_id=step.charge_id,
        operation=operation,
        number=number,
        attempt=step.number,
        provider=attempt.provider,
        amount_minor=amount_minor,
        reference=attempt.reference,
    )


def _heard(step: Step) -> Attempt:
    """The attempt with the outcome and the provider's reference that the result tells of."""
    attempt, result = step.the_attempt(), step.result
    return replace(attempt, outcome=result.outcome, reference=result.provider_reference or attempt.reference)


def move_fee(step: Step, provider: str, object_id: str) -> None:
    """Tell settlement of the fee that the result names, if any."""
    fee_minor = step.result.provider_fee_minor
    if fee_minor:
        step.move(kind="fee", amount_minor=-fee_minor, object_id=object_id, provider=provider)
