"""The keys of customers as intake has them: those on the topic, and those that it makes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from schemas import codec
from schemas.catalogue import CUSTOMERS_KEYS
from schemas.records import Attribution, CustomerKey
from schemas.sealing import MasterKeys, PersonalKey, customer_key_id, new_personal_key, unwrap, wrap
from streams.runtime import GlobalTable, Record

KEYS_MAX = 1_000_000
"""Keys of customers that a worker holds in memory, wrapped: about 1 kB each."""

KEYS_BYTES_MAX = 1024 * 1024 * 1024
"""What the records of those keys may have in all."""

_NOBODY = Attribution()


class Sealed(NamedTuple):
    """Personal data, sealed; and the key's record where it was made for that."""

    key_id: str
    personal: bytes
    made: CustomerKey | None


class Keyring(Protocol):
    """Seals for a customer. Real, or recorded: a verifier takes the keys that the log has."""

    def seal(
        self,
        personal: Mapping[str, str],
        *,
        tenant: str,
        customer: str,
        payment_id: str,
        record: Record,
        epoch: int,
        now_ms: int,
        attribution: Attribution,
    ) -> Sealed:
        """`record` is what needs it; `epoch` grows when earlier work was dropped (see `Context.epoch`)."""


class KeyTable(GlobalTable[CustomerKey]):
    """The topic of customers' keys, found by customer. Erased ones stay known, and are never handed out."""

    def __init__(self) -> None:
        self._of: dict[bytes, tuple[bytes, ...]] = {}
        super().__init__(CUSTOMERS_KEYS.name, _slim, entries_max=KEYS_MAX, bytes_max=KEYS_BYTES_MAX)

    def active(self, tenant: str, customer: str) -> CustomerKey | None:
        """The customer's oldest key that was not erased, so that all workers take the same."""
        keys = self._of.get(_digest(tenant, customer))
        return None if keys is None else self.get(keys[0])

    def all_active(self, tenant: str, customer: str) -> list[CustomerKey]:
        """All of the customer's keys that were not erased, oldest first."""
        found = (self.get(key) for key in self._of.get(_digest(tenant, customer), ()))
        return [one for one in found if one is not None]

    def cleared(self) -> None:
        """As `GlobalTable` says."""
        self._of.clear()

    def changed(self, key: bytes, before: CustomerKey | None, now: CustomerKey | None) -> None:
        """As `GlobalTable` says."""
        whose = now or before
        assert whose is not None
        digest = _digest(whose.tenant, whose.customer)
        keys = self._of.get(digest, ())
        if now is not None and now.status == "active":
            keys = keys if key in keys else (*keys, key)
        else:
            keys = tuple(one for one in keys if one != key)
        if keys:
            self._of[digest] = keys
        else:
            self._of.pop(digest, None)


class MadeKeys:
    """
    Keys from the table; for a customer without one, a new one.

    A key that was made is known to this worker before the table has it. It is used again only in the same epoch: in a
    later one, the transaction that would have brought it onto the topic may have been aborted, and what it sealed could
    never be opened.
    """

    def __init__(
        self, table: KeyTable, masters: MasterKeys, *, new_key: Callable[[], bytes] = new_personal_key
    ) -> None:
        self._table, self._masters, self._new_key = table, masters, new_key
        self._made: dict[tuple[str, str], PersonalKey] = {}
        self._epoch = 0

    def seal(
        self,
        personal: Mapping[str, str],
        *,
        tenant: str,
        customer: str,
        payment_id: str,
        record: Record,
        epoch: int,
        now_ms: int,
        attribution: Attribution,
    ) -> Sealed:
        """As `Keyring` says. Raises `SealingError` where the key of the topic can't be unwrapped."""
        if epoch != self._epoch:
            self._made.clear()
            self._epoch = epoch
        known = self._table.active(tenant, customer)
        if known is not None:
            self._made.pop((tenant, customer), None)
            key = unwrap(self._masters, known)
            return Sealed(key.key_id, key.seal(personal, payment_id=payment_id), None)
        remembered = self._made.get((tenant, customer))
        # The table knows it but not as active: it was erased in between.
        if remembered is not None and self._table.get(f"{tenant}/{remembered.key_id}".encode()) is None:
            return Sealed(remembered.key_id, remembered.seal(personal, payment_id=payment_id), None)
        secret, key_id = self._new_key(), customer_key_id(record.topic, record.partition, record.offset)
        wrapped, master_key_id = wrap(self._masters, secret, tenant=tenant, customer=customer, key_id=key_id)
        made = CustomerKey(
            tenant=tenant,
            customer=customer,
            key_id=key_id,
            status="active",
            wrapped=wrapped,
            master_key_id=master_key_id,
            created_ms=now_ms,
            attribution=attribution,
        )
        key = PersonalKey(secret, key_id=key_id, tenant=tenant)
        self._made[tenant, customer] = key
        return Sealed(key_id, key.seal(personal, payment_id=payment_id), made)


def _slim(record: Record) -> CustomerKey:
    message = codec.decode(record.value, expected=(CustomerKey,))
    assert isinstance(message, CustomerKey)
    return replace(
        message,
        tenant=sys.intern(message.tenant),
        master_key_id=sys.intern(message.master_key_id),
        attribution=_NOBODY,
    )


def _digest(tenant: str, customer: str) -> bytes:
    return sha256(f"{tenant}/{customer}".encode()).digest()[:16]
