"""`/v1/traces/{payment}`: everything that happened to a payment, who caused it and what followed, in order; from the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.http.errors import NotFound
from api.http.operations import Operation, Route
from api.http.service import Answer, Caller
from api.openapi.schema import (
    BOOLEAN,
    CURRENCY,
    INTEGER,
    MINOR,
    TEXT,
    Described,
    array,
    closed,
    nullable,
    of_object,
    one_of,
)
from api.reads.landed import Landed
from api.reads.warehouse import Warehouse
from schemas.ids import is_payment_id

STEPS_MAX = 2_000
POSTINGS_MAX = 5_000
DELIVERIES_MAX = 1_000
"""Beyond these the newest are left out, and `has_more` says so."""

_STEPS = """
SELECT toInt64(at_ms) AS at_ms, step, what, status, amount_minor, currency, provider, object_id, detail, actor_kind, actor_id,
    on_behalf_of, actor_reason, request_id, idempotency_key, traceparent, toInt64(policy_version) AS policy_version, event_id,
    cause_topic, cause_partition, toInt64(cause_offset) AS cause_offset, _topic, _partition, toInt64(_offset) AS _offset
FROM audit_trail
WHERE tenant = {tenant:String} AND payment_id = {payment:String}
ORDER BY at_ms, rank, input_offset, ordinal LIMIT {rows:UInt32}"""

_ATTEMPTS = """
SELECT charge_id, attempt, provider, status, outcome, currency, toInt64(amount_minor) AS amount_minor, provider_reference, failure_code
FROM charges
WHERE tenant = {tenant:String} AND payment_id = {payment:String}
ORDER BY attempt LIMIT {rows:UInt32}"""

_POSTINGS = """
SELECT event_id, account, currency, toInt64(amount_minor) AS amount_minor
FROM ledger_entries
WHERE tenant = {tenant:String} AND payment_id = {payment:String}
ORDER BY occurred_ms, _topic, _partition, _offset, _ordinal LIMIT {rows:UInt32}"""

_DELIVERIES = """
SELECT delivery_id, endpoint_id, event_id, event_type, state, toInt64(attempts) AS attempts, toInt64(status_code) AS status_code, failure,
    toInt64(attempted_ms) AS attempted_ms
