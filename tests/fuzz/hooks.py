"""What Schemathesis' own command is told about us; it loads this through SCHEMATHESIS_HOOKS."""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

import schemathesis

from api.http import catalogue
from api.http.wire import FORM
from tests.fuzz.forms import encoded
from tests.fuzz.ground import SPOILING

KNOWN = "CLEARLINE_FUZZ_KNOWN"
"""File with ids that there are: by operation's id and name in its path."""
KEYS_KEPT_OF = 4
"""Idempotency keys that are generated repeat themselves, and a key that was used ends all that follows: three of four are left out."""
_KNOWN: dict[str, dict[str, list[str]]] = json.loads(open(os.environ[KNOWN]).read()) if KNOWN in os.environ else {}  # noqa: SIM115, PTH123
_IDS = {(one.method, one.path): one.id for one in catalogue.operations()}


@schemathesis.serializer(FORM)
def bracketed(_context: Any, value: Any) -> bytes:
    """Forms as Stripe's SDKs send them."""
    return encoded(value)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Half of the ids that were made up become such as there are; see `KEYS_KEPT_OF`."""
    operation = _IDS[(case.operation.method.upper(), case.operation.path)]
    number = zlib.crc32(repr((case.path_parameters, case.query, case.body)).encode())
    known = _KNOWN.get(operation, {})
    made_up = {name: value for name, value in (case.path_parameters or {}).items() if "_" not in str(value)}
    if known and (operation in SPOILING or (made_up and number % 2)):
        for name, ids in known.items():
            case.path_parameters[name] = ids[number // 2 % len(ids)]
    if case.headers and number % KEYS_KEPT_OF:
        for name in [one for one in case.headers if one.lower() == "idempotency-key"]:
            del case.headers[name]
