"""`/v1/operators`: the people of an organisation, and who they are to us; changed by its admins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from api.http._tables import Tables
from api.http.errors import Forbidden, InvalidRequest, KeyReused, NotFound, ParameterInvalid
from api.http.operations import Operation, Route
from api.http.parameters import Field, Spec, Text, Texts
from api.http.service import Answer, Caller, Service, now_ms
from api.identity import four_eyes, render
from api.identity._asking import made_id
from api.identity.log import Change, ConfigurationLog, Kept
from api.identity.roles import ROLES
from api.openapi.schema import BOOLEAN, INTEGER, SECONDS, TEXT, Described, array, closed, nullable, of_object, one_of
from api.reads.paging import PAGE, page_of
from schemas.records import Approval, Attribution, Operator, OperatorSession, OperatorStatus, Organization

OPERATORS_MAX = 1_000
"""Of one organisation."""
NAME_CHARS_MAX = 200
EMAIL_CHARS_MAX = 254

_PATH = "/v1/operators"
_ONE = _PATH + "/{id}"
_READ, _WRITE = "operators:read", "operators:write"
_EMAIL = re.compile(r"[^@\s\x00-\x20\x7f]{1,64}@[a-z0-9.-]{1,189}")
_HANDLES_MONEY = ("admin", "operator")
"""Roles that approve, or act on payments: on live tenants nobody gets one by one person's word."""
_SETTINGS: Mapping[str, Field] = {"name": Text(chars_max=NAME_CHARS_MAX), "roles": Texts(), "tenants": Texts()}


def _operation(method: Any, path: str, name: str, summary: str, scope: str, **more: Any) -> Operation:
    return Operation(method=method, path=path, id=name, summary=summary, scope=scope, object="operator", **more)


OPERATIONS: tuple[Operation, ...] = (
    # Everybody who is signed in reads who they are: each role reads tenants.
    _operation("GET", _PATH + "/me", "GetOperatorsMe", "Retrieve who is signed in, with their roles.", "tenants:read"),
    _operation(
        "POST",
        _PATH,
        "PostOperators",
        "Add a person; they sign in at the issuer under their e-mail address. One who gets live money in hand once another has approved.",
        _WRITE,
        spec=Spec(fields={"email": Text(required=True, chars_max=EMAIL_CHARS_MAX), **_SETTINGS}),
    ),
    _operation(
        "GET", _PATH, "GetOperators", "List the organisation's people.", _READ, answers="list", spec=Spec(fields=PAGE)
    ),
    _operation("GET", _ONE, "GetOperatorsOperator", "Retrieve a person.", _READ),
    _operation(
        "POST",
        _ONE,
        "PostOperatorsOperator",
        "Change a person's name, roles, tenants or status; it holds from their next request on.",
        _WRITE,
        spec=Spec(fields={**_SETTINGS, "status": Text(choices=("active", "disabled"))}),
    ),
)


def routes(tables: Tables, log: ConfigurationLog) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""
    made = Operators(tables, log)
    works = (made.me, made.create, made.page, made.retrieve, made.update)
    return tuple(Route(operation=operation, work=work) for operation, work in zip(OPERATIONS, works, strict=True))


