"""Pages as queries: what is bound, what is compared, what is refused."""

from __future__ import annotations

import re

import pytest

from api.http.errors import InvalidRequest
from api.reads.lists import SOURCES, Created, Lists, Page, created_tests
from api.reads.service import _page, list_spec
from api.reads.warehouse import bound


class Recording:
    """Answers nothing and keeps what was asked."""

    def __init__(self):
        self.asked = []

    async def rows(self, sql, parameters):
        self.asked.append((sql, dict(parameters)))
        return []


@pytest.mark.parametrize("kind", SOURCES)
async def test_every_query_binds_the_tenant_and_nothing_else_of_the_request_is_in_it(kind):
    """With hostile values everywhere, each query of each kind names the tenant as a parameter and holds none of the values."""
    evil = "x' OR 1=1 --"
    warehouse = Recording()
    lists = Lists(warehouse)
    filters = {name: [evil] if name == "types" else evil for name in SOURCES[kind].filters}
    await lists.page(kind, "acme", Page(created=Created(gte=7)), filters)
    await lists.find(kind, "acme", evil)
    await lists._newest(SOURCES[kind], "acme", [])
    await lists.transactions("acme", [evil])
    await lists.balance("acme")
    assert len(warehouse.asked) == 4
    for sql, parameters in warehouse.asked:
        assert "tenant = {tenant:String}" in sql
        assert parameters["tenant"] == "acme"
        assert evil not in sql
        assert "acme" not in sql
        assert set(re.findall(r"\{(\w+):", sql)) == set(parameters)


def test_created_bounds_are_whole_seconds():
    """A second has 1000 ms: gt and lte take the second's last one in, the narrower of two bounds wins."""
    tests, values = created_tests(Created(gt=5, gte=3, lte=8, lt=20))
    assert tests == ["at >= {created_from:Int64}", "at < {created_until:Int64}"]
    assert values == {"created_from": 6_000, "created_until": 9_000}
    assert created_tests(Created()) == ([], {})


def test_both_cursors_are_refused():
    """starting_after and ending_before together are a 400."""
    with pytest.raises(InvalidRequest, match="not both"):
        _page({"starting_after": "pi_1", "ending_before": "pi_2"})


def test_created_is_a_range_or_a_second():
    """A number stands for exactly that second, by a spec that takes a number."""
    assert _page({"created": 7}).created == Created(gte=7, lte=7)
    assert _page({"created": {"gt": 7}}).created == Created(gt=7)
    assert type(list_spec("charges", created_is_exact=True).fields["created"]) is not type(
        list_spec("charges", created_is_exact=False).fields["created"]
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [("a\tb\\", "a\\tb\\\\"), (7, "7"), (["a", "b"], "['a','b']"), (["it's"], "['it\\\\'s']")],
)
def test_parameters_are_escaped_as_clickhouse_reads_them(value, text):
    """Text as in TSV; arrays with quotes, escaped once more."""
    assert bound(value) == text
