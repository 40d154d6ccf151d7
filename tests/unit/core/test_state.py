import pytest

from streams.core import StateUnreadable, ids, keys
from streams.core.state import STATE_VERSION, Attempt, Clock, Payment, Window, decode, encode


def test_state_is_read_as_it_was_written():
    """Round trip, behind one byte that names the version."""
    payment = Payment(
        "processing",
        5,
        "EUR",
        manual=False,
        payment_method="pm",
        customer="cus",
        created_ms=9,
        attempts=(Attempt("northpay"),),
        has_texts=True,
    )
    value = encode(payment)
    assert value[0] == STATE_VERSION
    assert decode(Payment, value) == payment


def test_fields_that_were_added_later_have_their_defaults():
    """Bytes of before a field was added at the end still read."""
    assert decode(Window, b"\x01\x94\xa2sw\x01\x02\x03") == Window("sw", 1, 2, 3)


@pytest.mark.parametrize("value", [b"", b"\x00\x91\x01", b"\x02\x91\x01", b"\x01", b"\x01\xc1", b"\x01\x91\xa1x"])
def test_other_versions_and_damaged_bytes_raise(value):
    """Never guessed at: the partition stops with what to do."""
    with pytest.raises(StateUnreadable):
        decode(Clock, value)


def test_the_recorded_state_still_reads():
    """A payment as this version's first day wrote it: whoever changes the layout must lift old bytes, and sees it here."""
    recorded = bytes.fromhex(
        "01dc0013aa70726f63657373696e67cd03e8a3455552c2a2706da3637573cf0000019b76daa80002a465767431"
        "919ca86e6f727468706179a770656e64696e67a9617574686f72697a65a0010000a000ac756e7265636f676e697a6564a0a0"
        "900000a0c2a0a0a0c2"
    )
    assert decode(Payment, recorded) == Payment(
        "processing",
        1000,
        "EUR",
        manual=False,
        payment_method="pm",
        customer="cus",
        created_ms=1_767_225_600_000,
        sequence=2,
        last_event_id="evt1",
        attempts=(Attempt("northpay"),),
    )


def test_keys_of_different_owners_never_meet():
    """No tenant, payment or idempotency key makes another's key, and what is sorted by time sorts by time."""
    assert keys.payment("a", "pi_1") != keys.payment("a-p", "i_1")
    assert keys.reply("a", "pi_1", "pi_2/k") != keys.reply("a", "pi_2", "k")
    assert keys.expiry(255, b"k") < keys.expiry(256, b"k")
    assert keys.expiry_parts(keys.expiry(256, b"i/a/b")) == (256, b"i/a/b")
    window = keys.window("acme", "northpay", "EUR", 0x2F2F2F)
    assert keys.window_parts(window) == ("acme", "northpay", "EUR")
    assert keys.open_window_parts(keys.open_window(7, window)) == (7, window)
    assert keys.seen_time(keys.seen("a", "b", "EUR", 12, "mv")) == 12


def test_ids_are_hashes_of_their_cause():
    """Pinned: these ids are in logs for ever, so the way they are made must never change."""
    payment = ids.payment_id("acme", "order-1")
    assert payment == "pi_b2643c1f900b6927a27d75e7"
    assert ids.refund_id("acme", "pi_1", "k") == "re_b6248790c6a137b53e10e93e"
    assert ids.window_id("acme", "northpay", "EUR", 0) == "sw_07ef4b7f36d2e433ca1eab08"
    digest = ids.input_digest("payments.inputs", 3, 7)
    assert (ids.event_id(digest, 0), ids.movement_id(digest, 10)) == (
        "evt_2df54da335c3c1907c718f8c00",
        "mv_2df54da335c3c1907c718f8c0a",
    )
    assert len(payment) == ids.PAYMENT_ID_CHARS
    charge = ids.charge_id(payment, 17)
    assert ids.attempt_of(charge, payment) == 17
    assert ids.attempt_of(charge, ids.payment_id("acme", "order-2")) == 0
    assert ids.attempt_of(charge[:-1] + "g", payment) == 0
    request = ids.request_id(charge, "capture", 12)
    assert ids.request_number(request, charge, "capture") == 12
    assert ids.request_number(request, charge, "void") == 0
    for bad in ("", "0", "01", "x", "99999", "²"):
        assert ids.request_number(f"{charge}_capture_{bad}", charge, "capture") == 0
