"""The lifecycle as a table: every row is a transition that the code runs on, and that the documentation is made from.

For a status and a trigger the first row whose guard holds is taken. A trigger is a command's kind, or what a provider was
asked and what came of it, or `route`, which follows a failed attempt in the same input, or `expire`, which a tick brings.
"""

from __future__ import annotations

from schemas.records import PaymentStatus
from streams.core import _effects as e
from streams.core import _guards as g
from streams.core import _inquiries as i
from streams.core import _operators as o
from streams.core._row import Row
from streams.core._step import Step
from streams.core.errors import InvariantBroken

COMMANDS = (
    "create",
    "update",
    "confirm",
    "capture",
    "increment",
    "cancel",
    "refund",
    "submit_evidence",
    "close_dispute",
    "inquire",
    "propose",
    "approve",
)

_OPEN: tuple[PaymentStatus, ...] = ("requires_payment_method", "requires_confirmation")
_ASKED: tuple[PaymentStatus, ...] = ("processing", "requires_action")
_PROCESSING: tuple[PaymentStatus, ...] = ("processing",)
_ANY: tuple[PaymentStatus, ...] = (
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "canceled",
    "succeeded",
)

_COMMAND_ROWS = (
    Row(
        sources=("none",),
        trigger="create",
        guard=g.is_to_be_confirmed,
        requires=g.needs_method_to_confirm,
        to="requires_confirmation",
        event="payment_intent.created",
        effect=e.create,
        then="confirm",
    ),
    Row(
        sources=("none",),
        trigger="create",
        guard=g.has_method,
        to="requires_confirmation",
        event="payment_intent.created",
        effect=e.create,
        answer="now",
    ),
    Row(
        sources=("none",),
        trigger="create",
        to="requires_payment_method",
        event="payment_intent.created",
        effect=e.create,
        answer="now",
    ),
    Row(
        sources=_ANY,
        trigger="update",
        guard=g.names_charge,
        requires=g.charge_is_known,
        event="charge.updated",
        effect=e.update_charge,
        answer="now",
    ),
    Row(
        sources=_ANY,
        trigger="update",
        guard=g.names_refund,
        requires=g.refund_is_known,
        event="refund.updated",
        effect=e.update_refund,
        answer="now",
    ),
    Row(
        sources=_ANY,
        trigger="update",
        guard=g.names_dispute,
        requires=g.dispute_is_known,
        event="charge.dispute.updated",
        effect=e.update_dispute,
        answer="now",
    ),
    Row(
        sources=_ANY,
        trigger="update",
        guard=g.only_words,
        requires=g.words_to_change,
        event="payment_intent.updated",
        effect=e.update_words,
        answer="now",
    ),
    Row(
        sources=_OPEN,
        trigger="update",
        guard=g.has_method,
        requires=g.something_to_change,
        to="requires_confirmation",
        event="payment_intent.updated",
        effect=e.update,
        answer="now",
    ),
    Row(
        sources=_OPEN,
        trigger="update",
        requires=g.something_to_change,
        event="payment_intent.updated",
        effect=e.update,
        answer="now",
    ),
    Row(
        sources=_OPEN,
        trigger="confirm",
        guard=g.provider_available,
        requires=g.needs_method_to_confirm,
        to="processing",
        event="payment_intent.processing",
        effect=e.begin_confirmation,
        answer="later",
    ),
    Row(
        sources=_OPEN,
        trigger="confirm",
        requires=g.needs_method_to_confirm,
        to="requires_payment_method",
        event="payment_intent.payment_failed",
        effect=e.no_provider,
        answer="failed",
    ),
    Row(
        sources=("requires_capture",),
        trigger="capture",
        requires=g.at_most_the_authorisation,
        to="processing",
        event="payment_intent.capture_requested",
        effect=e.ask_capture,
        answer="later",
    ),
    Row(
        sources=("requires_capture",),
        trigger="increment",
        requires=g.more_than_the_authorisation,
        to="processing",
        event="payment_intent.increment_requested",
        effect=e.ask_increment,
        answer="later",
    ),
    Row(
        sources=_OPEN,
        trigger="cancel",
        to="canceled",
        event="payment_intent.canceled",
        effect=e.cancel_at_once,
        answer="now",
    ),
    Row(
        sources=("requires_action", "requires_capture"),
        trigger="cancel",
        to="processing",
        event="payment_intent.cancel_requested",
        effect=e.ask_void,
        answer="later",
    ),
    Row(
        sources=_PROCESSING,
        trigger="cancel",
        guard=g.nothing_can_be_charged,
        to="processing",
        event="payment_intent.cancel_requested",
        effect=e.cancel_when_authorised,
        answer="later",
    ),
    Row(
        sources=("succeeded",),
        trigger="refund",
        requires=g.at_most_what_is_left,
        to="succeeded",
        event="refund.created",
        effect=e.begin_refund,
        answer="later",
    ),
    Row(
        sources=("succeeded",),
        trigger="submit_evidence",
        requires=g.waits_for_response,
        event="charge.dispute.evidence_sent",
        effect=e.ask_evidence,
        answer="later",
    ),
    Row(
        sources=("succeeded",),
        trigger="close_dispute",
        requires=g.waits_for_response,
        event="charge.dispute.acceptance_sent",
        effect=e.ask_to_accept,
        answer="later",
    ),
    Row(
        sources=_ANY,
        trigger="inquire",
        requires=i.may_inquire,
        event="payment_intent.inquiry_requested",
        effect=i.inquire,
        answer="now",
    ),
    Row(
        sources=_ANY,
        trigger="propose",
        requires=o.may_propose,
        event="payment_intent.resolution_proposed",
        effect=e.propose,
        answer="now",
    ),
    Row(
        sources=_ANY,
        trigger="approve",
        requires=o.may_approve,
        event="payment_intent.resolution_approved",
        effect=e.approve,
        answer="now",
    ),
)

