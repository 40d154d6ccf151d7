"""API keys: made at random and shown once, kept as digests, and what each of them may do.

The tenant of a request comes from its key and from nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Literal

import msgspec

from api.http.errors import Forbidden, Unauthenticated
from api.identity.roles import PEOPLE_ONLY, may
from schemas.records import ApiKey, Attribution

Kind = Literal["secret", "restricted", "publishable"]

SCOPES = (
    "payment_intents:read",
    "payment_intents:write",
    "charges:read",
    "charges:write",
    "refunds:read",
    "refunds:write",
    "disputes:read",
    "disputes:write",
    "balance:read",
    "balance_transactions:read",
    "payouts:read",
    "payouts:write",
    "settlement_windows:read",
    "reconciliations:read",
    "events:read",
    "webhook_endpoints:read",
    "webhook_endpoints:write",
    "customers:read",
    "customers:write",
    "payment_methods:read",
    "payment_methods:write",
    "setup_intents:read",
    "setup_intents:write",
    "account:read",
    "api_keys:read",
    "api_keys:write",
    "routing:read",
    "routing:write",
    "tenants:read",
    "traces:read",
)
"""What a restricted key can be given; write holds read."""

PREFIXES: Mapping[Kind, str] = {"secret": "sk", "restricted": "rk", "publishable": "pk"}
WITHOUT_TENANT = ("tenants", "operators", "approvals")
"""What an organisation's key and an operator may do without naming a tenant."""
KEY_CHARS_MAX = 128
NAME_CHARS_MAX = 64
_SECRET_BYTES = 32
_ID_BYTES = 12
_HINT_CHARS = 4


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the key or the session says."""

    tenant: str
    """Whom it acts for; empty: an organisation's key or an operator who named none."""
    key_id: str
    """key_..., or op_... of an operator."""
    kind: Kind | Literal["organization", "operator"]
    livemode: bool
    scopes: tuple[str, ...]
    api_version: str
    organization: str = ""
    roles: tuple[str, ...] = ()
    """Of an operator."""
    tenants: tuple[str, ...] = ()
    """Tenants that an operator is kept to; none: all of the organisation."""
    reason: str = ""
    """Why, in an operator's words."""

    def require(self, scope: str) -> None:
        """Raises `Forbidden` where the key or the role does not reach so far."""
        name, _, act = scope.partition(":")
        if not self.tenant and name not in WITHOUT_TENANT:
            raise Forbidden("Name the tenant that this is about: Stripe-Context takes its id.")
        if self.kind == "operator":
            if not may(self.roles, scope):
                raise Forbidden(f"None of your roles has {scope}. An admin of your organisation can give you one.")
            return
        if name in PEOPLE_ONLY:
            raise Forbidden("Only a person may do this: sign in as an operator.")
        if self.kind in ("secret", "organization"):
            return
        enough = (scope,) if act == "write" else (scope, f"{name}:write")
        # A publishable key has scopes for one request, where a client secret opened it: see `api.http.browsers`.
        if self.kind in ("restricted", "publishable") and any(one in self.scopes for one in enough):
            return
        if self.kind == "publishable":
            raise Forbidden(
                "A publishable key can't do this. Use a secret key, on a server of yours only.",
                code="secret_key_required",
            )
        raise Forbidden(f"This restricted key does not have {scope}. Make one that has, or use a secret key.")

    def attribution(self, *, request_id: str, idempotency_key: str, traceparent: str = "") -> Attribution:
        """Who caused what this request does."""
        person = self.kind == "operator"
        return Attribution(
            actor_kind="operator" if person else "api_key",
            actor_id=self.key_id,
            on_behalf_of=self.tenant if self.kind in ("operator", "organization") else "",
            reason=self.reason,
            request_id=request_id,
            idempotency_key=idempotency_key,
            traceparent=traceparent,
        )


def digest(key: str) -> bytes:
    """What is kept of a key. Keys have 256 random bits, so that a plain hash can't be turned round."""
    return hashlib.sha256(key.encode()).digest()


