"""A command on its fold's input topic, and its answer from this process's partition of `payments.replies`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from msgspec.structs import replace

from api.http._follower import Follower
from api.http.errors import NoAnswer, Overloaded, Stopping
from schemas import codec
from schemas.catalogue import API_KEYS_USES, PAYMENTS_INPUTS, PAYMENTS_REPLIES
from schemas.clients import CLIENT_TIMEOUT_MS, producer_config
from schemas.errors import DecodingError
from schemas.records import ApiKeyUse, CustomerCommand, CustomerReply, PaymentCommand, PayoutCommand, PayoutReply, Reply

IN_FLIGHT_MAX = 2_000
"""Commands of one process that wait for their answer; more would only wait longer."""
DEADLINE_S = 30.0
"""A provider has answered or is known not to by then; below the 80 s that the SDKs wait."""
QUEUED_MAX = 10_000
_DELIVERY_TIMEOUT_MS = 20_000
_POLL_S = 0.2
_REQUEST_TIMEOUT_S = CLIENT_TIMEOUT_MS / 1000

Command = PaymentCommand | CustomerCommand | PayoutCommand
AnyReply = Reply | CustomerReply | PayoutReply

log = logging.getLogger("clearline.api")


class Commands:
    """Sends commands and resolves their replies. Several processes may share a partition: each knows its own ids only."""

    def __init__(
        self,
        bootstrap: str,
        extra: Mapping[str, Any],
        *,
        failed: Callable[[BaseException], None],
        deadline_s: float = DEADLINE_S,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        self._bootstrap, self._extra, self._failed = bootstrap, extra, failed
        self._deadline_s, self._in_flight_max = deadline_s, in_flight_max
        self._waiting: dict[str, asyncio.Future[AnyReply]] = {}
        self._follower: Follower | None = None
        self._ending = threading.Event()
        self._stopping = False
        settings = {
            "linger.ms": 0,
            "message.timeout.ms": _DELIVERY_TIMEOUT_MS,
            "queue.buffering.max.messages": QUEUED_MAX,
            "error_cb": self._on_error,
            **extra,
        }
        self._producer = Producer(producer_config(bootstrap, settings))
        self._poller = threading.Thread(target=self._poll, name="producer", daemon=True)
        self.partition = -1

    @property
    def in_flight(self) -> int:
        """Commands whose answer is awaited now."""
        return len(self._waiting)

    async def start(self) -> None:
        """Take a partition of the replies and read it from its end. Raises KafkaException."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        found = self._producer.list_topics(PAYMENTS_REPLIES.name, timeout=_REQUEST_TIMEOUT_S)
        partitions = len(found.topics[PAYMENTS_REPLIES.name].partitions)
        if not partitions:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC, f"there is no topic {PAYMENTS_REPLIES.name}"))
        self.partition = int.from_bytes(os.urandom(4), "big") % partitions
        self._follower = Follower(self._bootstrap, self._extra, on_message=self._on_message, failed=self._failed)
        self._follower.start([(PAYMENTS_REPLIES.name, self.partition)], from_end=True)
        self._poller.start()

    def stop(self) -> None:
        """Begin nothing more; what waits is still answered."""
        self._stopping = True

    async def close(self) -> None:
        """End the threads and clients."""
        self._stopping = True
        self._ending.set()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._poller.is_alive():
            self._poller.join(_REQUEST_TIMEOUT_S)
        self._producer.flush(1.0)
        if self._follower is not None:
            self._follower.close()

    async def ask(self, command: PaymentCommand) -> Reply:
        """Send a payment's command and wait for its reply. Raises as `send` does."""
        key = f"{command.tenant}/{command.payment_id}"
        reply = await self.send(command, topic=PAYMENTS_INPUTS.name, key=key)
        assert isinstance(reply, Reply), "a payment's command is answered by its fold"
        return reply

    async def send(self, command: Command, *, topic: str, key: str) -> AnyReply:
        """Send a command and wait for its reply. Raises `Overloaded` and `Stopping` (nothing begun), `NoAnswer`."""
        if self._stopping:
            raise Stopping
        if len(self._waiting) >= self._in_flight_max:
            raise Overloaded
        correlation_id = uuid.uuid4().hex
        addressed = replace(command, reply_partition=self.partition, correlation_id=correlation_id)
        future: asyncio.Future[AnyReply] = self._loop.create_future()
        self._waiting[correlation_id] = future
        try:
            self._produce(addressed, topic, key)
            async with asyncio.timeout(self._deadline_s):
                return await future
        except TimeoutError:
            raise NoAnswer from None
        finally:
            del self._waiting[correlation_id]

    def _produce(self, command: Command, topic: str, key: str) -> None:
        correlation_id = command.correlation_id

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                log.warning("a command was not confirmed by Kafka: %s", error.str())
                self._loop.call_soon_threadsafe(self._fail, correlation_id)

        try:
            self._producer.produce(topic, codec.encode(command), key.encode(), on_delivery=delivered)
        except BufferError:
            raise Overloaded from None

    def tell_use(self, key_id: str, tenant: str, used_ms: int) -> None:
        """Tell that a key was used, without waiting: one that is lost is told again in an hour."""
        value = codec.encode(ApiKeyUse(key_id=key_id, tenant=tenant, used_ms=used_ms))
        with contextlib.suppress(BufferError):
            self._producer.produce(API_KEYS_USES.name, value, key_id.encode())

    def _fail(self, correlation_id: str) -> None:
        future = self._waiting.get(correlation_id)
        if future is not None and not future.done():
            # Not confirmed is not the same as not written.
            future.set_exception(NoAnswer())

    def _on_message(self, message: Message) -> None:
        key, value = message.key(), message.value()
        if not isinstance(key, bytes) or value is None or key.decode("ascii", "replace") not in self._waiting:
            return
        try:
            reply = codec.decode(value, expected=PAYMENTS_REPLIES.records)
        except DecodingError as error:
            log.error("a reply at offset %s can't be read: %s", message.offset(), error)  # noqa: TRY400 - its text says it
            return
        assert isinstance(reply, AnyReply)
        self._loop.call_soon_threadsafe(self._resolve, reply)

    def _resolve(self, reply: AnyReply) -> None:
        future = self._waiting.get(reply.correlation_id)
        if future is not None and not future.done():
            future.set_result(reply)

    def _poll(self) -> None:
        while not self._ending.is_set():
            self._producer.poll(_POLL_S)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failed(KafkaException(error))
