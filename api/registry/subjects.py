"""Which contract stands under which subject name, for every naming strategy that a client may use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from api.registry.errors import InvalidSchema, InvalidVersion, SchemaNotFound, SubjectNotFound, VersionNotFound
from schemas import contracts
from schemas.catalogue import CATALOGUE
from schemas.contracts import NAMESPACE, Contract

LATEST = "latest"
_PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
_VERSION_DIGITS_MAX = 9


@cache
def subjects() -> Mapping[str, tuple[Contract, ...]]:
    """Versions (rising) by subject, subjects sorted.

    A record stands under its full name (RecordNameStrategy), under `topic-fullname` for each topic that carries it
    (TopicRecordNameStrategy), and under `topic-value` where the topic carries nothing else (TopicNameStrategy, the
    default of most clients).
    """
    named = dict(contracts.by_subject())
    for topic in CATALOGUE:
        for record in topic.records:
            subject = f"{NAMESPACE}.{record.__name__}"
            named[f"{topic.name}-{subject}"] = named[subject]
            if len(topic.records) == 1:
                named[f"{topic.name}-value"] = named[subject]
    return dict(sorted(named.items()))


def versions(subject: str) -> tuple[Contract, ...]:
    """A subject's versions, rising. Raises `SubjectNotFound`."""
    try:
        return subjects()[subject]
    except KeyError:
        raise SubjectNotFound(subject) from None


def version(subject: str, number: str) -> Contract:
    """One version: a number, `latest` or -1. Raises `SubjectNotFound`, `InvalidVersion` or `VersionNotFound`."""
    known = versions(subject)
    if number in (LATEST, "-1"):
        return known[-1]
    if not (number.isascii() and number.isdigit() and len(number) <= _VERSION_DIGITS_MAX and int(number) > 0):
        raise InvalidVersion(number)
    for contract in known:
        if contract.version == int(number):
            return contract
    raise VersionNotFound(number)


def schema(identity: int) -> Contract:
    """The contract of an id. Raises `SchemaNotFound`."""
    try:
        return contracts.by_id()[identity]
    except KeyError:
        raise SchemaNotFound(f"Schema {identity}") from None


def places(contract: Contract) -> list[tuple[str, int]]:
    """Every subject and version under which a contract stands."""
    return [(subject, contract.version) for subject, known in subjects().items() if contract in known]


def lookup(subject: str, text: str) -> Contract:
    """The subject's version that is this schema, however it is formatted or documented.

    Raises `SubjectNotFound`, `InvalidSchema` or `SchemaNotFound`.
    """
    known = versions(subject)
    wanted = normal(parse(text))
    for contract in reversed(known):
        if normal(contract.schema) == wanted:
            return contract
    raise SchemaNotFound("Schema")


def parse(text: str) -> Any:
    """A schema's text as JSON; a bare name counts as one. Raises `InvalidSchema`."""
    try:
        parsed = json.loads(text)
        normal(parsed)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        message = f"Invalid Avro schema: {error!r}"
        raise InvalidSchema(message) from error
    return parsed


def normal(schema: Any, namespace: str = "") -> Any:
    """A schema with full names and without docs: what two writings of the same schema have in common."""
    if isinstance(schema, list):
        return [normal(branch, namespace) for branch in schema]
    if isinstance(schema, str):
        return schema if schema in _PRIMITIVES or "." in schema or not namespace else f"{namespace}.{schema}"
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return normal(kind, namespace)
    plain = {key: value for key, value in schema.items() if key in ("symbols", "size", "logicalType", "default")}
    plain["type"] = kind if kind in _PRIMITIVES or kind in ("record", "enum", "fixed", "array", "map") else ...
    match kind:
        case "record" | "enum" | "fixed":
            inner, _, name = schema["name"].rpartition(".")
            namespace = inner or schema.get("namespace", namespace)
            plain["name"] = f"{namespace}.{name}".lstrip(".")
            plain["fields"] = [
                [field["name"], normal(field["type"], namespace), field.get("default", ...)]
                for field in schema.get("fields", ())
            ]
        case "array":
            plain["items"] = normal(schema["items"], namespace)
        case "map":
            plain["values"] = normal(schema["values"], namespace)
        case _ if set(plain) == {"type"}:
            return normal(kind, namespace)
    return plain
