"""What becomes of a refused record: kept as it came, but for what must not be kept."""

from __future__ import annotations

import pytest

from schemas import codec
from schemas.records import Rejection
from streams.agents._records import Rejected, rejection
from streams.runtime import Record

CARD = b"4242-4242-4242-4242"
SECRET = b"sk_test_mfrggzdfmztwq2lknnwg23tpobyxe43u"


def rejected(*, key: bytes, value: bytes, message: str = "no header") -> Rejection:
    """The rejection of such a record."""
    record = Record(topic="t", partition=1, offset=2, timestamp_ms=3, key=key, value=value)
    output = rejection("intake")(record, Rejected(reason="not_avro", message=message))
    found = codec.decode(output.value)
    assert isinstance(found, Rejection)
    assert output.key == found.key
    return found


def test_a_record_is_kept_as_it_came() -> None:
    """Its bytes tell what was wrong with it."""
    found = rejected(key=b"acme/1", value=b"\x03nonsense 42424242")
    assert (found.key, found.value, found.message) == (b"acme/1", b"\x03nonsense 42424242", "no header")


AROUND = pytest.mark.parametrize("around", [b"%b", b'{"number": "%b"}', b"\x00\x00\xff\xfe%b\xff"])


@AROUND
def test_a_secret_is_not_kept_whatever_it_stands_in(around: bytes) -> None:
    """Neither in value, key or message, nor where somebody takes it for a tenant's id."""
    record = Record(topic="t", partition=1, offset=2, timestamp_ms=3, key=SECRET, value=around % SECRET)
    told = Rejected(reason="unknown_tenant", message=f"no {SECRET.decode()}", tenant=SECRET.decode())
    found = codec.decode(rejection("intake")(record, told).value)
    assert isinstance(found, Rejection)
    assert (found.key, found.value, found.tenant) == (None, None, "*" * len(SECRET))
    assert SECRET not in codec.encode(found)


@AROUND
def test_a_card_number_is_not_kept_whatever_it_stands_in(around: bytes) -> None:
    """Nobody can say what bytes that are no record mean, but that there are a card's digits in them can be seen."""
    found = rejected(key=b"acme/" + CARD, value=around % CARD, message=f"the key is b'acme/{CARD.decode()}'")
    assert (found.key, found.value, len(found.value_sha256)) == (None, None, 64)
    assert CARD not in codec.encode(found)
    assert found.message == f"the key is b'acme/{'*' * 19}'"
