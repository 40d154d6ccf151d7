"""The keys of customers in memory: which one seals, and what can be opened."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping

from api.customers.errors import KeysLost
from schemas.errors import SealingError
from schemas.records import CustomerKey, SealedField
from schemas.sealing import MasterKeys, unwrap

KEYS_MAX = 1_000_000
"""Keys that were not erased, in memory, wrapped: about 1 kB each."""

log = logging.getLogger("clearline.api")


class Known:
    """The keys that were not erased. Filled by a thread that follows the topic, used by the server's."""

    def __init__(self, masters: MasterKeys | None, *, keys_max: int = KEYS_MAX) -> None:
        self._masters, self._keys_max = masters, keys_max
        self._lock = threading.Lock()
        self._keys: dict[str, CustomerKey] = {}
        self._of: dict[tuple[str, str], tuple[str, ...]] = {}
        """By tenant and customer: oldest first."""

    def put(self, name: str, record: CustomerKey | None) -> None:
        """Take what the topic says of the key `tenant/ck_...`; an erased one is forgotten. Raises `KeysLost`."""
        with self._lock:
            before = self._keys.pop(name, None)
            whose = record or before
            if whose is None:
                return
            of = (whose.tenant, whose.customer)
            keys = self._of.get(of, ())
            if record is not None and record.status == "active":
                self._keys[name] = record
                keys = keys if record.key_id in keys else (*keys, record.key_id)
            else:
                keys = tuple(one for one in keys if one != whose.key_id)
            if keys:
                self._of[of] = keys
            else:
                self._of.pop(of, None)
        if len(self._keys) > self._keys_max:
            raise KeysLost(f"there are more than {self._keys_max} keys of customers; see docs/limits.md")

    def oldest(self, tenant: str, customer: str) -> CustomerKey | None:
        """The key that every process takes for the customer; None where there is none."""
        with self._lock:
            keys = self._of.get((tenant, customer))
            return None if not keys else self._keys.get(f"{tenant}/{keys[0]}")

    def seal(self, fields: Mapping[str, str | None], *, tenant: str, customer: str) -> tuple[SealedField, ...] | None:
        """The fields, each sealed by itself, and empty where it is to be cleared; None without a key."""
        record = self.oldest(tenant, customer)
        if record is None or self._masters is None:
            return None
        key = unwrap(self._masters, record)
        return tuple(
            SealedField(name=name, key_id=key.key_id, sealed=key.seal({name: text}, payment_id=_place(customer, name)))
            if text
            else SealedField(name=name)
            for name, text in sorted(fields.items())
        )

    def open(self, fields: Iterable[SealedField], *, tenant: str, customer: str) -> dict[str, str]:
        """What can be read of the fields."""
        opened: dict[str, str] = {}
        for field in fields:
            record = self._keys.get(f"{tenant}/{field.key_id}")
            if record is None or self._masters is None:
                continue
            try:
                key = unwrap(self._masters, record)
                opened |= key.open(field.sealed, payment_id=_place(customer, field.name))
            except SealingError as error:
                log.warning("a customer's %s can't be opened: %s", field.name, error)
        return opened


def _place(customer: str, name: str) -> str:
    """Where a sealed field belongs: moved to another customer or under another name, it does not open."""
    return f"{customer}/{name}"
