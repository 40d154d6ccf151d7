from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import fastavro
import msgspec
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import HealthCheck, given, settings

from schemas import codec, contracts
from schemas.records import RECORDS, PaymentIntent
from tests._records import any_record
from tests._registry import DEADLINE_S, ROOT, serve
from tests.contract._planted import ALLOWED, FORBIDDEN_BY_AVRO, FORBIDDEN_BY_US, changed

TYPE = "application/vnd.schemaregistry.v1+json"
INTENT = contracts.latest()["PaymentIntent"]
COMMAND = contracts.latest()["PaymentCommand"]
SETTINGS = settings(derandomize=True, deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


@pytest.fixture
def client(registry):
    """Confluent's own client."""
    with SchemaRegistryClient({"url": registry.url}) as made:
        yield made


def context(topic):
    """Where a value stands, for Confluent's serializers."""
    return SerializationContext(topic, MessageField.VALUE)


def test_confluents_deserializer_reads_our_records(client) -> None:
    """Whatever our codec writes, Confluent's AvroDeserializer reads, fetching schemas from our registry by id."""
    deserialize = AvroDeserializer(client)

    @given(record=any_record())
    @SETTINGS
    def check(record) -> None:
        fields = deserialize(codec.encode(record), context("any"))
        assert msgspec.convert(fields, type(record)) == record

    check()


@pytest.mark.parametrize("options", [{"auto.register.schemas": True}, {"auto.register.schemas": False}])
def test_confluents_serializer_writes_what_we_read(client, options) -> None:
    """An upstream system with Confluent's AvroSerializer, in its default configuration too, writes what our codec reads."""
    serialize = AvroSerializer(client, INTENT.text, conf=options)
    intent = PaymentIntent(tenant="acme", intent_key="order-1", amount_minor=1_230, currency="EUR", metadata={"a": "b"})
    value = serialize(msgspec.to_builtins(intent, builtin_types=(bytes,)), context("payment.intents"))
    assert value == codec.encode(intent)
    assert codec.decode(value) == intent


def test_serializers_find_shared_topics_by_record_name(client) -> None:
    """On topics of several records the record-name strategy finds each."""
    options = {
        "auto.register.schemas": False,
        "use.latest.version": True,
        "subject.name.strategy": record_subject_name_strategy,
    }
    serialize = AvroSerializer(client, conf=options, schema_str=COMMAND.text)
    fields = msgspec.to_builtins(RECORDS["PaymentCommand"](tenant="acme", kind="cancel"), builtin_types=(bytes,))
    assert codec.decode(serialize(fields, context("payments.inputs"))) == RECORDS["PaymentCommand"](
        tenant="acme", kind="cancel"
    )


def test_confluents_client_finds_its_way(client) -> None:
    """Subjects, versions, latest, lookup, compatibility and level, as Confluent's client asks for them."""
    assert "clearline.PaymentEvent" in client.get_subjects()
    versions = [contract.version for contract in contracts.by_subject()["clearline.PaymentEvent"]]
    assert client.get_versions("payments.events-value") == versions
    latest = client.get_latest_version("clearline.PaymentIntent")
    assert (latest.schema_id, latest.version) == (INTENT.id, INTENT.version)
    assert json.loads(client.get_schema(COMMAND.id).schema_str) == COMMAND.schema
    assert client.lookup_schema("payment.intents-value", Schema(INTENT.text, "AVRO")).schema_id == INTENT.id
    assert client.get_compatibility() == "FULL_TRANSITIVE"
    assert client.test_compatibility("clearline.PaymentIntent", Schema(INTENT.text, "AVRO"))
    with pytest.raises(SchemaRegistryError) as caught:
        client.register_schema(
            "clearline.PaymentIntent", Schema('{"type": "record", "name": "X", "fields": []}', "AVRO")
        )
    assert (caught.value.http_status_code, caught.value.error_code) == (422, 42205)


def test_subjects(registry) -> None:
    """Each record stands under its name, under topic and name, and under the topic where it is the only one."""
    names = registry.get("/subjects")
    assert names == sorted(names)
    assert {f"clearline.{name}" for name in RECORDS} <= set(names)
    assert {"payments.inputs-clearline.Tenant", "tenants-clearline.Tenant", "tenants-value"} <= set(names)
    assert "payments.inputs-value" not in names
    assert registry.get("/subjects?subjectPrefix=tenants") == ["tenants-clearline.Tenant", "tenants-value"]


@pytest.mark.parametrize(
    "contract", contracts.all_contracts(), ids=lambda contract: f"{contract.record}-{contract.version}"
)
def test_every_contract_is_served(registry, contract) -> None:
    """Each committed version is served by id, by subject and by lookup, as committed."""
    assert registry.get(f"/schemas/ids/{contract.id}") == {"schema": contract.text}
    assert registry.get(f"/schemas/ids/{contract.id}/schema") == contract.schema
    described = {"subject": contract.subject, "version": contract.version, "id": contract.id, "schema": contract.text}
    assert registry.get(f"/subjects/{contract.subject}/versions/{contract.version}") == described
    assert registry.get(f"/subjects/{contract.subject}/versions/{contract.version}/schema") == contract.schema
    assert contract.version in registry.get(f"/subjects/{contract.subject}/versions")
    assert registry.call("POST", f"/subjects/{contract.subject}", {"schema": contract.text}).body == described
    places = registry.get(f"/schemas/ids/{contract.id}/versions")
    assert {"subject": contract.subject, "version": contract.version} in places
    assert registry.get(f"/schemas/ids/{contract.id}/subjects") == [place["subject"] for place in places]
    assert described in registry.get("/schemas")


def test_lookup_knows_a_schema_however_it_is_written(registry) -> None:
    """Formatting, key order, docs and full or short names make no difference; another type does."""
    parsed = fastavro.parse_schema(COMMAND.schema, named_schemas={})
    full_names = {key: value for key, value in parsed.items() if not key.startswith("__")}
    canonical = fastavro.schema.to_parsing_canonical_form(parsed)
    for text in (json.dumps(COMMAND.schema, sort_keys=True), json.dumps(full_names)):
        assert registry.call("POST", "/subjects/clearline.PaymentCommand", {"schema": text}).body["id"] == COMMAND.id
    # The canonical form has no defaults: it is another schema to a reader.
    answer = registry.call("POST", "/subjects/clearline.PaymentCommand", {"schema": canonical})
    assert (answer.status, answer.body["error_code"]) == (404, 40403)


@pytest.mark.parametrize(
    ("request_line", "body", "status", "code"),
    [
        ("GET /subjects/nobody/versions", None, 404, 40401),
        ("GET /subjects/nobody/versions/1", None, 404, 40401),
        ("GET /subjects/clearline.Tenant/versions/999", None, 404, 40402),
        ("GET /subjects/clearline.Tenant/versions/0", None, 422, 42202),
        ("GET /subjects/clearline.Tenant/versions/newest", None, 422, 42202),
        ("GET /subjects/clearline.Tenant/versions/99999999999", None, 422, 42202),
        ("GET /schemas/ids/4711", None, 404, 40403),
        ("GET /schemas/ids/x", None, 404, 40403),
        ("GET /schemas/ids/-1", None, 404, 40403),
        ("GET /config/nobody", None, 404, 40401),
        ("GET /nowhere", None, 404, 404),
        ("PATCH /subjects", None, 405, 405),
        ("POST /subjects/nobody", {"schema": '"string"'}, 404, 40401),
        ("POST /subjects/clearline.Tenant", {"schema": '"string"'}, 404, 40403),
        ("POST /subjects/clearline.Tenant", {"schema": "{"}, 422, 42201),
        ("POST /subjects/clearline.Tenant", {"schema": '{"type": "record"}'}, 422, 42201),
        ("POST /subjects/clearline.Tenant", {}, 400, 400),
        ("POST /subjects/clearline.Tenant", {"schema": "{}", "schemaType": "PROTOBUF"}, 400, 400),
        ("POST /subjects/clearline.Tenant/versions", {"schema": '"string"'}, 422, 42205),
        ("POST /subjects/new/versions", {"schema": '"string"'}, 422, 42205),
        ("POST /compatibility/subjects/nobody/versions/latest", {"schema": '"string"'}, 404, 40401),
        ("POST /compatibility/subjects/clearline.Tenant/versions/999", {"schema": '"string"'}, 404, 40402),
        ("POST /compatibility/subjects/clearline.Tenant/versions/1", {"schema": "?"}, 422, 42201),
        ("PUT /config", {"compatibility": "NONE"}, 422, 42205),
        ("PUT /config/clearline.Tenant", {"compatibility": "NONE"}, 422, 42205),
        ("PUT /mode", {"mode": "IMPORT"}, 422, 42205),
        ("DELETE /subjects/clearline.Tenant", None, 422, 42205),
        ("DELETE /subjects/clearline.Tenant/versions/1", None, 422, 42205),
    ],
)
def test_errors_have_confluents_codes(registry, request_line, body, status, code) -> None:
    """Every refusal has Confluent's status, error_code and content type, and says something."""
    answer = registry.call(*request_line.split(), body)
    assert (answer.status, answer.body["error_code"], answer.content_type) == (status, code, TYPE)
    assert answer.body["message"]


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"\xff\xfe", b'{"schema": 5}', b'{"schema": "' + b"[" * 100_000 + b'"}']
)
def test_hostile_bodies_get_a_typed_answer(registry, raw) -> None:
    """A body that is no JSON, of the wrong shape or absurdly nested is a 4xx with a code."""
    answer = registry.call("POST", "/subjects/clearline.Tenant", raw=raw)
    assert 400 <= answer.status < 500
    assert answer.body["error_code"]


