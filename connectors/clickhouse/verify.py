"""Compares ClickHouse with the topics, record by record: reads the topics anew, and trusts nothing that landing wrote down.

`python -m connectors.clickhouse.verify` prints what differs and ends with 1, or with 0 when nothing does.
"""

# ruff: noqa: S608 - the names and numbers in these statements are our own

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import xxhash
from confluent_kafka import KafkaException, Message

from connectors.clickhouse._reading import Place, Reader
from connectors.clickhouse.client import Client, connect
from connectors.clickhouse.errors import WarehouseError
from schemas import catalogue, codec, environment, records
from schemas.currencies import EXPONENTS
from schemas.errors import DecodingError

_WRAP = 2**64

TOPICS: tuple[catalogue.Topic, ...] = (
    catalogue.PAYMENTS_EVENTS,
    catalogue.SETTLEMENT_EVENTS,
    catalogue.PAYMENTS_INPUTS,
    catalogue.RECORDS_REJECTED,
    catalogue.IDENTITY_HISTORY,
    catalogue.CUSTOMERS_EVENTS,
)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One figure that is not the same on a topic's partition and in a table, up to the partition's landed position."""

    table: str
    topic: str
    partition: int
    figure: str
    on_topic: int
    in_clickhouse: int

    def __str__(self) -> str:
        """For people."""
        return (
            f"{self.table} {self.topic}/{self.partition} {self.figure}: {self.on_topic} on the topic, "
            f"{self.in_clickhouse} in ClickHouse"
        )


Figures = dict[str, int]


class _Book(msgspec.Struct, frozen=True, kw_only=True):
    """How a table's rows are digested: SQL expressions whose texts, joined by '|', Python makes from the record as well."""

    digest: tuple[str, ...]
    amount: str = ""


_BOOKS: dict[str, _Book] = {
    "payment_events": _Book(
        digest=(
            "event_id",
            "tenant",
            "payment_id",
            "sequence",
            "type",
            "to_status",
            "currency",
            "amount_minor",
            "amount_received_minor",
            "amount_refunded_minor",
            "charge_id",
            "refund_id",
            "request_id",
            "actor_id",
            "cause_offset",
            "postings",
            "dispute_id",
            "dispute_status",
            "dispute_withdrawn_minor",
            "proposal_id",
            "approved_by",
            "fx_to_minor",
            "fx_rate",
        ),
        amount="amount_received_minor",
    ),
    "ledger_entries": _Book(
        digest=("event_id", "tenant", "account", "amount_minor", "_ordinal", "currency"), amount="amount_minor"
    ),
    "balance_transactions": _Book(
        digest=(
            "event_id",
            "transaction_id",
            "tenant",
            "type",
            "source",
            "gross_minor",
            "fee_minor",
            "available_on_ms",
            "exchange_rate",
            "_ordinal",
            "currency",
        ),
        amount="net_minor",
    ),
    "settlement_events": _Book(
        digest=(
            "event_id",
            "tenant",
            "provider",
            "window_id",
            "sequence",
            "type",
            "status",
            "movement_id",
            "movement_amount_minor",
            "totals_net_minor",
            "currency",
            "postings",
        ),
        amount="movement_amount_minor",
    ),
    "payout_events": _Book(
        digest=(
            "event_id",
            "tenant",
            "provider",
            "payout_id",
            "sequence",
            "type",
            "to_status",
            "amount_minor",
            "transaction_minor",
            "failure_code",
            "request_id",
            "actor_id",
            "currency",
            "postings",
        ),
        amount="transaction_minor",
    ),
    "customer_events": _Book(
        digest=(
            "event_id",
            "tenant",
            "object_id",
            "sequence",
            "type",
            "previous_event_id",
            "customer",
            "toUInt8(deleted)",
            "arrayStringConcat(arraySort(mapKeys(personal)), ',')",
            "length(metadata)",
            "payment_method",
            "card_fingerprint",
            "status",
            "error_decline_code",
            "request_id",
            "actor_id",
            "cause_offset",
        )
    ),
    "payment_inputs": _Book(digest=("record", "tenant", "payment_id", "kind", "request_id", "actor_id")),
    "rejections": _Book(
        digest=("source_topic", "source_partition", "source_offset", "reason", "value_sha256", "ifNull(value, '')")
    ),
    "identity_events": _Book(digest=("tenant", "object", "object_id", "version", "actor_id", "request_id")),
    "landing_errors": _Book(digest=("key", "value")),
}


