"""Texts that must not be kept."""

from __future__ import annotations

import itertools

import pytest

from api.http import keys, parameters, secrecy
from api.http.errors import ParameterInvalid
from api.http.parameters import Spec, Text, TextMap
from api.webhooks.signing import new_secret
from schemas.records import Attribution


def made(kind: keys.Kind, **more) -> str:
    """A key of ours."""
    scopes = ("charges:read",) if kind == "restricted" else ()
    return keys.make("acme", now_ms=1, who=Attribution(), kind=kind, scopes=scopes, **more)[0]


@pytest.mark.parametrize(
    "text",
    [
        made("secret"),
        made("secret", livemode=True),
        made("restricted"),
        f"my key is {made('secret')}, thanks",
        new_secret(),
        "sk_live_51H8xYzABCDEFGHIJKLMNOP",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ],
    ids=itertools.count(),  # not the keys: they are others in each process that collects the tests
)
def test_a_key_is_no_text(text) -> None:
    """Ours and others' are refused, wherever in a text they stand; the reason doesn't repeat them."""
    code, why = secrecy.refused(text)
    assert code == "secret_refused"
    assert text not in why


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pm_card_visa",
        "risk_test_case",
        "sk_test_",
        "task_live_show_of_monday_evening",
        made("publishable"),
        "whsec_",
    ],
    ids=itertools.count(),
)
def test_other_texts_are_taken(text) -> None:
    """What is no secret, or too short to be one."""
    assert secrecy.refused(text) is None


def test_a_card_number_is_no_text() -> None:
    """The other thing that must not be kept."""
    assert secrecy.refused("4242 4242 4242 4242")[0] == "card_number_refused"


@pytest.mark.parametrize("tree", [{"description": "{}"}, {"metadata": {"a": "{}"}}, {"metadata": {"{}": "a"}}])
def test_no_parameter_holds_a_key(tree) -> None:
    """Neither a text nor metadata, nor a name in it; the error names the place and not the key."""
    key = made("secret")

    def filled(value):
        if isinstance(value, dict):
            return {name.format(key): filled(one) for name, one in value.items()}
        return value.format(key)

    spec = Spec(fields={"description": Text(), "metadata": TextMap()})
    with pytest.raises(ParameterInvalid) as raised:
        parameters.check(spec, filled(tree))
    assert key not in f"{raised.value.message} {raised.value.param}"
