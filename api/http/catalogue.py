"""Every operation of the API and every object that it answers with, without a running service.

Nothing is registered: of every module below `api` that is taken which stands at its top level

    an `Operation`, or `OPERATIONS: tuple[Operation, ...]`     what its `routes(...)` are made of
    OBJECTS: tuple[Described, ...]                             objects' schemas and examples, `api.openapi.schema.Described`
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import api
from api.http.operations import Operation
from api.openapi.schema import Described

_ORDER = [
    "payment_intents",
    "refunds",
    "charges",
    "disputes",
    "setup_intents",
    "customers",
    "payment_methods",
    "balance",
    "balance_transactions",
    "payouts",
    "settlement_windows",
    "reconciliations",
    "events",
    "webhook_endpoints",
    "account",
]
"""Of the resources in the reference; the others follow by name."""


@cache
def operations() -> tuple[Operation, ...]:
    """All, each once, by resource. Raises AssertionError where two have one id, or one method and path."""
    found = {
        id(one): one
        for module in _modules()
        for one in (*vars(module).values(), *getattr(module, "OPERATIONS", ()))
        if isinstance(one, Operation)
    }
    every = sorted(found.values(), key=_place)
    assert len({one.id for one in every}) == len(every), "two operations have one id"
    assert len({(one.method, one.path) for one in every}) == len(every), "two operations have one method and path"
    return tuple(every)


@cache
def objects() -> dict[str, Described]:
    """By name. Raises AssertionError where two have one name."""
    found = {id(one): one for module in _modules() for one in getattr(module, "OBJECTS", ())}
    named = {one.name: one for one in found.values() if isinstance(one, Described)}
    assert len(named) == len([one for one in found.values() if isinstance(one, Described)]), "two have one name"
    return dict(sorted(named.items()))


def resource(operation: Operation) -> str:
    """The part of the path after /v1: payment_intents."""
    return operation.path.split("/")[2]


def _place(operation: Operation) -> tuple[int, str, str, str]:
    name = resource(operation)
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name, operation.path, operation.method)


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(api.__path__, "api."):
        # A program's own module would start to read its command line, or to listen.
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)
