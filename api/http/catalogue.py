"""Every operation of the API and every object that it answers with, without a running service.

A module that has routes says so here: its name goes into `MODULES`, and the module itself has at its top level

    OPERATIONS: tuple[Operation, ...]     what its `routes(...)` are made of
    OBJECTS: tuple[Described, ...]        (optional) its objects' schemas and examples, `api.openapi.schema.Described`

Objects that several modules share stand in `api/openapi/objects/`.
"""

from __future__ import annotations

import importlib
from functools import cache

from api.http.operations import Operation
from api.openapi.schema import Described

MODULES: tuple[str, ...] = (
    "api.openapi.payments",
    "api.openapi.objects",
)
"""In the reference's order."""


@cache
def operations() -> tuple[Operation, ...]:
    """All, each once. Raises AssertionError where two have one id, or one method and path."""
    found = [one for name in MODULES for one in getattr(importlib.import_module(name), "OPERATIONS", ())]
    assert len({one.id for one in found}) == len(found), "two operations have one id"
    assert len({(one.method, one.path) for one in found}) == len(found), "two operations have one method and path"
    return tuple(found)


@cache
def objects() -> dict[str, Described]:
    """By name. Raises AssertionError where two have one name."""
    found = [one for name in MODULES for one in getattr(importlib.import_module(name), "OBJECTS", ())]
    named = {one.name: one for one in found}
    assert len(named) == len(found), "two objects have one name"
    return named