_TIME_ROWS = (
    Row(
        sources=("requires_action",),
        trigger="expire",
        to="processing",
        event="payment_intent.cancel_requested",
        effect=e.expire_action,
    ),
    Row(
        sources=("requires_capture",),
        trigger="expire",
        to="processing",
        event="charge.expired",
        effect=e.expire_authorisation,
    ),
)

_AUTHORIZE_ROWS = (
    Row(
        sources=_PROCESSING,
        trigger="route",
        guard=g.another_provider,
        to="processing",
        event="payment_intent.processing",
        effect=e.start_attempt,
    ),
    Row(
        sources=_ASKED,
        trigger="authorize/authorized",
        guard=g.voiding,
        event="payment_intent.amount_capturable_updated",
        effect=e.hold,
    ),
    Row(
        sources=_ASKED,
        trigger="authorize/authorized",
        guard=g.canceling,
        to="processing",
        event="payment_intent.amount_capturable_updated",
        effect=e.hold_and_void,
    ),
    Row(
        sources=_ASKED,
        trigger="authorize/authorized",
        guard=g.automatic,
        to="processing",
        event="payment_intent.amount_capturable_updated",
        effect=e.hold_and_capture,
    ),
    Row(
        sources=_ASKED,
        trigger="authorize/authorized",
        to="requires_capture",
        event="payment_intent.amount_capturable_updated",
        effect=e.hold,
        answer="now",
    ),
    Row(
        sources=_ASKED,
        trigger="authorize/captured",
        guard=g.captured_unasked,
        to="processing",
        event="charge.integrity_failure",
        effect=e.distrust,
        answer="now",
    ),
    Row(
        sources=_ASKED,
        trigger="authorize/captured",
        guard=g.voiding,
        to="succeeded",
        event="payment_intent.succeeded",
        effect=e.take,
        answer="failed",
        error="canceled_too_late",
    ),
    Row(
        sources=_ASKED,
        trigger="authorize/captured",
        to="succeeded",
        event="payment_intent.succeeded",
        effect=e.take,
        answer="now",
    ),
    Row(
        sources=_ASKED,
        trigger="authorize/requires_action",
        guard=g.canceling,
        to="processing",
        event="payment_intent.requires_action",
        effect=e.await_action_and_void,
    ),
    Row(sources=_ASKED, trigger="authorize/requires_action", guard=g.in_action_already),
    Row(
        sources=_ASKED,
        trigger="authorize/requires_action",
        to="requires_action",
        event="payment_intent.requires_action",
        effect=e.await_action,
        answer="now",
    ),
    *(
        row
        for trigger, guard in (
            ("authorize/declined", g.soft_and_another_provider),
            ("authorize/refused", g.another_provider),
        )
        for row in (
            Row(
                sources=_ASKED,
                trigger=trigger,
                guard=g.giving_up,
                to="canceled",
                event="payment_intent.canceled",
                effect=e.fail_and_cancel,
                answer="now",
            ),
            Row(
                sources=_ASKED,
                trigger=trigger,
                guard=guard,
                to="processing",
                event="charge.failed",
                effect=e.fail_over,
                then="route",
            ),
            Row(
                sources=_ASKED,
                trigger=trigger,
                to="requires_payment_method",
                event="payment_intent.payment_failed",
                effect=e.fail,
                answer="failed",
            ),
        )
    ),
)


