"""`/v1/operators/payments/{payment}/…`: what a person asks for about one payment of a tenant, under a name and with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from api.http import render as payments
from api.http._tables import Tables
from api.http.errors import NotFound
from api.http.operations import Operation, Route
from api.http.parameters import Integer, Spec, Text
from api.http.payments import Payments
from api.http.service import Answer, Asked, Caller, Service, now_ms
from api.identity import proposers
from api.identity.people import REASON_CHARS_MAX
from api.openapi.schema import BOOLEAN, TEXT, Described, nullable, of_object, one_of, ref
from schemas.currencies import AMOUNT_MINOR_MAX
from schemas.ids import is_payment_id, proposal_id
from schemas.records import CommandKind, PaymentCommand, PaymentObject

ADJUSTMENTS = ("credit", "debit")
RESOLUTIONS = ("authorized", "captured", "declined", "voided", "refunded", "refund_failed")
REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")

_PATH = "/v1/operators/payments/{payment}"
_WRITE = proposers.SCOPE
_REASON = Text(required=True, chars_max=REASON_CHARS_MAX)
_AMOUNT = Integer(least=1, most=AMOUNT_MINOR_MAX)
_OBJECT = Text(required=True)

_KINDS: Mapping[str, CommandKind] = {
    "inquire": "inquire",
    "refund": "refund",
    "propose": "propose",
    "adjust": "propose",
    "approve": "approve",
}


def _operation(name: str, summary: str, **fields: Any) -> Operation:
    return Operation(
        method="POST",
        path=f"{_PATH}/{name}",
        id=f"PostOperatorsPaymentsPayment{name.capitalize()}",
        summary=summary,
        scope=_WRITE,
        object="operation",
        spec=Spec(fields={**fields, "reason": _REASON}),
    )


OPERATIONS: tuple[Operation, ...] = (
    _operation("inquire", "Have the provider asked at once what became of a charge or refund.", object=_OBJECT),
    _operation(
        "refund",
        "Refund a payment on its tenant's behalf.",
        amount=_AMOUNT,
        refund_reason=Text(choices=REFUND_REASONS),
    ),
    _operation(
        "propose",
        "Say what a charge or refund in doubt is; it is so once another person approves.",
        object=_OBJECT,
        resolution=Text(required=True, choices=RESOLUTIONS),
        amount=_AMOUNT,
    ),
    _operation(
        "adjust",
        "Propose to give to a tenant's balance or to take from it.",
        direction=Text(required=True, choices=ADJUSTMENTS),
        amount=Integer(least=1, most=AMOUNT_MINOR_MAX, required=True),
    ),
    _operation("approve", "Approve what another person proposed; it is carried out at once.", proposal=_OBJECT),
)


def routes(service: Service, tables: Tables, held: Payments) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`. `held`: payments as they stand, with what is proposed of each."""
    return tuple(Route(operation=one, work=_work(service, tables, held, one)) for one in OPERATIONS)


def _work(service: Service, tables: Tables, held: Payments, operation: Operation) -> Any:
    name = operation.path.rpartition("/")[2]
    kind = _KINDS[name]

    async def work(caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        payment = path["payment"]
        if not is_payment_id(payment):
            raise NotFound("payment_intent", param="payment")
        caller = service.with_key(replace(caller, identity=replace(caller.identity, reason=given["reason"])))
        tenant = caller.identity.tenant
        if kind == "approve":
            # What is not open any more is for the fold to say, as is the answer to a request that comes again.
            view = await held.get(tenant, payment)
            proposed = None if view is None else view.proposal
            if proposed is not None and proposed.id == given["proposal"]:
                await proposers.check(tables, proposed.proposed_by, tenant=tenant, now_ms=now_ms())
        command = PaymentCommand(
            tenant=tenant,
            payment_id=payment,
            kind=kind,
            object_id=given.get("object") or given.get("proposal") or (payment if name == "adjust" else ""),
            resolution=given.get("resolution") or given.get("direction") or "",
            amount_minor=given.get("amount"),
            reason=given.get("refund_reason") or "",
        )
        asked = Asked(object="payment_intent", parameters=(operation.path, payment, given))
        answer = await service.carry_out(caller, command, asked)
        proposal = proposal_id(tenant, payment, caller.idempotency_key) if kind == "propose" else given.get("proposal")
        body = render(
            answer.body,
            name=name,
            request=caller.request_id,
            proposal=proposal or "",
            livemode=caller.identity.livemode,
        )
        return Answer(body=body, replayed=answer.replayed)

    return work


def render(payment: dict[str, Any], *, name: str, request: str, proposal: str, livemode: bool) -> dict[str, Any]:
    """What was asked and how the payment stands."""
    return {
        "id": proposal or request,
        "object": "operation",
        "kind": name,
        "livemode": livemode,
        "payment_intent": payment,
        "proposal": proposal or None,
    }


def _examples() -> Mapping[str, dict[str, Any]]:
    payment = PaymentObject(
        id="pi_3f0c9b2a7d51e84660a1c2d3",
        status="processing",
        amount_minor=1_999,
        currency="EUR",
        capture_method="automatic",
        outcome_unknown=True,
        provider="alpha",
        created_ms=1_790_000_000_000,
    )
    shown = payments.payment_intent(payment, livemode=False)
    proposal = "prop_0b1c2d3e4f5a6b7c8d9e0f1a"
    return {"proposed": render(shown, name="propose", request="req_1", proposal=proposal, livemode=False)}


OBJECTS: tuple[Described, ...] = (
    Described(
        name="operation",
        summary="What a person asked for about a payment, and how the payment stands after it.",
        schema=of_object(
            "operation",
            {
                "kind": one_of(*_KINDS),
                "livemode": BOOLEAN,
                "payment_intent": ref("payment_intent"),
                "proposal": nullable(TEXT),
            },
        ),
        examples=_examples,
    ),
)