def compare(
    bootstrap: str,
    client: Client,
    *,
    kafka_config: Mapping[str, Any] | None = None,
    topics: tuple[catalogue.Topic, ...] = TOPICS,
) -> list[Difference]:
    """What differs between the topics and the tables, up to what is landed of each partition; empty when all is well.

    Per table and partition: how many rows, the sum of a hash of each row's content and offset, and sums per currency.
    Raises an error of the client, `KafkaException`, `TopicMissing` or `RecordsMissing`.
    """
    landed = _positions(client)
    on_topic = _from_topics(bootstrap, {place: end for place, end in landed.items() if end}, topics, kafka_config)
    in_clickhouse = _from_tables(client, {topic.name for topic in topics})
    differences = []
    for key in sorted(on_topic.keys() | in_clickhouse.keys()):
        ours, theirs = on_topic.get(key, {}), in_clickhouse.get(key, {})
        differences += [
            Difference(
                table=key[0],
                topic=key[1],
                partition=key[2],
                figure=figure,
                on_topic=ours.get(figure, 0),
                in_clickhouse=theirs.get(figure, 0),
            )
            for figure in sorted(ours.keys() | theirs.keys())
            if ours.get(figure, 0) != theirs.get(figure, 0)
        ]
    return differences


def unlanded(
    bootstrap: str,
    client: Client,
    *,
    kafka_config: Mapping[str, Any] | None = None,
    topics: tuple[catalogue.Topic, ...] = TOPICS,
) -> int:
    """How many committed records lie beyond what is landed, clock ticks aside. Reads them; raises as `compare` does."""
    landed = _positions(client)
    count = 0
    with Reader(bootstrap, kafka_config) as reader:
        starts = {place: landed.get(place) for place in reader.partitions(topics)}
        for message in reader.read(starts, until=None):
            record, _ = _decoded(message, topics)
            count += not isinstance(record, records.ClockTick)
    return count


def _positions(client: Client) -> dict[Place, int]:
    found = client.rows("SELECT _topic, _partition, next_offset FROM landed_positions")
    return {(topic, partition): next_offset for topic, partition, next_offset in found}


def _from_tables(client: Client, topics: set[str]) -> dict[tuple[str, str, int], Figures]:
    figures: dict[tuple[str, str, int], Figures] = defaultdict(dict)
    for table, book in _BOOKS.items():
        digest = ", ".join(f"toString({part})" for part in (*book.digest, f"{table}._offset"))
        amount = f"sum(toInt128({book.amount}))" if book.amount else "0"
        currency = "currency" if book.amount else "''"
        sql = (
            f"SELECT _topic, _partition, {currency} AS unit, count(), sumWithOverflow(xxHash64(concatWithSeparator('|', {digest}))), "
            f"{amount} FROM {table} INNER JOIN landed_positions USING (_topic, _partition) "
            "WHERE _offset < landed_positions.next_offset GROUP BY _topic, _partition, unit"
        )
        for topic, partition, unit, count, digest_sum, amount_sum in client.rows(sql):
            if topic in topics:
                _add(figures[table, topic, partition], unit, count, digest_sum, amount_sum)
    return dict(figures)


def _from_topics(
    bootstrap: str,
    ends: Mapping[Place, int],
    topics: tuple[catalogue.Topic, ...],
    kafka_config: Mapping[str, Any] | None,
) -> dict[tuple[str, str, int], Figures]:
    figures: dict[tuple[str, str, int], Figures] = defaultdict(dict)
    names = {topic.name for topic in topics}
    with Reader(bootstrap, kafka_config) as reader:
        wanted = {place: end for place, end in ends.items() if place[0] in names}
        for message in reader.read(dict.fromkeys(wanted), until=wanted):
            offset = message.offset() or 0
            for table, parts, unit, amount in _rows_of(message, topics):
                text = b"|".join([*parts, b"%d" % offset])
                place = (table, str(message.topic()), int(message.partition() or 0))
                _add(figures[place], unit, 1, xxhash.xxh64_intdigest(text), amount)
    return dict(figures)


def _add(figures: Figures, unit: str, count: int, digest: int, amount: int) -> None:
    figures["rows"] = figures.get("rows", 0) + count
    figures["content"] = (figures.get("content", 0) + digest) % _WRAP
    if unit:
        figures[unit] = figures.get(unit, 0) + amount


