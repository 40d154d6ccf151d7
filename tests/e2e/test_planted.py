"""The nets in which a run's secrets are looked for catch each kind, in each form, and nothing else. No stack is needed."""

from __future__ import annotations

import base64
import re

import pytest

from tests.e2e._planted import Planted, luhn, told

KEY = "sk_test_mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpiydcmrtgq2q"
HOOK = "whsec_" + "9f3d61c80ab745e2" * 4
LINES = (
    "2026-11-27 08:01:02,123 INFO api request_id=req_0123456789abcdef0123 method=POST path=/v1/refunds ms=12.3 key=key_0123456789abcdef",
    "2026-11-27 08:01:02,123 INFO gateway assigned 4 partitions with 0 pending requests 1795680000123 to 1795680000999",
    "[2026-11-27 08:01:02,123] INFO Registered broker 1 at path 7f3c1a2b-1234-5678-9012-345678901234 epoch 9223372036854775807",
    "payments.inputs[3]@4242 rejected: schema id 4242424 is unknown; pi_424242424242424242424242",
)


def kinds(planted: Planted, text: str) -> set[str]:
    """What is found in a text."""
    return {leak.kind for leak in planted.leaks("test", text)}


@pytest.mark.parametrize("line", LINES)
def test_what_processes_log_is_no_leak(line) -> None:
    """Ids, offsets and times are wanted: they are how somebody finds anything."""
    planted = Planted()
    planted.secret("key", KEY)
    planted.secret("hook", HOOK)
    planted.card("4242")
    planted.marker("name")
    assert kinds(planted, line) == set()


@pytest.mark.parametrize("text", [KEY, KEY[20:28], base64.b64encode(f"{KEY}:".encode()).decode(), f"'{KEY[-8:]}'"])
def test_a_secret_is_found_whole_and_in_part(text) -> None:
    """Eight neighbouring characters are enough, also in base64; what is shown of the line has none of them."""
    planted = Planted()
    planted.secret("key", KEY)
    (leak, *_) = planted.leaks("api", f"first\nkey={text}.")
    assert (leak.where, leak.line) == ("api", 2)
    assert text not in str(leak)
    assert kinds(planted, f"it begins with {KEY[:8]}") == set()


def test_a_hexadecimal_secret_is_found() -> None:
    """Twelve characters of it are."""
    planted = Planted()
    planted.secret("hook", "whsec_" + "c0ffee" * 10)
    assert kinds(planted, "x" + ("c0ffee" * 10)[7:19]) == {"hook"}
    assert kinds(planted, "x" + ("c0ffee" * 10)[7:18]) == set()


@pytest.mark.parametrize("form", ["{}", "{0:.4}-{1}-{2}-{3}", "/v1/{}?", "pm_{}x", "'number': '{}'"])
def test_a_card_number_of_the_run_is_found_wherever_it_stands(form) -> None:
    """Also parted by dashes, and inside words."""
    planted = Planted()
    card = planted.card("4242")
    assert luhn(card)
    groups = re.findall("....", card)
    text = form.format(*groups) if "{1}" in form else form.format(card)
    assert "a card number" in kinds(planted, text)


def test_markers_are_found_in_any_case() -> None:
    """Something may have been folded to upper case."""
    planted = Planted()
    name = planted.marker("a name")
    assert kinds(planted, f"x{name.upper()}y") == {"a name"}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("key=rk_live_abcdefgh12345678", "an API key"),
        ("whsec_0011223344556677", "a webhook secret"),
        ("pi_12_secret_abcdefgh1234", "a client secret"),
        ("Authorization: Bearer abcdefgh", "an Authorization header"),
        ("b'Basic c2tfdGVzdDo='", "an Authorization header"),
        ("id_token eyJhbGciOiJFUzI1NiJ9.e30.x", "a JSON web token"),
        ("Cookie: clearline_session=abcdefgh", "a cookie"),
        ("to jenny.rosen@example.com", "an e-mail address"),
        ("https://user:hunter2@example.com/hook", "user and password of an address"),
        ("number 4000 0000 0000 9995 refused", "a card number"),
        ("card=378282246310005", "a card number"),
        ("-----BEGIN EC PRIVATE KEY-----", "a private key"),
    ],
)
def test_what_looks_like_a_secret_is_found(line, kind) -> None:
    """Nobody has to have planted it."""
    assert f"what looks like {kind}" in kinds(Planted(), line)


def test_secrets_of_answers_are_taken() -> None:
    """However deep they stand."""
    planted = Planted()
    planted.answered({"data": [{"object": "api_key", "secret": KEY}], "client_secret": None, "secret": 1})
    assert planted.secrets == [("secret of api_key", KEY[8:])]


def test_each_kind_in_each_place_is_told() -> None:
    """However many there are of one, another is not left out."""
    planted = Planted()
    planted.secret("key", KEY)
    leaks = [leak for number in range(50) for leak in planted.leaks(f"api.{number}", KEY)]
    leaks += planted.leaks("landing", KEY)
    text = told(leaks)
    assert "landing:1: key: " in text
    assert text.count("(one of 50)") == 4, "two kinds, two of each"
    assert KEY[8:] not in text
