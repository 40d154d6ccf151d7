"""What an endpoint takes, as data, and the check of a request against it: every refusal names the parameter."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec

from api.http.errors import ParameterInvalid, ParameterMissing, ParameterUnknown, showable
from api.http.secrecy import CARD_CODE, refused
from api.http.wire import Tree, as_list

TEXT_CHARS_MAX = 255
TEXTS_MAX = 100
METADATA_KEYS_MAX = 50
METADATA_KEY_CHARS_MAX = 40
METADATA_VALUE_CHARS_MAX = 500
AMOUNT_DIGITS_MAX = 16
_SUGGESTION_LIKENESS = 0.6

_TRUTH = {"true": True, "false": False}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """Root of the kinds of parameter."""

    required: bool = False


class Text(Field, frozen=True, kw_only=True):
    """A text; with `choices`, one of them."""

    chars_max: int = TEXT_CHARS_MAX
    choices: tuple[str, ...] = ()


class Integer(Field, frozen=True, kw_only=True):
    """A whole number within bounds."""

    least: int = 0
    most: int = 10**AMOUNT_DIGITS_MAX - 1


class Boolean(Field, frozen=True):
    """`true` or `false`."""


class Texts(Field, frozen=True, kw_only=True):
    """An array of texts; with `choices`, of these."""

    chars_max: int = TEXT_CHARS_MAX
    choices: tuple[str, ...] = ()


class TextMap(Field, frozen=True, kw_only=True):
    """An object of texts by the caller's own names: metadata, evidence."""

    keys_max: int = METADATA_KEYS_MAX
    key_chars_max: int = METADATA_KEY_CHARS_MAX
    value_chars_max: int = METADATA_VALUE_CHARS_MAX
    names: tuple[str, ...] = ()
    """Where not empty, the only names."""


class Object(Field, frozen=True, kw_only=True):
    """An object of known parameters."""

    fields: Mapping[str, Field]


class Objects(Field, frozen=True, kw_only=True):
    """An array of objects of known parameters."""

    fields: Mapping[str, Field]
    items_max: int = TEXTS_MAX


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint's parameters. `elsewhere`: what Stripe knows and we do not do, with what to tell who sends it."""

    fields: Mapping[str, Field] = msgspec.field(default_factory=dict)
    elsewhere: Mapping[str, str] = msgspec.field(default_factory=dict)


def check(spec: Spec, given: Mapping[str, Tree]) -> dict[str, Any]:
    """The parameters in their own types. An empty value clears: None, {} or []; what was not given is not there."""
    for name in given:
        if name not in spec.fields and name in spec.elsewhere:
            raise ParameterUnknown(name, why=spec.elsewhere[name])
    return _object(spec.fields, given, "")


def _object(fields: Mapping[str, Field], given: Mapping[str, Tree], prefix: str) -> dict[str, Any]:
    for name in given:
        if name not in fields:
            near = difflib.get_close_matches(name[:TEXT_CHARS_MAX], fields, n=1, cutoff=_SUGGESTION_LIKENESS)
            raise ParameterUnknown(_inside(prefix, name), meant=_inside(prefix, near[0]) if near else "")
    found: dict[str, Any] = {}
    for name, field in fields.items():
        path = _inside(prefix, name)
        if name in given:
            found[name] = _value(field, given[name], path)
        if field.required and (found.get(name) is None or found[name] == ""):
            raise ParameterMissing(path)
    return found


