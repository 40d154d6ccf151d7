"""One request from its headers to its answer: who asks, in which version, for what, and what the payment's fold said."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from api.http import render, versions
from api.http.browsers import Browsers
from api.http.errors import Forbidden, InvalidRequest, NoAnswer, NotFound, Refused
from api.http.keys import Identity, KeyTable
from api.http.limits import Limits, Uses
from api.http.parameters import check
from api.http.payments import Objects, Paths, Payments
from api.http.resources import Endpoint
from api.http.secrecy import refused
from api.http.wire import Tree
from api.identity.people import People, acting
from schemas.records import Attribution, PaymentCommand, Reply, Tenant

IDEMPOTENCY_KEY_CHARS_MAX = 255
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_encode = msgspec.json.Encoder(order="sorted").encode


class Asks(Protocol):
    """What carries a command to its payment and the reply back."""

    async def ask(self, command: PaymentCommand) -> Reply:
        """The reply to the command."""
        ...


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A request's own circumstances, before anything is asked."""

    identity: Identity
    version: str
    request_id: str
    idempotency_key: str
    """As the caller sent it; empty when none."""
    traceparent: str

    def attribution(self) -> Attribution:
        """Who causes what this request does."""
        return self.identity.attribution(
            request_id=self.request_id, idempotency_key=self.idempotency_key, traceparent=self.traceparent
        )


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A success: an object in the caller's version."""

    body: dict[str, Any]
    replayed: bool = False


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a payment, beside the command itself."""

    object: str
    """What it is about, and what it answers with."""
    parameters: tuple[Any, ...]
    """Path, id and checked parameters: what makes two requests with one idempotency key the same one."""
    paths: Paths = []
    """What to expand in the answer; no part of the request's identity."""
    settles: bool = False
    """Whether a payment that is still `processing` when the deadline passes is an answer."""
    created_ms: int = 0
    """When the object was made, where its own record may not say."""


_MISSING = ("resource_missing", "charge_missing", "refund_missing", "dispute_missing")
"""What the fold calls that; to callers it is one answer, as for an id that never was."""


