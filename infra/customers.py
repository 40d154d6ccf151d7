"""Personal data of one customer: read for support, and erased by erasing the customer's keys."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from msgspec.structs import replace

from infra.errors import KafkaUnreachable
from schemas import codec, reading
from schemas.catalogue import CUSTOMERS_EVENTS, CUSTOMERS_KEYS, PAYMENTS_EVENTS, Topic
from schemas.clients import CLIENT_TIMEOUT_MS, client_config, producer_config
from schemas.environment import Environment
from schemas.errors import SealBroken, TopicUnread
from schemas.records import Attribution, CustomerEvent, CustomerKey, CustomerObject, PaymentEvent
from schemas.sealing import MasterKeys, unwrap

_TIMEOUT_S = CLIENT_TIMEOUT_MS / 1000
_STALLED_S = 60.0


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A payment's personal data, or a customer's own (then `payment_id` is its cus_...), opened. `why` says why there is none: its key was erased, or is not to be found."""

    payment_id: str
    key_id: str
    personal: dict[str, str]
    why: str = ""


def keys_of(settings: Environment, tenant: str, customer: str) -> list[CustomerKey]:
    """The customer's keys as they stand now, oldest first. Raises `KafkaUnreachable`."""
    found: dict[str, CustomerKey] = {}
    for message in _committed(settings, CUSTOMERS_KEYS):
        record = codec.decode(message.value() or b"", expected=CUSTOMERS_KEYS.records)
        assert isinstance(record, CustomerKey)
        if (record.tenant, record.customer) == (tenant, customer):
            found[record.key_id] = record
    return list(found.values())


def show(settings: Environment, masters: MasterKeys, keys: list[CustomerKey]) -> list[Shown]:
    """
    What the customers and payments sealed with these keys say, from their events.

    Raises `KafkaUnreachable`, `MasterKeyMissing`.
    """
    by_id = {(key.tenant, key.key_id): key for key in keys}
    shown: dict[str, Shown] = {one.payment_id: one for one in _of_customers(settings, masters, by_id)}
    for message in _committed(settings, PAYMENTS_EVENTS):
        event = codec.decode(message.value() or b"", expected=PAYMENTS_EVENTS.records)
        assert isinstance(event, PaymentEvent)
        if event.payment is None or event.payment_id in shown:
            continue
        key = by_id.get((event.tenant, event.payment.personal_key))
        if key is not None and event.payment.personal:
            shown[event.payment_id] = _opened(masters, key, event.payment_id, event.payment.personal)
    return list(shown.values())


def _of_customers(
    settings: Environment, masters: MasterKeys, by_id: Mapping[tuple[str, str], CustomerKey]
) -> Iterator[Shown]:
    """Customers as they stand after their newest events; each field may be sealed with a key of its own."""
    newest: dict[tuple[str, str], CustomerObject] = {}
    for message in _committed(settings, CUSTOMERS_EVENTS):
        event = codec.decode(message.value() or b"", expected=CUSTOMERS_EVENTS.records)
        assert isinstance(event, CustomerEvent)
        if event.customer is not None:
            newest[event.tenant, event.object_id] = event.customer
    for (tenant, customer), one in newest.items():
        fields = [(field, by_id[tenant, field.key_id]) for field in one.personal if (tenant, field.key_id) in by_id]
        personal: dict[str, str] = {}
        why = ""
        for field, key in fields:
            # As the API seals them: bound to the customer and to the field's name.
            opened = _opened(masters, key, f"{customer}/{field.name}", field.sealed)
            personal |= opened.personal
            why = why or opened.why
        if fields:
            yield Shown(payment_id=customer, key_id=fields[0][1].key_id, personal=personal, why=why)


def erase(settings: Environment, keys: list[CustomerKey], *, attribution: Attribution) -> list[CustomerKey]:
    """
    Write the keys as erased and return them; those that are erased already stay as they are. Doing it again is harmless.

    Raises `KafkaUnreachable`.
    """
    now_ms = time.time_ns() // 1_000_000
    erased = [
        replace(key, status="erased", wrapped=b"", erased_ms=now_ms, attribution=attribution)
        for key in keys
        if key.status != "erased"
    ]
    producer = Producer(producer_config(settings.kafka, dict(settings.kafka_config)))
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error)

    for key in erased:
        producer.produce(
            CUSTOMERS_KEYS.name,
            codec.encode(key),
            f"{key.tenant}/{key.key_id}".encode(),
            timestamp=now_ms,
            on_delivery=delivered,
        )
    left = producer.flush(_STALLED_S)
    if failures or left:
        reason = failures[0].str() if failures else f"{left} records were not confirmed in {_STALLED_S:g} s"
        raise KafkaUnreachable(settings.kafka, f"{reason}; erase again, what is erased already stays so")
    return erased


def _opened(masters: MasterKeys, key: CustomerKey, payment_id: str, sealed: bytes) -> Shown:
    if key.status == "erased":
        return Shown(payment_id=payment_id, key_id=key.key_id, personal={}, why="erased")
    try:
        personal = unwrap(masters, key).open(sealed, payment_id=payment_id)
    except SealBroken as broken:
        return Shown(payment_id=payment_id, key_id=key.key_id, personal={}, why=str(broken))
    return Shown(payment_id=payment_id, key_id=key.key_id, personal=personal)


def _committed(settings: Environment, topic: Topic) -> Iterator[Message]:
    """Every committed record of a topic up to its present end."""
    kafka = client_config(settings.kafka, dict(settings.kafka_config))
    try:
        partitions = AdminClient(kafka).list_topics(topic.name, timeout=_TIMEOUT_S).topics[topic.name].partitions
        ends = reading.ends(kafka, {(topic.name, number) for number in partitions}, open_too=False)
        for _, _, message in reading.read(kafka, ends, group="clearline.customers", stalled_s=_STALLED_S):
            yield message
    except KafkaException as error:
        raise KafkaUnreachable(settings.kafka, error.args[0].str()) from error
    except TopicUnread as error:
        raise KafkaUnreachable(settings.kafka, str(error)) from error