class Operators:
    """The work of each operation."""

    def __init__(self, tables: Tables, log: ConfigurationLog) -> None:
        self._tables, self._log = tables, log

    async def me(self, caller: Caller, _path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """Who asks."""
        if caller.identity.kind != "operator":
            raise Forbidden("This is a key. Sign in as an operator.")
        return self._answer(self._one(caller, caller.identity.key_id))

    async def create(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Add one."""
        caller = Service.with_key(caller)
        email = checked_email(given["email"])
        made = replace(
            _changed(Operator(), given),
            operator_id=made_id("op", caller),
            organization=caller.identity.organization,
            email=email,
            status="active",
            version=1,
            created_ms=now_ms(),
            attribution=caller.attribution(),
        )
        self._check_tenants(caller, made)

        def decide() -> Change[Answer]:
            known = self._tables.operators.get(made.operator_id)
            if known is not None:
                if known.email != made.email:
                    raise KeyReused
                return Change(result=replace(self._answer(known), replayed=True))
            check_addable(self._tables, made)
            if not _gains(self._tables, None, made):
                return Change(result=self._answer(made), records=(made,))
            return self._ask(caller, made, four_eyes.CREATE_OPERATOR, {"email": made.email, **_settings(given)})

        return await self._log.write(decide)

    async def page(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """A page, by e-mail address."""
        people = [one for one in list(self._tables.operators.values()) if _belongs(caller, one)]
        people.sort(key=lambda one: (one.email, one.operator_id))
        return Answer(
            body=page_of(
                _PATH, given, people, id_of=lambda one: one.operator_id, render=lambda one: self._answer(one).body
            )
        )

    async def retrieve(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """One."""
        return self._answer(self._one(caller, path["id"]))

    async def update(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Change one. Nobody takes the last admin's role, or changes their own: somebody else has to."""
        caller = Service.with_key(caller)

        def decide() -> Change[Answer]:
            before = self._one(caller, path["id"])
            changed = _changed(before, given)
            if changed == before:
                return Change(result=self._answer(before))
            what = (changed.roles, changed.tenants, changed.status)
            if before.operator_id == caller.identity.key_id and what != (before.roles, before.tenants, before.status):
                raise Forbidden("Nobody changes their own roles, tenants or status: another admin has to.")
            self._check_tenants(caller, changed)
            if _gains(self._tables, before, changed):
                return self._ask(caller, before, four_eyes.UPDATE_OPERATOR, _settings(given))
            changed = replace(changed, version=before.version + 1, attribution=caller.attribution())
            ended = () if changed.status == "active" else ended_sessions(self._tables, changed)
            return Change(result=self._answer(changed), records=(changed, *ended))

        return await self._log.write(decide)

    def _ask(self, caller: Caller, operator: Operator, action: str, given: Mapping[str, Any]) -> Change[Answer]:
        """Have another person agree. The answer is the operator as they stand, or the one that is yet to be."""
        asked, before = four_eyes.ask(
            self._tables,
            caller,
            organization=operator.organization,
            tenant="",
            action=action,
            object_id=operator.operator_id,
            parameters=given,
            now_ms=now_ms(),
        )
        answer = self._answer(operator, approval=asked.approval_id)
        if action == four_eyes.CREATE_OPERATOR:
            answer.body["status"] = "pending_approval"
        return Change(result=replace(answer, replayed=before), records=() if before else (asked,))

    def _answer(self, operator: Operator, *, approval: str = "") -> Answer:
        organization = self._tables.organizations.get(operator.organization)
        return Answer(body=render.operator(operator, organization, approval=approval))

    def _one(self, caller: Caller, operator_id: str) -> Operator:
        found = self._tables.operators.get(operator_id)
        if found is None or not _belongs(caller, found):
            raise NotFound("operator")
        return found

    def _check_tenants(self, caller: Caller, operator: Operator) -> None:
        """Of the organisation; and whoever is kept to some tenants gives no more than those."""
        mine = caller.identity.tenants
        for name in operator.tenants:
            tenant = self._tables.tenants.get(name)
            if tenant is None or tenant.organization != operator.organization or (mine and name not in mine):
                raise ParameterInvalid("tenants names a tenant that you can't act for.", param="tenants")
        if mine and not operator.tenants:
            raise ParameterInvalid("tenants must name some of yours.", param="tenants")


def created(tables: Tables, approval: Approval, who: Attribution, now_ms: int) -> tuple[Kept, ...]:
    """The person whom another person agreed to."""
    given: dict[str, Any] = msgspec.json.decode(approval.parameters)
    made = replace(
        _changed(Operator(), given),
        operator_id=approval.object_id,
        organization=approval.organization,
        email=given["email"],
        status="active",
        version=1,
        created_ms=now_ms,
        attribution=who,
    )
    check_addable(tables, made)
    return (made,)


def updated(tables: Tables, approval: Approval, who: Attribution, _now_ms: int) -> tuple[Kept, ...]:
    """A person's roles, tenants or status as another person approved them, on top of what they are by now."""
    before = tables.operators.get(approval.object_id)
    if before is None or before.organization != approval.organization:
        raise InvalidRequest("This person is not there any more.", code="approval_not_possible")
    changed = _changed(before, msgspec.json.decode(approval.parameters))
    return () if changed == before else (replace(changed, version=before.version + 1, attribution=who),)


def ended_sessions(tables: Tables, operator: Operator) -> tuple[OperatorSession, ...]:
    """Their sessions, ended: were they only refused, they would count again for whoever is made active again."""
    own = [one for one in list(tables.sessions.values()) if one.operator_id == operator.operator_id]
    return tuple(replace(one, status="ended", attribution=operator.attribution) for one in own)


def _gains(tables: Tables, before: Operator | None, after: Operator) -> bool:
    """Whether somebody would come to handle a live tenant's money who does not."""
    live = [one for one in list(tables.tenants.values()) if one.livemode and one.organization == after.organization]

    def reach(person: Operator | None) -> set[tuple[str, str]]:
        if person is None or person.status != "active":
            return set()
        own = [one.tenant for one in live if not person.tenants or one.tenant in person.tenants]
        return {(role, name) for role in person.roles if role in _HANDLES_MONEY for name in own}

    return bool(reach(after) - reach(before))


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked of a person, as an approval keeps it."""
    return {name: given[name] for name in ("name", "roles", "status", "tenants") if given.get(name) is not None}


def checked_email(email: str) -> str:
    """The address in lower case. Raises `ParameterInvalid`."""
    lower = email.lower()
    if not _EMAIL.fullmatch(lower):
        raise ParameterInvalid("email must be an e-mail address.", param="email")
    return lower


def check_addable(tables: Tables, made: Operator) -> None:
    """Raises `InvalidRequest` where the address is another's already, or there are too many."""
    people = list(tables.operators.values())
    if any(one.email == made.email for one in people):
        # An address is one person's for the whole installation: by it they are known when they sign in.
        raise InvalidRequest(
            "This address can't be added. Is it there already?", param="email", code="resource_already_exists"
        )
    if sum(one.organization == made.organization for one in people) >= OPERATORS_MAX:
        raise InvalidRequest("There are as many operators as there may be.", code="limit_exceeded")


def _belongs(caller: Caller, operator: Operator) -> bool:
    organization = caller.identity.organization
    return bool(organization) and caller.identity.kind == "operator" and operator.organization == organization


def _changed(operator: Operator, given: Mapping[str, Any]) -> Operator:
    values: dict[str, Any] = {}
    if "name" in given:
        values["name"] = given["name"] or ""
    if "roles" in given:
        values["roles"] = tuple(sorted(set(given["roles"] or [])))
        if set(values["roles"]) - set(ROLES):
            raise ParameterInvalid(f"roles can be {', '.join(ROLES)}.", param="roles")
    if "tenants" in given:
        values["tenants"] = tuple(sorted(set(given["tenants"] or [])))
    if given.get("status"):
        values["status"] = cast("OperatorStatus", given["status"])
    return replace(operator, **values)


def _examples() -> Mapping[str, dict[str, Any]]:
    one = Operator(
        operator_id="op_1be09fd2a4c6803357de4410",
        organization="org_5f1c0a7be2d94c3388a6d0f1",
        name="Ada",
        email="ada@example.com",
        subject="ada",
        roles=("auditor", "operator"),
        status="active",
        version=2,
        created_ms=1_790_000_000_000,
    )
    return {"signed_in": render.operator(one, Organization(organization=one.organization, name="Example Group"))}


OBJECTS: tuple[Described, ...] = (
    Described(
        name="operator",
        summary="A person who works for an organisation, and what they may do.",
        schema=of_object(
            "operator",
            {
                "approval": nullable(TEXT),
                "created": SECONDS,
                "email": TEXT,
                "livemode": BOOLEAN,
                "name": nullable(TEXT),
                "organization": closed({"id": TEXT, "name": nullable(TEXT)}),
                "roles": array(one_of(*ROLES)),
                "signed_in": BOOLEAN,
                "status": one_of("active", "disabled", "pending_approval"),
                "tenants": array(TEXT),
                "version": INTEGER,
            },
        ),
        examples=_examples,
    ),
)
