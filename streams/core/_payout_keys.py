"""Keys of what was asked of a payout after it was made: the same key again has no second effect."""

from __future__ import annotations

from msgspec.structs import replace

from schemas.records import PayoutCommand
from streams.core import ids
from streams.core.errors import CommandError
from streams.core.state import Payout

UPDATES_KEPT_MAX = 16
"""Updates of one payout whose keys are remembered; an older one that comes again is carried out again."""


def came_before(payout: Payout, asked: PayoutCommand) -> bool:
    """Whether the same was asked under this key already. Raises `CommandError` where the key belongs to something else."""
    name = asked.attribution.idempotency_key
    key, digest = _known_as(asked)
    before = dict(payout.updates).get(key)
    if name == payout.idempotency_key or before not in (None, digest):
        raise CommandError("idempotency_error", param="idempotency_key")
    return before is not None


def remembered(payout: Payout, asked: PayoutCommand) -> Payout:
    """The payout that knows the key."""
    return replace(payout, updates=(_known_as(asked), *payout.updates)[:UPDATES_KEPT_MAX])


def _known_as(asked: PayoutCommand) -> tuple[bytes, bytes]:
    return ids.fingerprint(asked.attribution.idempotency_key.encode()), ids.fingerprint(asked.fingerprint.encode())
