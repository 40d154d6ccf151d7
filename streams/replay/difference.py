"""What differs, said field by field, with its place on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from schemas import codec
from schemas.errors import DecodingError
from streams.core import state
from streams.core.keys import (
    CLOCK,
    DUE_PREFIX,
    EXPIRY_PREFIX,
    HEALTH,
    NOTICE_PREFIX,
    OPEN_PREFIX,
    SEEN_PREFIX,
    TENANT_PREFIX,
)

Kind = Literal["missing", "unexpected", "doubled", "changed", "reordered", "unreadable", "stopped", "state", "digest"]
"""
missing: folded, not recorded. unexpected: recorded, not folded. doubled: recorded twice. changed: other bytes.
reordered: the same bytes at another place. unreadable: no record of ours. stopped: the fold fails at an input that the
worker went past. state: the changelog says otherwise. digest: what was published is not what is there.
"""

FIELDS_SHOWN_MAX = 20
TEXT_CHARS_MAX = 160
_ABSENT = "(not there)"

_STATE_KINDS: tuple[tuple[bytes, type[msgspec.Struct]], ...] = (
    (CLOCK, state.Clock),
    (HEALTH, state.Health),
    (TENANT_PREFIX, state.TenantState),
    (b"p/", state.Payment),
    (b"x/", state.Texts),
    (b"i/", state.StoredReply),
    (b"r/", state.Policy),
    (b"f/", state.Flow),
    (b"w/", state.Window),
)
"""For names of fields only: state of any other key is shown as the msgpack that it is."""
_MARKS = (DUE_PREFIX, NOTICE_PREFIX, EXPIRY_PREFIX, OPEN_PREFIX, SEEN_PREFIX)


class Place(msgspec.Struct, frozen=True):
    """A record's place."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """Topic/partition/offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class FieldDifference(msgspec.Struct, frozen=True):
    """One field, as folded and as recorded."""

    field: str
    folded: str
    recorded: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that differs. `cause` is the input that it follows from, `recorded` where it stands."""

    kind: Kind
    topic: str
    what: str
    cause: Place | None = None
    recorded: Place | None = None
    fields: tuple[FieldDifference, ...] = ()
    note: str = ""


def between(folded: dict[str, Any] | None, recorded: dict[str, Any] | None) -> tuple[FieldDifference, ...]:
    """The fields in which two things differ; all fields of the only one, where the other isn't there."""
    found: list[FieldDifference] = []
    for path, left, right in _walk(
        "", _ABSENT if folded is None else folded, _ABSENT if recorded is None else recorded
    ):
        found.append(FieldDifference(path, _shown(left), _shown(right)))
        if len(found) == FIELDS_SHOWN_MAX:
            break
    return tuple(found)


def of_record(value: bytes | None, *, key: bytes | None, timestamp_ms: int, headers: Any = ()) -> dict[str, Any]:
    """A record as fields: its own, and those of its message where it can be decoded."""
    fields: dict[str, Any] = {"(key)": key, "(timestamp)": timestamp_ms}
    if headers:
        fields["(headers)"] = repr(headers)
    try:
        message = codec.decode(value)
    except DecodingError as error:
        return {**fields, "(value)": value, "(unreadable)": str(error)}
    return {**fields, "(schema id)": codec.schema_id(value), **msgspec.to_builtins(message, builtin_types=(bytes,))}


def of_state(key: bytes, value: bytes | None) -> dict[str, Any] | None:
    """A state value as fields."""
    if value is None:
        return None
    kind = next((kind for prefix, kind in _STATE_KINDS if key.startswith(prefix)), None)
    if kind is None or key.startswith(_MARKS):
        return {"(bytes)": value}
    try:
        decoded = _named(state.decode(kind, value))
    except Exception:  # noqa: BLE001  state of another version or damaged: then its bytes have to do
        return {"(bytes)": value}
    # Two encodings of one state differ too: byte for byte is what is compared.
    return {**decoded, "(bytes)": value}


def _named(value: Any) -> Any:
    """Structs that are kept as arrays, as their fields' names."""
    if isinstance(value, msgspec.Struct):
        return {name: _named(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list | tuple):
        return [_named(item) for item in value]
    return value


def _walk(path: str, left: Any, right: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(left, dict) and isinstance(right, dict):
        pairs: Any = [(name, left.get(name, _ABSENT), right.get(name, _ABSENT)) for name in {**left, **right}]
    elif isinstance(left, list) and isinstance(right, list):
        length = max(len(left), len(right))
        padded = [items + [_ABSENT] * (length - len(items)) for items in (left, right)]
        pairs = [(f"[{number}]", *pair) for number, pair in enumerate(zip(*padded, strict=True))]
    elif isinstance(left, dict) or isinstance(right, dict):
        only = left if isinstance(left, dict) else right
        pairs = [(name, *((value, right) if only is left else (left, value))) for name, value in only.items()]
    else:
        if left != right or type(left) is not type(right):
            yield path, left, right
        return
    for name, one, other in pairs:
        joined = f"{path}{name}" if name.startswith("[") or not path else f"{path}.{name}"
        yield from _walk(joined, one, other)


def _shown(value: Any) -> str:
    text = value if value is _ABSENT else value.hex() if isinstance(value, bytes) else str(value)
    if isinstance(value, bytes) and value.isascii() and value.decode().isprintable():
        text = value.decode()
    if len(text) > TEXT_CHARS_MAX:
        text = f"{text[:TEXT_CHARS_MAX]}… ({len(text)} characters)"
    return text if text.isprintable() else text.encode("unicode_escape").decode()
