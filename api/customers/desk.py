"""What all three resources need: commands with their answers, objects as they stand, and both as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec.structs import replace

from api.customers import render
from api.customers.errors import SetupFailed
from api.customers.keyring import Keyring
from api.http.commands import AnyReply, Command
from api.http.errors import NotFound, ParameterInvalid, Refused, showable
from api.http.service import Answer, Caller, Service, now_ms
from schemas.catalogue import CUSTOMERS_INPUTS
from schemas.ids import is_customer_id, is_method_id, is_setup_id
from schemas.records import (
    CustomerCommand,
    CustomerObject,
    CustomerReply,
    MethodObject,
    SealedField,
    SetupObject,
)
from schemas.views import CustomerView

EXPANDABLE = {"payment_method": ("customer",), "setup_intent": ("customer", "payment_method")}


class Sends(Protocol):
    """What carries a command to its fold and the reply back."""

    async def send(self, command: Command, *, topic: str, key: str) -> AnyReply:
        """The reply."""
        ...


class Finds(Protocol):
    """Customers, methods and setup intents as they stand."""

    async def get(self, tenant: str, object_id: str) -> CustomerView | None:
        """The tenant's object; None where it has none of that id."""
        ...


class Noted(Protocol):
    """Is told of writes, so that lists can wait for them."""

    def note(self, reply: CustomerReply) -> None:
        """A command was answered."""
        ...


class Desk:
    """Asks and shows; one for each process."""

    def __init__(self, *, commands: Sends, customers: Finds, keyring: Keyring, landed: Noted) -> None:
        self._commands, self._customers, self._keyring, self._landed = commands, customers, keyring, landed

    # Writing.

    async def seal(self, caller: Caller, customer: str, fields: Mapping[str, str | None]) -> tuple[SealedField, ...]:
        """Fields of a customer, sealed before they are on any topic. Raises `NoMasterKey`, `NoAnswer`."""
        return await self._keyring.seal(
            fields,
            tenant=caller.identity.tenant,
            customer=customer,
            attribution=caller.attribution(),
            now_ms=now_ms(),
        )

    async def ask(self, caller: Caller, command: CustomerCommand) -> tuple[dict[str, Any], bool]:
        """
        The command's object after it, as JSON, and whether it is a stored answer.

        `caller` has a key (`Service.with_key`). Raises `ApiError`.
        """
        command = replace(command, tenant=caller.identity.tenant, attribution=caller.attribution())
        reply = await self._commands.send(command, topic=CUSTOMERS_INPUTS.name, key=command.tenant)
        assert isinstance(reply, CustomerReply), "a command about customers is answered by their fold"
        self._landed.note(reply)
        livemode = caller.identity.livemode
        if reply.error is not None:
            if reply.setup is not None:
                setup = render.setup_intent(reply.setup, livemode=livemode)
                raise SetupFailed(reply.status_code, reply.error, setup=setup, replayed=reply.replayed)
            raise Refused(reply.status_code, reply.error, payment=None, replayed=reply.replayed)
        return self.shown(caller, reply.customer or reply.method or reply.setup), reply.replayed

    async def answer(self, caller: Caller, command: CustomerCommand, expand: list[str] | None = None) -> Answer:
        """The same as an answer, with what is to be expanded in it."""
        body, replayed = await self.ask(caller, command)
        return Answer(body=await self.expanded(caller, body, expand), replayed=replayed)

    # Reading.

    async def find(self, caller: Caller, object_id: str, what: str, *, param: str = "id") -> CustomerView:
        """An object of the caller's tenant. Raises `NotFound`, also for an id that is of something else."""
        fits = {"customer": is_customer_id, "payment_method": is_method_id, "setup_intent": is_setup_id}[what]
        view = await self._customers.get(caller.identity.tenant, object_id) if fits(object_id) else None
        if view is None:
            raise NotFound(what, param=param)
        return view

    def shown(self, caller: Caller, one: CustomerObject | MethodObject | SetupObject | None) -> dict[str, Any]:
        """An object as JSON; a customer with what of its personal data can be read."""
        livemode = caller.identity.livemode
        if isinstance(one, CustomerObject):
            personal = self._keyring.open(one.personal, tenant=caller.identity.tenant, customer=one.id)
            return render.customer(one, personal, livemode=livemode)
        if isinstance(one, MethodObject):
            return render.payment_method(one, livemode=livemode)
        assert one is not None
        return render.setup_intent(one, livemode=livemode)

    async def fetch(self, caller: Caller, object_id: str) -> dict[str, Any] | None:
        """What a payment names as its customer or method; None where that is no object of ours, and the name stays."""
        if is_customer_id(object_id) or is_method_id(object_id):
            what = "customer" if is_customer_id(object_id) else "payment_method"
            caller.identity.require(f"{what}s:read")
            view = await self._customers.get(caller.identity.tenant, object_id)
            return None if view is None else self.shown(caller, view.customer or view.methods[0])
        return render.test_method(object_id, livemode=caller.identity.livemode)

    async def expanded(self, caller: Caller, body: dict[str, Any], paths: list[str] | None) -> dict[str, Any]:
        """The body with ids replaced by their objects. Raises `ParameterInvalid` for what can't be expanded."""
        for path in paths or ():
            if path not in EXPANDABLE.get(body["object"], ()):
                message = f"This property cannot be expanded ({showable(path)})."
                raise ParameterInvalid(message, param="expand")
        for path in paths or ():
            if isinstance(body[path], str):
                caller.identity.require("customers:read" if path == "customer" else "payment_methods:read")
                view = await self.find(caller, body[path], path)
                one = view.customer if path == "customer" else view.methods[0]
                body[path] = self.shown(caller, one)
        return body


with_key = Service.with_key


def changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as commands have it: what is set, what is removed, and whether all of it goes first."""
    metadata: dict[str, str | None] | None = given.get("metadata")
    if metadata is None:
        return {}
    return {
        "metadata": {name: text for name, text in metadata.items() if text is not None},
        "metadata_removed": tuple(sorted(name for name, text in metadata.items() if text is None)),
        "metadata_cleared": not metadata,
    }
