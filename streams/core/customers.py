"""The fold of customers, saved payment methods and setup intents: one command after another, all of a tenant in order."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from schemas import test_cards
from schemas.records import ClockTick, CustomerCommand
from streams.core import _customer_checks, _setups, checks, idempotency, ids, keys
from streams.core._customer_methods import attach, check_attachable, detach, make_method
from streams.core._customer_step import Step, kind_of, reply
from streams.core.customers_state import Customer, Method, Sealed, StoredAnswer
from streams.core.decision import Decision, Input, View
from streams.core.errors import CommandError, Refused, of_refusal
from streams.core.state import Clock, decode, encode

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def decide_customer(view: View, input: Input) -> Decision:  # noqa: A002 - what it is called everywhere here
    """
    What follows from one record of customers.inputs.

    An input that breaks its contract comes back with `refused` set. Raises `StateUnreadable` only: the partition must stop.
    """
    message = input.message
    if isinstance(message, CustomerCommand):
        return _command(view, input, message)
    decision = Decision()
    if isinstance(message, ClockTick):
        known = view.get(keys.CLOCK)
        if known is None or decode(Clock, known).time_ms < message.time_ms:
            decision.writes.append((keys.CLOCK, encode(Clock(message.time_ms))))
            idempotency.prune(view, message.time_ms, decision)
    else:
        name = type(message).__name__
        decision.refused = Refused(
            reason="wrong_record", field="", message=f"{name} does not belong on customers.inputs."
        )
    return decision


def fingerprint(command: CustomerCommand) -> bytes:
    """What stands for the command: its kind, its object and its parameters, by the caller's digest or by its fields."""
    given: object = command.fingerprint or (
        command.customer,
        command.method,
        command.token,
        command.default_method,
        [(one.name, one.key_id, one.sealed) for one in command.personal],
        command.metadata,
        command.metadata_removed,
        command.metadata_cleared,
        command.usage,
        command.confirm,
        command.succeeded,
        command.reason,
        command.payment_id,
    )
    return ids.fingerprint(_encode((command.kind, command.object_id, given)))


def _command(view: View, input: Input, command: CustomerCommand) -> Decision:  # noqa: A002
    """
    Carry a command out once.

    A wish that can't be met changes nothing and is not remembered: sent again, it is asked again. Where nobody waits for
    the answer it is refused, so that it is seen on records.rejected.
    """
    try:
        checks.check_time(input.time_ms)
        _customer_checks.check(command)
    except Refused as refused:
        decision = Decision(refused=refused)
        _answer_error(decision, command, input, of_refusal(refused))
        return decision
    digest = fingerprint(command)
    answer_key = keys.answer(command.tenant, command.attribution.idempotency_key)
    known = view.get(answer_key)
    if known is not None:
        return _replayed(decode(StoredAnswer, known), command, input, digest)
    step = Step(view, input, command)
    try:
        _check_new(step)
        _HANDLERS[command.kind](step)
    except CommandError as problem:
        decision = Decision()
        if not _answer_error(decision, command, input, problem):
            decision.refused = Refused(reason="invalid_field", field=problem.error.param, message=problem.error.message)
        return decision
    stored = step.finish(digest)
    decision = step.decision
    decision.writes.append((answer_key, encode(stored)))
    decision.writes.append((keys.expiry(input.time_ms + idempotency.REPLIES_KEPT_MS, answer_key), b"\x01"))
    _answer(decision, command, input, stored, replayed=False)
    return decision


def _check_new(step: Step) -> None:
    """A create whose answer was forgotten made its object all the same, and it may have changed since."""
    command = step.command
    if command.kind.startswith("create_") and step.thing(command.object_id) is not None:
        raise CommandError("idempotency_error", param="idempotency_key")


def _replayed(stored: StoredAnswer, command: CustomerCommand, input: Input, digest: bytes) -> Decision:  # noqa: A002
    decision = Decision()
    if stored.fingerprint != digest:
        _answer_error(decision, command, input, CommandError("idempotency_error", param="idempotency_key"))
    else:
        _answer(decision, command, input, stored, replayed=True)
    return decision


def _answer(
    decision: Decision,
    command: CustomerCommand,
    input: Input,  # noqa: A002
    stored: StoredAnswer,
    *,
    replayed: bool,
) -> None:
    if command.reply_partition is not None:
        thing = decode(kind_of(stored.object_id), stored.state)
        made = reply(command, input, http_status=stored.http_status, error=stored.error, thing=thing, replayed=replayed)
        decision.replies.append((command.reply_partition, made))


