"""Every answer that a test here sees is held against the document of its version, and against Stripe's schema where Stripe has the object.

With `CLEARLINE_REQUESTS` set to a file, what was asked and how it ended is written there, a line of JSON each, for
`python -m tests.contract.stripe.verdicts`: method, path, parameters and version; no headers, hence no keys.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import stripe

from api.http import catalogue, versions
from api.http.operations import Operation
from api.openapi.document import document
from tests._schemas import Schemas
from tests.contract.stripe import make
from tests.contract.stripe.schemas import STRIPE

_KEEPS = os.environ.get("CLEARLINE_REQUESTS")


@cache
def described(version: str) -> Schemas:
    """A version's document."""
    return Schemas(document(version))


@cache
def operation_of(method: str, path: str) -> Operation | None:
    """What is asked with a path, literal steps before names."""
    steps = path.split("/")
    fitting = [
        one
        for one in catalogue.operations()
        if one.method == method
        and len(steps) == len(one.path.split("/"))
        and all(step.startswith("{") or step == given for step, given in zip(one.path.split("/"), steps, strict=True))
    ]
    return min(fitting, key=lambda one: one.path.count("{"), default=None)


def look(method: str, url: str, sent: str, *, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fails where an answer is not as it is described. What nobody describes (`/health`, unknown paths) is let be."""
    parts = urlsplit(url)
    operation = operation_of(method, parts.path)
    if operation is None:
        return
    named = {name.lower(): value for name, value in headers.items()}
    found = json.loads(body)
    if _KEEPS:
        _keep(
            {
                "method": method,
                "path": parts.path,
                "sent": sent or parts.query,
                "version": named.get("stripe-version", ""),
                "status": status,
                "code": found.get("error", {}).get("code", ""),
            }
        )
    version = named.get("stripe-version", versions.NEWEST)
    schemas = described(version)
    where = f"{operation.id}, {version}, status {status}"
    responses = schemas.document["paths"][operation.path][method.lower()]["responses"]
    assert str(status) in responses, f"{where}: a status that is not in the document"
    response = responses[str(status)]
    if "$ref" in response:
        response = schemas.document["components"]["responses"][response["$ref"].rsplit("/", 1)[-1]]
    assert named["content-type"] in response["content"], f"{where}: {named['content-type']}"
    wrong = schemas.wrong_of(response["content"][named["content-type"]]["schema"], found)
    assert wrong == [], f"{where}: {wrong}"
    assert named["request-id"].startswith("req_"), where
    _headed(schemas, response["headers"], named, where)
    if status == 200:
        _as_stripe_says(where, found)
    elif operation.object in make.SHARED:
        assert STRIPE.wrong("error", found) == [], where


def _headed(schemas: Schemas, described: Mapping[str, Any], named: Mapping[str, str], where: str) -> None:
    """Headers that are required are there, and what is there is as it is described."""
    for name, header in described.items():
        one = schemas.document["components"]["headers"][header["$ref"].rsplit("/", 1)[-1]]
        value = named.get(name.lower())
        if value is None:
            assert not one.get("required"), f"{where}: no {name}"
            continue
        wrong = schemas.wrong_of(one["schema"], int(value) if one["schema"]["type"] == "integer" else value)
        assert wrong == [], f"{where}, {name}: {wrong}"


def _as_stripe_says(where: str, found: dict) -> None:
    # Of the newest version too: what it has more than Stripe's extract is more, not other.
    # What an event is about is not looked into by Stripe's schema of events, so it is here.
    for one in found["data"] if found["object"] in ("list", "search_result") else [found]:
        name = f"deleted_{one['object']}" if one.get("deleted") else one["object"]
        if name in make.SHARED:
            wrong = STRIPE.wrong(name, one)
            assert wrong == [], f"{where}, Stripe's {name}: {wrong}"
        if one["object"] == "event":
            _as_stripe_says(f"{where}, {one['type']}", one["data"]["object"])


def _keep(line: dict) -> None:
    with Path(str(_KEEPS)).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


class Watched(stripe.RequestsClient):
    """The SDK's own HTTP client, whose answers are looked at on their way."""

    def request(self, method, url, headers, post_data=None):
        content, status, answered = super().request(method, url, headers, post_data)
        look(method.upper(), url, post_data or "", status=status, headers=answered, body=content)
        return content, status, answered


class WatchedAsync(stripe.AIOHTTPClient):
    """The same of the asynchronous one."""

    async def request_async(self, method, url, headers, post_data=None):
        content, status, answered = await super().request_async(method, url, headers, post_data)
        look(method.upper(), url, post_data or "", status=status, headers=answered, body=content)
        return content, status, answered
