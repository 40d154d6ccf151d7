"""`/v1/webhook_endpoints`: where a tenant wants to hear of events, as Stripe has it; and the rotation of secrets, which is ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException

from api.http import versions
from api.http.errors import InvalidRequest, NotFound, ParameterInvalid, ParameterMissing
from api.http.operations import Operation, Route
from api.http.parameters import METADATA_KEYS_MAX, Boolean, Integer, Spec, Text, TextMap, Texts
from api.http.service import Answer, Caller, now_ms
from api.reads.errors import Unavailable
from api.reads.paging import PAGE, page_of
from api.webhooks import addresses, render, secrets
from api.webhooks._requests import asked, made_id
from api.webhooks.book import Book, Change, Decide
from api.webhooks.changes import changed, changing, living
from api.webhooks.errors import AddressRefused, WebhooksStopped
from api.webhooks.types import ALL, TYPE_CHARS_MAX
from schemas.event_types import TYPES
from schemas.records import WebhookEndpoint
from schemas.sealing import MasterKeys

ENDPOINTS_PER_TENANT_MAX = 16
"""As many as Stripe allows."""
DELETED_KEPT_MAX = 50
"""So many deleted endpoints of a tenant are remembered, for those who repeat a request; older ones leave nothing."""
DESCRIPTION_CHARS_MAX = 1_000

PATH = "/v1/webhook_endpoints"
_ONE = PATH + "/{id}"
_READ, _WRITE = "webhook_endpoints:read", "webhook_endpoints:write"
ENABLED = (ALL, *TYPES)
"""What endpoints can ask for."""
_ELSEWHERE = {
    "connect": "There are no connected accounts here: an endpoint hears of its own tenant.",
    "expand": "Nothing of a webhook endpoint can be expanded.",
    "payload": "Endpoints get whole events.",
}
_SHARED = {
    "description": Text(chars_max=DESCRIPTION_CHARS_MAX),
    "metadata": TextMap(),
}

CREATE = Operation(
    method="POST",
    path=PATH,
    id="PostWebhookEndpoints",
    summary="Make an endpoint that hears of events from now on; its signing secret is in this answer only.",
    scope=_WRITE,
    object="webhook_endpoint",
    spec=Spec(
        fields={
            "url": Text(required=True, chars_max=addresses.URL_CHARS_MAX),
            "enabled_events": Texts(required=True, chars_max=TYPE_CHARS_MAX, choices=ENABLED),
            "api_version": Text(choices=versions.LIVE),
            **_SHARED,
        },
        elsewhere=_ELSEWHERE,
    ),
)
RETRIEVE = Operation(
    method="GET",
    path=_ONE,
    id="GetWebhookEndpointsWebhookEndpoint",
    summary="One endpoint, without its secret.",
    scope=_READ,
    object="webhook_endpoint",
    spec=Spec(elsewhere=_ELSEWHERE),
)
UPDATE = Operation(
    method="POST",
    path=_ONE,
    id="PostWebhookEndpointsWebhookEndpoint",
    summary="Change where and of what an endpoint hears, or disable it.",
    scope=_WRITE,
    object="webhook_endpoint",
    spec=Spec(
        fields={
            "url": Text(chars_max=addresses.URL_CHARS_MAX),
            "enabled_events": Texts(chars_max=TYPE_CHARS_MAX, choices=ENABLED),
            "disabled": Boolean(),
            **_SHARED,
        },
        elsewhere={**_ELSEWHERE, "api_version": "An endpoint's version is chosen when it is made."},
    ),
)
LIST = Operation(
    method="GET",
    path=PATH,
    id="GetWebhookEndpoints",
    summary="All endpoints, newest first.",
    scope=_READ,
    object="webhook_endpoint",
    answers="list",
    spec=Spec(
        fields=PAGE,
        elsewhere=_ELSEWHERE,
    ),
)
DELETE = Operation(
    method="DELETE",
    path=_ONE,
    id="DeleteWebhookEndpointsWebhookEndpoint",
    summary="Delete an endpoint: it hears of nothing more, not of what waits for it either.",
    scope=_WRITE,
    object="webhook_endpoint",
    answers="deleted",
    spec=Spec(elsewhere=_ELSEWHERE),
)
ROLL_SECRET = Operation(
    method="POST",
    path=_ONE + "/roll_secret",
    id="PostWebhookEndpointsWebhookEndpointRollSecret",
    summary="Give an endpoint a new secret, in this answer only; events are signed with the old one too until it expires.",
    scope=_WRITE,
    object="webhook_endpoint",
    spec=Spec(fields={"expires_in": Integer(most=secrets.OVERLAP_S_MAX)}, elsewhere=_ELSEWHERE),
)
OPERATIONS: tuple[Operation, ...] = (CREATE, RETRIEVE, UPDATE, LIST, DELETE, ROLL_SECRET)


def routes(book: Book, *, master: MasterKeys | None, allow_loopback: bool) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`. Without master keys nothing that has a secret can be made."""
    made = WebhookEndpoints(book, master=master, allow_loopback=allow_loopback)
    works = (made.create, made.retrieve, made.update, made.page, made.delete, made.roll_secret)
    return tuple(Route(operation=operation, work=work) for operation, work in zip(OPERATIONS, works, strict=True))


