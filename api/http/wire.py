"""Parameters as SDKs send them: bracketed forms, query strings and JSON in; one tree of names and plain values out. And requests' ids.

A tree's leaves are texts (forms know nothing else) or, from JSON, numbers, truth values and None. What they mean is
for `api.http.parameters`, which knows what an endpoint takes.
"""

from __future__ import annotations

import secrets
from typing import TypeAlias
from urllib.parse import parse_qsl

import msgspec

from api.http.errors import Unreadable, showable

Leaf: TypeAlias = str | int | float | bool | None
Tree: TypeAlias = "Leaf | list[Tree] | dict[str, Tree]"

_REQUEST_ID_BYTES = 10

BODY_BYTES_MAX = 262_144
"""A payment with the most metadata and evidence that we keep fits several times."""
LEAVES_MAX = 1_000
DEPTH_MAX = 6
NAME_CHARS_MAX = 200

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def read_body(content_type: str, body: bytes) -> dict[str, Tree]:
    """The parameters of a body; an empty one has none, whatever its type says. Raises `Unreadable`."""
    if len(body) > BODY_BYTES_MAX:
        raise Unreadable(f"The body has {len(body)} bytes; at most {BODY_BYTES_MAX} are taken.")
    if not body:
        return {}
    kind = content_type.partition(";")[0].strip().lower()
    if kind in (FORM, ""):
        try:
            text = body.decode("ascii")
        except UnicodeDecodeError:
            # Some clients send UTF-8 as it is where the form asks for percents.
            try:
                text = body.decode()
            except UnicodeDecodeError:
                raise Unreadable("The body is not UTF-8.") from None
        return read_form(text)
    if kind == JSON:
        return read_json(body)
    raise Unreadable(f"Send parameters as {FORM} or {JSON}, and say so in Content-Type.")


def read_json(body: bytes) -> dict[str, Tree]:
    """A JSON object within our limits."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Unreadable("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise Unreadable("The body is JSON but no object.")
    _measure(found, depth=1, left=[LEAVES_MAX])
    return found


def _measure(tree: Tree, *, depth: int, left: list[int]) -> None:
    if not isinstance(tree, dict | list):
        left[0] -= 1
        if left[0] < 0:
            raise Unreadable(f"More than {LEAVES_MAX} parameters.")
        return
    if depth > DEPTH_MAX:
        raise Unreadable(f"Parameters are nested deeper than {DEPTH_MAX}.")
    left[0] -= 1  # an empty one counts as well
    for inner in tree.values() if isinstance(tree, dict) else tree:
        _measure(inner, depth=depth + 1, left=left)


def read_form(text: str) -> dict[str, Tree]:
    """`a[b]=1&c[]=2&d[0]=3`, brackets raw or as percents. Arrays stay objects by index: only the endpoint knows which."""
    if not text:
        return {}
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=False, errors="strict", max_num_fields=LEAVES_MAX
        )
    except UnicodeDecodeError:
        raise Unreadable("A parameter is not UTF-8.") from None
    except ValueError:
        raise Unreadable(f"More than {LEAVES_MAX} parameters.") from None
    found: dict[str, Tree] = {}
    for name, value in pairs:
        _put(found, name, value)
    return found


def _put(tree: dict[str, Tree], name: str, value: str) -> None:
    path = _path(name)
    here = tree
    for step in path[:-1]:
        inner = here.setdefault(step, {})
        if inner == "":
            inner = here[step] = {}  # `metadata=&metadata[a]=1`: cleared, then set
        if not isinstance(inner, dict):
            raise Unreadable(f"{showable(name)} is given both as a value and with brackets.")
        here = inner
    last = path[-1]
    if last == "":
        last = str(len(here))
    if last in here:
        raise Unreadable(f"{showable(name)} is given twice.")
    here[last] = value


def _path(name: str) -> list[str]:
    """`a[b][0]` as [a, b, 0]; empty brackets, only at the end, as an empty step."""
    if len(name) > NAME_CHARS_MAX:
        raise Unreadable(f"A parameter's name has more than {NAME_CHARS_MAX} characters.")
    head, bracket, rest = name.partition("[")
    if not head:
        raise Unreadable("A parameter has no name.")
    if not bracket:
        return [head]
    if not rest.endswith("]"):
        raise Unreadable(f"The brackets of {showable(name)} are not closed.")
    steps = rest[:-1].split("][")
    if any("[" in step or "]" in step for step in steps) or "" in steps[:-1]:
        raise Unreadable(f"The brackets of {showable(name)} do not pair.")
    if len(steps) >= DEPTH_MAX:
        raise Unreadable(f"Parameters are nested deeper than {DEPTH_MAX}.")
    return [head, *steps]


def made_request_id() -> str:
    """A new one, for the header Request-Id, log lines and attributions."""
    return f"req_{secrets.token_hex(_REQUEST_ID_BYTES)}"


def as_list(tree: Tree) -> list[Tree] | None:
    """What an endpoint that takes an array there makes of a value: in the order of indices. None: it is none."""
    if isinstance(tree, list):
        return tree
    if tree == "" or tree is None:
        return []
    if not isinstance(tree, dict):
        return None
    numbers: list[int] = []
    for key in tree:
        if not (key.isascii() and key.isdigit() and len(key) <= 3 and str(int(key)) == key):
            return None
        numbers.append(int(key))
    return [tree[str(number)] for number in sorted(numbers)]
