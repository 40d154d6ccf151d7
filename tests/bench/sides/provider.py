"""A provider that answers at once: reads requests, appends "captured" for each, without HTTP and without transactions."""

from __future__ import annotations

import os
import signal
import time

from confluent_kafka import Consumer, Producer

from schemas import codec
from schemas.clients import consumer_config, producer_config
from schemas.records import Attribution, ProviderRequest, ProviderResult
from tests.bench.sides import _told

CHUNK = 1_000
FEE_SHARE = 50


def answer(request: ProviderRequest, *, now_ms: int) -> ProviderResult:
    """All of it captured, for a fee of 2 per cent."""
    who = request.attribution
    return ProviderResult(
        tenant=request.tenant,
        payment_id=request.payment_id,
        request_id=request.request_id,
        object_id=request.object_id,
        provider=request.provider,
        operation=request.operation,
        outcome="captured",
        amount_minor=request.amount_minor,
        currency=request.currency,
        provider_reference=f"np_{request.object_id[3:]}",
        provider_fee_minor=max(1, request.amount_minor // FEE_SHARE),
        observed_ms=now_ms,
        attribution=Attribution(
            actor_kind="provider",
            actor_id=request.provider,
            on_behalf_of=who.on_behalf_of,
            request_id=who.request_id,
            idempotency_key=who.idempotency_key,
            traceparent=who.traceparent,
        ),
    )


def main() -> None:
    """Run until SIGTERM."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    consumer = Consumer(consumer_config(_told.BOOTSTRAP, _told.APPLICATION, {"fetch.wait.max.ms": 100}))
    consumer.subscribe([os.environ["BENCH_REQUESTS"]])
    producer = Producer(producer_config(_told.BOOTSTRAP, {"linger.ms": 2, "queue.buffering.max.messages": 500_000}))
    results = os.environ["BENCH_RESULTS"]
    while not stopping:
        first = consumer.poll(0.2)
        if first is None:
            producer.poll(0)
            continue
        messages = [first, *consumer.consume(CHUNK, 0)]
        now_ms = time.time_ns() // 1_000_000
        for message in messages:
            if message.error() is None:
                request = codec.decode(message.value(), expected=(ProviderRequest,))
                assert isinstance(request, ProviderRequest)
                producer.produce(results, codec.encode(answer(request, now_ms=now_ms)), message.key())
        producer.poll(0)
        consumer.commit(message=messages[-1], asynchronous=True)
    producer.flush(30)
    consumer.close()


if __name__ == "__main__":
    main()
