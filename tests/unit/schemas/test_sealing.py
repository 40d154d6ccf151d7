"""Sealing: known answers, determinism, places, wrong keys, tampering, erasure, and files of master keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from msgspec.structs import replace

from schemas import sealing
from schemas.errors import MasterKeyMissing, MasterKeysUnusable, SealBroken
from schemas.records import CustomerKey
from schemas.sealing import KEY_BYTES, MasterKeys, PersonalKey, open_secret, seal_secret, unwrap, wrap

KEY = bytes(range(KEY_BYTES))
MASTER = MasterKeys([b"m" * KEY_BYTES])
PERSONAL = {"receipt_email": "jenny.rosen@example.com", "billing_name": "Jenny Rosén"}
PAYMENT = "pi_0123456789abcdef01234567"


def customer_key(master: MasterKeys = MASTER) -> CustomerKey:
    """Jenny's key, wrapped."""
    wrapped, master_key_id = wrap(master, KEY, tenant="acme", customer="jenny", key_id="ck_1")
    return CustomerKey(
        tenant="acme",
        customer="jenny",
        key_id="ck_1",
        status="active",
        wrapped=wrapped,
        master_key_id=master_key_id,
    )


def test_the_cipher_is_that_of_the_rfc() -> None:
    """RFC 5297, A.1: the library's AES-SIV gives the example's bytes."""
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    place = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    plain = bytes.fromhex("112233445566778899aabbccddee")
    expected = bytes.fromhex("85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c")
    assert AESSIV(key).encrypt(plain, [place]) == expected


def test_sealed_personal_data_is_these_bytes_for_ever() -> None:
    """A known answer: another way of sealing would need another version byte, or no log opens any more."""
    sealed = PersonalKey(KEY, key_id="ck_1", tenant="acme").seal({"billing_name": "A"}, payment_id=PAYMENT)
    assert sealed.hex() == (
        "01b96b290c874f5c811fcd38ef7cca0ff2cc7dda5ef1cc6b0bccc2fc70e5d04cf47f98760ab7f046811d34557d9a592a0439f639ba1a55fddded038735654b1fb01eec332e0fe2ae3f9e0647ddae19d807"
    )


def test_a_wrapped_key_is_these_bytes_for_ever() -> None:
    """A known answer: keys wrapped today open tomorrow."""
    assert customer_key().wrapped.hex() == (
        "0132377761b54113584b5e2466dd36c72c0bf3838c9f771f6c5daf60225936db42a8dbf26d25c96b0b459851bd8d52da8f75c731e80a3c9583188cf03e320ecc9db673612c455329fd7a37ec2c84a95350"
    )
    assert customer_key().master_key_id == "mk_df55199682a67222"


def test_the_same_data_is_the_same_bytes_whatever_its_order() -> None:
    """A retry that names the fields in another order has the same fingerprint."""
    key = unwrap(MASTER, customer_key())
    turned = dict(reversed(PERSONAL.items()))
    assert list(turned) != list(PERSONAL)
    assert key.seal(PERSONAL, payment_id=PAYMENT) == key.seal(turned, payment_id=PAYMENT)


def test_what_is_sealed_opens_again() -> None:
    """The customer's key, unwrapped, opens what it sealed; neither text nor names stand in the sealed bytes."""
    sealed = unwrap(MASTER, customer_key()).seal(PERSONAL, payment_id=PAYMENT)
    assert unwrap(MASTER, customer_key()).open(sealed, payment_id=PAYMENT) == PERSONAL
    for text in (*PERSONAL, *PERSONAL.values()):
        assert text.encode() not in sealed


def test_a_length_does_not_tell_a_name() -> None:
    """Short names of different lengths are sealed values of one length."""
    key = unwrap(MASTER, customer_key())
    lengths = {len(key.seal({"billing_name": "x" * many}, payment_id=PAYMENT)) for many in range(1, 40)}
    assert len(lengths) == 1


def test_another_payment_or_tenant_does_not_open_it() -> None:
    """Sealed bytes that were moved to another payment or tenant are refused."""
    sealed = PersonalKey(KEY, key_id="ck_1", tenant="acme").seal(PERSONAL, payment_id=PAYMENT)
    with pytest.raises(SealBroken):
        PersonalKey(KEY, key_id="ck_1", tenant="acme").open(sealed, payment_id="pi_other")
    with pytest.raises(SealBroken):
        PersonalKey(KEY, key_id="ck_1", tenant="globex").open(sealed, payment_id=PAYMENT)


def test_another_key_does_not_open_it() -> None:
    """A key that differs in one bit opens nothing."""
    sealed = PersonalKey(KEY, key_id="ck_1", tenant="acme").seal(PERSONAL, payment_id=PAYMENT)
    for at in (0, KEY_BYTES - 1):
        other = bytearray(KEY)
        other[at] ^= 1
        with pytest.raises(SealBroken):
            PersonalKey(bytes(other), key_id="ck_1", tenant="acme").open(sealed, payment_id=PAYMENT)


def test_every_altered_byte_is_noticed() -> None:
    """Sealed bytes with any one byte changed, cut off or added are refused."""
    key = PersonalKey(KEY, key_id="ck_1", tenant="acme")
    sealed = key.seal(PERSONAL, payment_id=PAYMENT)
    altered = [sealed[:at] + bytes([sealed[at] ^ 0x80]) + sealed[at + 1 :] for at in range(len(sealed))]
    for broken in (*altered, sealed[:-1], sealed + b"\x00", sealed[:5], b""):
        with pytest.raises(SealBroken):
            key.open(broken, payment_id=PAYMENT)


