from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

from api.registry import register as module
from api.registry.errors import IdsDiffer, RegistryRefused, RegistryUnreachable
from api.registry.register import register
from api.registry.subjects import normal, subjects
from schemas import contracts


class ExternalRegistry:
    """An external registry's own idea of its state: ids are its to give, unless a subject is in mode IMPORT."""

    def __init__(self, *, imports: bool, next_id: int = 1, user: str | None = None) -> None:
        self.imports = imports
        self.next_id = next_id
        self.user = user
        self.schemas: dict[int, str] = {}
        self.subjects: dict[str, dict[int, int]] = {}
        self.modes: dict[str, str] = {}
        self.levels: dict[str, str] = {}
        self.writes = 0

    def answer(self, method, path, body):
        """Status and JSON for a request."""
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        match [method, *parts]:
            case ["GET", "subjects"]:
                return 200, list(self.subjects)
            case ["GET", "schemas", "ids", identity]:
                schema = self.schemas.get(int(identity))
                return (
                    (200, {"schema": schema}) if schema else (404, {"error_code": 40403, "message": "Schema not found"})
                )
            case ["PUT", "mode", subject]:
                if not self.imports:
                    return 405, {"error_code": 405, "message": "HTTP 405 Method Not Allowed"}
                self.modes[subject] = body["mode"]
                return 200, body
            case ["PUT", "config", subject]:
                self.levels[subject] = body["compatibility"]
                return 200, body
            case ["POST", "subjects", subject]:
                for version, identity in self.subjects.get(subject, {}).items():
                    if normal(json.loads(self.schemas[identity])) == normal(json.loads(body["schema"])):
                        return 200, {"subject": subject, "id": identity, "version": version, "schema": body["schema"]}
                return 404, {"error_code": 40401, "message": "Subject not found"}
            case ["POST", "subjects", subject, "versions"]:
                return self._register(subject, body)
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _register(self, subject, body):
        self.writes += 1
        same = [
            identity
            for identity, text in self.schemas.items()
            if normal(json.loads(text)) == normal(json.loads(body["schema"]))
        ]
        if "id" in body:
            if self.modes.get(subject) != "IMPORT":
                return 422, {"error_code": 42205, "message": f"Subject {subject} is not in import mode"}
            identity = body["id"]
        elif same:
            identity = same[0]
        else:
            identity, self.next_id = self.next_id, self.next_id + 1
        self.schemas[identity] = body["schema"]
        versions = self.subjects.setdefault(subject, {})
        versions[body.get("version", len(versions) + 1)] = identity
        return 200, {"id": identity}


@pytest.fixture
def external():
    """Serves external registries over real HTTP."""
    servers = []

    def start(state):
        class Handler(BaseHTTPRequestHandler):
            def _respond(self):
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
                if state.user and self.headers.get("Authorization") != f"Basic {state.user}":
                    status, answer = 401, {"error_code": 401, "message": "Unauthorized"}
                else:
                    status, answer = state.answer(self.command, self.path, body)
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PUT = do_POST = _respond  # noqa: N815  names of http.server

            def log_message(self, *arguments):
                """Keep quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def assert_complete(state) -> None:
    """Every contract is there, under every name, with our id, in mode READWRITE again."""
    assert {identity: normal(json.loads(text)) for identity, text in state.schemas.items()} == {
        contract.id: normal(contract.schema) for contract in contracts.all_contracts()
    }
    for subject, versions in subjects().items():
        assert state.subjects[subject] == {contract.version: contract.id for contract in versions}
        assert state.levels[subject] == "FULL_TRANSITIVE"
    assert set(state.modes.values()) <= {"READWRITE"}


def test_ids_are_pinned_where_the_registry_imports(external) -> None:
    """A registry that counts from 100,001, but knows mode IMPORT, ends with our ids and back in its own mode."""
    state = ExternalRegistry(imports=True, next_id=100_001)
    url = external(state)
    done = register(url)
    assert_complete(state)
    assert len(done) == sum(map(len, subjects().values()))
    assert not any(entry.already for entry in done)
    writes = state.writes
    assert all(entry.already for entry in register(url))
    assert state.writes == writes


def test_an_empty_registry_that_counts_from_one_arrives_at_our_ids(external) -> None:
    """Without mode IMPORT the ids agree when the registry is empty and counts from 1."""
    state = ExternalRegistry(imports=False)
    register(external(state))
    assert_complete(state)


def test_a_registry_that_gives_other_ids_is_refused(external) -> None:
    """Without mode IMPORT, a registry that counts from elsewhere is left at its first wrong id, with what to do."""
    state = ExternalRegistry(imports=False, next_id=7)
    with pytest.raises(IdsDiffer, match=r"gives .* the id 7, ours is 1\. Register into an empty registry"):
        register(external(state))
    assert state.writes == 1


def test_an_id_that_is_taken_is_found_before_anything_is_written(external) -> None:
    """When one of our ids holds another schema, nothing is written at all."""
    state = ExternalRegistry(imports=True)
    state.schemas[9] = '{"type": "record", "name": "Foreign", "namespace": "other", "fields": []}'
    with pytest.raises(IdsDiffer, match=r"Id 9, ours for clearline.ProviderRequest, holds Foreign"):
        register(external(state))
    assert (state.writes, state.modes) == (0, {})


def test_a_schema_of_ours_under_another_id_is_refused(external) -> None:
    """A registry that already knows one of our schemas under an id of its own is named as such."""
    state = ExternalRegistry(imports=True)
    state.schemas[500] = contracts.by_subject()["clearline.PaymentIntent"][0].text
    state.subjects["clearline.PaymentIntent"] = {1: 500}
    with pytest.raises(IdsDiffer, match=r"gives clearline\.PaymentIntent version 1 the id 500, ours is 1"):
        register(external(state))


def test_a_password_in_the_url_is_used_and_never_shown(external) -> None:
    """User and password of the URL go into the request, and into no error."""
    state = ExternalRegistry(imports=True, user="YWRtaW46c2VjcmV0")  # admin:secret
    address = external(state).removeprefix("http://")
    register(f"http://admin:secret@{address}")
    assert_complete(state)
    with pytest.raises(RegistryRefused, match="HTTP 401: Unauthorized") as caught:
        register(f"http://admin:wr%6fng@{address}")
    assert "wrong" not in str(caught.value)


def test_nobody_there(monkeypatch) -> None:
    """An address where nobody listens, or no HTTP URL, is `RegistryUnreachable` with what to do."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        with pytest.raises(RegistryUnreachable, match="Check the address"):
            register(f"http://127.0.0.1:{unheard.getsockname()[1]}")
    for url in ("", "localhost:8081", "ftp://localhost/x", "http://"):
        with pytest.raises(RegistryUnreachable, match="is not one of HTTP"):
            register(url)
    assert module.TIMEOUT_S > 0


def test_our_own_registry_already_has_everything(registry) -> None:
    """Registering into our own read-only registry finds everything there."""
    assert all(entry.already for entry in register(registry.url))
