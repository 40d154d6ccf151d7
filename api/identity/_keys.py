"""What becomes of keys: those that another person agreed to, those that are given up, and who may give what."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from api.http._tables import Tables
from api.http.errors import Forbidden, InvalidRequest, ParameterInvalid
from api.http.keys import SCOPES, Identity
from api.identity.log import Kept
from schemas.records import ApiKey, Approval, Attribution


def created(tables: Tables, approval: Approval, who: Attribution, now_ms: int) -> tuple[Kept, ...]:
    """The key that another person agreed to."""
    if tables.keys.get(approval.object_id) is not None:
        return ()
    return (replace(pending_key(approval), status="active", created_ms=now_ms, attribution=who),)


def rolled(tables: Tables, approval: Approval, who: Attribution, now_ms: int) -> tuple[Kept, ...]:
    """A successor that another person agreed to; what it takes the place of ends after its overlap, counted from now."""
    given: dict[str, Any] = msgspec.json.decode(approval.parameters)
    old = tables.keys.get(given["rolls"])
    if old is not None and old.successor not in ("", approval.object_id):
        raise InvalidRequest("This key was rolled already: its successor is in `successor`.", code="key_rolled")
    made = created(tables, approval, who, now_ms)
    if not made or old is None or not works(old, now_ms):
        return made
    return (*made, given_up(old, approval.object_id, given["expires_in"], now_ms, who))


def updated(tables: Tables, approval: Approval, who: Attribution, now_ms: int) -> tuple[Kept, ...]:
    """A key with the scopes that another person agreed to."""
    key = tables.keys.get(approval.object_id)
    if key is None or not works(key, now_ms):
        raise InvalidRequest("This key has ended.", code="approval_not_possible")
    given: dict[str, Any] = msgspec.json.decode(approval.parameters)
    changed = replace(key, name=given.get("name", key.name), scopes=tuple(given.get("scopes", key.scopes)))
    return () if changed == key else (replace(changed, updated_ms=now_ms, attribution=who),)


def pending_key(approval: Approval) -> ApiKey:
    """The key that an approval is about; it works once another person has agreed."""
    return msgspec.convert(msgspec.json.decode(approval.parameters), ApiKey)


def key_parameters(key: ApiKey) -> dict[str, Any]:
    """A key as an approval keeps it: its digest, never itself."""
    kept: dict[str, Any] = msgspec.to_builtins(replace(key, attribution=Attribution()))
    del kept["attribution"]
    return kept


def takes_two(key: ApiKey) -> bool:
    """Whether a key may do harm with real money. What every browser may show can't."""
    return key.livemode and key.kind != "publishable"


def gains(before: ApiKey, after: ApiKey) -> bool:
    """Whether a key comes to do what it could not; to change holds to read."""
    had = {*before.scopes, *(scope.replace(":write", ":read") for scope in before.scopes)}
    return not set(after.scopes) <= had


def given_up(key: ApiKey, successor: str, overlap_s: int, now: int, who: Attribution) -> ApiKey:
    ends = now + max(overlap_s * 1000, 1)
    return replace(
        key, successor=successor, expires_ms=min(ends, key.expires_ms or ends), updated_ms=now, attribution=who
    )


def checked_scopes(who: Identity, kind: str, wanted: list[str]) -> tuple[str, ...]:
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


def check_reach(who: Identity, key: ApiKey) -> None:
    """A restricted key changes no key that may do more than itself."""
    if who.kind == "restricted" and key.key_id != who.key_id:
        checked_scopes(who, key.kind, list(key.scopes))


def works(key: ApiKey, now: int) -> bool:
    return key.status == "active" and not 0 < key.expires_ms <= now


def check_works(key: ApiKey, now: int) -> None:
    if not works(key, now):
        raise InvalidRequest("This key has ended. Make a new one.", code="key_ended")
