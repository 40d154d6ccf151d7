"""Prints payment events with nothing of Clearline's but the contracts: pip install confluent-kafka fastavro."""

import io
import json
import sys
from pathlib import Path

import fastavro
from confluent_kafka import Consumer

bootstrap, contracts = sys.argv[1], Path(sys.argv[2])  # 127.0.0.1:9092 schemas
lock = json.loads((contracts / "lock.json").read_text())
schemas = {entry["id"]: fastavro.schema.load_schema(contracts / entry["file"]) for entry in lock}

settings = {"group.id": "my-service", "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
consumer = Consumer({"bootstrap.servers": bootstrap, **settings})
consumer.subscribe(["payments.events"])
while True:
    message = consumer.poll(1.0)
    if message is not None and not message.error():
        value = message.value()  # Confluent's wire format: a zero, the schema's id in four bytes, the record
        event = fastavro.schemaless_reader(io.BytesIO(value[5:]), schemas[int.from_bytes(value[1:5], "big")])
        print(
            event["tenant"], event["type"], event["payment"]["amount_minor"], event["payment"]["currency"], flush=True
        )
