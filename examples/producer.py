"""Puts one payment on Kafka with nothing of Clearline's but the contract: pip install confluent-kafka fastavro."""

import io
import sys
import uuid

import fastavro
from confluent_kafka import Producer

bootstrap, contract = sys.argv[1:3]  # 127.0.0.1:9092 schemas/avro/PaymentIntent/1.avsc
SCHEMA_ID = 1  # of clearline.PaymentIntent version 1, in schemas/lock.json

order = f"order-{uuid.uuid4()}"  # the payment's own name: sending it again has no second effect
intent = {
    "tenant": "acme",
    "intent_key": order,
    "amount_minor": 1999,
    "currency": "EUR",
    "payment_method": "pm_card_visa",
}
body = io.BytesIO()
fastavro.schemaless_writer(body, fastavro.schema.load_schema(contract), intent)
value = b"\0" + SCHEMA_ID.to_bytes(4, "big") + body.getvalue()  # Confluent's wire format

failures = []
producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True})
producer.produce(
    "payment.intents", value, f"acme/{order}", on_delivery=lambda error, _: error and failures.append(error)
)
producer.flush()
sys.exit(f"not sent: {failures[0]}" if failures else print(f"sent acme/{order}"))
