"""API versions, newest first: which live, what changed between them, and a request's and response's way through.

The code speaks the newest version only. A request of an older one goes forwards through each later change, its response
backwards. Within a release train (the name after the date) nothing changes for those who are on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from api.http.errors import VersionUnknown, showable
from api.http.parameters import Field
from api.http.versions import allowed_payment_method_types
from api.http.versions._change import Change
from api.http.wire import Tree

__all__ = [
    "LIVE",
    "NEWEST",
    "Change",
    "Train",
    "changelog",
    "chosen",
    "fields_backwards",
    "request_forwards",
    "response_backwards",
    "schema_backwards",
]


class Train(msgspec.Struct, frozen=True, kw_only=True):
    """Releases that are alike to us, and what the first of them changed."""

    name: str
    releases: tuple[str, ...]
    changes: tuple[Change, ...] = ()


TRAINS: tuple[Train, ...] = (
    Train(
        name="endive",
        releases=("2026-10-28.endive", "2026-06-24.endive"),
        changes=(allowed_payment_method_types.CHANGE,),
    ),
    Train(name="dahlia", releases=("2026-08-26.dahlia", "2026-05-27.dahlia", "2026-03-25.dahlia")),
)
"""Newest first."""

LIVE = tuple(release for train in TRAINS for release in train.releases)
NEWEST = LIVE[0]

_POSITION = {release: number for number, train in enumerate(TRAINS) for release in train.releases}


def chosen(header: str, *, key: str, tenant: str) -> str:
    """The request's own version, else its key's, else its tenant's, else the newest. Raises `VersionUnknown`."""
    version = header.strip() or key or tenant or NEWEST
    if version not in _POSITION:
        shown = showable("v" + version)[1:] if len(version) <= 32 else "this"
        raise VersionUnknown(
            f"There is no API version {shown}. Set Stripe-Version to one of {', '.join(LIVE)}.", param="Stripe-Version"
        )
    return version


def _later(version: str) -> list[Change]:
    """The changes that came after a version, newest first."""
    return [change for train in TRAINS[: _POSITION[version]] for change in train.changes]


def request_forwards(version: str, kind: str, tree: dict[str, Tree]) -> dict[str, Tree]:
    """A request's parameters as the newest version has them."""
    for change in reversed(_later(version)):
        if change.object == kind:
            tree = change.forwards(tree)
    return tree


def response_backwards(version: str, body: Any) -> Any:
    """A response as the version had it, objects within objects too."""
    changes = _later(version)
    return _backwards(changes, body) if changes else body


def _backwards(changes: list[Change], body: Any) -> Any:
    if isinstance(body, list):
        return [_backwards(changes, item) for item in body]
    if not isinstance(body, dict):
        return body
    body = {name: _backwards(changes, value) for name, value in body.items()}
    for change in changes:
        if body.get("object") == change.object:
            body = change.backwards(body)
    return body


def fields_backwards(version: str, kind: str, fields: Mapping[str, Field]) -> Mapping[str, Field]:
    """The parameters that a version's requests about an object have, as its document tells of them."""
    for change in _later(version):
        if change.object == kind:
            fields = change.fields(fields)
    return fields


def schema_backwards(version: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    """An object's JSON Schema as the version has it."""
    for change in _later(version):
        if change.object == kind:
            schema = change.schema(schema)
    return schema


def changelog() -> list[tuple[str, str, str]]:
    """Train, object and description of every change, newest first."""
    return [(train.name, change.object, change.description) for train in TRAINS for change in train.changes]
