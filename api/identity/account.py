"""`/v1/account` and `/v1/accounts/{id}`: the caller's own tenant in the shape of Stripe's account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.http._tables import Tables
from api.http.errors import NotFound
from api.http.operations import Operation, Route
from api.http.parameters import Spec
from api.http.service import Answer, Caller
from api.identity import render
from api.openapi.schema import (
    BOOLEAN,
    CURRENCY,
    NULL,
    SECONDS,
    TEXT,
    TEXT_MAP,
    Described,
    closed,
    nullable,
    of_object,
    one_of,
)
from schemas.records import Tenant

_SPEC = Spec(elsewhere={"expand": "Nothing of an account can be expanded."})

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/account",
        id="GetAccount",
        summary="Retrieve the account that the key acts for.",
        scope="account:read",
        object="account",
        spec=_SPEC,
    ),
    Operation(
        method="GET",
        path="/v1/accounts/{id}",
        id="GetAccountsAccount",
        summary="Retrieve an account by its id: the key's own, there is no other.",
        scope="account:read",
        object="account",
        spec=_SPEC,
    ),
)


def routes(tables: Tables) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""

    def own(caller: Caller) -> Answer:
        # A key of a tenant that was never configured is of no account.
        tenant = tables.tenants.get(caller.identity.tenant)
        if tenant is None:
            raise NotFound("account", param="account")
        return Answer(body=render.account(tenant))

    async def mine(caller: Caller, _path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        return own(caller)

    async def by_id(caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        if path["id"] != caller.identity.tenant:
            raise NotFound("account", param="account")
        return own(caller)

    return tuple(Route(operation=one, work=work) for one, work in zip(OPERATIONS, (mine, by_id), strict=True))


def _examples() -> Mapping[str, dict[str, Any]]:
    tenant = Tenant(tenant="acme", name="Acme GmbH", timezone="Europe/Berlin", created_ms=1_790_000_000_000)
    return {"active": render.account(tenant)}


_CAPABILITY = one_of("active", "inactive")
_PROFILE = (
    "annual_revenue",
    "estimated_worker_count",
    "mcc",
    "support_address",
    "support_email",
    "support_phone",
    "support_url",
    "url",
)

OBJECTS: tuple[Described, ...] = (
    Described(
        name="account",
        summary="A tenant, as Stripe's SDKs know accounts.",
        schema=of_object(
            "account",
            {
                "business_profile": closed({"name": nullable(TEXT), **dict.fromkeys(_PROFILE, NULL)}),
                "business_type": NULL,
                "capabilities": closed({"card_payments": _CAPABILITY, "transfers": _CAPABILITY}),
                "charges_enabled": BOOLEAN,
                "created": SECONDS,
                "details_submitted": BOOLEAN,
                "email": NULL,
                "livemode": BOOLEAN,
                "metadata": TEXT_MAP,
                "payouts_enabled": BOOLEAN,
                "settings": closed(
                    {
                        "branding": closed(dict.fromkeys(("icon", "logo", "primary_color", "secondary_color"), NULL)),
                        "card_payments": closed({"statement_descriptor_prefix": NULL}),
                        "dashboard": closed({"display_name": nullable(TEXT), "timezone": TEXT}),
                        "payments": closed({"statement_descriptor": NULL}),
                    }
                ),
                "type": one_of("standard"),
            },
            optional={"default_currency": CURRENCY},
        ),
        examples=_examples,
    ),
)
