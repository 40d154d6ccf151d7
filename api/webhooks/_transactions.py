"""Transactions as this package makes them: for records that carry a delivery, and quiet about being fenced."""

from __future__ import annotations

import logging
from typing import Any

from schemas.catalogue import DELIVERY_BYTES_MAX
from schemas.transactions import TRANSACTION_TIMEOUT_MS, Transactions

PRODUCE_BYTES_MAX = DELIVERY_BYTES_MAX + 16_000  # with key and headers

# Being fenced is part of how two who change one tenant's endpoints take turns; librdkafka's own words would only alarm.
QUIET = logging.getLogger("clearline.webhooks.librdkafka")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


def transactions(
    kafka: dict[str, Any], *, transactional_id: str, timeout_ms: int = TRANSACTION_TIMEOUT_MS
) -> Transactions:
    """Fence whoever has this id, and take its place. Raises `Stopped`."""
    return Transactions(
        kafka,
        transactional_id=transactional_id,
        record_bytes_max=PRODUCE_BYTES_MAX,
        timeout_ms=timeout_ms,
        logger=QUIET,
    )
