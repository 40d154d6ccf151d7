"""The keys of customers as the API has them: those on the topic, and those that it makes.

A key that is made here is used once the topic has shown it again: then all processes agree which of a customer's keys is
the oldest, so that the same data sent again is the same bytes, whichever process takes it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from api.customers._known import Known
from api.customers.errors import NoMasterKey
from api.http._follower import Follower
from api.http.errors import NoAnswer
from schemas import codec
from schemas.catalogue import CUSTOMERS_KEYS
from schemas.clients import CLIENT_TIMEOUT_MS, client_config, producer_config
from schemas.errors import DecodingError
from schemas.records import Attribution, CustomerKey, SealedField
from schemas.sealing import MasterKeys, new_personal_key, wrap

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
        self._bootstrap, self._extra, self._masters = bootstrap, extra, masters
        self.known = Known(masters)
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
        if self.known.oldest(tenant, customer) is None:
            await self._make(tenant, customer, attribution, now_ms)
        sealed = self.known.seal(fields, tenant=tenant, customer=customer)
        if sealed is None:  # erased in the meantime
            raise NoAnswer
        return sealed

    def open(self, fields: Iterable[SealedField], *, tenant: str, customer: str) -> dict[str, str]:
        """What can be read of the fields; what was erased, or can't be opened without its master key, is not in it."""
        return self.known.open(fields, tenant=tenant, customer=customer)

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
        self.known.put(name, record)
        if self._loop is not None and name in self._awaited:
            self._loop.call_soon_threadsafe(self._seen, name)

    def _seen(self, name: str) -> None:
        waiting = self._awaited.get(name)
        if waiting is not None:
            waiting.set()
