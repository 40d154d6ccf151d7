"""Stripe's search queries: read into clauses, and clauses into conditions whose every value is a bound parameter.

    status:'succeeded' AND metadata['order']:'6735'      currency:'eur' -status:'canceled' amount>1000

A clause is a field, an operator and a value, with - before it to turn it round. Clauses are joined by AND (or by nothing)
or by OR, not by both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast

import msgspec

from api.http.errors import ParameterInvalid
from api.reads.warehouse import Parameter

QUERY_CHARS_MAX = 1_000
CLAUSES_MAX = 10
SUBSTRING_CHARS_MIN = 3
NUMBER_DIGITS_MAX = 16

Kind = Literal["text", "number", "truth", "metadata"]
Operator = Literal[":", "~", ">", "<", ">=", "<="]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """What can be asked of one field: its kind, and the expression that it stands for."""

    kind: Kind
    sql: str


class Clause(msgspec.Struct, frozen=True, kw_only=True):
    """One condition as it was asked. `value` None: null, of metadata's keys."""

    field: str
    key: str = ""
    """Of metadata."""
    operator: Operator
    value: str | int | None
    negated: bool = False


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Clauses of which all must hold, or any."""

    clauses: tuple[Clause, ...]
    any: bool = False


_SPACE = re.compile(r"\s*")
_JOIN = re.compile(r"(AND|OR)(?=\s)", re.IGNORECASE)
_FIELD = re.compile(r"[a-z_]{1,40}")
_KEY = re.compile(r"""\[\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*\]""")
_OPERATOR = re.compile(r">=|<=|:|~|>|<")
_TEXT = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_WORD = re.compile(r"-?[0-9]+|null|true|false")
_ESCAPED = re.compile(r"\\(.)")


def _wrong(at: int, why: str) -> ParameterInvalid:
    return ParameterInvalid(
        f"The query can't be read at character {at + 1}: {why}", param="query", code="query_invalid"
    )


class _Reader:
    """A place in the text, and what is read there."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What stands here, if it fits."""
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    @property
    def ended(self) -> bool:
        """Whether nothing but space is left."""
        self.take(_SPACE)
        return self.at == len(self.text)


def parse(text: str, fields: Mapping[str, Field]) -> Query:
    """The query. Raises `ParameterInvalid`, which says where and why; it never repeats a value."""
    reader = _Reader(text)
    clauses: list[Clause] = []
    joins: set[str] = set()
    while not reader.ended:
        if clauses:
            at = reader.at
            joined = reader.take(_JOIN)
            joins.add(joined[1].upper() if joined else "AND")
            if len(joins) > 1:
                raise _wrong(at, "AND and OR can't be used in one query.")
            if reader.ended:
                raise _wrong(at, "a clause is missing after AND or OR.")
        if len(clauses) == CLAUSES_MAX:
            raise _wrong(reader.at, f"at most {CLAUSES_MAX} clauses are taken.")
        clauses.append(_clause(reader, fields))
    if not clauses:
        raise _wrong(0, "it is empty. Ask for something such as status:'succeeded'.")
    return Query(clauses=tuple(clauses), any="OR" in joins)


def _clause(reader: _Reader, fields: Mapping[str, Field]) -> Clause:
    negated = reader.text[reader.at] == "-"
    reader.at += negated
    at = reader.at
    name = reader.take(_FIELD)
    field = fields.get(name[0]) if name else None
    if name is None or field is None:
        raise _wrong(at, f"a field is needed here, one of {', '.join(fields)}.")
    key = ""
    if field.kind == "metadata":
        at = reader.at
        found = reader.take(_KEY)
        if found is None:
            raise _wrong(at, "metadata needs a key, such as metadata['order'].")
        key = _plain(found)
    at = reader.at
    operator = reader.take(_OPERATOR)
    if operator is None:
        raise _wrong(at, "an operator is needed here: one of : ~ > < >= <=.")
    op = cast("Operator", operator[0])
    if op not in _OPERATORS[field.kind]:
        raise _wrong(at, f"{name[0]} takes {' '.join(_OPERATORS[field.kind])} only.")
    value = _value(reader, field, op)
    return Clause(field=name[0], key=key, operator=op, value=value, negated=negated)


_OPERATORS: Mapping[Kind, tuple[Operator, ...]] = {
    "text": (":", "~"),
    "metadata": (":", "~"),
    "number": (":", ">", "<", ">=", "<="),
    "truth": (":",),
}


def _value(reader: _Reader, field: Field, operator: Operator) -> str | int | None:
    at = reader.at
    quoted = reader.take(_TEXT)
    if quoted is None:
        word = reader.take(_WORD)
        if word is None or not _ends(reader):
            raise _wrong(at, "a value is needed here: a text in quotes, or a number.")
        text = word[0]
        if text == "null" and field.kind == "metadata" and operator == ":":
            return None
        if field.kind in ("text", "metadata"):
            raise _wrong(at, "a text goes in quotes.")
    else:
        text = _plain(quoted)
    if field.kind == "number":
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= NUMBER_DIGITS_MAX):
            raise _wrong(at, f"a whole number of at most {NUMBER_DIGITS_MAX} digits is needed here.")
        return int(text)
    if field.kind == "truth" and text not in ("true", "false"):
        raise _wrong(at, "true or false is needed here.")
    if operator == "~" and len(text) < SUBSTRING_CHARS_MIN:
        raise _wrong(at, f"~ needs at least {SUBSTRING_CHARS_MIN} characters.")
    return text


def _ends(reader: _Reader) -> bool:
    return reader.at == len(reader.text) or reader.text[reader.at].isspace()


def _plain(found: re.Match[str]) -> str:
    """What stands in quotes."""
    return _ESCAPED.sub(r"\1", next(one for one in found.groups() if one is not None))


def conditions(query: Query, fields: Mapping[str, Field]) -> tuple[str, dict[str, Parameter]]:
    """One SQL expression for all clauses, and the values of its parameters, `q0` and so on."""
    tests: list[str] = []
    parameters: dict[str, Parameter] = {}
    for number, clause in enumerate(query.clauses):
        field = fields[clause.field]
        sql, name = field.sql, f"q{number}"
        if field.kind == "metadata":
            parameters[f"{name}k"] = clause.key
            sql = f"{field.sql}[{{{name}k:String}}]"
        if clause.value is None:
            test = f"NOT mapContains({field.sql}, {{{name}k:String}})"
        elif field.kind == "number":
            parameters[name] = clause.value
            test = f"{sql} {'=' if clause.operator == ':' else clause.operator} {{{name}:Int64}}"
        elif field.kind == "truth":
            test = sql if clause.value == "true" else f"NOT ({sql})"
        else:
            parameters[name] = clause.value
            bound = f"{{{name}:String}}"
            test = f"{sql} = {bound}" if clause.operator == ":" else f"positionCaseInsensitiveUTF8({sql}, {bound}) > 0"
        tests.append(f"(NOT ({test}))" if clause.negated else f"({test})")
    return (" OR " if query.any else " AND ").join(tests), parameters
