"""How a payment is looked up: the seam between the writing half of the API and the reading one."""

from __future__ import annotations

from typing import Protocol

from schemas.views import PaymentView


class Payments(Protocol):
    """Payments as they stand now."""

    async def get(self, tenant: str, payment_id: str) -> PaymentView | None:
        """The tenant's payment; None where it has none of that id."""
        ...
