"""State keys of both folds, in one place: a letter for the kind, then what it belongs to, parted by slashes.

A tenant id and a payment id hold no slash (`checks`), so no key of one can be read as a key of another. Whatever is
free text (an idempotency key, a movement id) comes last.
"""

from __future__ import annotations

CLOCK = b"c/"
"""Lifecycle: the newest tick."""
HEALTH = b"h/"
"""Lifecycle: providers that may not be chosen now."""
EXPIRY_PREFIX = b"e/"
"""Lifecycle: stored replies by the time they end, so that a tick finds the due ones first."""
DUE_PREFIX = b"d/"
"""Lifecycle: payments by the time their authorisation or challenge ends, so that a tick finds the due ones first."""
RESERVE_PREFIX = b"z/"
"""Lifecycle: payments by the time a reserve of theirs is released, so that a tick finds the due ones first."""
NOTICE_PREFIX = b"n/"
"""Lifecycle: notices that were taken."""
TENANT_PREFIX = b"t/"
"""Both folds: tenants."""
OPEN_PREFIX = b"o/"
"""Settlement: open windows by the time they close for good, so that a tick finds the due ones first."""
SEEN_PREFIX = b"s/"
"""Settlement: movements by their time, so that a tick finds the oldest first."""

_TIME_BYTES = 8


def payment(tenant: str, payment_id: str) -> bytes:
    """The payment with its attempts and refunds."""
    return f"p/{tenant}/{payment_id}".encode()


def texts(tenant: str, payment_id: str) -> bytes:
    """Description and metadata of a payment, where it has any: written once, apart from what changes often."""
    return f"x/{tenant}/{payment_id}".encode()


def reply(tenant: str, payment_id: str, idempotency_key: str) -> bytes:
    """The answer to the command that came with this idempotency key."""
    return f"i/{tenant}/{payment_id}/{idempotency_key}".encode()


def expiry(due_ms: int, reply_key: bytes) -> bytes:
    """The mark that the reply under `reply_key` ends at `due_ms`; sorts by time."""
    return EXPIRY_PREFIX + due_ms.to_bytes(_TIME_BYTES, "big") + reply_key


def expiry_parts(key: bytes) -> tuple[int, bytes]:
    """Time and reply key of an `expiry` key."""
    start = len(EXPIRY_PREFIX)
    return int.from_bytes(key[start : start + _TIME_BYTES], "big"), key[start + _TIME_BYTES :]


def notice(tenant: str, payment_id: str, provider: str, notice_id: str) -> bytes:
    """The mark that this notice of a provider was taken; forgotten as answers are."""
    return f"n/{tenant}/{payment_id}/{provider}/{notice_id}".encode()


def due(due_ms: int, payment_key: bytes) -> bytes:
    """The mark that something about the payment under `payment_key` ends at `due_ms`; sorts by time."""
    return DUE_PREFIX + due_ms.to_bytes(_TIME_BYTES, "big") + payment_key


def due_parts(key: bytes) -> tuple[int, str, str]:
    """Time, tenant and payment id of a `due` or `reserve` key."""
    start = len(DUE_PREFIX)
    _, tenant, payment_id = key[start + _TIME_BYTES :].decode().split("/")
    return int.from_bytes(key[start : start + _TIME_BYTES], "big"), tenant, payment_id


def reserve(due_ms: int, payment_key: bytes) -> bytes:
    """The mark that a reserve of the payment under `payment_key` is released at `due_ms`; sorts by time; read by `due_parts`."""
    return RESERVE_PREFIX + due_ms.to_bytes(_TIME_BYTES, "big") + payment_key


def tenant(tenant: str) -> bytes:
    """The tenant's configuration."""
    return f"t/{tenant}".encode()


def policy(tenant: str) -> bytes:
    """The tenant's routing policy; of the empty tenant: everybody else's."""
    return f"r/{tenant}".encode()


def flow(tenant: str, provider: str, currency: str) -> bytes:
    """Settlement: what a tenant's money at a provider in a currency has come to so far."""
    return f"f/{tenant}/{provider}/{currency}".encode()


def windows(tenant: str, provider: str, currency: str) -> bytes:
    """Settlement: prefix of a flow's open windows."""
    return f"w/{tenant}/{provider}/{currency}/".encode()


def window(tenant: str, provider: str, currency: str, opens_ms: int) -> bytes:
    """Settlement: one open window; sorts by time within its flow. Closed ones are not kept: their events are."""
    return windows(tenant, provider, currency) + opens_ms.to_bytes(_TIME_BYTES, "big")


def window_parts(key: bytes) -> tuple[str, str, str]:
    """Tenant, provider and currency of a `window` key."""
    _, tenant, provider, currency = key[: -_TIME_BYTES - 1].decode().split("/")
    return tenant, provider, currency


def open_window(due_ms: int, window_key: bytes) -> bytes:
    """Settlement: the mark that the window under `window_key` closes once the clock reaches `due_ms`."""
    return OPEN_PREFIX + due_ms.to_bytes(_TIME_BYTES, "big") + window_key


def open_window_parts(key: bytes) -> tuple[int, bytes]:
    """Time and window key of an `open_window` key."""
    start = len(OPEN_PREFIX)
    return int.from_bytes(key[start : start + _TIME_BYTES], "big"), key[start + _TIME_BYTES :]


def seen(tenant: str, provider: str, currency: str, occurred_ms: int, movement_id: str) -> bytes:
    """Settlement: the mark that this movement is in a window."""
    return (
        SEEN_PREFIX
        + occurred_ms.to_bytes(_TIME_BYTES, "big")
        + f"{tenant}/{provider}/{currency}/{movement_id}".encode()
    )


def seen_time(key: bytes) -> int:
    """Time of a `seen` key."""
    start = len(SEEN_PREFIX)
    return int.from_bytes(key[start : start + _TIME_BYTES], "big")