def _doubts(trigger: str, sources: tuple[PaymentStatus, ...]) -> tuple[Row, ...]:
    """What an operation that got no clear answer leads to."""
    return (
        Row(sources=sources, trigger=f"{trigger}/unknown", guard=g.in_doubt_already),
        Row(
            sources=sources,
            trigger=f"{trigger}/unknown",
            to="processing",
            event="charge.outcome_unknown",
            effect=e.doubt,
            answer="now",
        ),
        Row(
            sources=sources,
            trigger=f"{trigger}/integrity_failure",
            to="processing",
            event="charge.integrity_failure",
            effect=e.distrust,
            answer="now",
        ),
    )


_LATER_ROWS = (
    *_doubts("authorize", _ASKED),
    Row(
        sources=_PROCESSING,
        trigger="capture/captured",
        guard=g.part,
        to="requires_capture",
        event="charge.captured",
        effect=e.take_part,
        answer="now",
    ),
    Row(
        sources=_PROCESSING,
        trigger="capture/captured",
        to="succeeded",
        event="payment_intent.succeeded",
        effect=e.take,
        answer="now",
    ),
    *(
        Row(
            sources=_PROCESSING,
            trigger=trigger,
            to="requires_capture",
            event="charge.capture_failed",
            effect=e.capture_failed,
            answer="failed",
        )
        for trigger in ("capture/declined", "capture/refused")
    ),
    *_doubts("capture", _PROCESSING),
    Row(
        sources=_PROCESSING,
        trigger="increment/incremented",
        to="requires_capture",
        event="payment_intent.amount_capturable_updated",
        effect=e.incremented,
        answer="now",
    ),
    *(
        Row(
            sources=_PROCESSING,
            trigger=trigger,
            to="requires_capture",
            event="charge.increment_failed",
            effect=e.increment_failed,
            answer="failed",
        )
        for trigger in ("increment/declined", "increment/refused")
    ),
    *_doubts("increment", _PROCESSING),
    Row(
        sources=_PROCESSING,
        trigger="void/voided",
        guard=g.partly_captured,
        to="succeeded",
        event="payment_intent.succeeded",
        effect=e.end_with_parts,
        answer="now",
    ),
    Row(
        sources=_PROCESSING,
        trigger="void/voided",
        to="canceled",
        event="payment_intent.canceled",
        effect=e.void,
        answer="now",
    ),
    *(
        row
        for trigger in ("void/declined", "void/refused")
        for row in (
            Row(
                sources=_PROCESSING,
                trigger=trigger,
                guard=g.authorised,
                to="requires_capture",
                event="charge.void_failed",
                effect=e.void_failed,
                answer="failed",
            ),
            Row(
                sources=_PROCESSING,
                trigger=trigger,
                to="requires_action",
                event="charge.void_failed",
                effect=e.void_failed,
                answer="failed",
            ),
        )
    ),
    *_doubts("void", _PROCESSING),
    Row(
        sources=_PROCESSING,
        trigger="operator/authorized",
        to="requires_capture",
        event="payment_intent.amount_capturable_updated",
        effect=e.stand,
        answer="now",
    ),
)

ROWS: tuple[Row, ...] = (*_COMMAND_ROWS, *_TIME_ROWS, *_AUTHORIZE_ROWS, *_LATER_ROWS)


def _index() -> dict[tuple[str, str], tuple[Row, ...]]:
    index: dict[tuple[str, str], tuple[Row, ...]] = {}
    for row in ROWS:
        for source in row.sources:
            index[source, row.trigger] = (*index.get((source, row.trigger), ()), row)
    return index


_INDEX = _index()


def rows(status: str, trigger: str) -> tuple[Row, ...]:
    """The rows for a status and a trigger, in the order in which their guards are asked."""
    return _INDEX.get((status, trigger), ())


def run(step: Step, trigger: str) -> Row | None:
    """
    Take the row for the payment's status and the trigger, and those that follow; return the last one, None without any.

    Raises `CommandError` when a row's requirement is not met.
    """
    last = None
    while trigger:
        row = _find(step, trigger)
        if row is None:
            if last is not None:
                message = f"{last.trigger} leads to {trigger}, for which there is no row at {step.payment.status}"
                raise InvariantBroken(message)
            return None
        _apply(step, row)
        last, trigger = row, row.then
    return last


def _find(step: Step, trigger: str) -> Row | None:
    for row in _INDEX.get((step.payment.status, trigger), ()):
        if row.guard is None or row.guard(step):
            return row
    return None


def _apply(step: Step, row: Row) -> None:
    if row.requires is not None:
        row.requires(step)
    if not row.event:
        return
    before = step.payment.status
    step.begin()
    row.effect(step)
    if row.answer == "later" and step.refund is None and step.dispute is None:
        step.changes["waiting"] = step.command.attribution.idempotency_key
    step.record(event_type=row.event, from_status=before, to_status=row.to or before)