@pytest.mark.parametrize("change", [{"tenant": "globex"}, {"customer": "john"}, {"key_id": "ck_2"}])
def test_a_wrapped_key_opens_only_as_what_it_is(change: dict[str, str]) -> None:
    """A wrapped key filed under another tenant, customer or id is refused."""
    with pytest.raises(SealBroken):
        unwrap(MASTER, replace(customer_key(), **change))


def test_an_erased_key_opens_nothing() -> None:
    """Once erased, the record has no key in it, and the master key alone opens neither record nor data."""
    with pytest.raises(SealBroken, match="erased"):
        unwrap(MASTER, replace(customer_key(), status="erased", wrapped=b""))
    with pytest.raises(SealBroken, match="erased"):
        unwrap(MASTER, replace(customer_key(), status="erased"))


def test_older_master_keys_open_and_the_newest_seals() -> None:
    """After a rotation, what the old key wrapped opens, and what is new names the new one."""
    rotated = MasterKeys([b"n" * KEY_BYTES, b"m" * KEY_BYTES])
    assert unwrap(rotated, customer_key()).key_id == "ck_1"
    assert customer_key(rotated).master_key_id == rotated.newest_id != MASTER.newest_id
    with pytest.raises(MasterKeyMissing, match=MASTER.newest_id):
        unwrap(MasterKeys([b"n" * KEY_BYTES]), customer_key())


def test_a_secret_opens_only_for_its_purpose_and_owner() -> None:
    """A signing secret comes back for the endpoint that it was sealed for, and for no other purpose or owner."""
    sealed = seal_secret(MASTER, b"whsec_test", purpose="webhook endpoint", owner="acme/we_1", expires_ms=5)
    assert (sealed.master_key_id, sealed.expires_ms) == (MASTER.newest_id, 5)
    assert b"whsec_test" not in sealed.sealed
    assert open_secret(MASTER, sealed, purpose="webhook endpoint", owner="acme/we_1") == b"whsec_test"
    for purpose, owner in (("webhook endpoint", "acme/we_2"), ("other", "acme/we_1")):
        with pytest.raises(SealBroken):
            open_secret(MASTER, sealed, purpose=purpose, owner=owner)
    for at in range(len(sealed.sealed)):
        broken = sealed.sealed[:at] + bytes([sealed.sealed[at] ^ 1]) + sealed.sealed[at + 1 :]
        with pytest.raises(SealBroken):
            open_secret(MASTER, replace(sealed, sealed=broken), purpose="webhook endpoint", owner="acme/we_1")


def test_secrets_sealed_twice_differ_and_have_a_limit() -> None:
    """Nobody can see that two endpoints have the same secret; an endless one is refused."""
    first, second = (seal_secret(MASTER, b"", purpose="p", owner="o") for _ in range(2))
    assert first.sealed != second.sealed
    assert open_secret(MASTER, first, purpose="p", owner="o") == b""
    with pytest.raises(ValueError, match="4096"):
        seal_secret(MASTER, b"x" * 4_097, purpose="p", owner="o")


def test_no_key_is_shown() -> None:
    """The repr of keys names ids only."""
    shown = repr(MASTER) + repr(PersonalKey(KEY, key_id="ck_1", tenant="acme"))
    assert shown == f"MasterKeys({MASTER.newest_id})PersonalKey('ck_1')"


def test_a_file_of_master_keys_is_made_once_and_grows(tmp_path: Path) -> None:
    """A second making leaves the key as it is; a rotation puts the new one first and keeps the mode."""
    path = tmp_path / "master.keys"
    sealing.make_master_keys(path)
    first = sealing.read_master_keys(path)
    sealing.make_master_keys(path)
    assert sealing.read_master_keys(path).ids == first.ids
    added = sealing.add_master_key(path)
    assert sealing.read_master_keys(path).ids == (added, *first.ids)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["master.keys"]


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (None, 0o600, "can't be read"),
        (b"", 0o600, "0 master keys"),
        (b"# nothing\n\n", 0o600, "0 master keys"),
        (b"c2VjcmV0\n", 0o600, "64 bytes"),
        (b"!secret!\n", 0o600, "line 1 is not base64"),
        (b"x" * 70_000, 0o600, "no file of master keys"),
        (b"c2VjcmV0\n", 0o640, "mode 0640"),
        (b"c2VjcmV0\n", 0o604, "mode 0604"),
    ],
)
def test_a_file_that_is_no_file_of_keys_is_refused(tmp_path: Path, content: bytes | None, mode: int, says: str) -> None:
    """Missing, empty, damaged and readable files are refused; the text says why and repeats nothing of them."""
    path = tmp_path / "master.keys"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(MasterKeysUnusable, match=says) as caught:
        sealing.read_master_keys(path)
    assert "ecret" not in str(caught.value)
    assert "c2Vj" not in str(caught.value)


def test_there_are_at_most_16_master_keys() -> None:
    """A file that only grows is noticed."""
    with pytest.raises(MasterKeysUnusable, match="17"):
        MasterKeys([bytes([number]) * KEY_BYTES for number in range(17)])


def test_a_key_id_is_its_place() -> None:
    """One record makes one key id, whoever computes it; its neighbour makes another."""
    assert sealing.customer_key_id("payment.intents", 3, 7) == sealing.customer_key_id("payment.intents", 3, 7)
    assert len({sealing.customer_key_id("payment.intents", 3, offset) for offset in range(100)}) == 100
