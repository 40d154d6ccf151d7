from __future__ import annotations

import pytest

from api.customers._known import Known
from api.customers.errors import KeysLost
from schemas.records import CustomerKey
from schemas.sealing import KEY_BYTES, MasterKeys, wrap

MASTERS = MasterKeys([b"m" * KEY_BYTES])
JENNY, BOB = "cus_" + "1" * 24, "cus_" + "2" * 24
FIELDS = {"name": "Jenny", "email": "jenny@example.com"}


def put(known: Known, number: int, customer: str = JENNY, *, status: str = "active") -> None:
    """The topic tells of a key."""
    key_id = f"ck_{number:024x}"
    wrapped, master = wrap(MASTERS, bytes([number]) * KEY_BYTES, tenant="acme", customer=customer, key_id=key_id)
    record = CustomerKey(
        tenant="acme",
        customer=customer,
        key_id=key_id,
        status=status,
        wrapped=wrapped if status == "active" else b"",
        master_key_id=master,
    )
    known.put(f"acme/{key_id}", record)


def test_the_oldest_key_seals_so_that_a_retry_is_the_same_bytes() -> None:
    """Whichever process takes it, and although a second key was made at the same time; a cleared field is empty."""
    one, two = Known(MASTERS), Known(MASTERS)
    for known in (one, two):
        put(known, 1)
    put(two, 2)
    sealed = one.seal({**FIELDS, "phone": None}, tenant="acme", customer=JENNY)
    assert sealed == two.seal({**FIELDS, "phone": None}, tenant="acme", customer=JENNY)
    assert sealed is not None
    assert [(field.name, bool(field.sealed)) for field in sealed] == [("email", True), ("name", True), ("phone", False)]
    assert all(b"enny" not in field.sealed for field in sealed)
    assert two.open(sealed, tenant="acme", customer=JENNY) == FIELDS


def test_an_erased_key_opens_nothing_and_seals_nothing() -> None:
    """What it sealed is gone; the next key is another one."""
    known = Known(MASTERS)
    put(known, 1)
    sealed = known.seal(FIELDS, tenant="acme", customer=JENNY)
    assert sealed is not None
    put(known, 1, status="erased")
    assert known.open(sealed, tenant="acme", customer=JENNY) == {}
    assert known.seal(FIELDS, tenant="acme", customer=JENNY) is None
    put(known, 3)
    assert known.open(sealed, tenant="acme", customer=JENNY) == {}


def test_a_field_opens_only_where_it_belongs() -> None:
    """Not under another name, not as another customer's, not for another tenant, not without the master key."""
    known, keyless = Known(MASTERS), Known(None)
    for one in (known, keyless):
        put(one, 1)
        put(one, 2, BOB)
    sealed = known.seal({"email": "jenny@example.com"}, tenant="acme", customer=JENNY)
    assert sealed is not None
    (field,) = sealed
    moved = type(field)(name="name", key_id=field.key_id, sealed=field.sealed)
    assert known.open([moved], tenant="acme", customer=JENNY) == {}
    assert known.open([field], tenant="acme", customer=BOB) == {}
    assert known.open([field], tenant="globex", customer=JENNY) == {}
    assert keyless.open([field], tenant="acme", customer=JENNY) == {}
    assert keyless.seal(FIELDS, tenant="acme", customer=JENNY) is None


def test_more_keys_than_may_be_held_end_the_process() -> None:
    """Erased ones do not count."""
    known = Known(MASTERS, keys_max=2)
    for number in (1, 2):
        put(known, number)
    put(known, 1, status="erased")
    put(known, 3)
    with pytest.raises(KeysLost):
        put(known, 4)
