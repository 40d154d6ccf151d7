from __future__ import annotations

import pytest

from api.http.errors import InvalidRequest, ParameterInvalid, ParameterMissing, ParameterUnknown
from api.http.parameters import Boolean, Integer, Object, Objects, Spec, Text, TextMap, Texts, check
from api.http.wire import read_form

SPEC = Spec(
    fields={
        "amount": Integer(required=True, least=1, most=1_000),
        "currency": Text(choices=("eur", "usd")),
        "confirm": Boolean(),
        "description": Text(chars_max=10),
        "metadata": TextMap(),
        "expand": Texts(),
        "options": Object(fields={"network": Text()}),
    },
    elsewhere={"mandate": "Mandates are not supported."},
)


def test_forms_and_json_mean_the_same() -> None:
    """Texts of a form become the types that JSON has already."""
    text = "amount=12&currency=eur&confirm=true&metadata[a]=1&expand[0]=x&options[network]=visa"
    expected = {
        "amount": 12,
        "currency": "eur",
        "confirm": True,
        "metadata": {"a": "1"},
        "expand": ["x"],
        "options": {"network": "visa"},
    }
    assert check(SPEC, read_form(text)) == check(SPEC, {**expected, "metadata": {"a": 1}}) == expected


def test_empty_and_null_clear() -> None:
    """`x=` (Java, Node) and null (JSON) both clear; what is not sent is not there."""
    empty = check(SPEC, read_form("amount=1&description=&metadata=&expand="))
    assert empty == check(SPEC, {"amount": 1, "description": None, "metadata": None, "expand": None})
    assert empty == {"amount": 1, "description": None, "metadata": {}, "expand": []}
    assert check(SPEC, read_form("amount=1&metadata[a]=")) == {"amount": 1, "metadata": {"a": None}}


@pytest.mark.parametrize(
    ("text", "param", "words"),
    [
        ("amount=1&amuont=2", "amuont", "Did you mean amount?"),
        ("amount=1&options[netwrok]=visa", "options[netwrok]", "Did you mean options[network]?"),
        ("amount=1&bogus=1", "bogus", "Received unknown parameter: bogus."),
        ("amount=1&mandate=x", "mandate", "Mandates are not supported."),
    ],
)
def test_unknown_parameters(text, param, words) -> None:
    """An unknown parameter is refused by name, with the nearest known one, or with why we do not take it."""
    with pytest.raises(ParameterUnknown, match=words.replace("?", r"\?").replace("[", r"\[")) as caught:
        check(SPEC, read_form(text))
    assert caught.value.param == param


def test_a_card_number_as_a_name_is_not_repeated() -> None:
    """An error never repeats what may be a card number, wherever it stood."""
    for text in ("amount=1&4242424242424242=1", "amount=1&c4242424242424242=1"):
        with pytest.raises(ParameterUnknown) as caught:
            check(SPEC, read_form(text))
        assert "4242" not in str(caught.value.body())


def test_missing() -> None:
    """A required parameter is named, also when it is sent empty."""
    for text in ("", "amount=", "currency=eur"):
        with pytest.raises(ParameterMissing) as caught:
            check(SPEC, read_form(text))
        assert caught.value.param == "amount"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"amount": "1.5"}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "1001"}, "amount"),
        ({"amount": "1" * 5_000}, "amount"),
        ({"amount": "٣"}, "amount"),
        ({"amount": {"a": "1"}}, "amount"),
        ({"amount": 1, "confirm": "yes"}, "confirm"),
        ({"amount": 1, "confirm": 1}, "confirm"),
        ({"amount": 1, "currency": "gbp"}, "currency"),
        ({"amount": 1, "description": "x" * 11}, "description"),
        ({"amount": 1, "description": "\0"}, "description"),
        ({"amount": 1, "description": 1}, "description"),
        ({"amount": 1, "expand": {"b": "x"}}, "expand"),
        ({"amount": 1, "expand": ["x"] * 101}, "expand"),
        ({"amount": 1, "expand": [{}]}, "expand"),
        ({"amount": 1, "options": "x"}, "options"),
        ({"amount": 1, "metadata": "x"}, "metadata"),
        ({"amount": 1, "metadata": {"k" * 41: "v"}}, "metadata"),
        ({"amount": 1, "metadata": {"k[": "v"}}, "metadata"),
        ({"amount": 1, "metadata": {"k": "v" * 501}}, "metadata[k]"),
        ({"amount": 1, "metadata": {"k": {"a": "b"}}}, "metadata"),
        ({"amount": 1, "metadata": {str(number): "v" for number in range(51)}}, "metadata"),
    ],
)
def test_wrong_values_are_named_and_not_repeated(given, param) -> None:
    """A value of the wrong type or beyond a limit is refused with its parameter's name."""
    with pytest.raises(ParameterInvalid) as caught:
        check(SPEC, given)
    assert caught.value.param == param


@pytest.mark.parametrize("text", ["4242424242424242", "paid with 4242 4242-4242 4242, thanks"])
def test_a_card_number_is_refused_wherever_it_stands_and_not_repeated(text):
    """Texts, arrays, metadata and its names: whatever looks like a card number ends at the door, before any topic."""
    spec = Spec(fields={"a": Text(), "b": Texts(), "c": TextMap()})
    for given in ({"a": text}, {"b": [text]}, {"c": {"note": text}}, {"c": {text[:40]: "x"}}):
        with pytest.raises(ParameterInvalid) as refused:
            check(spec, given)
        assert refused.value.code == "card_number_refused"
        assert "4242" not in refused.value.message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["charge.refunded", "payment_intent.suceeded"], "Did you mean payment_intent.succeeded?"),
        (["charge.refunded", "nothing like it"], "may be one of charge.refunded, payment_intent.succeeded."),
    ],
)
def test_texts_are_of_their_choices(value, words):
    """Another is refused by its place, with the one that is most like it, or with all where none is."""
    spec = Spec(fields={"b": Texts(choices=("charge.refunded", "payment_intent.succeeded"))})
    assert check(spec, {"b": value[:1]}) == {"b": value[:1]}
    with pytest.raises(ParameterInvalid) as refused:
        check(spec, {"b": value})
    assert refused.value.param == "b[1]"
    assert words in refused.value.message


def test_an_array_of_objects_is_checked_object_by_object() -> None:
    """In the order of indices, from forms and JSON alike; each fault names its place; emptied it is empty."""
    spec = Spec(fields={"rules": Objects(fields={"rate": Integer(most=9), "for": Text(required=True)}, items_max=2)})
    asked = {"rules": {"1": {"for": "b"}, "0": {"for": "a", "rate": "3"}}}
    assert check(spec, asked) == {"rules": [{"for": "a", "rate": 3}, {"for": "b"}]}
    assert check(spec, {"rules": [{"for": "a", "rate": 3}]}) == {"rules": [{"for": "a", "rate": 3}]}
    assert check(spec, {"rules": ""}) == {"rules": []}
    for wrong, param in (
        ({"rules": [{"for": "a"}, {"for": "b", "rate": "10"}]}, "rules[1][rate]"),
        ({"rules": [{"rate": "1"}]}, "rules[0][for]"),
        ({"rules": [{"for": "a", "other": "1"}]}, "rules[0][other]"),
        ({"rules": ["a"]}, "rules"),
        ({"rules": {"x": {"for": "a"}}}, "rules"),
        ({"rules": [{"for": "a"}] * 3}, "rules"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            check(spec, wrong)
        assert refused.value.param == param
