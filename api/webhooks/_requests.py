"""One idempotency key, one effect: what changed a tenant's endpoints is remembered with them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from api.http.errors import KeyReused
from api.http.service import Caller
from schemas.records import Attribution, EndpointRequest, WebhookEndpoint

REQUESTS_KEPT_MAX = 16
"""Of each endpoint. An older key, sent again, is a new request."""

_encode = msgspec.json.Encoder(order="sorted").encode


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request that changes something."""

    kind: str
    key: str
    """As the caller sent it, or one that nobody else has."""
    digest: str
    fingerprint: str
    who: Attribution
    now_ms: int

    def remembered(self, endpoint: WebhookEndpoint | None, *, result: str = "") -> tuple[EndpointRequest, ...]:
        """The endpoint's requests with this one in front."""
        mine = EndpointRequest(
            kind=self.kind, key=self.digest, fingerprint=self.fingerprint, result=result, made_ms=self.now_ms
        )
        return (mine, *(() if endpoint is None else endpoint.requests))[:REQUESTS_KEPT_MAX]

    def before(self, endpoints: Mapping[str, WebhookEndpoint]) -> tuple[WebhookEndpoint, EndpointRequest] | None:
        """The same request, when it has had its effect. Raises `KeyReused` when another one had this key."""
        for endpoint in endpoints.values():
            for request in endpoint.requests:
                if request.key == self.digest:
                    if request.fingerprint != self.fingerprint:
                        raise KeyReused
                    return endpoint, request
        return None


def asked(caller: Caller, kind: str, *, of: str, given: Mapping[str, Any], now_ms: int) -> Asked:
    """A request as it is remembered. `of`: the endpoint's id; empty where it is to be made."""
    key = caller.idempotency_key or f"auto_{uuid.uuid4().hex}"
    who = Attribution(
        actor_kind="api_key",
        actor_id=caller.identity.key_id,
        request_id=caller.request_id,
        idempotency_key=key,
        traceparent=caller.traceparent,
    )
    return Asked(
        kind=kind,
        key=key,
        digest=sha256(key.encode()).hexdigest(),
        fingerprint=sha256(_encode([kind, of, given])).hexdigest(),
        who=who,
        now_ms=now_ms,
    )


def made_id(prefix: str, tenant: str, key: str) -> str:
    """An id out of tenant and idempotency key, 24 digits."""
    return f"{prefix}_" + sha256(_encode([prefix, tenant, key])).hexdigest()[:24]
