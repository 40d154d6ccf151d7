"""Expansion along paths."""

from __future__ import annotations

import pytest

from api.http.errors import ParameterInvalid
from api.reads.expand import check, expand


def test_paths_are_checked_against_what_can_be_expanded():
    """Paths lead along expandable fields, at most four of them, and in lists through data."""
    assert check(["latest_charge.balance_transaction.source"], of="payment_intent", in_list=False)
    assert check(["data.charge.payment_intent"], of="refund", in_list=True) == [("charge", "payment_intent")]
    for path, in_list in (
        ("nothing", False),
        ("latest_charge", True),
        ("data", True),
        ("data.amount", True),
        ("", False),
    ):
        with pytest.raises(ParameterInvalid):
            check([path], of="payment_intent", in_list=in_list)
    deep = "latest_charge.payment_intent.latest_charge.payment_intent"
    assert check([deep], of="payment_intent", in_list=False)
    with pytest.raises(ParameterInvalid):
        check([deep + ".latest_charge"], of="payment_intent", in_list=False)


async def test_ids_are_replaced_and_null_stays():
    """Each step replaces an id by its object; what is null or can't be had stays as it was."""

    async def fetch(_field, object_id):
        return {"ch_1": {"id": "ch_1", "balance_transaction": None, "payment_intent": "pi_gone"}}.get(object_id)

    body = {"id": "pi_1", "latest_charge": "ch_1"}
    await expand(body, ("latest_charge", "balance_transaction"), fetch)
    await expand(body, ("latest_charge", "payment_intent"), fetch)
    assert body["latest_charge"] == {"id": "ch_1", "balance_transaction": None, "payment_intent": "pi_gone"}
