"""Sealing: personal data with a customer's own key, those keys and other secrets with the installation's master key.

Everything is AES-256-SIV (RFC 5297): a forged or misplaced ciphertext is refused, and no nonce can be used twice by
mistake. Personal data is sealed without a nonce, so that the same data of the same payment under the same key is the same
bytes: a retry has the fingerprint of the first try. A sealed value opens only where it belongs, since its place (tenant and
payment, or tenant, customer and key) is authenticated with it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from schemas.errors import MasterKeyMissing, MasterKeysUnusable, SealBroken
from schemas.records import CustomerKey, SealedSecret

KEY_BYTES = 64
"""AES-256-SIV takes two keys of 256 bits."""

MASTER_KEYS_MAX = 16
SECRET_BYTES_MAX = 4_096
SEALED_BYTES_MAX = 64 * 1024
PADDED_TO_BYTES = 64
"""Personal data is padded to a multiple of this: a sealed value's length doesn't tell the length of a name."""

_NONCE_BYTES = 16
_VERSION = b"\x01"  # in front of every sealed value, so that the way of sealing can change
_FILE_BYTES_MAX = 64 * 1024


class PersonalKey:
    """A customer's key, opened: seals and opens that customer's personal data. Shows no key in its repr."""

    __slots__ = ("_cipher", "key_id", "tenant")

    def __init__(self, key: bytes, *, key_id: str, tenant: str) -> None:
        self._cipher = AESSIV(key)
        self.key_id = key_id
        self.tenant = tenant

    def __repr__(self) -> str:
        return f"PersonalKey({self.key_id!r})"

    def seal(self, personal: Mapping[str, str], *, payment_id: str) -> bytes:
        """Personal data as sealed bytes, the same each time for the same data, payment and key."""
        plain = json.dumps(dict(personal), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        plain += b" " * (-len(plain) % PADDED_TO_BYTES)
        return _VERSION + self._cipher.encrypt(plain, _place("personal", self.tenant, payment_id))

    def open(self, sealed: bytes, *, payment_id: str) -> dict[str, str]:
        """What was sealed for that payment. Raises `SealBroken`."""
        what = f"the personal data of {payment_id}"
        plain = _decrypt(self._cipher, sealed, _place("personal", self.tenant, payment_id), what=what)
        opened: dict[str, str] = json.loads(plain)
        return opened


class MasterKeys:
    """The installation's master keys, newest first: the newest seals, all of them open. Shows no key in its repr."""

    __slots__ = ("_ciphers",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Raises `MasterKeysUnusable` for none, too many, or one that doesn't have `KEY_BYTES`."""
        if not 0 < len(keys) <= MASTER_KEYS_MAX:
            raise MasterKeysUnusable(f"there are {len(keys)} master keys, not 1 to {MASTER_KEYS_MAX}")
        if any(len(key) != KEY_BYTES for key in keys):
            raise MasterKeysUnusable(f"a master key does not have {KEY_BYTES} bytes")
        # An id is made from its key, so a key can't be filed under another's.
        self._ciphers = {_master_key_id(key): AESSIV(key) for key in keys}

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(self._ciphers)})"

    @property
    def newest_id(self) -> str:
        """mk_...: what new values are sealed with."""
        return next(iter(self._ciphers))

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids, newest first."""
        return tuple(self._ciphers)

    def cipher(self, master_key_id: str) -> AESSIV:
        """The cipher of a master key. Raises `MasterKeyMissing`."""
        try:
            return self._ciphers[master_key_id]
        except KeyError:
            message = f"master key {master_key_id or '(none named)'} is not among {', '.join(self._ciphers)}"
            raise MasterKeyMissing(message) from None


def customer_key_id(topic: str, partition: int, offset: int) -> str:
    """ck_ and 24 digits from the place of the record that needed the key: a record makes at most one."""
    return "ck_" + sha256(f"{topic}/{partition}/{offset}".encode()).hexdigest()[:24]


def new_personal_key() -> bytes:
    """A customer's key, random: nothing but its wrapped copies can bring it back."""
    return secrets.token_bytes(KEY_BYTES)


def wrap(master: MasterKeys, key: bytes, *, tenant: str, customer: str, key_id: str) -> tuple[bytes, str]:
    """A customer's key sealed with the newest master key, and that one's id: `CustomerKey.wrapped`, `.master_key_id`."""
    place = _place("customer key", tenant, customer, key_id)
    return _VERSION + master.cipher(master.newest_id).encrypt(key, place), master.newest_id


def unwrap(master: MasterKeys, record: CustomerKey) -> PersonalKey:
    """A customer's key from its record. Raises `MasterKeyMissing`, and `SealBroken` for one that was erased."""
    if record.status != "active" or not record.wrapped:
        raise SealBroken(f"customer key {record.key_id} was erased")
    place = _place("customer key", record.tenant, record.customer, record.key_id)
    key = _decrypt(master.cipher(record.master_key_id), record.wrapped, place, what=f"customer key {record.key_id}")
    return PersonalKey(key, key_id=record.key_id, tenant=record.tenant)


