"""`/v1/api_keys`: a tenant's keys, made and shown once, given other names and scopes, rolled with an overlap, revoked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from api.http import versions
from api.http._tables import Tables
from api.http.errors import InvalidRequest, KeyReused, NotFound, ParameterInvalid
from api.http.keys import NAME_CHARS_MAX, SCOPES, Identity, Kind, make
from api.http.operations import Operation, Route
from api.http.parameters import Integer, Spec, Text, Texts
from api.http.service import Answer, Caller, Service, now_ms
from api.identity import four_eyes, render
from api.identity._asking import fingerprint, made_id
from api.identity._keys import (
    check_reach,
    check_works,
    checked_scopes,
    gains,
    given_up,
    key_parameters,
    pending_key,
    takes_two,
    works,
)
from api.identity.log import Change, ConfigurationLog
from api.openapi.schema import BOOLEAN, SECONDS, TEXT, Described, array, nullable, of_object, one_of
from api.reads.paging import PAGE, page_of
from schemas.records import ApiKey, Approval

KEYS_PER_TENANT_MAX = 100
"""That work; those that ended don't count."""
OVERLAP_S = 24 * 3_600
OVERLAP_S_MAX = 7 * 24 * 3_600

_PATH = "/v1/api_keys"
_ONE = _PATH + "/{id}"
_READ, _WRITE = "api_keys:read", "api_keys:write"
_NAME = Text(chars_max=NAME_CHARS_MAX)


def _operation(method: Any, path: str, name: str, summary: str, scope: str, **more: Any) -> Operation:
    return Operation(method=method, path=path, id=name, summary=summary, scope=scope, object="api_key", **more)


OPERATIONS: tuple[Operation, ...] = (
    _operation(
        "POST",
        _PATH,
        "PostApiKeys",
        "Make a key. It is shown in this answer only; for real money it works once another person has approved it.",
        _WRITE,
        spec=Spec(
            fields={
                "type": Text(choices=("secret", "restricted", "publishable")),
                "name": _NAME,
                "scopes": Texts(),
                "api_version": Text(choices=versions.LIVE),
            }
        ),
    ),
    _operation("GET", _PATH, "GetApiKeys", "List keys, newest first.", _READ, answers="list", spec=Spec(fields=PAGE)),
    _operation("GET", _ONE, "GetApiKeysApiKey", "Retrieve a key, without itself.", _READ),
    _operation(
        "POST",
        _ONE,
        "PostApiKeysApiKey",
        "Give a key another name, or a restricted one other scopes; scopes that a live one lacks once another person has approved.",
        _WRITE,
        spec=Spec(fields={"name": _NAME, "scopes": Texts()}),
    ),
    _operation(
        "POST",
        _ONE + "/roll",
        "PostApiKeysApiKeyRoll",
        "Make a key like this one, which ends after an overlap; a live one's successor works once another person has approved.",
        _WRITE,
        spec=Spec(fields={"expires_in": Integer(most=OVERLAP_S_MAX)}),
    ),
    _operation("POST", _ONE + "/revoke", "PostApiKeysApiKeyRevoke", "End a key at once and for ever.", _WRITE),
)


def routes(tables: Tables, log: ConfigurationLog) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""
    made = ApiKeys(tables, log)
    works = (made.create, made.page, made.retrieve, made.update, made.roll, made.revoke)
    return tuple(Route(operation=operation, work=work) for operation, work in zip(OPERATIONS, works, strict=True))