class WebhookEndpoints:
    """The work of each operation."""

    def __init__(self, book: Book, *, master: MasterKeys | None, allow_loopback: bool) -> None:
        self._book, self._master, self._allow_loopback = book, master, allow_loopback

    async def create(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Make one."""
        ask = asked(caller, "create", of="", given=given, now_ms=now_ms())
        url, events = self._url(given), _events(given)
        master, tenant = self._keys, caller.identity.tenant

        def decide(endpoints: Mapping[str, WebhookEndpoint]) -> Change[Answer]:
            if (before := ask.before(endpoints)) is not None:
                return Change(result=self._again(*before))
            living = [one for one in endpoints.values() if one.status != "deleted"]
            if len(living) >= ENDPOINTS_PER_TENANT_MAX:
                message = f"There are {len(living)} endpoints, which is as many as may be. Delete one, or update one."
                raise InvalidRequest(message, code="limit_exceeded")
            endpoint_id = made_id("we", tenant, ask.key)
            sealed = secrets.made(master, tenant=tenant, endpoint_id=endpoint_id)
            made = WebhookEndpoint(
                endpoint_id=endpoint_id,
                tenant=tenant,
                livemode=caller.identity.livemode,
                url=url,
                enabled_events=events,
                api_version=given.get("api_version") or caller.version,
                description=given.get("description") or "",
                metadata=_metadata({}, given),
                status="enabled",
                secrets=(sealed,),
                version=1,
                created_ms=ask.now_ms,
                updated_ms=ask.now_ms,
                requests=ask.remembered(None, result=secrets.name(sealed)),
                attribution=ask.who,
            )
            return Change(result=self._shown(made, sealed), endpoints=(made,), forgotten=_oldest_deleted(endpoints))

        return await self._change(tenant, decide)

    async def retrieve(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """Show one."""
        endpoints = await self._of(caller.identity.tenant)
        return self._shown(living(endpoints, path["id"]))

    async def update(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Change what was given, and nothing else."""
        ask = asked(caller, "update", of=path["id"], given=given, now_ms=now_ms())
        changes: dict[str, Any] = {}
        if "url" in given:
            changes["url"] = self._url(given)
        if "enabled_events" in given:
            changes["enabled_events"] = _events(given)
        if "description" in given:
            changes["description"] = given["description"] or ""
        if given.get("disabled") is not None:
            changes["status"] = "disabled" if given["disabled"] else "enabled"
            changes["disabled_reason"] = "by the tenant" if given["disabled"] else ""

        def decide(endpoints: Mapping[str, WebhookEndpoint]) -> Change[Answer]:
            one = living(endpoints, path["id"])
            if (before := ask.before(endpoints)) is not None:
                return Change(result=self._again(*before))
            made = changed(one, ask, metadata=_metadata(one.metadata, given), **changes)
            return Change(result=self._shown(made), endpoints=(made,))

        return await self._change(caller.identity.tenant, decide)

    async def page(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """List them."""
        endpoints = await self._of(caller.identity.tenant)
        ordered = sorted(
            (one for one in endpoints.values() if one.status != "deleted"),
            key=lambda one: (one.created_ms, one.endpoint_id),
            reverse=True,
        )
        at_ms = now_ms()
        return Answer(
            body=page_of(
                PATH,
                given,
                ordered,
                id_of=lambda one: one.endpoint_id,
                render=lambda one: render.endpoint(one, now_ms=at_ms),
            )
        )

    async def delete(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Delete one: its secrets too, of which nothing is left once the topic has been compacted."""
        ask = asked(caller, "delete", of=path["id"], given=given, now_ms=now_ms())

        def decide(endpoints: Mapping[str, WebhookEndpoint]) -> Change[Answer]:
            one = living(endpoints, path["id"])
            made = changed(one, ask, status="deleted", secrets=())
            return Change(result=Answer(body=render.deleted(one.endpoint_id)), endpoints=(made,))

        return await self._change(caller.identity.tenant, decide)

    async def roll_secret(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Make a new secret, beside which the old one is valid for `expires_in` seconds more."""
        ask = asked(caller, "roll_secret", of=path["id"], given=given, now_ms=now_ms())
        overlap_s = given.get("expires_in")
        master, tenant = self._keys, caller.identity.tenant

        def decide(endpoints: Mapping[str, WebhookEndpoint]) -> Change[Answer]:
            one = living(endpoints, path["id"])
            if (before := ask.before(endpoints)) is not None:
                return Change(result=self._again(*before))
            sealed = secrets.made(master, tenant=tenant, endpoint_id=one.endpoint_id)
            all_of_them = secrets.rotated(
                one.secrets,
                sealed,
                now_ms=ask.now_ms,
                overlap_s=secrets.OVERLAP_S if overlap_s is None else overlap_s,
            )
            if all_of_them is None:
                message = (
                    "Too many secrets of this endpoint are valid already. Wait until one expires, or send expires_in=0."
                )
                raise InvalidRequest(message, param="expires_in", code="limit_exceeded")
            made = changed(one, ask, result=secrets.name(sealed), secrets=all_of_them)
            return Change(result=self._shown(made, sealed), endpoints=(made,))

        return await self._change(tenant, decide)

    @property
    def _keys(self) -> MasterKeys:
        if self._master is None:
            raise Unavailable("CLEARLINE_MASTER_KEY is not set, so no secret can be sealed")
        return self._master

    def _url(self, given: Mapping[str, Any]) -> str:
        url: str | None = given["url"]
        if not url:
            raise ParameterMissing("url")
        try:
            addresses.check_url(url, allow_loopback=self._allow_loopback)
        except AddressRefused as refused:
            raise ParameterInvalid(f"This url can't be called: {refused}.", param="url", code="url_invalid") from None
        return url

    def _shown(self, one: WebhookEndpoint, sealed: Any = None) -> Answer:
        secret = "" if sealed is None else secrets.opened(self._keys, one, sealed)
        return Answer(body=render.endpoint(one, now_ms=now_ms(), secret=secret))

    def _again(self, one: WebhookEndpoint, request: Any) -> Answer:
        """The answer to a request that has had its effect: the endpoint as it is, and the secret that it made while that is valid."""
        if one.status == "deleted":
            raise NotFound("webhook_endpoint")
        named = (sealed for sealed in one.secrets if request.result and secrets.name(sealed) == request.result)
        return Answer(body=self._shown(one, next(named, None)).body, replayed=True)

    async def _of(self, tenant: str) -> dict[str, WebhookEndpoint]:
        try:
            return await self._book.of(tenant)
        except (WebhooksStopped, KafkaException) as error:
            raise Unavailable(str(error)) from error

    async def _change(self, tenant: str, decide: Decide[Answer]) -> Answer:
        return await changing(self._book, tenant, decide)


def _events(given: Mapping[str, Any]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(given["enabled_events"]))
    if not names:
        raise ParameterMissing("enabled_events", why="Name types of events, or * for all.")
    return names


def _metadata(before: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, str]:
    """An empty value removes a key; no keys at all remove all of them."""
    if "metadata" not in given:
        return dict(before)
    if not given["metadata"]:
        return {}
    both = {**before, **given["metadata"]}
    kept = {key: value for key, value in both.items() if value is not None}
    if len(kept) > METADATA_KEYS_MAX:
        raise ParameterInvalid(f"metadata would have {len(kept)} keys.", param="metadata")
    return kept


def _oldest_deleted(endpoints: Mapping[str, WebhookEndpoint]) -> tuple[str, ...]:
    gone = sorted(
        (one for one in endpoints.values() if one.status == "deleted"),
        key=lambda one: (one.updated_ms, one.endpoint_id),
    )
    return tuple(one.endpoint_id for one in gone[: max(len(gone) - DELETED_KEPT_MAX, 0)])