def _inside(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def _value(field: Field, value: Tree, path: str) -> Any:
    match field:
        case Text():
            return _text(field, value, path)
        case Integer():
            return _integer(field, value, path)
        case Boolean():
            return _boolean(value, path)
        case Texts():
            return _texts(field, value, path)
        case TextMap():
            return _text_map(field, value, path)
        case Object():
            if value is None or value == "":
                return {}
            if not isinstance(value, dict):
                raise ParameterInvalid(f"{path} must be an object.", param=path)
            return _object(field.fields, value, path)
        case Objects():
            return _objects(field, value, path)
    raise AssertionError(field)


def _objects(field: Objects, value: Tree, path: str) -> list[dict[str, Any]]:
    items = as_list(value)
    if items is None or not all(isinstance(item, dict) for item in items):
        raise ParameterInvalid(f"{path} must be an array of objects.", param=path)
    if len(items) > field.items_max:
        message = f"{path} has {len(items)} items; at most {field.items_max} are allowed."
        raise ParameterInvalid(message, param=path)
    whole = [item for item in items if isinstance(item, dict)]
    return [_object(field.fields, item, f"{path}[{number}]") for number, item in enumerate(whole)]


def _text(field: Text, value: Tree, path: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ParameterInvalid(f"{path} must be a text.", param=path, code="parameter_invalid_string")
    _measure(value, field.chars_max, path)
    if field.choices and value not in field.choices:
        raise ParameterInvalid(f"{path} must be one of {', '.join(field.choices)}.", param=path)
    return value


def _measure(text: str, chars_max: int, path: str) -> None:
    if len(text) > chars_max:
        message = f"{path} has {len(text)} characters; at most {chars_max} are allowed."
        raise ParameterInvalid(message, param=path, code="parameter_invalid_string_too_long")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ParameterInvalid(f"{path} holds a character that no text has.", param=path)
    if found := refused(text):
        # Refused here already, so that none gets as far as a topic.
        code, why = found
        remedy = "; send a token instead" if code == CARD_CODE else ""
        raise ParameterInvalid(f"{path} {why}{remedy}.", param=path, code=code)


def _integer(field: Integer, value: Tree, path: str) -> int | None:
    if value is None or value == "":
        return None
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) <= AMOUNT_DIGITS_MAX:
            number = int(value)
    if number is None:
        message = f"{path} must be a whole number, in the smallest unit where it is an amount."
        raise ParameterInvalid(message, param=path, code="parameter_invalid_integer")
    if not field.least <= number <= field.most:
        message = f"{path} must be between {field.least} and {field.most}."
        raise ParameterInvalid(message, param=path, code="parameter_invalid_integer")
    return number


def _boolean(value: Tree, path: str) -> bool | None:
    if isinstance(value, bool):
        return value
    if value is None or value == "":
        return None
    if isinstance(value, str) and value in _TRUTH:
        return _TRUTH[value]
    raise ParameterInvalid(f"{path} must be true or false.", param=path, code="parameter_invalid_boolean")


def _texts(field: Texts, value: Tree, path: str) -> list[str]:
    items = as_list(value)
    if items is None or not all(isinstance(item, str) and item for item in items):
        raise ParameterInvalid(f"{path} must be an array of texts.", param=path)
    if len(items) > TEXTS_MAX:
        raise ParameterInvalid(f"{path} has {len(items)} items; at most {TEXTS_MAX} are allowed.", param=path)
    texts = [str(item) for item in items]
    for number, text in enumerate(texts):
        _measure(text, field.chars_max, path)
        if field.choices and text not in field.choices:
            raise _unknown(text, field.choices, f"{path}[{number}]")
    return texts


def _unknown(text: str, choices: tuple[str, ...], path: str) -> ParameterInvalid:
    near = difflib.get_close_matches(text, choices, n=1, cutoff=_SUGGESTION_LIKENESS)
    meant = f"Did you mean {near[0]}?" if near else f"It may be one of {', '.join(choices)}."
    return ParameterInvalid(f"{path} can't be {showable(text)}. {meant}", param=path)


def _text_map(field: TextMap, value: Tree, path: str) -> dict[str, str | None]:
    """Keys to texts; None where the caller removes one. Numbers and truths from JSON become what a form would send."""
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise ParameterInvalid(f"{path} must be an object of texts.", param=path)
    if len(value) > field.keys_max:
        raise ParameterInvalid(f"{path} has {len(value)} keys; at most {field.keys_max} are allowed.", param=path)
    found: dict[str, str | None] = {}
    for key, item in value.items():
        shown = f"{path}[{showable(key)}]"
        if not 0 < len(key) <= field.key_chars_max or "[" in key or "]" in key:
            message = f"A key of {path} has 1 to {field.key_chars_max} characters and no square brackets."
            raise ParameterInvalid(message, param=path)
        _measure(key, field.key_chars_max, path)
        if field.names and key not in field.names:
            near = difflib.get_close_matches(key, field.names, n=1, cutoff=_SUGGESTION_LIKENESS)
            raise ParameterUnknown(_inside(path, key), meant=_inside(path, near[0]) if near else "")
        if item is None or item == "":
            found[key] = None
        elif isinstance(item, bool):
            found[key] = "true" if item else "false"
        elif isinstance(item, str | int):
            text = str(item)
            _measure(text, field.value_chars_max, shown)
            found[key] = text
        else:
            raise ParameterInvalid(f"{shown} must be a text.", param=path)
    return found
