"""Queries about payouts and windows: what is bound, and that each part of each names the tenant (P7)."""

from __future__ import annotations

import re

import pytest

from api.http.errors import InvalidRequest
from api.payouts.lists import Lists
from api.reads.lists import SOURCES
from tests.unit.api.reads.test_lists import Recording

EVIL = "x' OR 1=1 --"
_TABLES = re.compile(
    r"FROM (?:payout_events|settlement_events|settlement_windows|balance_transactions|payable_balances|proof_\w+)"
)


class Landed:
    """Nothing is waited for."""

    async def wait(self, tenant):
        assert tenant == "acme"


async def test_every_part_of_every_query_names_the_tenant_and_holds_nothing_of_the_request():
    """With hostile values everywhere."""
    warehouse = Recording()
    lists = Lists(warehouse, Landed())
    given = dict.fromkeys(("status", "provider", "currency", "destination"), EVIL) | {"created": {"gte": 7}}
    await lists.payouts("acme", given)
    await lists.windows("acme", given)
    await lists.payout("acme", EVIL)
    await lists.window("acme", EVIL)
    await lists.transactions("acme", [EVIL])
    await lists.moved("acme", [EVIL])
    await lists.payable("acme", EVIL, delay_ms=5, now_ms=7)
    await lists.proofs("acme")
    assert len(warehouse.asked) == 9
    for sql, parameters in warehouse.asked:
        assert sql.count("tenant = {tenant:String}") == len(_TABLES.findall(sql)) > 0
        assert parameters["tenant"] == "acme"
        assert EVIL not in sql
        assert "acme" not in sql
        assert set(re.findall(r"\{(\w+):", sql)) == set(parameters)


async def test_cursors_that_do_not_fit_are_refused():
    """Both at once, and one of an object that isn't there (or another tenant's)."""
    lists = Lists(Recording(), Landed())
    for given, message in (
        ({"starting_after": "po_1", "ending_before": "po_2"}, "not both"),
        ({"starting_after": "po_1"}, "starting_after"),
        ({"ending_before": "po_1"}, "ending_before"),
    ):
        with pytest.raises(InvalidRequest, match=message):
            await lists.payouts("acme", given)


def test_events_of_every_kind_are_the_tenants_own():
    """Each table that events are listed of is asked for the same tenant."""
    sql = SOURCES["events"].places([])
    tables = re.findall(r"FROM (\w+_events)", sql)
    assert tables == ["payment_events", "payment_events", "payout_events", "customer_events"]
    for part in sql.split(" UNION ALL "):
        assert part.count("tenant = {tenant:String}") == part.count("FROM ")
