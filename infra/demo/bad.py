"""Records that nobody should send: each belongs on `records.rejected`, with its reason, and its neighbours go on."""

from __future__ import annotations

import struct
from typing import NamedTuple

from confluent_kafka import Producer

from schemas import catalogue, codec
from schemas.clients import CLIENT_TIMEOUT_MS, producer_config
from schemas.records import ClockTick, PaymentIntent, RejectionReason

_UNKNOWN_SCHEMA_ID = 999_999_999
# Issued to nobody: the number that card schemes publish for tests.
_TEST_CARD_NUMBER = "4242424242424242"


class BadRecord(NamedTuple):
    """A record for `payment.intents`, and the reason for which it has to be refused."""

    what: str
    value: bytes
    reason: RejectionReason


def _intent(**fields: object) -> bytes:
    good = {"tenant": "acme", "amount_minor": 1_000, "currency": "EUR", "payment_method": "pm_card_visa"}
    return codec.encode(PaymentIntent(**{"intent_key": f"bad-{sorted(fields)}", **good, **fields}))  # type: ignore[arg-type]


def _wrong_type() -> bytes:
    """An intent whose amount was written as text, by somebody with a schema of their own under our id."""
    whole = _intent(intent_key="bad-type")
    body = struct.pack(">BI", 0, codec.schema_id(whole))
    for text in ("acme", "bad-type", "ten euros", "EUR", "pm_card_visa"):
        body += bytes([len(text) * 2]) + text.encode()
    return body


def bad_records() -> tuple[BadRecord, ...]:
    """One of each kind."""
    return (
        BadRecord("not Avro", b'{"tenant": "acme", "amount_minor": 1000}', "not_avro"),
        BadRecord("empty", b"", "not_avro"),
        BadRecord("unknown schema id", struct.pack(">BI", 0, _UNKNOWN_SCHEMA_ID) + b"\x00", "unknown_schema"),
        BadRecord("another topic's record", codec.encode(ClockTick(time_ms=1)), "wrong_record"),
        BadRecord("amount of the wrong type", _wrong_type(), "undecodable"),
        BadRecord("negative amount", _intent(amount_minor=-1_000), "invalid_amount"),
        BadRecord("unknown currency", _intent(currency="XYZ"), "unknown_currency"),
        BadRecord("unknown tenant", _intent(tenant="nobody"), "unknown_tenant"),
        BadRecord("card number in a text", _intent(description=f"card {_TEST_CARD_NUMBER}"), "card_number"),
    )


def send(bootstrap: str, *, client: dict[str, object] | None = None) -> tuple[BadRecord, ...]:
    """Produces one of each, keyed by what is wrong with it; returns them once Kafka has them."""
    producer = Producer(producer_config(bootstrap, client))
    records = bad_records()
    for record in records:
        producer.produce(catalogue.PAYMENT_INTENTS.name, record.value, f"bad/{record.what}".encode())
    if producer.flush(CLIENT_TIMEOUT_MS / 1000):
        message = "Kafka did not take the bad records in time"
        raise TimeoutError(message)
    return records
