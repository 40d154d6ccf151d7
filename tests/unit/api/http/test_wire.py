from __future__ import annotations

from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe._encode import _api_encode

from api.http import wire
from api.http.errors import Unreadable

NAMES = st.text("abcdefgh_", min_size=1, max_size=8)
VALUES = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
TREES = st.dictionaries(
    NAMES,
    st.recursive(VALUES, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3), max_leaves=8),
    max_size=5,
)


def form(tree, prefix=""):
    """Bracketed pairs of a tree."""
    for name, value in tree.items():
        path = f"{prefix}[{name}]" if prefix else name
        if isinstance(value, dict):
            yield from form(value, path)
        else:
            yield path, value


def depth(tree):
    """How deep a tree goes."""
    return 1 + max((depth(value) for value in tree.values() if isinstance(value, dict)), default=0)


@given(tree=TREES.filter(lambda tree: depth(tree) <= wire.DEPTH_MAX))
def test_a_form_is_read_as_it_was_written(tree) -> None:
    """Whatever a tree of texts holds, its bracketed form reads back the same, brackets raw or as percents."""
    raw = "&".join(f"{quote(name, safe='[]')}={quote(value, safe='')}" for name, value in form(tree))
    assert wire.read_form(raw) == tree
    assert wire.read_body(wire.FORM + ";charset=UTF-8", urlencode(list(form(tree))).encode()) == tree


@given(tree=TREES.filter(lambda tree: depth(tree) <= wire.DEPTH_MAX))
def test_json_is_read_as_it_was_written(tree) -> None:
    """The same tree as JSON reads back the same."""
    assert wire.read_body("application/json; charset=utf-8", msgspec.json.encode(tree)) == tree


@given(items=st.lists(VALUES, min_size=1, max_size=12))
def test_arrays_in_every_way_that_sdks_send_them(items) -> None:
    """Indexed brackets as the official SDK writes them, empty ones as curl does, and JSON make the same list."""
    indexed = urlencode(list(_api_encode({"expand": items})))
    empty = "&".join(f"expand[]={quote(item, safe='')}" for item in items)
    assert wire.as_list(wire.read_form(indexed)["expand"]) == items
    assert wire.as_list(wire.read_form(empty)["expand"]) == items
    assert wire.as_list(wire.read_json(msgspec.json.encode({"expand": items}))["expand"]) == items


def test_indices_decide_the_order() -> None:
    """An array's order is that of its indices, which need not be that of the pairs."""
    assert wire.as_list(wire.read_form("a[10]=x&a[2]=y")["a"]) == ["y", "x"]
    assert wire.as_list(wire.read_form("a[b]=x")["a"]) is None
    assert wire.as_list(wire.read_form("a=")["a"]) == []


def test_cleared_and_then_set() -> None:
    """`metadata=` before `metadata[a]=1` clears and sets, as Stripe's documentation has it."""
    assert wire.read_form("metadata=&metadata[a]=1") == {"metadata": {"a": "1"}}


@pytest.mark.parametrize(
    "text",
    ["a=1&a=2", "a=1&a[b]=2", "a[b=1", "[a]=1", "a[b]c=1", "a[][b]=1", "a[[b]]=1", "a%5Bb=1", "=1", "a=%ff"],
)
def test_what_can_mean_two_things_is_refused(text) -> None:
    """Doubled names, mixed shapes and brackets that do not pair are refused instead of guessed at."""
    with pytest.raises(Unreadable):
        wire.read_form(text)


@pytest.mark.parametrize("body", [b"[1]", b"{", b'"a"', b"\xff", b"[" * 100_000, b'{"a":' * 50_000])
def test_what_is_no_json_object_is_refused(body) -> None:
    """A body that says it is JSON has to be an object, however it is broken."""
    with pytest.raises(Unreadable):
        wire.read_body("application/json", body)


def test_limits() -> None:
    """One more byte, pair or level than allowed is refused, in forms and in JSON."""
    deep = "a" + "[b]" * (wire.DEPTH_MAX - 1)
    assert wire.read_form(f"{deep}=1")
    many = "&".join(f"a[{number}]=1" for number in range(wire.LEAVES_MAX))
    assert len(wire.read_form(many)["a"]) == wire.LEAVES_MAX
    for text in (f"{deep}[b]=1", many + "&b=1", "a" * (wire.NAME_CHARS_MAX + 1) + "=1"):
        with pytest.raises(Unreadable):
            wire.read_form(text)
    nested = 1
    for _ in range(wire.DEPTH_MAX + 1):
        nested = {"a": nested}
    for tree in (nested, {str(number): 1 for number in range(wire.LEAVES_MAX + 1)}):
        with pytest.raises(Unreadable):
            wire.read_json(msgspec.json.encode(tree))
    with pytest.raises(Unreadable):
        wire.read_body(wire.FORM, b"a=" + b"1" * wire.BODY_BYTES_MAX)


def test_an_action_without_a_body() -> None:
    """An empty body has no parameters, whatever its type; any other type than the two is refused."""
    assert wire.read_body("", b"") == wire.read_body("multipart/form-data", b"") == {}
    with pytest.raises(Unreadable):
        wire.read_body("multipart/form-data", b"a=1")
