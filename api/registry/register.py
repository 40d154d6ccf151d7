"""Our contracts into an external registry, under the ids that our wire format carries."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import msgspec

from api.registry.errors import IdsDiffer, RegistryRefused, RegistryUnreachable
from api.registry.subjects import normal, subjects
from schemas import compatibility
from schemas.contracts import Contract, all_contracts

TIMEOUT_S = 30.0
ANSWER_BYTES_MAX = 16_000_000
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_USE_EMPTY = (
    "Register into an empty registry, let it take ids (mode IMPORT; Confluent's: mode.mutability=true), or use this "
    "product's own registry, `python -m api.registry`"
)


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """One version under one subject. `already` says that the registry had it, with our id, before."""

    subject: str
    version: int
    id: int
    already: bool


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


class _Client:
    """As much of the registry's HTTP as this needs. User and password may stand in the URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            remedy = "Give its address, such as http://127.0.0.1:8081 or https://user:password@registry.example"
            raise RegistryUnreachable("The URL of the registry is not one of HTTP", remedy=remedy)
        port = f":{parts.port}" if parts.port else ""
        self.address = urlunsplit((parts.scheme, f"{parts.hostname}{port}", parts.path.rstrip("/"), "", ""))
        self._headers = {"Content-Type": _CONTENT_TYPE, "Accept": _CONTENT_TYPE}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON. Raises `_Refusal` for an error's, `RegistryUnreachable` when none comes."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, self._headers, method=method)  # noqa: S310  checked above
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310  checked above
                return json.loads(answer.read(ANSWER_BYTES_MAX) or b"null")
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(ANSWER_BYTES_MAX).decode(errors="replace")
            raise _Refusal(error.code, _message_of(text)) from error
        except (OSError, ValueError) as error:
            remedy = "Check the address, and that it is a schema registry in Confluent's REST shape"
            raise RegistryUnreachable(f"{self.address} gives no usable answer: {error}", remedy=remedy) from error


def _message_of(text: str) -> str:
    try:
        body = json.loads(text)
        return f"{body['message']} (error_code {body.get('error_code')})"
    except (ValueError, KeyError, TypeError):
        return text[:200]


def register(url: str, *, progress: Callable[[Registered], None] = lambda _: None) -> list[Registered]:
    """Registers every version under every subject name, with the ids of `schemas/lock.json`; idempotent.

    Raises `IdsDiffer` before anything is written when one of our ids holds another schema there, and as soon as the
    registry gives another id than ours; `RegistryRefused` and `RegistryUnreachable` otherwise.
    """
    client = _Client(url)
    try:
        client.call("GET", "/subjects")
        for contract in all_contracts():
            _check_id_is_free(client, contract)
        done: list[Registered] = []
        # In the order of ids, so that an empty registry that counts by itself arrives at the same ones.
        for subject, contract in sorted(_wanted(), key=lambda wanted: (wanted[1].id, wanted[0])):
            done.append(_register(client, subject, contract))
            progress(done[-1])
        for contract in all_contracts():
            _check_is_there(client, contract)
    except _Refusal as refusal:
        remedy = "Look at its log; the user may lack the right to write"
        raise RegistryRefused(f"{client.address} refused: {refusal}", remedy=remedy) from refusal
    return done


def _wanted() -> Iterator[tuple[str, Contract]]:
    for subject, versions in subjects().items():
        for contract in versions:
            yield subject, contract


def _held(client: _Client, contract: Contract) -> Any:
    """The schema that stands under our id there; None for none."""
    try:
        return json.loads(client.call("GET", f"/schemas/ids/{contract.id}")["schema"])
    except _Refusal as refusal:
        if refusal.status != 404:
            raise
        return None


def _check_id_is_free(client: _Client, contract: Contract) -> None:
    held = _held(client, contract)
    if held is not None and normal(held) != normal(contract.schema):
        name = held.get("name", "another schema") if isinstance(held, dict) else "another schema"
        message = f"Id {contract.id}, ours for {contract.subject}, holds {name} at {client.address}"
        raise IdsDiffer(message, remedy=_USE_EMPTY)


def _check_is_there(client: _Client, contract: Contract) -> None:
    if _held(client, contract) is None:
        message = f"{client.address} has no schema under id {contract.id} after all was registered"
        raise IdsDiffer(message, remedy=_USE_EMPTY)


def _register(client: _Client, subject: str, contract: Contract) -> Registered:
    path = f"/subjects/{quote(subject, safe='')}"
    body = {"schema": contract.text, "schemaType": "AVRO"}
    found = _found(client, path, body)
    if found is None:
        with _importing(client, subject) as imports:
            pinned = {"id": contract.id, "version": contract.version} if imports else {}
            identity = client.call("POST", f"{path}/versions", {**body, **pinned})["id"]
        _try(client, "PUT", f"/config/{quote(subject, safe='')}", {"compatibility": compatibility.LEVEL})
    else:
        identity = found
    if identity != contract.id:
        message = (
            f"{client.address} gives {subject} version {contract.version} the id {identity}, ours is {contract.id}"
        )
        raise IdsDiffer(message, remedy=_USE_EMPTY)
    return Registered(subject=subject, version=contract.version, id=contract.id, already=found is not None)


def _found(client: _Client, path: str, body: Any) -> int | None:
    """The id that the registry already has for this schema under this subject."""
    try:
        identity: int = client.call("POST", path, body)["id"]
    except _Refusal as refusal:
        if refusal.status != 404:
            raise
        return None
    return identity


@contextmanager
def _importing(client: _Client, subject: str) -> Iterator[bool]:
    """The subject in mode IMPORT, in which the registry takes ids instead of giving them; False where it knows no such mode."""
    path = f"/mode/{quote(subject, safe='')}"
    imports = _try(client, "PUT", f"{path}?force=true", {"mode": "IMPORT"})
    try:
        yield imports
    finally:
        if imports:
            client.call("PUT", f"{path}?force=true", {"mode": "READWRITE"})


def _try(client: _Client, method: str, path: str, body: Any) -> bool:
    """Whether the registry did what not every registry can."""
    try:
        client.call(method, path, body)
    except _Refusal as refusal:
        if refusal.status not in (404, 405, 422, 501):
            raise
        return False
    return True
