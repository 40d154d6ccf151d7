"""What is done once another person has agreed to it: each act that takes two, and what carries it out."""

from __future__ import annotations

from collections.abc import Mapping

from api.http._tables import Tables
from api.identity import _keys, four_eyes, operators, policies, tenants
from api.identity.four_eyes import CarryOut
from api.identity.log import Kept
from schemas.records import Approval, Attribution


def _elsewhere(_tables: Tables, _approval: Approval, _who: Attribution, _now_ms: int) -> tuple[Kept, ...]:
    """Nothing is to be kept: a fold carries it out (`api.identity.payouts`)."""
    return ()


CARRY_OUT: Mapping[str, CarryOut] = {
    four_eyes.CREATE_KEY: _keys.created,
    four_eyes.ROLL_KEY: _keys.rolled,
    four_eyes.UPDATE_KEY: _keys.updated,
    four_eyes.CREATE_OPERATOR: operators.created,
    four_eyes.UPDATE_OPERATOR: operators.updated,
    four_eyes.CREATE_PAYOUT: _elsewhere,
    four_eyes.SET_POLICY: policies.created,
    four_eyes.SET_STATUS: tenants.status_set,
    four_eyes.UPDATE_TENANT: tenants.updated,
}
