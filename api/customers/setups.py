"""`/v1/setup_intents`: a payment method on its way to being saved for later payments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.customers.desk import Desk, changes, with_key
from api.customers.lists import PAGE, Saved
from api.http.errors import NotFound, ParameterInvalid
from api.http.operations import Operation, Route
from api.http.parameters import Boolean, Field, Object, Spec, Text, TextMap, Texts
from api.http.service import Answer, Caller
from schemas.ids import is_customer_id, is_method_id, is_setup_id, setup_id
from schemas.records import CustomerCommand
from schemas.test_cards import known

_NOT_SUPPORTED = "Stripe has it; it is not supported here, so leave it out."
_LATER = """attach_to_self confirmation_token customer_account description excluded_payment_method_types
flow_directions mandate_data on_behalf_of payment_method_configuration payment_method_data payment_method_options return_url
single_use use_stripe_sdk"""
_ELSEWHERE = dict.fromkeys(_LATER.split(), _NOT_SUPPORTED)
_TYPES: dict[str, Field] = {"payment_method_types": Texts(), "allowed_payment_method_types": Texts()}
_FIELDS: dict[str, Field] = {
    "customer": Text(),
    "payment_method": Text(),
    "metadata": TextMap(),
    "expand": Texts(),
    **_TYPES,
}

CREATE = Operation(
    method="POST",
    path="/v1/setup_intents",
    id="PostSetupIntents",
    summary="Begins to save a payment method, and confirms it at once with confirm=true.",
    scope="setup_intents:write",
    object="setup_intent",
    spec=Spec(
        fields={
            **_FIELDS,
            "confirm": Boolean(),
            "usage": Text(choices=("off_session", "on_session")),
            "automatic_payment_methods": Object(
                fields={"enabled": Boolean(required=True), "allow_redirects": Text(choices=("always", "never"))}
            ),
        },
        elsewhere=_ELSEWHERE,
    ),
)
UPDATE = Operation(
    method="POST",
    path="/v1/setup_intents/{id}",
    id="PostSetupIntentsIntent",
    summary="Changes a setup intent that is still open.",
    scope="setup_intents:write",
    object="setup_intent",
    spec=Spec(fields=_FIELDS, elsewhere=_ELSEWHERE),
)
CONFIRM = Operation(
    method="POST",
    path="/v1/setup_intents/{id}/confirm",
    id="PostSetupIntentsIntentConfirm",
    summary="Verifies the payment method and saves it for the customer.",
    scope="setup_intents:write",
    object="setup_intent",
    spec=Spec(fields={"client_secret": Text(), "payment_method": Text(), "expand": Texts()}, elsewhere=_ELSEWHERE),
)
CANCEL = Operation(
    method="POST",
    path="/v1/setup_intents/{id}/cancel",
    id="PostSetupIntentsIntentCancel",
    summary="Ends a setup intent without saving anything.",
    scope="setup_intents:write",
    object="setup_intent",
    spec=Spec(
        fields={
            "cancellation_reason": Text(choices=("abandoned", "duplicate", "requested_by_customer")),
            "expand": Texts(),
        }
    ),
)
COMPLETE = Operation(
    method="POST",
    path="/v1/test_helpers/setup_intents/{id}/complete_action",
    id="PostTestHelpersSetupIntentsIntentCompleteAction",
    summary="Plays the customer who does, or does not, what their bank asks; for keys of test mode.",
    scope="setup_intents:write",
    object="setup_intent",
    spec=Spec(fields={"succeeded": Boolean(required=True)}),
)
RETRIEVE = Operation(
    method="GET",
    path="/v1/setup_intents/{id}",
    id="GetSetupIntentsIntent",
    summary="Shows a setup intent as it stands.",
    scope="setup_intents:read",
    object="setup_intent",
    spec=Spec(fields={"client_secret": Text(), "expand": Texts()}),
)
LIST = Operation(
    method="GET",
    path="/v1/setup_intents",
    id="GetSetupIntents",
    summary="Lists setup intents, newest first.",
    scope="setup_intents:read",
    object="setup_intent",
    answers="list",
    spec=Spec(
        fields={**PAGE, "customer": Text(), "payment_method": Text()},
        elsewhere=dict.fromkeys(("attach_to_self", "customer_account"), _NOT_SUPPORTED),
    ),
)


class Setups:
    """The work behind the operations."""

    def __init__(self, desk: Desk, saved: Saved) -> None:
        self._desk, self._saved = desk, saved

    async def create(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Begin to save a payment method."""
        caller = with_key(caller)
        identity = setup_id(caller.identity.tenant, caller.idempotency_key)
        command = CustomerCommand(
            object_id=identity,
            kind="create_setup",
            usage=given.get("usage") or "off_session",
            confirm=bool(given.get("confirm")),
            **_about(given),
            **changes(given),
        )
        return await self._desk.answer(caller, command, given.get("expand"))

    async def update(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Change a setup intent."""
        return await self._do(caller, path, given, kind="update_setup", **_about(given), **changes(given))

    async def confirm(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Verify and save."""
        return await self._do(caller, path, given, kind="confirm_setup", **_about(given))

    async def cancel(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """End it."""
        reason = given.get("cancellation_reason") or ""
        return await self._do(caller, path, given, kind="cancel_setup", reason=reason)

    async def complete(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Play the customer. Live keys can't: to them it isn't there."""
        if caller.identity.livemode:
            raise NotFound("setup_intent")
        return await self._do(caller, path, given, kind="complete_action", succeeded=given["succeeded"])

    async def _do(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any], **fields: Any) -> Answer:
        if not is_setup_id(path["id"]):
            raise NotFound("setup_intent")
        command = CustomerCommand(object_id=path["id"], **fields)
        return await self._desk.answer(with_key(caller), command, given.get("expand"))

    async def retrieve(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Show a setup intent."""
        view = await self._desk.find(caller, path["id"], "setup_intent")
        body = self._desk.shown(caller, view.setup)
        return Answer(body=await self._desk.expanded(caller, body, given.get("expand")))

    async def page(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """List setup intents."""
        found = await self._saved.setups(caller.identity.tenant, given)
        data = [self._desk.shown(caller, one) for one in found.objects]
        return Answer(body=found.listed(LIST.path, data))

    def routes(self) -> tuple[Route, ...]:
        """For the application."""
        return (
            Route(operation=CREATE, work=self.create),
            Route(operation=LIST, work=self.page),
            Route(operation=RETRIEVE, work=self.retrieve),
            Route(operation=UPDATE, work=self.update),
            Route(operation=CONFIRM, work=self.confirm),
            Route(operation=CANCEL, work=self.cancel),
            Route(operation=COMPLETE, work=self.complete),
        )


def _about(given: Mapping[str, Any]) -> dict[str, Any]:
    """Customer and method of a request as a command has them. Raises `NotFound` for what can't be an id of ours."""
    for name in _TYPES:
        if given.get(name) and given[name] != ["card"]:
            raise ParameterInvalid(f"{name} can only be card.", param=name)
    customer, method = given.get("customer") or "", given.get("payment_method") or ""
    if customer and not is_customer_id(customer):
        raise NotFound("customer", param="customer")
    if not method or is_method_id(method):
        return {"customer": customer, "method": method}
    if known(method) is None:
        raise NotFound("payment_method", param="payment_method")
    return {"customer": customer, "token": method}
