"""Setup intents: a payment method on its way to being saved.

No provider is asked. A test card behaves as its name says; of any other token nothing is known before its first charge,
so it is saved as it is.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from schemas import test_cards
from schemas.ids import method_id as made_method_id
from streams.core._customer_methods import attach, check_attachable, make_method
from streams.core._customer_step import Step
from streams.core.customers_state import Customer, Method, Setup
from streams.core.errors import CommandError
from streams.core.state import StoredError

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(step: Step) -> None:
    """The setup intent is there, and confirmed at once where that was asked for."""
    command = step.command
    setup = Setup(step.now_ms, "requires_payment_method", command.usage)
    setup = replace(_given(step, setup), metadata=step.merged_metadata({}))
    step.tell(command.object_id, setup, "setup_intent.created")
    if command.confirm:
        _confirm(step)


def update(step: Step) -> None:
    """What it is about is changed, while it is still open."""
    setup = _open(step, "update")
    setup = replace(_given(step, setup), metadata=step.merged_metadata(setup.metadata))
    if step.command.usage:
        setup = replace(setup, usage=step.command.usage)
    step.tell(step.command.object_id, setup, "setup_intent.updated")


def confirm(step: Step) -> None:
    """The method is verified, and saved for the customer where there is one."""
    setup = _open(step, "confirm")
    given = _given(step, setup)
    if given is not setup:
        step.put(step.command.object_id, given)
    _confirm(step)


def cancel(step: Step) -> None:
    """It ends without a method."""
    setup = _open(step, "cancel")
    after = replace(setup, status="canceled", cancellation_reason=step.command.reason)
    step.tell(step.command.object_id, after, "setup_intent.canceled")


def complete_action(step: Step) -> None:
    """The customer did, or did not, what their bank asked."""
    setup = step.get(Setup, step.command.object_id)
    if setup.status != "requires_action":
        raise _unexpected(setup, "complete an action")
    if step.command.succeeded:
        _succeed(step, setup)
    else:
        _fail(step, setup, CommandError("setup_intent_authentication_failure"), answered=False)


def _open(step: Step, wish: str) -> Setup:
    setup = step.get(Setup, step.command.object_id)
    if setup.status not in _OPEN:
        raise _unexpected(setup, wish)
    return setup


def _unexpected(setup: Setup, wish: str) -> CommandError:
    return CommandError("setup_intent_unexpected_state", status=setup.status, wish=wish)


def _given(step: Step, setup: Setup) -> Setup:
    """The setup with the command's customer and method, where it names any. Raises `CommandError`."""
    command = step.command
    if command.customer:
        step.get(Customer, command.customer, param="customer")
        setup = replace(setup, customer=command.customer)
    method_id = command.method
    if command.token:
        method_id = made_method_id(command.tenant, command.attribution.idempotency_key)
        step.tell(method_id, make_method(step, command.token), "payment_method.created")
    if method_id:
        method = step.get(Method, method_id, param="payment_method")
        check_attachable(method, setup.customer)
        setup = replace(setup, method=method_id, status="requires_confirmation", error=None)
    return setup


def _confirm(step: Step) -> None:
    setup = step.get(Setup, step.command.object_id)
    if not setup.method:
        raise CommandError("setup_method_missing", param="payment_method")
    method = step.get(Method, setup.method, param="payment_method")
    check_attachable(method, setup.customer)  # it may have been detached, or attached to another, in between
    card = test_cards.known(method.token)
    if card is None or card.verification == "passes":
        _succeed(step, setup)
    elif card.verification == "challenge":
        after = replace(setup, status="requires_action", error=None)
        step.tell(step.command.object_id, after, "setup_intent.requires_action")
    else:
        _fail(step, setup, CommandError("setup_declined", decline_code=card.decline_code), answered=True)


def _succeed(step: Step, setup: Setup) -> None:
    method = step.get(Method, setup.method, param="payment_method")
    check_attachable(method, setup.customer)
    if setup.customer and not method.customer:
        attach(step, setup.method, method, setup.customer)
    after = replace(setup, status="succeeded", error=None)
    step.tell(step.command.object_id, after, "setup_intent.succeeded")


def _fail(step: Step, setup: Setup, problem: CommandError, *, answered: bool) -> None:
    """The method is let go, so that another can be given. `answered`: the caller is told by an error."""
    error = StoredError(**msgspec.structs.asdict(problem.error))
    after = replace(setup, status="requires_payment_method", method="", error=error)
    step.tell(step.command.object_id, after, "setup_intent.setup_failed")
    if answered:
        step.failure = problem
