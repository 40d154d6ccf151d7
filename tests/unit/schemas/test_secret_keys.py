"""What looks like a secret, and what only resembles one."""

from __future__ import annotations

import itertools

import pytest

from api.http import keys
from api.http.browsers import Browsers
from api.webhooks.signing import new_secret
from schemas import unkept
from schemas.records import Attribution
from schemas.secret_keys import has_secret


def made(kind: keys.Kind, **more) -> str:
    """A key of ours."""
    scopes = ("charges:read",) if kind == "restricted" else ()
    return keys.make("acme", now_ms=1, who=Attribution(), kind=kind, scopes=scopes, **more)[0]


OURS = (
    *(made(kind, livemode=live) for kind in ("secret", "restricted") for live in (True, False)),
    new_secret(),
    Browsers("t").secret("acme", "pi_0123456789abcdef01234567"),
    Browsers("t").secret("acme", "seti_0123456789abcdef01234567"),
)
OTHERS = (
    "sk_live_51H8xYzABCDEFGHIJKLMNOPQ",
    "rk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "sk_org_test_4eC39HqLyjWDarjtT1zdp7dc",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH",
)
AROUND = (
    "{}",
    "my key is {}, thanks",
    "https://shop.example/?key%3D{}",
    '{{"key":"{}"}}',
    "line\\n{}",
    "pi_{}",
    "d{}",
    "é{}",
    "card {} x",
)


@pytest.mark.parametrize("around", AROUND, ids=itertools.count())
@pytest.mark.parametrize("secret", [*OURS, *OTHERS], ids=itertools.count())
def test_a_secret_is_found_wherever_it_stands(secret, around) -> None:
    """In texts of all kinds and in bytes; nothing of it is left in the masked text."""
    text = around.format(secret)
    assert unkept.why(text) == "secret"
    assert unkept.holds(b"\x00\x00\x00\x00\x07" + text.encode() + b"\xff")
    assert secret[-16:] not in unkept.masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pm_card_visa",
        "risk_test_case",
        "sk_test_",
        "sk_test_short",
        "whsec_",
        "sec_section_1",
        "task_live_show_of_monday_evening",
        "task_live_internationalisationofeverything",
        "desk_test_0123456789abcdef0123456789abcdef",
        "risk_live_20260131120000000001",
        "pi_0123456789abcdef01234567",
        "pi_1_secret_santa",
        "the_secret_garden_of_verses",
        made("publishable"),
    ],
    ids=itertools.count(),
)
def test_what_is_no_secret_passes(text) -> None:
    """Names of things, ids behind a word, publishable keys, what is too short."""
    assert not has_secret(text)
    assert unkept.masked(text) == text


def test_both_are_masked() -> None:
    """A text with a card number and a secret loses both and nothing else."""
    text = f"a {OURS[0]} b 4242 4242 4242 4242 c"
    assert unkept.masked(text) == f"a {'*' * len(OURS[0])} b {'*' * 19} c"
    assert unkept.why(text) == "card_number"
    assert unkept.why("") is None
    assert not unkept.holds(None)