_INPUTS = (
    records.PaymentCommand,
    records.ProviderResult,
    records.ProviderNotice,
    records.RoutingUpdate,
    records.Tenant,
)
_Input = (
    records.PaymentCommand | records.ProviderResult | records.ProviderNotice | records.RoutingUpdate | records.Tenant
)
Found = tuple[str, list[bytes], str, int]


def _rows_of(message: Message, topics: tuple[catalogue.Topic, ...]) -> Iterator[Found]:
    """Which rows a record must have: table, digested parts, currency and amount. Written apart from landing on purpose."""
    record, value = _decoded(message, topics)
    if message.topic() == catalogue.IDENTITY_HISTORY.name and record is not None:
        yield "identity_events", _identity_event(record), "", 0
    elif isinstance(record, records.PaymentEvent) and _known(
        _currency(record), (*record.postings, *record.balance_transactions)
    ):
        yield from _payment_event(record)
    elif isinstance(record, records.SettlementEvent) and _known(record.currency, record.postings):
        yield from _settlement_event(record)
    elif isinstance(record, records.PayoutEvent) and _known(record.currency, record.postings):
        yield from _payout_event(record)
    elif isinstance(record, records.CustomerEvent):
        yield "customer_events", _customer_event(record), "", 0
    elif isinstance(record, records.Rejection):
        parts = (record.source_topic, record.source_partition, record.source_offset, record.reason, record.value_sha256)
        yield "rejections", [*_texts(*parts), record.value or b""], "", 0
    elif isinstance(record, _INPUTS):
        yield "payment_inputs", _input(record), "", 0
    elif not isinstance(record, records.ClockTick):
        yield "landing_errors", [message.key() or b"", value], "", 0


def _payment_event(event: records.PaymentEvent) -> Iterator[Found]:
    payment = event.payment or records.PaymentObject()
    charge_id, refund_id = event.charge.id if event.charge else "", event.refund.id if event.refund else ""
    currency = _currency(event)
    parts = _texts(
        event.event_id,
        event.tenant,
        event.payment_id,
        event.sequence,
        event.type,
        event.to_status,
        currency,
        payment.amount_minor,
        payment.amount_received_minor,
        payment.amount_refunded_minor,
        charge_id,
        refund_id,
        event.attribution.request_id,
        event.attribution.actor_id,
        event.cause_offset,
        len(event.postings),
        event.dispute.id if event.dispute else "",
        event.dispute.status if event.dispute else "",
        event.dispute.withdrawn_minor if event.dispute else 0,
        event.proposal.id if event.proposal else "",
        event.proposal.approved_by if event.proposal else "",
        event.fx.to_minor if event.fx else 0,
        event.fx.rate if event.fx else "",
    )
    yield "payment_events", parts, currency, payment.amount_received_minor
    for ordinal, one in enumerate(event.balance_transactions):
        told = (one.id, event.tenant, one.type, one.source, one.gross_minor, one.fee_minor, one.available_on_ms)
        yield (
            "balance_transactions",
            _texts(event.event_id, *told, one.exchange_rate, ordinal, one.currency),
            one.currency,
            one.net_minor,
        )
    yield from _legs(event.event_id, event.tenant, event.postings)


def _settlement_event(event: records.SettlementEvent) -> Iterator[Found]:
    movement = event.movement or records.WindowMovement()
    parts = _texts(
        event.event_id,
        event.tenant,
        event.provider,
        event.window_id,
        event.sequence,
        event.type,
        event.status,
        movement.movement_id,
        movement.amount_minor,
        event.totals.net_minor if event.totals else 0,
        event.currency,
        len(event.postings),
    )
    yield "settlement_events", parts, event.currency, movement.amount_minor
    yield from _legs(event.event_id, event.tenant, event.postings)


def _payout_event(event: records.PayoutEvent) -> Iterator[Found]:
    payout, change = event.payout or records.PayoutObject(), event.transaction or records.PayoutTransaction()
    parts = _texts(
        event.event_id,
        event.tenant,
        event.provider,
        event.payout_id,
        event.sequence,
        event.type,
        event.to_status,
        payout.amount_minor,
        change.amount_minor,
        payout.failure_code,
        event.attribution.request_id,
        event.attribution.actor_id,
        event.currency,
        len(event.postings),
    )
    yield "payout_events", parts, event.currency, change.amount_minor
    if event.transaction is not None:
        told = (change.id, event.tenant, change.type, event.payout_id, change.amount_minor, 0, change.available_on_ms)
        parts = _texts(event.event_id, *told, "", 0, change.currency)
        yield "balance_transactions", parts, change.currency, change.amount_minor
    yield from _legs(event.event_id, event.tenant, event.postings)