class ApiKeys:
    """The work of each operation."""

    def __init__(self, tables: Tables, log: ConfigurationLog) -> None:
        self._tables, self._log = tables, log

    async def create(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Make one, or ask for it to be approved."""
        caller = Service.with_key(caller)
        who = caller.identity
        kind: Kind = given.get("type") or "secret"
        scopes = checked_scopes(who, kind, given.get("scopes") or [])
        secret, record = make(
            who.tenant,
            key_id=made_id("key", caller),
            now_ms=now_ms(),
            who=caller.attribution(),
            kind=kind,
            livemode=who.livemode,
            name=_name(given),
            scopes=scopes,
            api_version=given.get("api_version") or "",
            fingerprint=fingerprint(given),
        )

        def decide() -> Change[Answer]:
            before = self._before(who.tenant, record.key_id)
            if before is not None:
                found, approval = before
                if found.fingerprint != record.fingerprint:
                    raise KeyReused
                own = found.digest == record.digest  # written by an attempt of this very request
                return Change(result=_answer(found, secret=secret if own else "", approval=approval, replayed=not own))
            self._check_room(who.tenant)
            if not takes_two(record):
                return Change(result=_answer(record, secret=secret), records=(record,))
            asked, _ = self._ask(caller, four_eyes.CREATE_KEY, record.key_id, key_parameters(record), record.created_ms)
            return Change(result=_answer(record, secret=secret, approval=asked), records=(asked,))

        return await self._log.write(decide)

    async def page(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """A page of keys."""
        now = now_ms()
        found = self._tables.keys.of_tenant(caller.identity.tenant)[::-1]
        return Answer(
            body=page_of(
                _PATH,
                given,
                found,
                id_of=lambda one: one.key_id,
                render=lambda one: render.api_key(one, now_ms=now, last_used_ms=self._tables.used_ms(one.key_id)),
            )
        )

    async def retrieve(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """One key."""
        before = self._before(caller.identity.tenant, path["id"])
        if before is None:
            raise NotFound("api_key")
        return _answer(before[0], approval=before[1], last_used_ms=self._tables.used_ms(before[0].key_id))

    async def update(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Another name, other scopes; scopes that a key for real money lacks take another person's word."""
        caller = Service.with_key(caller)
        who, now = caller.identity, now_ms()

        def decide() -> Change[Answer]:
            key = self._one(who, path["id"])
            check_reach(who, key)
            changed = replace(key, name=_name(given)) if "name" in given else key
            if "scopes" in given:
                changed = replace(changed, scopes=checked_scopes(who, key.kind, given["scopes"] or []))
            if takes_two(key) and gains(key, changed):
                parameters: dict[str, Any] = {
                    name: getattr(changed, name) for name in ("name", "scopes") if name in given
                }
                asked, before = self._ask(caller, four_eyes.UPDATE_KEY, key.key_id, parameters, now)
                body = _answer(key, approval=asked, pending=False, replayed=before)
                return Change(result=body, records=() if before else (asked,))
            if changed == key:
                return Change(result=_answer(key))
            changed = replace(changed, updated_ms=now, attribution=caller.attribution())
            return Change(result=_answer(changed), records=(changed,))

        return await self._log.write(decide)

    async def roll(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """A key like it; the old one ends after the overlap."""
        caller = Service.with_key(caller)
        who, now = caller.identity, now_ms()
        overlap_s = OVERLAP_S if given.get("expires_in") is None else int(given["expires_in"])
        made: dict[str, tuple[str, ApiKey]] = {}

        def decide() -> Change[Answer]:
            old = self._one(who, path["id"])
            successor_id = made_id("key", caller)
            print_ = fingerprint({"rolls": old.key_id, **given})
            found = self._before(who.tenant, successor_id)
            if found is not None:
                known, approval = found
                if known.fingerprint != print_:
                    raise KeyReused
                secret, record = made.get(successor_id, ("", known))
                own = bool(secret) and record.digest == known.digest
                return Change(result=_answer(known, secret=secret if own else "", approval=approval, replayed=not own))
            check_works(old, now)
            check_reach(who, old)
            if old.successor:
                raise InvalidRequest("This key was rolled already: its successor is in `successor`.", code="key_rolled")
            kind = old.kind
            assert kind != "unrecognized", "a key of no known kind works"
            secret, record = made[successor_id] = make(
                who.tenant,
                key_id=successor_id,
                now_ms=now,
                who=caller.attribution(),
                kind=kind,
                livemode=old.livemode,
                name=old.name,
                scopes=old.scopes,
                api_version=old.api_version,
                fingerprint=print_,
            )
            before = given_up(old, successor_id, overlap_s, now, caller.attribution())
            if not takes_two(record):
                return Change(result=_answer(record, secret=secret), records=(before, record))
            parameters = {**key_parameters(record), "rolls": old.key_id, "expires_in": overlap_s}
            asked, _ = self._ask(caller, four_eyes.ROLL_KEY, successor_id, parameters, now)
            # Ending a key takes one person, and at once: it may be in the wrong hands. Its successor takes two.
            ended = () if overlap_s else (before,)
            return Change(result=_answer(record, secret=secret, approval=asked), records=(asked, *ended))

        return await self._log.write(decide)

    async def revoke(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """End it. Ending it again changes nothing."""
        caller = Service.with_key(caller)
        now = now_ms()

        def decide() -> Change[Answer]:
            key = self._one(caller.identity, path["id"])
            check_reach(caller.identity, key)
            if key.status == "revoked":
                return Change(result=_answer(key))
            ended = replace(key, status="revoked", updated_ms=now, attribution=caller.attribution())
            return Change(result=_answer(ended), records=(ended,))

        return await self._log.write(decide)

    def _ask(
        self, caller: Caller, action: str, key_id: str, parameters: Mapping[str, Any], now: int
    ) -> tuple[Approval, bool]:
        tenant = self._tables.tenants[caller.identity.tenant]
        return four_eyes.ask(
            self._tables,
            caller,
            organization=tenant.organization,
            tenant=tenant.tenant,
            action=action,
            object_id=key_id,
            parameters=parameters,
            now_ms=now,
        )

    def _one(self, who: Identity, key_id: str) -> ApiKey:
        found = self._tables.keys.get(key_id)
        if found is None or found.tenant != who.tenant:
            raise NotFound("api_key")
        return found

    def _before(self, tenant: str, key_id: str) -> tuple[ApiKey, Approval | None] | None:
        """The tenant's key of this id, or the one that waits to be approved."""
        key = self._tables.keys.get(key_id)
        if key is not None:
            return (key, None) if key.tenant == tenant else None
        for one in list(self._tables.approvals.values()):
            made = one.action in (four_eyes.CREATE_KEY, four_eyes.ROLL_KEY)
            if made and one.object_id == key_id and one.tenant == tenant:
                return pending_key(one), one
        return None

    def _check_room(self, tenant: str) -> None:
        now = now_ms()
        working = sum(works(key, now) for key in self._tables.keys.of_tenant(tenant))
        if working >= KEYS_PER_TENANT_MAX:
            message = f"There are {working} keys that work, which is as many as may be. Revoke some first."
            raise InvalidRequest(message, code="limit_exceeded")


def _answer(
    key: ApiKey,
    *,
    secret: str = "",
    approval: Approval | None = None,
    pending: bool = True,
    replayed: bool = False,
    last_used_ms: int = 0,
) -> Answer:
    """`pending`: whether the approval is of the key itself, and not of a change to it."""
    body = render.api_key(
        key,
        now_ms=now_ms(),
        secret=secret,
        last_used_ms=last_used_ms,
        approval="" if approval is None else approval.approval_id,
        pending=pending and approval is not None,
    )
    return Answer(body=body, replayed=replayed)


def _name(given: Mapping[str, Any]) -> str:
    name: str = given.get("name") or ""
    if name and not name.isprintable():
        raise ParameterInvalid("name has characters that can't be printed.", param="name")
    return name


def _examples() -> Mapping[str, dict[str, Any]]:
    at = 1_790_000_000_000
    key = ApiKey(
        key_id="key_5a0e1c6f3b2d4a7e9c8b1f02",
        tenant="acme",
        kind="restricted",
        hint="q7zd",
        name="Refunds from the back office",
        scopes=("charges:read", "refunds:write"),
        status="active",
        created_ms=at,
    )
    rolled = replace(key, expires_ms=at + 1000 * OVERLAP_S, successor="key_0c41d2aa97e35bd08f6e1c55")
    return {
        "made": render.api_key(key, now_ms=at, secret="rk_test_" + "…"),
        "rolled": render.api_key(rolled, now_ms=at),
    }


OBJECTS: tuple[Described, ...] = (
    Described(
        name="api_key",
        summary="A credential of a tenant. Of itself only a digest is kept; `secret` is in the answer that makes it.",
        schema=of_object(
            "api_key",
            {
                "api_version": nullable(TEXT),
                "approval": nullable(TEXT),
                "created": SECONDS,
                "expires_at": nullable(SECONDS),
                "hint": TEXT,
                "last_used": nullable(SECONDS),
                "livemode": BOOLEAN,
                "name": nullable(TEXT),
                "scopes": array(one_of(*SCOPES)),
                "secret": nullable(TEXT),
                "status": one_of("active", "expiring", "expired", "revoked", "pending_approval"),
                "successor": nullable(TEXT),
                "type": one_of("secret", "restricted", "publishable"),
            },
        ),
        examples=_examples,
    ),
)
