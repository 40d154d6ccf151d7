"""The three ways in which Stripe's Python SDK is spoken, behind one: `voice("payment_intents.create", {...})`.

Nothing of the SDK is changed but its base address; its HTTP client looks at each answer on the way (`_answers`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import stripe

from tests.integration.api._answers import Watched, WatchedAsync

CLASSES: dict[str, Any] = {
    "account": stripe.Account,
    "balance": stripe.Balance,
    "balance_transactions": stripe.BalanceTransaction,
    "charges": stripe.Charge,
    "customers": stripe.Customer,
    "disputes": stripe.Dispute,
    "events": stripe.Event,
    "payment_intents": stripe.PaymentIntent,
    "payment_methods": stripe.PaymentMethod,
    "payouts": stripe.Payout,
    "refunds": stripe.Refund,
    "setup_intents": stripe.SetupIntent,
    "webhook_endpoints": stripe.WebhookEndpoint,
}
_RENAMED = {"update": "modify"}
RETRIES_MAX = 8
"""A list that can't be read yet says 503 and when to come again, which the SDK does by itself, on a busy machine a few times."""


class Voice(Protocol):
    """One way of speaking."""

    def __call__(self, what: str, *given: Any, **options: Any) -> Any:
        """`resource.method` with ids and then parameters, and options such as `idempotency_key`; what the SDK makes of the answer."""
        ...

    def every(self, resource: str, given: dict[str, Any], *, method: str = "list") -> list[Any]:
        """All that the SDK's own paging goes through."""
        ...


class Client:
    """`stripe.StripeClient`, synchronous."""

    def __init__(self, url: str, key: str) -> None:
        self._client = stripe.StripeClient(
            key, base_addresses={"api": url}, http_client=Watched(), max_network_retries=RETRIES_MAX
        )

    def __call__(self, what: str, *given: Any, **options: Any) -> Any:
        resource, _, method = what.partition(".")
        return getattr(getattr(self._client.v1, resource), method)(*given, options=options)

    def every(self, resource: str, given: dict[str, Any], *, method: str = "list") -> list[Any]:
        return list(self(f"{resource}.{method}", given).auto_paging_iter())


class Async:
    """The same client's `..._async` methods, on a loop of its own."""

    def __init__(self, url: str, key: str) -> None:
        self._http = WatchedAsync()
        self._client = stripe.StripeClient(
            key, base_addresses={"api": url}, http_client=self._http, max_network_retries=RETRIES_MAX
        )
        self._runner = asyncio.Runner()

    def __call__(self, what: str, *given: Any, **options: Any) -> Any:
        resource, _, method = what.partition(".")
        call = getattr(getattr(self._client.v1, resource), f"{method}_async")
        return self._runner.run(call(*given, options=options))

    def every(self, resource: str, given: dict[str, Any], *, method: str = "list") -> list[Any]:
        first = self(f"{resource}.{method}", given)

        async def follow() -> list[Any]:
            return [one async for one in first.auto_paging_iter()]

        return self._runner.run(follow())

    def close(self) -> None:
        """End the loop and its connections."""
        self._runner.run(self._http.close_async())
        self._runner.close()


class Module:
    """The older way: `stripe.PaymentIntent.create(...)` with a key for the whole module."""

    def __call__(self, what: str, *given: Any, **options: Any) -> Any:
        resource, _, method = what.partition(".")
        ids = [one for one in given if isinstance(one, str)]
        parameters = next((one for one in given if isinstance(one, dict)), {})
        return getattr(CLASSES[resource], _RENAMED.get(method, method))(*ids, **parameters, **options)

    def every(self, resource: str, given: dict[str, Any], *, method: str = "list") -> list[Any]:
        return list(self(f"{resource}.{method}", given).auto_paging_iter())


@contextmanager
def speaking(way: str, url: str, key: str) -> Iterator[Voice]:
    """A voice: "client", "async" or "module"."""
    if way == "client":
        yield Client(url, key)
    elif way == "async":
        voice = Async(url, key)
        try:
            yield voice
        finally:
            voice.close()
    else:
        before = stripe.api_key, stripe.api_base, stripe.default_http_client, stripe.max_network_retries
        stripe.api_key, stripe.api_base, stripe.default_http_client = key, url, Watched()
        stripe.max_network_retries = RETRIES_MAX
        try:
            yield Module()
        finally:
            stripe.api_key, stripe.api_base, stripe.default_http_client, stripe.max_network_retries = before
