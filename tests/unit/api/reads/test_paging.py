"""Pages of what is in memory."""

from __future__ import annotations

import pytest

from api.http.errors import InvalidRequest
from api.reads.paging import page_of


def test_pages_are_cut_both_ways():
    """What the cursors say, and whether there is more in that direction; both at once are refused, and one that isn't there."""
    every = [{"id": str(number)} for number in range(5)]

    def ids(**given):
        page = page_of("/v1/ones", given, every, id_of=lambda one: one["id"], render=lambda one: one)
        return "".join(one["id"] for one in page["data"]), page["has_more"]

    assert ids(limit=2) == ("01", True)
    assert ids(limit=2, starting_after="1") == ("23", True)
    assert ids(limit=2, starting_after="2") == ("34", False)
    assert ids(limit=2, ending_before="3") == ("12", True)
    assert ids(limit=2, ending_before="2") == ("01", False)
    for wrong in ({"starting_after": "9"}, {"starting_after": "1", "ending_before": "2"}):
        with pytest.raises(InvalidRequest):
            ids(**wrong)