def make(
    tenant: str,
    *,
    now_ms: int,
    who: Attribution,
    kind: Kind = "secret",
    livemode: bool = False,
    name: str = "",
    scopes: tuple[str, ...] = (),
    api_version: str = "",
    key_id: str = "",
    organization: str = "",
    fingerprint: str = "",
) -> tuple[str, ApiKey]:
    """A new key and the record of it; the key itself is nowhere but in this answer. Raises `ValueError`."""
    if unknown := set(scopes) - set(SCOPES):
        raise ValueError(f"no such scope: {', '.join(sorted(unknown))}; there are {', '.join(SCOPES)}")
    if (kind == "restricted") != bool(scopes):
        raise ValueError("a restricted key needs scopes, and only a restricted key has any")
    if bool(tenant) == bool(organization):
        raise ValueError("a key is a tenant's or an organisation's")
    if organization and kind != "secret":
        raise ValueError("an organisation's key is a secret one")
    if len(name) > NAME_CHARS_MAX or not (name.isprintable() or not name):
        raise ValueError(f"a key's name has at most {NAME_CHARS_MAX} printable characters")
    secret = base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode().rstrip("=").lower()
    key = f"{PREFIXES[kind]}_{'org_' if organization else ''}{'live' if livemode else 'test'}_{secret}"
    record = ApiKey(
        key_id=key_id or f"key_{secrets.token_hex(_ID_BYTES)}",
        tenant=tenant,
        organization=organization,
        kind=kind,
        livemode=livemode,
        digest=digest(key),
        hint=key[-_HINT_CHARS:],
        name=name,
        scopes=tuple(sorted(scopes)),
        api_version=api_version,
        status="active",
        created_ms=now_ms,
        fingerprint=fingerprint,
        attribution=who,
    )
    return key, record


class KeyTable:
    """All keys by digest, as the topic tells them. Written by the thread that reads it, read by the server's."""

    def __init__(self) -> None:
        self._by_id: dict[str, ApiKey] = {}
        self._by_digest: dict[bytes, ApiKey] = {}

    def put(self, key_id: str, record: ApiKey | None) -> None:
        """Take a record of the topic; None: it is gone."""
        before = self._by_id.pop(key_id, None)
        if before is not None:
            self._by_digest.pop(before.digest, None)
        if record is not None:
            self._by_id[key_id] = record
            self._by_digest[record.digest] = record

    def __len__(self) -> int:
        """How many keys there are, whatever their status."""
        return len(self._by_id)

    def of_tenant(self, tenant: str) -> list[ApiKey]:
        """A tenant's keys, oldest first."""
        return sorted(
            (key for key in list(self._by_id.values()) if key.tenant == tenant),
            key=lambda key: (key.created_ms, key.key_id),
        )

    def get(self, key_id: str) -> ApiKey | None:
        """The key of this id."""
        return self._by_id.get(key_id)

    def identify(self, authorization: str, *, now_ms: int) -> Identity:
        """Who a request's Authorization header says it is from. Raises `Unauthenticated`, which never says what was wrong."""
        presented = presented_key(authorization)
        wanted = digest(presented)
        record = self._by_digest.get(wanted)
        # The lookup is by a digest of the guess, so its time tells nothing of a key; the comparison takes the same for all.
        known = hmac.compare_digest(record.digest if record is not None else bytes(len(wanted)), wanted)
        if record is None or not known or record.status != "active" or 0 < record.expires_ms <= now_ms:
            raise Unauthenticated(
                "Invalid API key. Make one with `clearline keys create`, or see whether it was revoked."
            )
        if record.kind == "unrecognized":
            raise Unauthenticated("This key is of a kind that this release does not know.")
        return Identity(
            tenant=record.tenant,
            organization=record.organization,
            key_id=record.key_id,
            kind=record.kind if record.tenant else "organization",
            livemode=record.livemode,
            scopes=record.scopes,
            api_version=record.api_version,
        )


def presented_key(authorization: str) -> str:
    """The key out of `Bearer KEY` or of Basic authentication, where it is the user's name."""
    scheme, _, value = authorization.strip().partition(" ")
    value = value.strip()
    if not value:
        raise Unauthenticated(
            "You did not provide an API key. Send it as `Authorization: Bearer YOUR_KEY`, or as the user of Basic authentication."
        )
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode("ascii").partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthenticated("The Basic credentials can't be read.") from None
    elif scheme.lower() != "bearer":
        raise Unauthenticated("Authorization takes Bearer or Basic here.")
    if not 0 < len(value) <= KEY_CHARS_MAX:
        raise Unauthenticated("Invalid API key.")
    return value