def test_an_oversized_body_is_refused_unread(registry) -> None:
    """A body that says it is beyond the limit is refused with 413 before it is sent."""
    connection = http.client.HTTPConnection(urlsplit(registry.url).netloc, timeout=DEADLINE_S)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/subjects/clearline.Tenant")
        connection.putheader("Content-Length", "1100000")
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["error_code"]) == (413, 413)


def test_answers_have_confluents_content_type(registry) -> None:
    """Successes carry the registry's content type."""
    for path in ("/", "/subjects", "/config", "/config/clearline.Tenant", "/mode", "/schemas/types", "/health"):
        answer = registry.call("GET", path)
        assert (answer.status, answer.content_type) == (200, TYPE)
    assert registry.get("/config") == {"compatibilityLevel": "FULL_TRANSITIVE"}
    assert registry.get("/mode") == {"mode": "READONLY"}
    assert registry.get("/schemas/types") == ["AVRO"]
    assert registry.get("/health") == {"status": "ok", "schemas": len(contracts.all_contracts())}


@pytest.mark.parametrize("change", [*FORBIDDEN_BY_AVRO, *FORBIDDEN_BY_US, *ALLOWED])
def test_compatibility_is_what_the_contract_check_says(registry, change) -> None:
    """The endpoint refuses what the contract tests refuse, and says why when asked."""
    planted = {**FORBIDDEN_BY_AVRO, **FORBIDDEN_BY_US, **ALLOWED}[change]
    body = {"schema": json.dumps(changed(planted))}
    for version in ("", "/latest", f"/{COMMAND.version}"):
        path = f"/compatibility/subjects/clearline.PaymentCommand/versions{version}?verbose=true"
        answer = registry.call("POST", path, body)
        assert answer.status == 200
        assert answer.body["is_compatible"] is (change in ALLOWED)
        assert bool(answer.body["messages"]) is (change not in ALLOWED)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0(number) -> None:
    """SIGTERM and SIGINT end the process cleanly, and it says so."""
    with serve() as running:
        assert running.get("/health")["status"] == "ok"
        running.process.send_signal(number)
        assert running.process.wait(DEADLINE_S) == 0
        assert running.process.stdout.read().endswith("INFO registry ended\n")


def test_a_port_in_use_is_named() -> None:
    """When the port is taken the process ends with 1, and its last line names the port and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "api.registry", "--port", str(port)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert result.returncode == 1
    assert re.search(
        rf"CRITICAL registry can't listen on 127.0.0.1:{port}: .*another --port$", result.stdout.splitlines()[-1]
    )