def now_ms() -> int:
    """The wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


class Service:
    """The API without HTTP: what the routes call."""

    def __init__(
        self,
        *,
        keys: KeyTable,
        tenants: Mapping[str, Tenant],
        commands: Asks,
        payments: Payments,
        objects: Objects,
        replied: Callable[[Reply], None],
        people: People | None = None,
        limits: Limits | None = None,
        uses: Uses | None = None,
        resolve: Callable[[PaymentCommand], Awaitable[PaymentCommand]] | None = None,
        browsers: Browsers | None = None,
    ) -> None:
        self.browsers = browsers or Browsers("")
        self._limits, self._uses = limits or Limits(), uses
        self._people = people
        self._keys, self._tenants, self._commands, self._payments = keys, tenants, commands, payments
        self._objects = objects
        self._replied = replied
        """Told every reply, so that a list can wait until it shows what its caller wrote."""
        self._resolve = resolve
        """Looks up the customer and the saved method that a payment names; raises `ApiError`."""

    def identify(self, headers: Mapping[str, str], request_id: str) -> Caller:
        """Who asks, from the headers. Raises `Unauthenticated`, `Forbidden`, `InvalidRequest`, `VersionUnknown`."""
        identity = self._identity(headers)
        for name in ("stripe-account", "stripe-context"):
            wanted = headers.get(name, identity.tenant)
            if identity.kind in ("organization", "operator"):
                identity = acting(identity, wanted, self._tenants)
            elif wanted != identity.tenant:
                raise Forbidden("This key acts for its own account only; leave Stripe-Account out.")
        tenant = self._tenants.get(identity.tenant)
        pinned = "" if tenant is None else tenant.api_version
        version = versions.chosen(headers.get("stripe-version", ""), key=identity.api_version, tenant=pinned)
        key = headers.get("idempotency-key", "")
        if len(key) > IDEMPOTENCY_KEY_CHARS_MAX or not key.isprintable():
            message = f"Idempotency-Key has at most {IDEMPOTENCY_KEY_CHARS_MAX} printable characters."
            raise InvalidRequest(message, param="Idempotency-Key")
        if found := refused(key):
            code, why = found
            raise InvalidRequest(f"Idempotency-Key {why}. Take a random one.", param="Idempotency-Key", code=code)
        traceparent = headers.get("traceparent", "")
        return Caller(
            identity=identity,
            version=version,
            request_id=request_id,
            idempotency_key=key,
            traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else "",
        )

    def admit(self, caller: Caller) -> None:
        """Let a request of a known caller in. Raises `RateLimited`."""
        self._limits.take(caller.identity)
        if self._uses is not None:
            self._uses.note(caller.identity, now_ms=now_ms())

    def _identity(self, headers: Mapping[str, str]) -> Identity:
        authorization = headers.get("authorization", "")
        if self._people is not None and not authorization and self._people.presented(headers):
            return self._people.identify(headers, now_ms=now_ms())
        return self._keys.identify(authorization, now_ms=now_ms())

    async def write(self, endpoint: Endpoint, caller: Caller, identity: str, tree: dict[str, Tree]) -> Answer:
        """Ask something of a payment and wait for its answer. Raises `ApiError`."""
        caller.identity.require(endpoint.scope)
        given = check(endpoint.spec, versions.request_forwards(caller.version, endpoint.object, tree))
        paths = self.paths(given, of=endpoint.object)
        caller = self.with_key(caller)
        command = endpoint.command(caller.identity.tenant, identity, caller.idempotency_key, given)
        if self._resolve is not None:
            command = await self._resolve(command)
        asked = Asked(
            object=endpoint.object,
            parameters=(endpoint.path, identity, given),
            paths=paths,
            settles=endpoint.settles,
        )
        answer = await self.carry_out(caller, command, asked)
        return Answer(body=versions.response_backwards(caller.version, answer.body), replayed=answer.replayed)

    @staticmethod
    def with_key(caller: Caller) -> Caller:
        """The caller with an idempotency key: its own, or one that nobody else has."""
        return caller if caller.idempotency_key else replace(caller, idempotency_key=f"auto_{uuid.uuid4().hex}")

    def paths(self, given: dict[str, Any], *, of: str) -> Paths:
        """What to expand, taken out of the checked parameters. Raises `ParameterInvalid`."""
        return self._objects.paths(given.pop("expand", None) or [], of=of)

    async def carry_out(self, caller: Caller, command: PaymentCommand, asked: Asked) -> Answer:
        """Send a command of a caller who has a key, and wait for its answer, in the newest version. Raises `ApiError`."""
        command = replace(
            command,
            fingerprint=hashlib.sha256(_encode(asked.parameters)).hexdigest(),
            attribution=caller.attribution(),
        )
        try:
            reply = await self._commands.ask(command)
            self._replied(reply)
        except NoAnswer:
            return await self._still_processing(caller, command, asked)
        body = self._rendered(caller, reply, asked)
        if asked.paths:
            # Read now, also for a stored answer: what is expanded is as it stands, not as it stood.
            await self._objects.expand(caller, body, asked.paths)
        return Answer(body=body, replayed=reply.replayed)

    def _rendered(self, caller: Caller, reply: Reply, asked: Asked) -> dict[str, Any]:
        livemode = caller.identity.livemode
        payment = None if reply.payment is None else render.payment_intent(reply.payment, livemode=livemode)
        if reply.error is not None:
            if reply.error.code in _MISSING:
                raise NotFound(asked.object, param="intent" if asked.object == "payment_intent" else "id")
            # Only a failed payment is part of the answer; a refused wish says nothing new of it.
            shown = payment if reply.error.type == "card_error" else None
            shown = None if shown is None else versions.response_backwards(caller.version, shown)
            charge = reply.payment.latest_charge if reply.payment is not None and shown is not None else ""
            raise Refused(reply.status_code, reply.error, payment=shown, charge=charge, replayed=reply.replayed)
        if asked.object == "refund" and reply.refund is not None:
            return render.refund(reply.refund, payment_id=reply.payment_id, created_ms=asked.created_ms)
        if asked.object == "dispute" and reply.dispute is not None:
            return render.dispute(
                reply.dispute, payment_id=reply.payment_id, livemode=livemode, created_ms=asked.created_ms
            )
        if asked.object == "charge" and reply.charge is not None and reply.payment is not None:
            return render.charge(reply.charge, reply.payment, livemode=livemode)
        assert asked.object == "payment_intent"
        assert payment is not None
        return payment

    async def _still_processing(self, caller: Caller, command: PaymentCommand, asked: Asked) -> Answer:
        """The deadline has passed: a payment that is known and under way is an answer, everything else is none."""
        if not asked.settles:
            raise NoAnswer
        view = await self._payments.get(command.tenant, command.payment_id)
        if view is None or view.payment.status != "processing":
            raise NoAnswer
        return Answer(body=render.payment_intent(view.payment, livemode=caller.identity.livemode))
