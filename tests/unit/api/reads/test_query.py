"""Search queries: what is read, and what is said of what can't be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.errors import ParameterInvalid
from api.reads.query import CLAUSES_MAX, Clause, Query, conditions, parse
from api.reads.search import FIELDS, page_after, statement

PAYMENTS = FIELDS["payment_intents"]


def clause(field: str, value, operator: str = ":", **more) -> Clause:
    """A clause in few words."""
    return Clause(field=field, value=value, operator=operator, **more)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("status:'succeeded'", [clause("status", "succeeded")]),
        ('  status:"succeeded"  ', [clause("status", "succeeded")]),
        ("amount>1000 currency:'eur'", [clause("amount", 1000, ">"), clause("currency", "eur")]),
        ("amount>='10' and created<20", [clause("amount", 10, ">="), clause("created", 20, "<")]),
        ("-status:'canceled'", [clause("status", "canceled", negated=True)]),
        ("metadata['order no.']:'67\\\\'35'", [clause("metadata", "67'35", key="order no.")]),
        ('metadata["a"]~"chair"', [clause("metadata", "chair", "~", key="a")]),
        ("-metadata['a']:null", [clause("metadata", None, key="a", negated=True)]),
    ],
)
def test_what_queries_say(text, query) -> None:
    """Fields, operators, values in either quotes, negation, keys of metadata; joined by AND or by nothing."""
    assert parse(text.replace("\\\\", "\\"), PAYMENTS) == Query(clauses=tuple(query))


def test_or_joins_clauses_of_which_any_may_hold() -> None:
    """OR is of the whole query."""
    query = parse("status:'canceled' OR status:'succeeded' OR amount:1", PAYMENTS)
    assert query.any
    assert len(query.clauses) == 3


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 1),
        ("   ", 1),
        ("colour:'red'", 1),
        ("status", 7),
        ("status:succeeded", 8),
        ("status:'succeeded", 8),
        ("status>'a'", 7),
        ("amount~'100'", 7),
        ("amount:'ten'", 8),
        ("amount:10x", 8),
        ("amount:99999999999999999", 8),
        ("metadata:'a'", 9),
        ("status~'ab'", 8),
        ("status:'a' AND amount>1 OR amount<2", 25),
        ("status:'a' AND", 12),
        ("status:'a' AND ", 12),
        (" ".join(["amount:1"] * (CLAUSES_MAX + 1)), 9 * CLAUSES_MAX + 1),
    ],
)
def test_what_cant_be_read_is_said_with_its_place(text, at) -> None:
    """A typed error names the character, and what is needed there."""
    with pytest.raises(ParameterInvalid) as refused:
        parse(text, PAYMENTS)
    assert (refused.value.param, refused.value.code) == ("query", "query_invalid")
    assert f"at character {at}:" in refused.value.message


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text) -> None:
    """Whatever is sent, it is a query or a typed error."""
    try:
        query = parse(text, PAYMENTS)
    except ParameterInvalid:
        return
    assert 0 < len(query.clauses) <= CLAUSES_MAX


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_value_is_part_of_a_statement(key, value) -> None:
    """Keys and texts are bound: the statement is the same whatever they are."""
    quoted_key, quoted = (text.replace("\\", "\\\\").replace("'", "\\'") for text in (key, value))
    query = parse(f"metadata['{quoted_key}']:'{quoted}' -customer:'{quoted}'", PAYMENTS)
    plain, _ = conditions(parse("metadata['k']:'v' -customer:'v'", PAYMENTS), PAYMENTS)
    sql, parameters = conditions(query, PAYMENTS)
    assert sql == plain
    assert parameters == {"q0k": key, "q0": value, "q1": value}


def test_pages_are_of_one_query() -> None:
    """A next page goes on after its object; made up, or with another query, it is refused."""
    page = page_after(1_700_000_000_123, "pi_1", "amount:1")
    sql, parameters = statement("charges", "amount:1", page=page, rows=11)
    assert (parameters["at"], parameters["after"], parameters["rows"]) == (1_700_000_000_123, "pi_1", 11)
    assert "(at, object_id) <" in sql
    for wrong in (page[:-3], "abc", "%%%", page_after(1, "pi_1", "amount:2"), page_after(2**63, "pi_1", "amount:1")):
        with pytest.raises(ParameterInvalid) as refused:
            statement("charges", "amount:1", page=wrong, rows=11)
        assert refused.value.param == "page"
