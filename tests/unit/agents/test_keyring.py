"""Intake and the keys of customers: sealed before the log, one key while it holds, none that was dropped or erased."""

from __future__ import annotations

from itertools import count

import pytest
from msgspec.structs import replace

from schemas import codec
from schemas.catalogue import CUSTOMERS_KEYS, PAYMENTS_INPUTS
from schemas.contracts import latest
from schemas.records import CustomerKey, PaymentCommand, PaymentIntent, Rejection, Tenant
from schemas.sealing import KEY_BYTES, MasterKeys, customer_key_id, unwrap
from streams.agents import intake
from streams.agents.keyring import KeyTable, MadeKeys
from streams.core.ids import payment_id
from streams.runtime import Record
from tests.chaos.fold import Fold

NOW_MS = 1_700_000_000_000
MASTERS = MasterKeys([b"m" * KEY_BYTES])
EMAIL = "jenny.rosen@example.com"
INTENT = PaymentIntent(
    tenant="acme",
    intent_key="o1",
    amount_minor=5,
    currency="EUR",
    payment_method="pm_card_visa",
    customer="jenny",
    personal={"receipt_email": EMAIL},
    upstream="shop",
    request_id="req_1",
)


class Clock:
    def wall_ms(self) -> int:
        return NOW_MS


class Tenants:
    def get(self, key: bytes) -> Tenant:
        return Tenant(tenant=key.decode(), status="active")


class Door:
    """Intake on a table of keys that is filled by hand."""

    def __init__(self) -> None:
        self.table = KeyTable()
        numbers = count(1)
        keys = MadeKeys(self.table, MASTERS, new_key=lambda: bytes([next(numbers)]) * KEY_BYTES)
        self.fold = Fold(intake.Intake(tenants=Tenants(), clock=Clock(), keys=keys), intake.reject)
        self.offset = 0

    def take(self, intent: PaymentIntent | bytes) -> tuple[list[CustomerKey], list[PaymentCommand], list[Rejection]]:
        """Keys, commands and rejections that follow from an intent."""
        value = intent if isinstance(intent, bytes) else codec.encode(intent)
        outputs = self.fold.take(Record("payment.intents", 0, self.offset, NOW_MS, b"acme/o1", value))
        self.offset += 1
        made = [codec.decode(output.value) for output in outputs]
        return tuple(
            [one for one in made if isinstance(one, kind)] for kind in (CustomerKey, PaymentCommand, Rejection)
        )

    def know(self, key: CustomerKey) -> None:
        """The table reads a key."""
        self.table._take(
            [Record(CUSTOMERS_KEYS.name, 0, 0, NOW_MS, f"{key.tenant}/{key.key_id}".encode(), codec.encode(key))]
        )


def test_personal_data_reaches_the_log_sealed_only() -> None:
    """The command has sealed bytes that the new key's record opens; neither output has the text in it."""
    door = Door()
    outputs = door.fold.take(Record("payment.intents", 0, 0, NOW_MS, b"acme/o1", codec.encode(INTENT)))
    assert [output.topic for output in outputs] == [CUSTOMERS_KEYS.name, PAYMENTS_INPUTS.name]
    assert not any(EMAIL.encode() in output.value for output in outputs)
    key, command = (codec.decode(output.value) for output in outputs)
    assert outputs[0].key == f"acme/{key.key_id}".encode()
    assert (key.tenant, key.customer, key.status, key.created_ms) == ("acme", "jenny", "active", NOW_MS)
    assert key.key_id == command.personal_key == customer_key_id("payment.intents", 0, 0)
    assert key.attribution == command.attribution
    assert unwrap(MASTERS, key).open(command.personal, payment_id=command.payment_id) == INTENT.personal


def test_a_retry_is_the_same_bytes() -> None:
    """Before and after the table has the key, the same intent makes the same command and no second key."""
    door = Door()
    (key,), (first,), _ = door.take(INTENT)
    assert door.take(INTENT)[:2] == ([], [first])
    door.know(key)
    assert door.take(INTENT)[:2] == ([], [first])


