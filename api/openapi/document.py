"""A version's OpenAPI 3.1 document, made of the operations and objects and of what changed since that version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.http import catalogue, versions
from api.http.browsers import DOORS, SHOWN
from api.http.operations import Operation
from api.http.parameters import Field
from api.identity.four_eyes import ASKED_BY
from api.identity.roles import ROLES, may
from api.openapi import _parameters, _statuses
from api.openapi.schema import (
    BOOLEAN,
    TEXT,
    Described,
    Schema,
    any_of,
    array,
    browsers_name,
    closed,
    nullable,
    one_of,
    ref,
)

OPENAPI = "3.1.0"
SCHEMAS = "#/components/schemas/"


def document(version: str) -> dict[str, Any]:
    """The document of a live version. Raises `VersionUnknown`."""
    version = versions.chosen(version, key="", tenant="")
    shown = _schemas(version)
    paths: dict[str, dict[str, Any]] = {}
    for operation in catalogue.operations():
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(version, operation)
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Clearline",
            "version": version,
            "description": (
                "Payments in Stripe's wire contract. Send `Stripe-Version: "
                + version
                + "` to get answers as this document has them."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"basic": []}],
        "tags": [{"name": name} for name in dict.fromkeys(map(catalogue.resource, catalogue.operations()))],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A secret or restricted key."},
                "basic": {"type": "http", "scheme": "basic", "description": "The key as the user's name."},
            },
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
            "responses": {
                status: _response(words, ref("error"), (*_OF_ERRORS, *_OF_STATUS.get(status, ())))
                for status, words in _statuses.WORDS.items()
            },
            "schemas": shown,
        },
    }


_HEADERS: dict[str, Any] = {
    "Request-Id": {"description": "Names the request in our log.", "required": True, "schema": {"type": "string"}},
    "Stripe-Version": {
        "description": "The version that answered.",
        "required": True,
        "schema": {"type": "string", "enum": list(versions.LIVE)},
    },
    "Idempotency-Key": {"description": "As it was sent.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "The answer is that of an earlier request with this key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Stripe-Should-Retry": {
        "description": "Whether another try may end otherwise, where we know.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {"description": "How to present a key.", "required": True, "schema": {"type": "string"}},
}
_OF_ERRORS = ("Request-Id", "Stripe-Should-Retry", "Retry-After")
_OF_STATUS = {"401": ("WWW-Authenticate",)}
_PARAMETERS: dict[str, Any] = {
    "Stripe-Version": {
        "name": "Stripe-Version",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "enum": list(versions.LIVE)},
    },
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same key gets the same answer, for 30 days.",
        "schema": {"type": "string", "maxLength": 255, "pattern": "^[!-~]*$"},
    },
}


def _schemas(version: str) -> dict[str, Schema]:
    known = catalogue.objects()
    found = {name: described(version, one) for name, one in known.items()}
    for name in sorted({one.object for one in catalogue.operations()} - set(known)):
        # An object that nobody has described is shown as one of which nothing but its name is known.
        found[name] = {"type": "object", "required": ["object"], "properties": {"object": one_of(name)}}
    for name, shown in SHOWN.items():
        whole = found[name]
        seen = {one: schema for one, schema in whole["properties"].items() if one in shown}
        required = [one for one in whole["required"] if one in shown]
        summary = f"What of a {name} a browser sees, with a publishable key and its client secret."
        found[browsers_name(name)] = {**closed(seen), "required": required, "description": summary}
    for operation in catalogue.operations():
        if operation.method == "POST":
            found[_parameters.body_name(operation)] = _parameters.body_schema(_fields(version, operation))
    return found


def _fields(version: str, operation: Operation) -> Mapping[str, Field]:
    return versions.fields_backwards(version, operation.object, operation.spec.fields)


def described(version: str, one: Described) -> Schema:
    """An object's schema in a version, with its examples."""
    schema = versions.schema_backwards(version, one.name, one.schema)
    return {"title": one.name, "description": one.summary, **schema, "examples": list(examples(version, one).values())}


def examples(version: str, one: Described) -> Mapping[str, dict[str, Any]]:
    """An object's examples as a version has them."""
    return {name: versions.response_backwards(version, body) for name, body in one.examples().items()}


def _operation(version: str, operation: Operation) -> dict[str, Any]:
    fields = _fields(version, operation)
    found: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [catalogue.resource(operation)],
        "x-scope": operation.scope,
        "x-roles": [role for role in ROLES if may((role,), operation.scope)],
        "parameters": [*_parameters.parameters(operation, fields), *_shared(operation)],
        "responses": _responses(operation),
    }
    if operation.id in ASKED_BY:
        found["x-approval"] = ASKED_BY[operation.id]
    if operation.method == "POST":
        found["requestBody"] = _parameters.body(operation, fields)
    if operation.spec.elsewhere:
        found["x-not-supported"] = sorted(operation.spec.elsewhere)
    return found


def _shared(operation: Operation) -> list[dict[str, str]]:
    names = ["Stripe-Version"] if operation.method == "GET" else list(_PARAMETERS)
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _responses(operation: Operation) -> dict[str, Any]:
    success = _response("The answer.", _answer(operation), ("Request-Id", "Stripe-Version", "Idempotent-Replayed"))
    return {
        "200": success,
        **{status: {"$ref": f"#/components/responses/{status}"} for status in _statuses.statuses(operation)},
    }


def _response(words: str, schema: Schema, headers: tuple[str, ...]) -> dict[str, Any]:
    return {
        "description": words,
        "headers": {name: ref_header(name) for name in headers},
        "content": {"application/json": {"schema": schema}},
    }


def ref_header(name: str) -> dict[str, str]:
    """A header that is described once."""
    return {"$ref": f"#/components/headers/{name}"}


def _answer(operation: Operation) -> Schema:
    one = ref(operation.object)
    if operation.answers == "list":
        return closed({"object": one_of("list"), "url": TEXT, "has_more": BOOLEAN, "data": array(one)})
    if operation.answers == "search_result":
        return closed(
            {
                "object": one_of("search_result"),
                "url": TEXT,
                "has_more": BOOLEAN,
                "data": array(one),
                "next_page": nullable(TEXT),
            },
            optional={"total_count": {"type": "integer"}},
        )
    if operation.answers == "deleted":
        return _deleted(operation.object)
    if (operation.method, operation.path) in DOORS and operation.object in SHOWN:
        return any_of(one, ref(browsers_name(operation.object)))
    known = catalogue.objects().get(operation.object)
    if operation.method == "GET" and known is not None and known.deleted_is_shown:
        return any_of(one, _deleted(operation.object))
    return one


def _deleted(name: str) -> Schema:
    return closed({"id": TEXT, "object": one_of(name), "deleted": {"type": "boolean", "enum": [True]}})
