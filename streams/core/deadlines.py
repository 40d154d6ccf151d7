"""What ends by itself: an authorisation that nobody captures, and a challenge that no customer completes."""

from __future__ import annotations

from schemas.records import PaymentStatus
from streams.core.state import TenantState

EXPIRIES_PER_TICK_MAX = 200
"""Bounds the work of one tick; what is left is for the next one."""
AGAIN_MS = 3_600_000
"""When a provider would not give the authorisation up, it is asked again after this."""

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_DEFAULT = TenantState(0, active=True)

WAITING: tuple[PaymentStatus, ...] = ("requires_action", "requires_capture")
"""In these a payment waits for somebody, but not for ever."""


def due_ms(
    status: PaymentStatus, *, now_ms: int, authorized_ms: int, payment_method: str, tenant: TenantState | None
) -> int:
    """When a payment that comes into this status leaves it by itself, in ms since the epoch."""
    terms = tenant or _DEFAULT
    if status == "requires_action":
        return now_ms + terms.action_hours * _HOUR_MS
    days = terms.capture_days
    for start, exception in terms.capture_rules:
        if payment_method.startswith(start):
            days = exception
            break
    return max((authorized_ms or now_ms) + days * _DAY_MS, now_ms + AGAIN_MS)
