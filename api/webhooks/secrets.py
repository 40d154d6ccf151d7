"""Endpoints' signing secrets: sealed with the installation's master key, several of them while a rotation overlaps."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from msgspec.structs import replace

from api.webhooks.signing import SECRETS_MAX, new_secret
from schemas.records import SealedSecret, WebhookEndpoint
from schemas.sealing import MasterKeys, open_secret, seal_secret

OVERLAP_S = 86_400
OVERLAP_S_MAX = 7 * 86_400

_PURPOSE = "webhook endpoint"


def made(master: MasterKeys, *, tenant: str, endpoint_id: str) -> SealedSecret:
    """A new secret, sealed; it opens for this endpoint only."""
    return seal_secret(master, new_secret().encode(), purpose=_PURPOSE, owner=f"{tenant}/{endpoint_id}")


def opened(master: MasterKeys, endpoint: WebhookEndpoint, sealed: SealedSecret) -> str:
    """A secret's text. Raises `MasterKeyMissing` and `SealBroken`."""
    owner = f"{endpoint.tenant}/{endpoint.endpoint_id}"
    return open_secret(master, sealed, purpose=_PURPOSE, owner=owner).decode()


def valid(secrets: Iterable[SealedSecret], *, now_ms: int) -> tuple[SealedSecret, ...]:
    """Those that have not ended, newest first as they stand; at most as many as a header takes."""
    return tuple(one for one in secrets if not one.expires_ms or one.expires_ms > now_ms)[:SECRETS_MAX]


def rotated(
    secrets: Iterable[SealedSecret], new: SealedSecret, *, now_ms: int, overlap_s: int
) -> tuple[SealedSecret, ...] | None:
    """The secrets after a rotation: those before end when the overlap does, or earlier. None: too many are valid already."""
    ends_ms = now_ms + overlap_s * 1000
    before = [replace(one, expires_ms=min(one.expires_ms or ends_ms, ends_ms)) for one in valid(secrets, now_ms=now_ms)]
    left = [one for one in before if one.expires_ms > now_ms]
    return None if len(left) >= SECRETS_MAX else (new, *left)


def name(sealed: SealedSecret) -> str:
    """Names a sealed secret without telling it: to find it again among others."""
    return sha256(sealed.sealed).hexdigest()[:16]