def test_a_key_of_dropped_work_is_not_used() -> None:
    """After an abort the key that was made may be on no topic: another is made, and sealed with."""
    door = Door()
    (dropped,), (first,), _ = door.take(INTENT)
    door.fold.epoch += 1
    (made,), (second,), _ = door.take(INTENT)
    assert made.key_id != dropped.key_id
    assert second.personal_key == made.key_id
    assert second.personal != first.personal
    assert unwrap(MASTERS, made).open(second.personal, payment_id=second.payment_id) == INTENT.personal


def test_an_erased_customer_gets_a_new_key() -> None:
    """New personal data after an erasure is sealed with a new key, also when the erased one is still remembered."""
    door = Door()
    (key,), _, _ = door.take(INTENT)
    erased = replace(key, status="erased", wrapped=b"", erased_ms=NOW_MS)
    door.know(erased)
    (second,), (command,), _ = door.take(INTENT)
    assert command.personal_key == second.key_id != key.key_id
    door.know(second)
    door.know(replace(second, status="erased", wrapped=b""))
    assert door.table.active("acme", "jenny") is None


def test_of_two_keys_every_worker_takes_the_older() -> None:
    """Two workers made a key at once: both then take the one that is first on the topic; erased, the other."""
    door = Door()
    (one,), _, _ = door.take(INTENT)
    door.fold.epoch += 1
    (two,), _, _ = door.take(INTENT)
    door.know(two)
    door.know(one)
    assert door.table.active("acme", "jenny").key_id == two.key_id
    door.know(replace(two, status="erased", wrapped=b""))
    assert door.table.active("acme", "jenny").key_id == one.key_id
    door.table.cleared()
    assert door.table.active("acme", "jenny") is None


def test_without_a_customer_the_payment_stands_for_it() -> None:
    """Personal data of a payment without customer can be erased by the payment's id."""
    (key,), (command,), _ = Door().take(replace(INTENT, customer=""))
    assert key.customer == command.payment_id == payment_id("acme", "o1")
    assert command.customer == ""


@pytest.mark.parametrize(
    ("personal", "reason"),
    [
        ({"jenny.rosen@example.com": "x"}, "invalid_field"),
        ({"billing_name": "x" * 256}, "invalid_field"),
        ({"billing_name": "4242 4242 4242 4242"}, "card_number"),
    ],
)
def test_personal_data_that_breaks_the_contract_is_refused_without_bytes(personal: dict[str, str], reason: str) -> None:
    """Unknown names, long texts and card numbers are typed refusals that repeat nothing of the data."""
    keys, commands, (rejection,) = Door().take(replace(INTENT, personal=personal))
    assert (keys, commands) == ([], [])
    assert rejection.reason == reason
    assert rejection.field.startswith("personal")
    assert rejection.value is None
    assert len(rejection.value_sha256) == 64
    assert not any(text in rejection.message for text in (EMAIL, "4242", "x" * 10))


def test_whatever_it_is_refused_for_its_personal_data_is_not_kept() -> None:
    """An intent refused for its amount, and one cut off in the middle, are named by place and digest only."""
    door = Door()
    whole = codec.encode(INTENT)
    for refused in (replace(INTENT, amount_minor=0), whole[:-9]):
        _, _, (rejection,) = door.take(refused)
        assert rejection.value is None
        assert rejection.source_offset == door.offset - 1
    plain = replace(INTENT, amount_minor=0, personal={})
    assert door.take(plain)[2][0].value == codec.encode(plain)
    header = b"\x00" + latest()["PaymentCommand"].id.to_bytes(4, "big")
    assert door.take(header + b"\x01")[2][0].value == header + b"\x01"


def test_without_a_master_key_personal_data_is_refused() -> None:
    """An installation without a master key takes payments, but no personal data, and says what is missing."""
    fold = Fold(intake.Intake(tenants=Tenants(), clock=Clock()), intake.reject)
    (output,) = fold.take(Record("payment.intents", 0, 0, NOW_MS, b"acme/o1", codec.encode(INTENT)))
    rejection = codec.decode(output.value)
    assert (rejection.reason, rejection.field, rejection.value) == ("invalid_field", "personal", None)
    assert "CLEARLINE_MASTER_KEY" in rejection.message
