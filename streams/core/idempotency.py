"""Answers, and their memory: same key and parameters, same answer and one effect; other parameters, a typed error (P9)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from schemas.records import Attribution, ErrorObject, PaymentCommand, Reply
from streams.core import _objects, _texts, ids, keys
from streams.core._step import Step
from streams.core.decision import Decision, Input, View
from streams.core.errors import CATALOGUE, CommandError
from streams.core.state import Payment, StoredError, StoredReply, Texts, decode, encode

REPLIES_KEPT_MS = 30 * 86_400_000
EXPIRIES_PER_TICK_MAX = 5_000
"""Bounds the work of one tick; what is left is for the next one."""

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def fingerprint(command: PaymentCommand) -> bytes:
    """What stands for the command's kind and parameters: by its own digest, or, without one, by its fields."""
    if command.fingerprint:
        return ids.fingerprint(f"{command.kind}/{command.fingerprint}".encode())
    return ids.fingerprint(
        _encode(
            (
                command.kind,
                command.amount_minor,
                command.currency,
                command.payment_method,
                command.capture_method,
                command.confirm,
                command.customer,
                command.description,
                command.metadata,
                command.reason,
                # Later fields only where they are used, so that digests made before them still fit.
                *_later_parameters(command),
            )
        )
    )


def _later_parameters(command: PaymentCommand) -> tuple[object, ...]:
    later: tuple[object, ...] = ()
    if not command.final_capture or command.object_id or command.evidence or command.resolution:
        later = (command.object_id, command.final_capture, command.evidence, command.resolution)
    if command.personal:
        later = (*later, command.personal_key, command.personal)
    if command.saved_method or command.setup_future_usage:
        later = (*later, command.saved_method, command.setup_future_usage)
    return (*later, command.given, command.object_id, command.evidence) if command.given else later


def refusal(command: PaymentCommand, input: Input, problem: CommandError, decision: Decision) -> None:  # noqa: A002
    """Answer a command that was not carried out and is not remembered, so that it may be sent again."""
    if command.reply_partition is not None and command.reply_partition >= 0:
        decision.replies.append(
            (
                command.reply_partition,
                Reply(
                    correlation_id=command.correlation_id,
                    tenant=command.tenant,
                    payment_id=command.payment_id,
                    status_code=problem.http_status,
                    error=problem.error,
                    attribution=command.attribution,
                    cause_topic=input.topic,
                    cause_partition=input.partition,
                    cause_offset=input.offset,
                    ordinal=len(decision.replies),
                ),
            )
        )


def replay(view: View, input: Input, command: PaymentCommand, stored: StoredReply, digest: bytes) -> Decision:  # noqa: A002
    """Answer a command whose idempotency key is known."""
    decision = Decision()
    if stored.fingerprint != digest:
        refusal(command, input, CommandError("idempotency_error", param="idempotency_key"), decision)
    elif not stored.http_status:
        refusal(command, input, CommandError("idempotency_key_in_use", param="idempotency_key"), decision)
    elif command.reply_partition is not None:
        payment = decode(Payment, stored.payment) if stored.payment else None
        reply = _reply(
            tenant=command.tenant,
            payment_id=command.payment_id,
            attribution=command.attribution,
            input=input,
            stored=replace(stored, correlation_id=command.correlation_id),
            payment=payment,
            texts=_texts.NO_TEXTS
            if payment is None
            else _texts.of_payment(view.get, command.tenant, command.payment_id, payment),
            texts_of=lambda object_id, version: _texts.of_object(
                view.get, command.tenant, command.payment_id, object_id, version
            ),
            ordinal=0,
            replayed=True,
        )
        decision.replies.append((command.reply_partition, reply))
    return decision


def remember(step: Step, stored: StoredReply) -> None:
    """Keep the answer of the step's command under its key, for `REPLIES_KEPT_MS`."""
    key = keys.reply(step.tenant, step.payment_id, step.command.attribution.idempotency_key)
    step.decision.writes.append((key, encode(stored)))
    step.decision.writes.append((keys.expiry(step.input.time_ms + REPLIES_KEPT_MS, key), b"\x01"))


