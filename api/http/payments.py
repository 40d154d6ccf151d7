"""How payments and what belongs to them are looked up: the seam between the writing half of the API and the reading one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from schemas.views import PaymentView

if TYPE_CHECKING:
    from api.http.service import Caller

Found = Literal["charges", "refunds", "disputes"]
Paths = list[tuple[str, ...]]
"""What to expand, as steps from the object that is shown."""


class Payments(Protocol):
    """Payments as they stand now."""

    async def get(self, tenant: str, payment_id: str) -> PaymentView | None:
        """The tenant's payment; None where it has none of that id."""
        ...


class Whereabouts(Protocol):
    """Where an object is."""

    @property
    def payment_id(self) -> str:
        """The payment that it belongs to."""
        ...

    @property
    def at(self) -> int:
        """When it was made, ms since the epoch."""
        ...


class Objects(Protocol):
    """Charges, refunds and disputes by their own ids, and what answers can be expanded with."""

    async def place(self, kind: Found, tenant: str, object_id: str) -> Whereabouts | None:
        """Where the tenant's object is; None where it has none of that id. Raises `ApiError`."""
        ...

    async def show(self, kind: Found, caller: Caller, object_id: str) -> dict[str, Any] | None:
        """The object as it stands; None where the caller's tenant has none of that id. Raises `ApiError`."""
        ...

    def paths(self, given: list[str], *, of: str) -> Paths:
        """The paths of `expand` for one object. Raises `ParameterInvalid` for one that leads nowhere."""
        ...

    async def expand(self, caller: Caller, body: dict[str, Any], paths: Paths) -> None:
        """Put objects in the place of ids, within `body`. Raises `ApiError`."""
        ...
