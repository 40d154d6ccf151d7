from __future__ import annotations

import base64

import pytest
from msgspec.structs import replace

from api.http.errors import Forbidden, Unauthenticated
from api.http.keys import KeyTable, make
from schemas.records import Attribution

NOW_MS = 1_000_000
WHO = Attribution(actor_kind="operator", actor_id="ops")


def made(**options):
    """A key and its record."""
    return make("acme", now_ms=NOW_MS, who=WHO, **options)


def table(*records) -> KeyTable:
    """A table of these records."""
    keys = KeyTable()
    for record in records:
        keys.put(record.key_id, record)
    return keys


def test_the_key_is_nowhere_in_its_record() -> None:
    """Only the digest and the last four characters are kept, and no two keys are alike."""
    key, record = made()
    assert key.startswith("sk_test_")
    assert made(livemode=True)[0].startswith("sk_live_")
    assert key[:-4] not in repr(record)
    assert record.hint == key[-4:]
    assert made()[0] != key


def test_bearer_and_basic() -> None:
    """Both ways that clients send a key mean the same tenant."""
    key, record = made()
    keys = table(record, made()[1])
    basic = base64.b64encode(f"{key}:".encode()).decode()
    for header in (f"Bearer {key}", f"bearer  {key}", f"Basic {basic}"):
        found = keys.identify(header, now_ms=NOW_MS)
        assert (found.tenant, found.key_id) == ("acme", record.key_id)


def test_what_is_refused() -> None:
    """Nothing, garbage, a wrong, revoked or expired key, one of an unknown kind: 401, and the key is not repeated."""
    key, record = made()
    valid = table(record)
    for header in (
        "",
        "Bearer",
        f"Token {key}",
        f"Bearer {key}x",
        "Basic !",
        "Bearer " + "k" * 10_000,
        f"Bearer {key[:-1]}",
    ):
        with pytest.raises(Unauthenticated) as refused:
            valid.identify(header, now_ms=NOW_MS)
        assert key[8:] not in str(refused.value.body())
    for change in ({"status": "revoked"}, {"status": "unrecognized"}, {"expires_ms": NOW_MS}, {"kind": "unrecognized"}):
        with pytest.raises(Unauthenticated):
            table(replace(record, **change)).identify(f"Bearer {key}", now_ms=NOW_MS)
    assert table(replace(record, expires_ms=NOW_MS + 1)).identify(f"Bearer {key}", now_ms=NOW_MS)


def test_the_newest_record_of_a_key_counts() -> None:
    """A revocation takes the place of what was; a record that is gone takes the key with it."""
    key, record = made()
    keys = table(record, replace(record, status="revoked"))
    with pytest.raises(Unauthenticated):
        keys.identify(f"Bearer {key}", now_ms=NOW_MS)
    keys.put(record.key_id, record)
    assert keys.identify(f"Bearer {key}", now_ms=NOW_MS)
    keys.put(record.key_id, None)
    assert len(keys) == 0
    with pytest.raises(Unauthenticated):
        keys.identify(f"Bearer {key}", now_ms=NOW_MS)


def test_scopes() -> None:
    """A secret key does everything, a restricted one what it was given (write holds read), a publishable one nothing here."""

    def may(scope: str, **options) -> bool:
        key, record = made(**options)
        try:
            table(record).identify(f"Bearer {key}", now_ms=NOW_MS).require(scope)
        except Forbidden:
            return False
        return True

    writer = {"kind": "restricted", "scopes": ("payment_intents:write",)}
    reader = {"kind": "restricted", "scopes": ("payment_intents:read",)}
    assert may("refunds:write")
    assert may("payment_intents:write", **writer)
    assert may("payment_intents:read", **writer)
    assert may("payment_intents:read", **reader)
    assert not may("payment_intents:write", **reader)
    assert not may("refunds:write", **writer)
    assert not may("payment_intents:read", kind="publishable")


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "restricted"},
        {"scopes": ("refunds:write",)},
        {"kind": "restricted", "scopes": ("everything",)},
        {"name": "a" * 65},
        {"name": "a\nb"},
    ],
)
def test_keys_that_make_no_sense_are_not_made(options) -> None:
    """A restricted key without scopes, scopes without it, unknown ones, and names that no table could show."""
    with pytest.raises(ValueError):
        made(**options)
