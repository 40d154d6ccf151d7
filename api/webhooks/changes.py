"""What everything that changes a tenant's endpoints shares: the change itself, the endpoint it is about, and its next version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from api.http.errors import NotFound, Overloaded
from api.http.service import Answer
from api.reads.errors import Unavailable
from api.webhooks._requests import Asked
from api.webhooks.book import Book, Decide
from api.webhooks.errors import TooManyChanges, WebhooksStopped
from schemas.records import WebhookEndpoint


async def changing(book: Book, tenant: str, decide: Decide[Answer]) -> Answer:
    """Change a tenant's endpoints. Raises `ApiError`."""
    try:
        return await book.change(tenant, decide)
    except TooManyChanges:
        raise Overloaded from None
    except WebhooksStopped as error:
        raise Unavailable(str(error)) from error


def living(endpoints: Mapping[str, WebhookEndpoint], endpoint_id: str) -> WebhookEndpoint:
    """The endpoint of that id. Raises `NotFound`: also for one that is another tenant's, or was deleted."""
    one = endpoints.get(endpoint_id)
    if one is None or one.status == "deleted":
        raise NotFound("webhook_endpoint")
    return one


def changed(one: WebhookEndpoint, ask: Asked, *, result: str = "", **changes: Any) -> WebhookEndpoint:
    """The endpoint's next version."""
    return replace(
        one,
        **changes,
        version=one.version + 1,
        updated_ms=ask.now_ms,
        requests=ask.remembered(one, result=result),
        attribution=ask.who,
    )
