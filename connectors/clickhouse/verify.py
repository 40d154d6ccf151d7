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

from connectors.clickhouse import _expected, _reading
from connectors.clickhouse._expected import SHAPES
from connectors.clickhouse.client import Client, connect
from connectors.clickhouse.errors import WarehouseError
from schemas import catalogue, codec, environment, records
from schemas.clients import client_config
from schemas.errors import DecodingError
from schemas.reading import Place

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
    kafka = client_config(bootstrap, dict(kafka_config or {}))
    on_topic = _from_topics(kafka, {place: end for place, end in landed.items() if end}, topics)
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
    kafka = client_config(bootstrap, dict(kafka_config or {}))
    starts = {place: landed.get(place, 0) for place in _reading.partitions(kafka, topics)}
    return sum(
        not isinstance(_decoded(message, topics)[0], records.ClockTick)
        for _, _, message in _reading.beyond(kafka, starts)
    )


def _positions(client: Client) -> dict[Place, int]:
    found = client.rows("SELECT _topic, _partition, next_offset FROM landed_positions")
    return {(topic, partition): next_offset for topic, partition, next_offset in found}


def _from_tables(client: Client, topics: set[str]) -> dict[tuple[str, str, int], Figures]:
    figures: dict[tuple[str, str, int], Figures] = defaultdict(dict)
    for table, shape in SHAPES.items():
        digest = ", ".join(f"toString({part})" for part in (*shape.digest, f"{table}._offset"))
        amount = f"sum(toInt128({shape.amount_column}))" if shape.amount_column else "0"
        currency = "currency" if shape.amount_column else "''"
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
    kafka: dict[str, Any], ends: Mapping[Place, int], topics: tuple[catalogue.Topic, ...]
) -> dict[tuple[str, str, int], Figures]:
    figures: dict[tuple[str, str, int], Figures] = defaultdict(dict)
    names = {topic.name for topic in topics}
    wanted = {place: end for place, end in ends.items() if place[0] in names}
    for place, offset, message in _reading.before(kafka, wanted):
        record, value = _decoded(message, topics)
        for row in _expected.rows(place[0], record, key=message.key() or b"", value=value):
            _add(figures[row.table, *place], row.unit, 1, xxhash.xxh64_intdigest(row.text(offset)), row.amount)
    return dict(figures)


def _add(figures: Figures, unit: str, count: int, digest: int, amount: int) -> None:
    figures["rows"] = figures.get("rows", 0) + count
    figures["content"] = (figures.get("content", 0) + digest) % _WRAP
    if unit:
        figures[unit] = figures.get(unit, 0) + amount


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