def answer(step: Step, stored: StoredReply) -> None:
    """Send a stored answer to whoever waits for it."""
    if stored.reply_partition is not None:
        reply = _reply(
            tenant=step.tenant,
            payment_id=step.payment_id,
            attribution=step.attribution,
            input=step.input,
            stored=stored,
            payment=step.payment,
            texts=step.texts,
            texts_of=step.texts_of,
            ordinal=len(step.decision.replies),
            replayed=False,
        )
        step.decision.replies.append((stored.reply_partition, reply))


def finish(step: Step, key: str, payment: bytes, *, refund_id: str = "", problem: CommandError | None = None) -> None:
    """Complete the answer to the command that waits under the idempotency key; nothing when it has expired."""
    reply_key = keys.reply(step.tenant, step.payment_id, key)
    value = step.view.get(reply_key)
    if value is None:
        return
    stored = complete(decode(StoredReply, value), payment, refund_id=refund_id, problem=problem)
    step.decision.writes.append((reply_key, encode(stored)))
    answer(step, stored)


def complete(
    stored: StoredReply, payment: bytes, *, refund_id: str = "", problem: CommandError | None = None
) -> StoredReply:
    """The stored answer with its content."""
    if problem is None:
        return replace(stored, http_status=200, payment=payment, refund_id=refund_id)
    error = StoredError(**msgspec.structs.asdict(problem.error))
    return replace(stored, http_status=problem.http_status, payment=payment, refund_id=refund_id, error=error)


def prune(view: View, now_ms: int, decision: Decision) -> None:
    """Forget answers whose time is over, at most `EXPIRIES_PER_TICK_MAX`."""
    for count, (key, _) in enumerate(view.range(keys.EXPIRY_PREFIX)):
        due_ms, reply_key = keys.expiry_parts(key)
        if due_ms > now_ms or count == EXPIRIES_PER_TICK_MAX:
            return
        decision.writes.append((key, None))
        decision.writes.append((reply_key, None))


def last_error(payment: Payment, code: str = "") -> CommandError:
    """The answer to a caller whose command ended in the payment's last error, or in that of the given code."""
    if code:
        return CommandError(code)
    assert payment.error_code in CATALOGUE
    return CommandError(payment.error_code, decline_code=payment.error_decline_code)


def _reply(
    *,
    tenant: str,
    payment_id: str,
    attribution: Attribution,
    input: Input,  # noqa: A002
    stored: StoredReply,
    payment: Payment | None,
    texts: Texts,
    texts_of: Callable[[str, int], Texts],
    ordinal: int,
    replayed: bool,
) -> Reply:
    refund = dispute = charge = None
    about = stored.refund_id
    if payment is not None and about:
        for one in payment.refunds:
            if one.id == about:
                refund = _objects.refund_object(payment_id, payment, one, texts_of(one.id, one.texts))
        for other in payment.disputes:
            if other.id == about:
                dispute = _objects.dispute_object(payment_id, payment, other, texts_of(other.id, other.texts))
        number = ids.attempt_of(about, payment_id)
        if 0 < number <= len(payment.attempts):
            attempt = payment.attempts[number - 1]
            charge = _objects.charge_object(
                payment_id, payment, number, attempt, "", texts=texts_of(about, attempt.texts)
            )
    return Reply(
        correlation_id=stored.correlation_id,
        tenant=tenant,
        payment_id=payment_id,
        status_code=stored.http_status,
        replayed=replayed,
        error=None if stored.error is None else ErrorObject(**msgspec.structs.asdict(stored.error)),
        payment=None if payment is None else _objects.payment_object(payment_id, payment, texts),
        refund=refund,
        dispute=dispute,
        charge=charge,
        attribution=attribution,
        cause_topic=input.topic,
        cause_partition=input.partition,
        cause_offset=input.offset,
        ordinal=ordinal,
    )
