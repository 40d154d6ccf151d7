"""`/v1/payment_intents/search` and `/v1/charges/search`: what meets a query, newest first, a page at a time."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from api.http.errors import ParameterInvalid
from api.http.operations import Operation, Route, Work
from api.http.parameters import Integer, Spec, Text, Texts
from api.http.service import Answer, Caller
from api.reads.lists import LIMIT_DEFAULT, LIMIT_MAX
from api.reads.query import QUERY_CHARS_MAX, Field, conditions, parse
from api.reads.service import OBJECTS, Reads
from api.reads.warehouse import Parameter

Searched = Literal["payment_intents", "charges"]
PAGE_CHARS_MAX = 200
_DIGEST_CHARS = 8

# The columns that fields stand for are made in `_OBJECTS`, under names that no table has.
_COMMON: Mapping[str, Field] = {
    "amount": Field(kind="number", sql="found_amount"),
    "created": Field(kind="number", sql="intDiv(at, 1000)"),
    "currency": Field(kind="text", sql="found_currency"),
    "customer": Field(kind="text", sql="found_customer"),
    "metadata": Field(kind="metadata", sql="found_metadata"),
    "status": Field(kind="text", sql="found_status"),
}
FIELDS: Mapping[Searched, Mapping[str, Field]] = {
    "payment_intents": _COMMON,
    "charges": {
        **_COMMON,
        "disputed": Field(kind="truth", sql="found_disputed"),
        "refunded": Field(kind="truth", sql="found_refunded"),
    },
}
_OBJECTS: Mapping[Searched, str] = {
    "payment_intents": """
SELECT payment_id AS object_id, payment_id, toInt64(min(occurred_ms)) AS at,
    argMax(to_status, sequence) AS found_status,
    argMax(amount_minor, sequence) AS found_amount,
    lower(argMax(payment_events.currency, sequence)) AS found_currency,
    argMax(customer, sequence) AS found_customer,
    argMax(metadata, sequence) AS found_metadata
FROM payment_events
WHERE tenant = {tenant:String}
GROUP BY payment_id""",
    "charges": """
SELECT charge_id AS object_id, payment_id, toInt64(min(occurred_ms)) AS at,
    argMax(charge_status, sequence) AS found_status,
    argMax(charge_amount_minor, sequence) AS found_amount,
    lower(argMax(payment_events.currency, sequence)) AS found_currency,
    argMax(customer, sequence) AS found_customer,
    argMax(if(charge_has_texts, charge_metadata, metadata), sequence) AS found_metadata,
    argMax(amount_disputed_minor, sequence) > 0 AS found_disputed,
    argMax(charge_amount_captured_minor > 0 AND charge_amount_refunded_minor >= charge_amount_captured_minor, sequence)
        AS found_refunded
FROM payment_events
WHERE tenant = {tenant:String} AND charge_id != ''
GROUP BY payment_id, charge_id""",
}

_SPEC = Spec(
    fields={
        "query": Text(chars_max=QUERY_CHARS_MAX, required=True),
        "limit": Integer(least=1, most=LIMIT_MAX),
        "page": Text(chars_max=PAGE_CHARS_MAX),
        "expand": Texts(),
    }
)
SEARCH_PAYMENT_INTENTS = Operation(
    method="GET",
    path="/v1/payment_intents/search",
    id="GetPaymentIntentsSearch",
    summary="Finds payment intents by amount, created, currency, customer, metadata and status.",
    scope="payment_intents:read",
    object="payment_intent",
    answers="search_result",
    spec=_SPEC,
)
SEARCH_CHARGES = Operation(
    method="GET",
    path="/v1/charges/search",
    id="GetChargesSearch",
    summary="Finds charges by amount, created, currency, customer, disputed, metadata, refunded and status.",
    scope="charges:read",
    object="charge",
    answers="search_result",
    spec=_SPEC,
)
OPERATIONS: tuple[Operation, ...] = (SEARCH_PAYMENT_INTENTS, SEARCH_CHARGES)


def routes(reads: Reads) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""
    return (
        Route(operation=SEARCH_PAYMENT_INTENTS, work=_searching(reads, "payment_intents", SEARCH_PAYMENT_INTENTS.path)),
        Route(operation=SEARCH_CHARGES, work=_searching(reads, "charges", SEARCH_CHARGES.path)),
    )


def _searching(reads: Reads, kind: Searched, url: str) -> Work:
    async def work(caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        paths = reads.list_paths(given.get("expand") or [], of=OBJECTS[kind])
        asked, limit = given["query"], given.get("limit") or LIMIT_DEFAULT
        sql, parameters = statement(kind, asked, page=given.get("page") or "", rows=limit + 1)
        found = await reads.matching(kind, caller, sql, parameters, limit=limit)
        data = await reads.data(kind, caller, found, paths)
        last = found.places[-1] if found.has_more else None
        body = {
            "object": "search_result",
            "url": url,
            "has_more": found.has_more,
            "next_page": None if last is None else page_after(last.at, last.id, asked),
            "data": data,
        }
        return Answer(body=body)

    return work


def statement(kind: Searched, query: str, *, page: str, rows: int) -> tuple[str, dict[str, Parameter]]:
    """The SQL of a page, but for the tenant's parameter. Raises `ParameterInvalid` for a query or a page that is none."""
    tests, parameters = conditions(parse(query, FIELDS[kind]), FIELDS[kind])
    where = f"({tests})"
    if page:
        at, after = _place(page, query)
        where += " AND (at, object_id) < ({at:Int64}, {after:String})"
        parameters |= {"at": at, "after": after}
    sql = (
        f"SELECT object_id, payment_id, at, toInt64(0) AS tie FROM ({_OBJECTS[kind]}) WHERE {where} "  # noqa: S608 - our own text
        "ORDER BY at DESC, object_id DESC LIMIT {rows:UInt32}"
    )
    return sql, {**parameters, "rows": rows}


def page_after(at: int, object_id: str, query: str) -> str:
    """What `page` takes to go on after this object in the results of this query."""
    return base64.urlsafe_b64encode(msgspec.json.encode([_digest(query), at, object_id])).decode().rstrip("=")


def _place(page: str, query: str) -> tuple[int, str]:
    try:
        padded = page + "=" * (-len(page) % 4)
        digest, at, object_id = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=tuple[str, int, str])
    except (ValueError, msgspec.MsgspecError):
        raise ParameterInvalid("There is no such page. Send a next_page as it came.", param="page") from None
    if digest != _digest(query) or abs(at) >= 2**62:
        raise ParameterInvalid("This page is of another query. Begin without page.", param="page")
    return at, object_id


def _digest(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:_DIGEST_CHARS]