def _answer_error(decision: Decision, command: CustomerCommand, input: Input, problem: CommandError) -> bool:  # noqa: A002
    """Whether there was anybody to answer."""
    if command.reply_partition is None or command.reply_partition < 0:
        return False
    made = reply(command, input, http_status=problem.http_status, error=problem.error, thing=None)
    decision.replies.append((command.reply_partition, made))
    return True


# Customers.


def _merged_personal(before: tuple[Sealed, ...], command: CustomerCommand) -> tuple[Sealed, ...]:
    fields = {one.name: one for one in before}
    for one in command.personal:
        if one.sealed:
            fields[one.name] = Sealed(one.name, one.key_id, one.sealed)
        else:
            fields.pop(one.name, None)
    return tuple(fields[name] for name in sorted(fields))


def _create_customer(step: Step) -> None:
    customer = Customer(step.now_ms)
    step.tell(step.command.object_id, _changed(customer, step), "customer.created")


def _update_customer(step: Step) -> None:
    customer = step.get(Customer, step.command.object_id)
    step.tell(step.command.object_id, _changed(customer, step), "customer.updated")


def _changed(customer: Customer, step: Step) -> Customer:
    command = step.command
    default = customer.default_method if command.default_method is None else command.default_method
    if default and default not in customer.methods:
        raise CommandError("object_missing", param="invoice_settings[default_payment_method]", what="payment_method")
    return replace(
        customer,
        personal=_merged_personal(customer.personal, command),
        metadata=step.merged_metadata(customer.metadata),
        default_method=default,
    )


def _delete_customer(step: Step) -> None:
    """The customer's methods are detached, its personal data goes, and so do the keys that anything of it was sealed with."""
    command = step.command
    customer = step.get(Customer, command.object_id)
    for method_id in customer.methods:
        detach(step, method_id, step.get(Method, method_id))
    customer = step.get(Customer, command.object_id)
    sealed_with = tuple(sorted({one.key_id for one in customer.personal}))
    gone = Customer(customer.created_ms, sequence=customer.sequence, last_event_id=customer.last_event_id, deleted=True)
    step.tell(command.object_id, gone, "customer.deleted")
    step.decision.erasures.append((command.tenant, command.object_id, sealed_with))


# Payment methods.


def _create_method(step: Step) -> None:
    command = step.command
    method = replace(make_method(step, command.token), metadata=step.merged_metadata({}))
    step.tell(command.object_id, method, "payment_method.created")


def _update_method(step: Step) -> None:
    command = step.command
    method = step.get(Method, command.object_id)
    if not method.customer:
        raise CommandError(
            "payment_method_unexpected_state", why="is not attached to a customer, so it can't be updated"
        )
    after = replace(method, metadata=step.merged_metadata(method.metadata))
    step.tell(command.object_id, after, "payment_method.updated")


def _attach_method(step: Step) -> None:
    """A token is saved under a new id first, as Stripe does with its test methods; a card that its bank declines is not saved."""
    command = step.command
    if command.token and step.find(Method, command.object_id) is None:
        method = make_method(step, command.token)
    else:
        method = step.get(Method, command.object_id)
    check_attachable(method, "")
    step.get(Customer, command.customer, param="customer")
    card = test_cards.known(method.token)
    if card is not None and card.verification == "declined":
        raise CommandError("attachment_declined", param="payment_method", decline_code=card.decline_code)
    attach(step, command.object_id, method, command.customer)


def _detach_method(step: Step) -> None:
    command = step.command
    method = step.get(Method, command.object_id)
    if not method.customer:
        raise CommandError("payment_method_unexpected_state", why="is not attached to a customer")
    detach(step, command.object_id, method)


def _save_method(step: Step) -> None:
    """A payment succeeded that was to save its method: nobody waits for an answer."""
    command = step.command
    method = step.find(Method, command.object_id)
    if method is None:
        method = make_method(step, command.token)
    check_attachable(method, command.customer)
    if not method.customer:
        attach(step, command.object_id, method, command.customer)


_HANDLERS: dict[str, Callable[[Step], None]] = {
    "create_customer": _create_customer,
    "update_customer": _update_customer,
    "delete_customer": _delete_customer,
    "create_method": _create_method,
    "update_method": _update_method,
    "attach_method": _attach_method,
    "detach_method": _detach_method,
    "save_method": _save_method,
    "create_setup": _setups.create,
    "update_setup": _setups.update,
    "confirm_setup": _setups.confirm,
    "cancel_setup": _setups.cancel,
    "complete_action": _setups.complete_action,
}
