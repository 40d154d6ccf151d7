"""The keys of customers as the API has them: those on the topic, and those that it makes.

A key that is made here is used once the topic has shown it again: then all processes agree which of a customer's keys is
the oldest, so that the same data sent again is the same bytes, whichever process takes it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from api.customers.errors import KeysLost, NoMasterKey
from api.http._follower import Follower
from api.http.errors import NoAnswer
from schemas import codec
from schemas.catalogue import CUSTOMERS_KEYS
from schemas.clients import CLIENT_TIMEOUT_MS, client_config, producer_config
from schemas.errors import DecodingError, SealingError
from schemas.records import Attribution, CustomerKey, SealedField
from schemas.sealing import MasterKeys, new_personal_key, unwrap, wrap

KEYS_MAX = 1_000_000
"""Keys that were not erased, in memory, wrapped: about 1 kB each."""

READ_DEADLINE_S = 60.0
MADE_DEADLINE_S = 20.0
_KEY_ID_BYTES = 12
_REQUEST_TIMEOUT_S = CLIENT_TIMEOUT_MS / 1000

log = logging.getLogger("clearline.api")


class Keyring:
    """Seals and opens customers' fields. Filled by a thread that follows the topic, used by the server's."""

    def __init__(
        self,
        bootstrap: str,
        extra: Mapping[str, Any],
        masters: MasterKeys | None,
        *,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._bootstrap, self._extra, self._masters, self._failed = bootstrap, extra, masters, failed
        self._lock = threading.Lock()
        self._keys: dict[str, CustomerKey] = {}
        self._of: dict[tuple[str, str], tuple[str, ...]] = {}
        """By tenant and customer: keys that were not erased, oldest first."""
        self._awaited: dict[str, asyncio.Event] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._follower = Follower(bootstrap, extra, on_message=self._on_message, failed=failed)
        self._producer = Producer(producer_config(bootstrap, {"linger.ms": 0, **extra}))

    async def start(self) -> None:
        """Read the topic to its end, and follow it. Raises KafkaException."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        admin = AdminClient(client_config(self._bootstrap, dict(self._extra)))
        known = admin.list_topics(CUSTOMERS_KEYS.name, timeout=_REQUEST_TIMEOUT_S).topics[CUSTOMERS_KEYS.name]
        if not known.partitions:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC, f"there is no topic {CUSTOMERS_KEYS.name}"))
        self._follower.start([(CUSTOMERS_KEYS.name, number) for number in known.partitions], from_end=False)
        if not self._follower.caught_up.wait(READ_DEADLINE_S):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"topic {CUSTOMERS_KEYS.name} was not read"))

    def close(self) -> None:
        """End the thread and the clients."""
        self._follower.close()
        self._producer.flush(1.0)

    async def seal(
        self, fields: Mapping[str, str | None], *, tenant: str, customer: str, attribution: Attribution, now_ms: int
    ) -> tuple[SealedField, ...]:
        """
        The fields, each sealed by itself, and empty where it is to be cleared.

        Raises `NoMasterKey`, and `NoAnswer` when a key could not be made in time: nothing was begun.
        """
        if not any(fields.values()):
            return tuple(SealedField(name=name) for name in sorted(fields))
        if self._masters is None:
            raise NoMasterKey(next(name for name, text in fields.items() if text))
        record = self._oldest(tenant, customer)
        if record is None:
            await self._make(tenant, customer, attribution, now_ms)
            record = self._oldest(tenant, customer)
            if record is None:  # erased in the meantime
                raise NoAnswer
        key = unwrap(self._masters, record)
        return tuple(
            SealedField(name=name, key_id=key.key_id, sealed=key.seal({name: text}, payment_id=_place(customer, name)))
            if text
            else SealedField(name=name)
            for name, text in sorted(fields.items())
        )

    def open(self, fields: Iterable[SealedField], *, tenant: str, customer: str) -> dict[str, str]:
        """What can be read of the fields; what was erased, or can't be opened without its master key, is not in it."""
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

    def _oldest(self, tenant: str, customer: str) -> CustomerKey | None:
        with self._lock:
            keys = self._of.get((tenant, customer))
            return None if not keys else self._keys.get(f"{tenant}/{keys[0]}")

    async def _make(self, tenant: str, customer: str, attribution: Attribution, now_ms: int) -> None:
        """A new key on the topic, and seen there."""
        assert self._masters is not None
        key_id = f"ck_{secrets.token_hex(_KEY_ID_BYTES)}"
        wrapped, master = wrap(self._masters, new_personal_key(), tenant=tenant, customer=customer, key_id=key_id)
        record = CustomerKey(
            tenant=tenant,
            customer=customer,
            key_id=key_id,
            status="active",
            wrapped=wrapped,
            master_key_id=master,
            created_ms=now_ms,
            attribution=attribution,
        )
        name = f"{tenant}/{key_id}"
        seen = self._awaited[name] = asyncio.Event()
        try:
            self._producer.produce(CUSTOMERS_KEYS.name, codec.encode(record), name.encode(), timestamp=now_ms)
            async with asyncio.timeout(MADE_DEADLINE_S):
                # Whether it was written, the topic itself says.
                await asyncio.to_thread(self._producer.flush, MADE_DEADLINE_S)
                await seen.wait()
        except (TimeoutError, BufferError, KafkaException) as error:
            log.warning("a customer's key was not made: %r", error)
            raise NoAnswer from None
        finally:
            del self._awaited[name]

    def _on_message(self, message: Message) -> None:
        key, value = message.key(), message.value()
        if not isinstance(key, bytes):
            return
        name = key.decode("utf-8", "replace")
        try:
            record = None if value is None else codec.decode(value, expected=(CustomerKey,))
        except DecodingError as error:
            log.error("a customer's key at offset %s can't be read: %s", message.offset(), error)  # noqa: TRY400
            return
        assert record is None or isinstance(record, CustomerKey)
        self.put(name, record)
        if self._loop is not None and name in self._awaited:
            self._loop.call_soon_threadsafe(self._seen, name)

    def _seen(self, name: str) -> None:
        waiting = self._awaited.get(name)
        if waiting is not None:
            waiting.set()

    def put(self, name: str, record: CustomerKey | None) -> None:
        """Take what the topic says of the key `tenant/ck_...`; an erased one is forgotten."""
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
        if len(self._keys) > KEYS_MAX:
            raise KeysLost(f"there are more than {KEYS_MAX} keys of customers; see docs/limits.md")


def _place(customer: str, name: str) -> str:
    """Where a sealed field belongs: moved to another customer or under another name, it does not open."""
    return f"{customer}/{name}"