def seal_secret(master: MasterKeys, secret: bytes, *, purpose: str, owner: str, expires_ms: int = 0) -> SealedSecret:
    """
    A secret of at most `SECRET_BYTES_MAX` bytes, sealed with the newest master key.

    It opens only with the same purpose (`webhook endpoint`) and owner (`tenant/we_...`). Sealing twice gives other bytes.
    Raises `ValueError` for a secret that is too long.
    """
    if len(secret) > SECRET_BYTES_MAX:
        message = f"a secret has at most {SECRET_BYTES_MAX} bytes; this one has {len(secret)}"
        raise ValueError(message)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    # The cipher takes no empty text; with a byte in front a secret may be empty.
    sealed = master.cipher(master.newest_id).encrypt(b"\x00" + secret, _place("secret", purpose, owner, nonce=nonce))
    return SealedSecret(sealed=_VERSION + nonce + sealed, master_key_id=master.newest_id, expires_ms=expires_ms)


def open_secret(master: MasterKeys, sealed: SealedSecret, *, purpose: str, owner: str) -> bytes:
    """The secret. Raises `MasterKeyMissing` and `SealBroken`."""
    version, nonce, body = sealed.sealed[:1], sealed.sealed[1 : 1 + _NONCE_BYTES], sealed.sealed[1 + _NONCE_BYTES :]
    place = _place("secret", purpose, owner, nonce=nonce)
    return _decrypt(master.cipher(sealed.master_key_id), version + body, place, what=f"the secret of {owner}")[1:]


def read_master_keys(path: Path) -> MasterKeys:
    """
    The keys in a file: one a line in base64, newest first; lines that start with # are comments.

    Raises `MasterKeysUnusable`, whose text has nothing of the file's contents: also when others than its owner may read it.
    """
    try:
        with path.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            content = opened.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise MasterKeysUnusable(f"{path} can't be read: {error.strerror}") from None
    if mode & 0o077:
        raise MasterKeysUnusable(f"{path} may be used by others than its owner (mode {mode:04o}); chmod 600 it")
    if len(content) > _FILE_BYTES_MAX:
        raise MasterKeysUnusable(f"{path} has more than {_FILE_BYTES_MAX} bytes, so it is no file of master keys")
    return MasterKeys(list(_keys_in(content, path)))


def make_master_keys(path: Path) -> None:
    """Make a file with one new master key, for its owner only; one that is there stays as it is. Raises `OSError`."""
    if path.exists():
        return
    # Written whole under another name and then linked: of two that do this at once, one wins and both read the same.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    _write(beside, _line_of(secrets.token_bytes(KEY_BYTES)))
    with contextlib.suppress(FileExistsError):
        os.link(beside, path)
    beside.unlink()


def add_master_key(path: Path) -> str:
    """Put a new master key before those in the file, and return its id. Raises `MasterKeysUnusable` and `OSError`."""
    there = read_master_keys(path)
    if len(there.ids) == MASTER_KEYS_MAX:
        raise MasterKeysUnusable(f"{path} has {MASTER_KEYS_MAX} keys already; remove those that seal nothing any more")
    key = secrets.token_bytes(KEY_BYTES)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    _write(beside, _line_of(key) + path.read_bytes())
    beside.replace(path)
    return _master_key_id(key)


def _place(what: str, *parts: str, nonce: bytes | None = None) -> list[bytes]:
    """Associated data: a vector, so that no two places are the same bytes. RFC 5297 has the nonce last."""
    place = [f"clearline {what}".encode(), _VERSION, *(part.encode() for part in parts)]
    return place if nonce is None else [*place, nonce]


def _decrypt(cipher: AESSIV, sealed: bytes, place: list[bytes], *, what: str) -> bytes:
    if sealed[:1] != _VERSION or len(sealed) > SEALED_BYTES_MAX:
        raise SealBroken(f"{what} is not sealed in a way that this code knows")
    try:
        return cipher.decrypt(sealed[1:], place)
    except (InvalidTag, ValueError):  # ValueError: too short to hold a tag
        raise SealBroken(f"{what} can't be opened: another key sealed it, or it was altered or moved") from None


def _keys_in(content: bytes, path: Path) -> Iterator[bytes]:
    for number, line in enumerate(content.splitlines(), 1):
        text = line.strip()
        if text and not text.startswith(b"#"):
            try:
                yield base64.b64decode(text, validate=True)
            except binascii.Error:
                raise MasterKeysUnusable(f"{path} line {number} is not base64") from None


def _line_of(key: bytes) -> bytes:
    return base64.b64encode(key) + b"\n"


def _master_key_id(key: bytes) -> str:
    return "mk_" + sha256(b"clearline master key\x00" + key).hexdigest()[:16]


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
