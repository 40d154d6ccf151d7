"""What tenants write about their payments, charges, refunds and disputes: kept apart from what changes often, in versions.

An answer is made again from the state that it was first made of, and that names the version of its texts. So a version that
is replaced stays for as long as answers are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streams.core import keys
from streams.core.decision import Decision
from streams.core.errors import InvariantBroken
from streams.core.state import Payment, Texts, decode, encode

KEPT_MS = 30 * 86_400_000
"""A replaced version is as old as an answer may be."""

NO_TEXTS = Texts()

Get = Callable[[bytes], bytes | None]


def of_payment(get: Get, tenant: str, payment_id: str, payment: Payment) -> Texts:
    """Of the payment itself, in the version that its state names; none where it was forgotten."""
    if not payment.has_texts:
        return NO_TEXTS
    return _read(get, keys.texts(tenant, payment_id, version=payment.texts))


def of_object(get: Get, tenant: str, payment_id: str, object_id: str, version: int) -> Texts:
    """Of a charge, refund or dispute; version 0: it has none of its own."""
    return _read(get, keys.texts(tenant, payment_id, object_id, version=version)) if version else NO_TEXTS


def must_be(texts: Texts, *, tenant: str, payment_id: str) -> Texts:
    """The texts that the newest state names: those are never forgotten. Raises `InvariantBroken`."""
    if texts is NO_TEXTS:
        message = f"{tenant}/{payment_id} has lost its texts"
        raise InvariantBroken(message)
    return texts


def keep(
    decision: Decision, texts: Texts, *, tenant: str, payment_id: str, object_id: str, replaces: int | None, now_ms: int
) -> int:
    """Write a new version and let the one that it replaces end in time; None: there was none. Returns its number."""
    version = 1 if replaces is None else replaces + 1
    decision.writes.append((keys.texts(tenant, payment_id, object_id, version=version), encode(texts)))
    if replaces is not None:
        old = keys.texts(tenant, payment_id, object_id, version=replaces)
        decision.writes.append((keys.expiry(now_ms + KEPT_MS, old), b"\x01"))
    return version


def merged(known: Mapping[str, str], told: Mapping[str, str], *, cleared: bool) -> dict[str, str]:
    """Names and texts after a change: what is told is set, what is told empty is removed; cleared: all of it."""
    if cleared:
        return {}
    changed = {**known, **told}
    return {name: text for name, text in changed.items() if text or name not in told}


def _read(get: Get, key: bytes) -> Texts:
    value = get(key)
    return NO_TEXTS if value is None else decode(Texts, value)