def _customer_event(event: records.CustomerEvent) -> list[bytes]:
    about = event.customer or event.method or event.setup
    customer = event.customer or records.CustomerObject()
    method = event.method or records.MethodObject()
    setup = event.setup or records.SetupObject()
    return _texts(
        event.event_id,
        event.tenant,
        event.object_id,
        event.sequence,
        event.type,
        event.previous_event_id,
        customer.id or method.customer or setup.customer,
        int(customer.deleted),
        ",".join(sorted(one.name for one in customer.personal)),
        len(about.metadata) if about else 0,
        customer.default_method or method.id or setup.method,
        method.card.fingerprint,
        setup.status if event.setup else "",
        setup.error_decline_code,
        event.attribution.request_id,
        event.attribution.actor_id,
        event.cause_offset,
    )


def _currency(event: records.PaymentEvent) -> str:
    """The payment's, or else that of whatever the event is about."""
    about = (event.payment, event.charge, event.refund)
    return next((one.currency for one in about if one is not None and one.currency), "")


def _legs(event_id: str, tenant: str, postings: tuple[records.Posting, ...]) -> Iterator[Found]:
    for ordinal, leg in enumerate(postings):
        parts = _texts(event_id, tenant, leg.account, leg.amount_minor, ordinal, leg.currency)
        yield "ledger_entries", parts, leg.currency, leg.amount_minor


def _input(record: _Input) -> list[bytes]:
    payment_id = "" if isinstance(record, records.RoutingUpdate | records.Tenant) else record.payment_id
    kind = "tenant" if isinstance(record, records.Tenant) else ""
    if isinstance(record, records.PaymentCommand | records.ProviderNotice | records.RoutingUpdate):
        kind = record.kind
    elif isinstance(record, records.ProviderResult):
        kind = record.operation
    who = record.attribution
    return _texts(type(record).__name__, record.tenant, payment_id, kind, who.request_id, who.actor_id)


def _identity_event(record: Any) -> list[bytes]:
    names = {"ApiKey": "key_id", "Approval": "approval_id", "Operator": "operator_id", "OperatorSession": "session_id"}
    kind = type(record).__name__
    object_ = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).strip("_")
    object_id = getattr(record, names.get(kind, "organization" if kind == "Organization" else "tenant"))
    version = record.policy_version if kind == "RoutingPolicy" else getattr(record, "version", 0)
    who = record.attribution
    return _texts(getattr(record, "tenant", ""), object_, object_id, version, who.actor_id, who.request_id)


def _texts(*parts: object) -> list[bytes]:
    return [str(part).encode() for part in parts]


def _known(currency: str, postings: tuple[records.Posting | records.BalanceTransaction, ...]) -> bool:
    """Whether landing can book it: an event in an unknown currency is kept in landing_errors."""
    return (not currency or currency in EXPONENTS) and all(leg.currency in EXPONENTS for leg in postings)


def _decoded(message: Message, topics: tuple[catalogue.Topic, ...]) -> tuple[records.Record | None, bytes]:
    raw = message.value()
    expected = next(topic.records for topic in topics if topic.name == message.topic())
    try:
        return codec.decode(raw, expected=expected), raw or b""
    except DecodingError:
        return None, raw or b""


def main() -> int:
    """Compare the Kafka of CLEARLINE_KAFKA with the ClickHouse of CLEARLINE_CLICKHOUSE."""
    try:
        told = environment.read()
        client = connect(told.warehouse)
        try:
            differences = compare(told.kafka, client, kafka_config=told.kafka_config)
            broken = [
                f"{proof}: {dict(zip(names, row, strict=True))}"
                for proof in ("proof_landed", "proof_balanced", "proof_settled", "proof_balances", "proof_payouts")
                for names, row in _broken(client, proof)
            ]
        finally:
            client.close()
    except environment.VariableError as error:
        print(f"{error}; {error.remedy}", file=sys.stderr)
        return 2
    except (WarehouseError, KafkaException) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join([*map(str, differences), *broken]) or "topics and ClickHouse agree; all proofs hold")
    return 1 if differences or broken else 0


def _broken(client: Client, proof: str) -> Iterator[tuple[list[str], tuple[Any, ...]]]:
    names = [str(row[0]) for row in client.rows(f"DESCRIBE TABLE {proof}")]
    for row in client.rows(f"SELECT * FROM {proof} WHERE NOT holds"):
        yield names, row


if __name__ == "__main__":
    sys.exit(main())
