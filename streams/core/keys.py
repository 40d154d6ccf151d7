"""State keys of all folds, in one place: a letter for the kind, then what it belongs to, parted by slashes.

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
PAYOUT_DUE_PREFIX = b"l/"
"""Settlement: pending payouts by the time from which their provider is asked, so that a tick finds the due ones first."""

_TIME_BYTES = 8


def payment(tenant: str, payment_id: str) -> bytes:
    """The payment with its attempts and refunds."""
    return f"p/{tenant}/{payment_id}".encode()


def texts(tenant: str, payment_id: str, object_id: str = "", *, version: int = 0) -> bytes:
    """Description and metadata of a payment, or of a charge, refund or dispute of it, in one of their versions."""
    first = f"x/{tenant}/{payment_id}"
    return f"{first}/{object_id}/{version}".encode() if version else first.encode()


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


def customer(tenant: str, customer_id: str) -> bytes:
    """Customers: the customer."""
    return f"u/{tenant}/{customer_id}".encode()


def method(tenant: str, method_id: str) -> bytes:
    """Customers: the saved payment method."""
    return f"m/{tenant}/{method_id}".encode()


def setup(tenant: str, setup_id: str) -> bytes:
    """Customers: the setup intent."""
    return f"g/{tenant}/{setup_id}".encode()


def answer(tenant: str, idempotency_key: str) -> bytes:
    """Customers: the answer to the command that came with this idempotency key."""
    return f"i/{tenant}//{idempotency_key}".encode()


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


def payout_terms(tenant: str) -> bytes:
    """Settlement: when and by whom a tenant's payouts are made, where that is not as everybody's."""
    return f"q/{tenant}".encode()


def payout_claim(tenant: str, payout_id: str) -> bytes:
    """Settlement: at which provider the payout of an idempotency key is; on the partition of the key tenant//."""
    return f"k/{tenant}/{payout_id}".encode()


def payout_money(tenant: str, provider: str, currency: str) -> bytes:
    """Settlement: what of a flow was paid out, and what is settled but may not be paid out yet."""
    return f"v/{tenant}/{provider}/{currency}".encode()


def payout(tenant: str, provider: str, currency: str, payout_id: str) -> bytes:
    """Settlement: one payout."""
    return f"y/{tenant}/{provider}/{currency}/{payout_id}".encode()


def payout_due(due_ms: int, payout_key: bytes) -> bytes:
    """Settlement: the mark that the payout under `payout_key` is asked for once the clock reaches `due_ms`; sorts by time."""
    return PAYOUT_DUE_PREFIX + due_ms.to_bytes(_TIME_BYTES, "big") + payout_key


def payout_due_parts(key: bytes) -> tuple[int, tuple[str, str, str], str]:
    """Time, flow (tenant, provider and currency) and payout id of a `payout_due` key."""
    start = len(PAYOUT_DUE_PREFIX)
    _, tenant, provider, currency, payout_id = key[start + _TIME_BYTES :].decode().split("/")
    return int.from_bytes(key[start : start + _TIME_BYTES], "big"), (tenant, provider, currency), payout_id
