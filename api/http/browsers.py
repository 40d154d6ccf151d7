"""What a browser may do with a publishable key: read and confirm the one intent whose client secret it was given."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from api.http.errors import Forbidden, NotFound, ParameterMissing
from api.http.keys import Identity
from api.http.wire import Tree

SECRET = "client_secret"  # noqa: S105 - its name
_SECRET_BYTES = 16
_TOKEN_BYTES = 32

_INTENT, _SETUP = "/v1/payment_intents/{id}", "/v1/setup_intents/{id}"


class _Door(NamedTuple):
    """An operation that is open to browsers."""

    scope: str
    object: str
    param: str
    """What an id that isn't there is called; empty: nothing is asked by its id."""


DOORS: Mapping[tuple[str, str], _Door] = {
    ("GET", _INTENT): _Door("payment_intents:read", "payment_intent", "intent"),
    ("POST", _INTENT + "/confirm"): _Door("payment_intents:write", "payment_intent", "intent"),
    ("GET", _SETUP): _Door("setup_intents:read", "setup_intent", "id"),
    ("POST", _SETUP + "/confirm"): _Door("setup_intents:write", "setup_intent", "id"),
    ("POST", "/v1/payment_methods"): _Door("payment_methods:write", "payment_method", ""),
}
PATHS = tuple(dict.fromkeys(path for _, path in DOORS))

CORS: Mapping[str, str] = {
    # Any site, since which ones are the tenant's we don't know; without credentials, so no cookie is of use.
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Idempotent-Replayed, Request-Id, Retry-After, Stripe-Should-Retry, Stripe-Version",
}
PREFLIGHT: Mapping[str, str] = {
    **CORS,
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Stripe-Account, Stripe-Version",
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Max-Age": "600",
}

_SERVERS_ONLY = ("expand", "metadata", "off_session")
"""Parameters that a secret key sends, and no browser."""
_OF_PAYMENT = """id object allowed_payment_method_types amount amount_details automatic_payment_methods canceled_at
cancellation_reason capture_method client_secret confirmation_method created currency description last_payment_error livemode
next_action payment_method payment_method_types processing receipt_email setup_future_usage shipping status"""
_OF_SETUP = """id object allowed_payment_method_types automatic_payment_methods cancellation_reason client_secret created
description last_setup_error livemode next_action payment_method payment_method_types status usage"""
SHOWN: Mapping[str, frozenset[str]] = {
    "payment_intent": frozenset(_OF_PAYMENT.split()),
    "setup_intent": frozenset(_OF_SETUP.split()),
}
"""What of an intent its customer may see: nothing of other payments, the books, or the tenant's own notes."""
_TELLTALE = frozenset(
    (
        "fraudulent",
        "lost_card",
        "merchant_blacklist",
        "pickup_card",
        "restricted_card",
        "security_violation",
        "stolen_card",
    )
)
"""Reasons of issuers that whoever holds the card is not told."""
_GENERIC = "generic_decline"


class Browsers:
    """One for each process; all that share the installation's token know each other's client secrets."""

    def __init__(self, token: str) -> None:
        root = token or secrets.token_hex(_TOKEN_BYTES)
        self._key = hashlib.sha256(b"clearline client secrets\0" + root.encode()).digest()

    def secret(self, tenant: str, object_id: str) -> str:
        """The client secret of an intent: always the same, and nowhere kept."""
        made = hmac.digest(self._key, f"{tenant}/{object_id}".encode(), "sha256")[:_SECRET_BYTES]
        return f"{object_id}_secret_{base64.b32encode(made).decode().rstrip('=').lower()}"

    def admit(
        self, who: Identity, method: str, path: str, names: Mapping[str, str], given: dict[str, Tree]
    ) -> Identity:
        """Who asks, with what a client secret opens; it is taken out of the parameters.

        Raises `Forbidden`, `ParameterMissing`, and `NotFound` for a wrong secret, which is then as good as an unknown id.
        """
        public = who.kind == "publishable"
        door = DOORS.get((method, path))
        if door is None:
            if public:
                who.require("")
            return who
        if door.param and SECRET in given:
            presented = given.pop(SECRET)
            right = self.secret(who.tenant, names["id"])
            if not (
                isinstance(presented, str)
                and hmac.compare_digest(presented.encode(errors="surrogatepass"), right.encode())
            ):
                raise NotFound(door.object, param=door.param)
        elif door.param and public:
            raise ParameterMissing(SECRET, why="With a publishable key it says that this intent is yours.")
        if not public:
            return who
        for name in _SERVERS_ONLY:
            if name in given:
                raise Forbidden(f"{name} takes a secret key, on a server of yours.", param=name)
        return replace(who, scopes=(door.scope,))

    def shown(self, who: Identity, value: dict[str, Any]) -> dict[str, Any]:
        """An answer's or an error's object with the client secrets that the caller may pass on, and no more than a browser may see."""
        public = who.kind == "publishable"
        found: dict[str, Any] = {}
        kind = value.get("object")
        kept = SHOWN.get(kind) if public and isinstance(kind, str) else None
        for name, inner in value.items():
            if kept is not None and name not in kept:
                continue
            if isinstance(inner, dict):
                found[name] = self.shown(who, inner) if kind != "event" else inner
            elif isinstance(inner, list) and kind != "event":
                found[name] = [self.shown(who, one) if isinstance(one, dict) else one for one in inner]
            else:
                found[name] = inner
        if SECRET in value and kind in SHOWN and _passes_on(who, str(kind)):
            found[SECRET] = self.secret(who.tenant, value["id"])
        if public:
            if "type" in found:
                found.pop("charge", None)
            if found.get("decline_code") in _TELLTALE:
                found["decline_code"] = _GENERIC
        return found


def _passes_on(who: Identity, kind: str) -> bool:
    """Whether somebody could confirm it themselves, so that the secret gives them nothing; people have no use for it."""
    if who.kind == "restricted":
        return f"{kind}s:write" in who.scopes
    return who.kind != "operator"
