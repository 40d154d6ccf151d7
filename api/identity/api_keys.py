"""`/v1/api_keys`: a tenant's keys, made and shown once, given other names and scopes, rolled with an overlap, revoked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from api.http import versions
from api.http._tables import Tables
from api.http.errors import Forbidden, InvalidRequest, KeyReused, NotFound, ParameterInvalid
from api.http.keys import NAME_CHARS_MAX, SCOPES, Identity, Kind, make
from api.http.operations import Operation, Route
from api.http.parameters import Integer, Spec, Text, Texts
from api.http.service import Answer, Caller, Service, now_ms
from api.identity import four_eyes, render
from api.identity._asking import fingerprint, made_id
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
        "Give a key another name, or a restricted one other scopes, at once.",
        _WRITE,
        spec=Spec(fields={"name": _NAME, "scopes": Texts()}),
    ),
    _operation(
        "POST",
        _ONE + "/roll",
        "PostApiKeysApiKeyRoll",
        "Make a key like this one, which ends after an overlap.",
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
        scopes = _scopes(who, kind, given.get("scopes") or [])
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
            if not who.livemode:
                return Change(result=_answer(record, secret=secret), records=(record,))
            asked = four_eyes.ask(
                self._tables,
                caller,
                approval_id=made_id("apr", caller),
                organization=self._tables.tenants[who.tenant].organization,
                tenant=who.tenant,
                action=four_eyes.CREATE_KEY,
                object_id=record.key_id,
                parameters=four_eyes.key_parameters(record),
                now_ms=record.created_ms,
            )
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
        """Another name, other scopes."""
        who = caller.identity

        def change(key: ApiKey) -> tuple[ApiKey, ...]:
            scopes = key.scopes
            if "scopes" in given:
                scopes = _scopes(who, key.kind, given["scopes"] or [])
            name = _name(given) if "name" in given else key.name
            if (name, scopes) == (key.name, key.scopes):
                return ()
            return (replace(key, name=name, scopes=scopes),)

        return await self._change(caller, path["id"], change)

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
            known = self._tables.keys.get(successor_id)
            if known is not None:
                if known.fingerprint != print_:
                    raise KeyReused
                secret, record = made.get(successor_id, ("", known))
                own = record.digest == known.digest
                return Change(result=_answer(known, secret=secret if own else "", replayed=not (own and secret)))
            _check_works(old, now)
            _check_reach(who, old)
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
            ends = now + max(overlap_s * 1000, 1)
            before = replace(
                old,
                successor=successor_id,
                expires_ms=min(ends, old.expires_ms or ends),
                updated_ms=now,
                attribution=caller.attribution(),
            )
            return Change(result=_answer(record, secret=secret), records=(before, record))

        return await self._log.write(decide)

    async def revoke(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """End it. Ending it again changes nothing."""
        return await self._change(
            caller, path["id"], lambda key: () if key.status == "revoked" else (replace(key, status="revoked"),)
        )

    async def _change(self, caller: Caller, key_id: str, change: Callable[[ApiKey], tuple[ApiKey, ...]]) -> Answer:
        caller = Service.with_key(caller)
        now = now_ms()

        def decide() -> Change[Answer]:
            key = self._one(caller.identity, key_id)
            _check_reach(caller.identity, key)
            changed = tuple(replace(one, updated_ms=now, attribution=caller.attribution()) for one in change(key))
            return Change(result=_answer(changed[0] if changed else key), records=changed)

        return await self._log.write(decide)

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
            if one.action == four_eyes.CREATE_KEY and one.object_id == key_id and one.tenant == tenant:
                return four_eyes.pending_key(one), one
        return None

    def _check_room(self, tenant: str) -> None:
        now = now_ms()
        working = sum(_works(key, now) for key in self._tables.keys.of_tenant(tenant))
        if working >= KEYS_PER_TENANT_MAX:
            message = f"There are {working} keys that work, which is as many as may be. Revoke some first."
            raise InvalidRequest(message, code="limit_exceeded")


def _answer(
    key: ApiKey, *, secret: str = "", approval: Approval | None = None, replayed: bool = False, last_used_ms: int = 0
) -> Answer:
    asked = "" if approval is None else approval.approval_id
    body = render.api_key(key, now_ms=now_ms(), secret=secret, last_used_ms=last_used_ms, approval=asked)
    return Answer(body=body, replayed=replayed)


def _name(given: Mapping[str, Any]) -> str:
    name: str = given.get("name") or ""
    if name and not name.isprintable():
        raise ParameterInvalid("name has characters that can't be printed.", param="name")
    return name


def _scopes(who: Identity, kind: str, wanted: list[str]) -> tuple[str, ...]:
    """Checked scopes, sorted. Nobody gives what they don't have."""
    unknown = sorted(set(wanted) - set(SCOPES))
    if unknown:
        raise ParameterInvalid(f"scopes can be {', '.join(SCOPES)}.", param="scopes")
    if (kind == "restricted") != bool(wanted):
        message = "A restricted key needs scopes, and only a restricted key has any."
        raise ParameterInvalid(message, param="scopes")
    if who.kind == "restricted":
        if kind != "restricted":
            raise Forbidden("A restricted key makes restricted keys only.")
        for scope in wanted:
            who.require(scope)
    return tuple(sorted(set(wanted)))


def _check_reach(who: Identity, key: ApiKey) -> None:
    """A restricted key changes no key that may do more than itself."""
    if who.kind == "restricted" and key.key_id != who.key_id:
        _scopes(who, key.kind, list(key.scopes))


def _works(key: ApiKey, now: int) -> bool:
    return key.status == "active" and not 0 < key.expires_ms <= now


def _check_works(key: ApiKey, now: int) -> None:
    if not _works(key, now):
        raise InvalidRequest("This key has ended. Make a new one.", code="key_ended")


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