FROM webhook_deliveries
WHERE tenant = {tenant:String} AND payment_id = {payment:String}
ORDER BY queued_ms, delivery_id LIMIT {rows:UInt32}"""

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/traces/{payment}",
        id="GetTracesPayment",
        summary="Retrieve a payment's whole history: steps with actors and causes, attempts at providers, postings, webhooks.",
        scope="traces:read",
        object="trace",
    ),
)


def routes(warehouse: Warehouse, landed: Landed) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""

    async def retrieve(caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        payment, tenant = path["payment"], caller.identity.tenant
        if not is_payment_id(payment):
            raise NotFound("payment_intent", param="payment")
        await landed.wait(tenant)
        rows = {
            name: await warehouse.rows(sql, {"tenant": tenant, "payment": payment, "rows": most + 1})
            for name, sql, most in _PARTS
        }
        if not rows["steps"]:
            raise NotFound("payment_intent", param="payment")
        return Answer(body=render(payment, rows, livemode=caller.identity.livemode))

    return (Route(operation=OPERATIONS[0], work=retrieve),)


_PARTS = (
    ("steps", _STEPS, STEPS_MAX),
    ("attempts", _ATTEMPTS, STEPS_MAX),
    ("postings", _POSTINGS, POSTINGS_MAX),
    ("deliveries", _DELIVERIES, DELIVERIES_MAX),
)


def render(payment: str, rows: Mapping[str, list[dict[str, Any]]], *, livemode: bool) -> dict[str, Any]:
    """The answer, from the rows of each part."""
    postings: dict[str, list[dict[str, Any]]] = {}
    for row in rows["postings"][:POSTINGS_MAX]:
        postings.setdefault(row["event_id"], []).append(
            {"account": row["account"], "amount": row["amount_minor"], "currency": row["currency"].lower()}
        )
    return {
        "id": payment,
        "object": "trace",
        "attempts": [_attempt(row) for row in rows["attempts"][:STEPS_MAX]],
        "deliveries": [_delivery(row) for row in rows["deliveries"][:DELIVERIES_MAX]],
        "has_more": any(len(rows[name]) > most for name, _, most in _PARTS),
        "livemode": livemode,
        "steps": [_step(row, postings) for row in rows["steps"][:STEPS_MAX]],
    }


def _step(row: dict[str, Any], postings: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    caused = row["cause_offset"] >= 0
    return {
        "actor": {
            "id": row["actor_id"] or None,
            "kind": row["actor_kind"],
            "on_behalf_of": row["on_behalf_of"] or None,
            "reason": row["actor_reason"] or None,
        },
        "amount": row["amount_minor"],
        "at_ms": row["at_ms"],
        "cause": _place(row["cause_topic"], row["cause_partition"], row["cause_offset"]) if caused else None,
        "currency": row["currency"].lower() or None,
        "detail": row["detail"] or None,
        "event": row["event_id"] or None,
        "kind": row["step"],
        "object_id": row["object_id"] or None,
        "place": _place(row["_topic"], row["_partition"], row["_offset"]),
        "policy_version": row["policy_version"] or None,
        "postings": postings.get(row["event_id"], []) if row["event_id"] else [],
        "provider": row["provider"] or None,
        "request": {
            "id": row["request_id"] or None,
            "idempotency_key": row["idempotency_key"] or None,
            "traceparent": row["traceparent"] or None,
        },
        "status": row["status"] or None,
        "what": row["what"].strip(),
    }


def _place(topic: str, partition: int, offset: int) -> dict[str, Any]:
    return {"offset": offset, "partition": partition, "topic": topic}


def _attempt(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "amount": row["amount_minor"],
        "attempt": row["attempt"],
        "charge": row["charge_id"],
        "currency": row["currency"].lower(),
        "failure_code": row["failure_code"] or None,
        "outcome": row["outcome"],
        "provider": row["provider"] or None,
        "provider_reference": row["provider_reference"] or None,
        "status": row["status"],
    }


def _delivery(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "attempted_ms": row["attempted_ms"] or None,
        "attempts": row["attempts"],
        "event": row["event_id"],
        "failure": row["failure"] or None,
        "id": row["delivery_id"],
        "state": row["state"],
        "status_code": row["status_code"] or None,
        "type": row["event_type"],
        "webhook_endpoint": row["endpoint_id"],
    }


def _examples() -> Mapping[str, dict[str, Any]]:
    payment, at = "pi_5a0e1c6f3b2d4a7e9c8b1f02", 1_790_000_000_000
    shared = {
        "at_ms": at,
        "amount_minor": 1_999,
        "currency": "EUR",
        "detail": "",
        "actor_kind": "api_key",
        "actor_id": "key_0c41d2aa97e35bd08f6e1c55",
        "on_behalf_of": "",
        "actor_reason": "",
        "request_id": "req_4b1f9c2a6d7e8f001122",
        "idempotency_key": "order-6735",
        "traceparent": "",
    }
    asked = {
        **shared, "step": "input", "what": "PaymentCommand create", "status": "", "provider": "", "object_id": "", "policy_version": 0,
        "event_id": "", "cause_topic": "", "cause_partition": -1, "cause_offset": -1, "_topic": "payments.inputs", "_partition": 3,
        "_offset": 411,
    }  # fmt: skip
    done = {
        **shared, "step": "event", "what": "payment_intent.succeeded", "status": "succeeded", "provider": "northpay",
        "object_id": f"ch_{payment[3:]}01", "policy_version": 2, "event_id": "evt_7f0d2c41aa97e35bd08f6e1c", "cause_topic": "payments.inputs",
        "cause_partition": 3, "cause_offset": 412, "_topic": "payments.events", "_partition": 3, "_offset": 930,
    }  # fmt: skip
    posted = [("provider_receivable:northpay", 1_999), ("tenant_payable:acme", -1_999)]
    rows: dict[str, list[dict[str, Any]]] = {
        "steps": [asked, done],
        "attempts": [
            {
                "charge_id": done["object_id"], "attempt": 1, "provider": "northpay", "status": "succeeded", "outcome": "captured",
                "currency": "EUR", "amount_minor": 1_999, "provider_reference": "np_81", "failure_code": "",
            }
        ],
        "postings": [
            {"event_id": done["event_id"], "account": account, "currency": "EUR", "amount_minor": amount}
            for account, amount in posted
        ],
        "deliveries": [
            {
                "delivery_id": "wd_0c41d2aa97e35bd08f6e1c55", "endpoint_id": "we_5bd08f6e1c550c41d2aa97e3", "event_id": done["event_id"],
                "event_type": "payment_intent.succeeded", "state": "accepted", "attempts": 1, "status_code": 200, "failure": "",
                "attempted_ms": at + 900,
            }
        ],
    }  # fmt: skip
    return {"charged_at_once": render(payment, rows, livemode=False)}


_PLACE = closed({"offset": INTEGER, "partition": INTEGER, "topic": TEXT})
_SIGNED = {"type": "integer", "description": "In the currency's smallest unit; debits are positive."}

OBJECTS: tuple[Described, ...] = (
    Described(
        name="trace",
        summary="What happened to a payment: every input and event in the order in which they took effect.",
        schema=of_object(
            "trace",
            {
                "attempts": array(
                    closed(
                        {
                            "amount": MINOR,
                            "attempt": INTEGER,
                            "charge": TEXT,
                            "currency": CURRENCY,
                            "failure_code": nullable(TEXT),
                            "outcome": TEXT,
                            "provider": nullable(TEXT),
                            "provider_reference": nullable(TEXT),
                            "status": TEXT,
                        }
                    )
                ),
                "deliveries": array(
                    closed(
                        {
                            "attempted_ms": nullable(INTEGER),
                            "attempts": INTEGER,
                            "event": TEXT,
                            "failure": nullable(TEXT),
                            "id": TEXT,
                            "state": TEXT,
                            "status_code": nullable(INTEGER),
                            "type": TEXT,
                            "webhook_endpoint": TEXT,
                        }
                    )
                ),
                "has_more": BOOLEAN,
                "livemode": BOOLEAN,
                "steps": array(
                    closed(
                        {
                            "actor": closed(
                                {
                                    "id": nullable(TEXT),
                                    "kind": TEXT,
                                    "on_behalf_of": nullable(TEXT),
                                    "reason": nullable(TEXT),
                                }
                            ),
                            "amount": nullable(MINOR),
                            "at_ms": INTEGER,
                            "cause": nullable(_PLACE),
                            "currency": nullable(CURRENCY),
                            "detail": nullable(TEXT),
                            "event": nullable(TEXT),
                            "kind": one_of("input", "event", "settlement"),
                            "object_id": nullable(TEXT),
                            "place": _PLACE,
                            "policy_version": nullable(INTEGER),
                            "postings": array(closed({"account": TEXT, "amount": _SIGNED, "currency": CURRENCY})),
                            "provider": nullable(TEXT),
                            "request": closed(
                                {"id": nullable(TEXT), "idempotency_key": nullable(TEXT), "traceparent": nullable(TEXT)}
                            ),
                            "status": nullable(TEXT),
                            "what": TEXT,
                        }
                    )
                ),
            },
        ),
        examples=_examples,
    ),
)
