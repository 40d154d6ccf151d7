"""What is asked of a payment's charges, refunds and disputes by their own ids: changes, evidence, giving in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec.structs import replace

from api.http.errors import InvalidRequest, NotFound, ParameterUnknown
from api.http.operations import Operation, Route, Work
from api.http.parameters import Boolean, Spec, Text, TextMap
from api.http.payments import Found, Objects
from api.http.resources import DESCRIPTION_CHARS_MAX, EXPAND, told
from api.http.service import Answer, Asked, Caller, Service
from schemas.records import PaymentCommand

EVIDENCE_CHARS_MAX = 5_000
"""Of one text; what a provider takes of it is for the provider to say."""

EVIDENCE_TEXTS = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_tracking_number",
    "uncategorized_text",
)
_EVIDENCE_ELSEWHERE = dict.fromkeys(
    [
        "cancellation_policy",
        "customer_communication",
        "customer_signature",
        "duplicate_charge_documentation",
        "receipt",
        "refund_policy",
        "service_documentation",
        "shipping_documentation",
        "uncategorized_file",
    ],
    "Files are not taken here; say it in words, in uncategorized_text.",
) | {"enhanced_evidence": "Stripe has it; it is not supported here, so leave it out."}
_CHARGES_ELSEWHERE = dict.fromkeys(
    ("customer", "fraud_details", "receipt_email", "shipping", "transfer_group"),
    "Stripe has it; it is not supported here, so leave it out.",
)

UPDATE_CHARGE = Operation(
    method="POST",
    path="/v1/charges/{id}",
    id="PostChargesCharge",
    summary="Changes a charge's description and metadata.",
    scope="charges:write",
    object="charge",
    spec=Spec(
        fields={"description": Text(chars_max=DESCRIPTION_CHARS_MAX), "metadata": TextMap(), **EXPAND},
        elsewhere=_CHARGES_ELSEWHERE,
    ),
)
UPDATE_REFUND = Operation(
    method="POST",
    path="/v1/refunds/{id}",
    id="PostRefundsRefund",
    summary="Changes a refund's metadata.",
    scope="refunds:write",
    object="refund",
    spec=Spec(fields={"metadata": TextMap(), **EXPAND}),
)
CANCEL_REFUND = Operation(
    method="POST",
    path="/v1/refunds/{id}/cancel",
    id="PostRefundsRefundCancel",
    summary="Is always refused: a refund has been asked of its provider by the time that it has an id.",
    scope="refunds:write",
    object="refund",
    spec=Spec(fields=EXPAND),
)
UPDATE_DISPUTE = Operation(
    method="POST",
    path="/v1/disputes/{id}",
    id="PostDisputesDispute",
    summary="Adds evidence to a dispute and submits it, or keeps it for later; changes its metadata.",
    scope="disputes:write",
    object="dispute",
    spec=Spec(
        fields={
            "evidence": TextMap(names=(*EVIDENCE_TEXTS, *_EVIDENCE_ELSEWHERE), value_chars_max=EVIDENCE_CHARS_MAX),
            "submit": Boolean(),
            "metadata": TextMap(),
            **EXPAND,
        }
    ),
)
CLOSE_DISPUTE = Operation(
    method="POST",
    path="/v1/disputes/{id}/close",
    id="PostDisputesDisputeClose",
    summary="Gives in: the dispute is lost, and the provider is told.",
    scope="disputes:write",
    object="dispute",
    spec=Spec(fields=EXPAND),
)
OPERATIONS: tuple[Operation, ...] = (UPDATE_CHARGE, UPDATE_REFUND, CANCEL_REFUND, UPDATE_DISPUTE, CLOSE_DISPUTE)

_KINDS: Mapping[str, Found] = {"charge": "charges", "refund": "refunds", "dispute": "disputes"}

Wish = Callable[[dict[str, Any]], PaymentCommand]
"""Of the checked parameters: the command, but for whose and about what. An update of nothing is a look."""


def routes(service: Service, objects: Objects) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""

    def asking(operation: Operation, wish: Wish) -> Route:
        return Route(operation=operation, work=_asking(service, objects, operation, wish))

    return (
        asking(UPDATE_CHARGE, _update),
        asking(UPDATE_REFUND, _update),
        Route(operation=CANCEL_REFUND, work=_refusing(objects)),
        asking(UPDATE_DISPUTE, _respond),
        asking(CLOSE_DISPUTE, lambda _: PaymentCommand(kind="close_dispute")),
    )


def _asking(service: Service, objects: Objects, operation: Operation, wish: Wish) -> Work:
    kind = _KINDS[operation.object]

    async def work(caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        paths = service.paths(given, of=operation.object)
        command = wish(given)
        object_id, tenant = path["id"], caller.identity.tenant
        place = await objects.place(kind, tenant, object_id)
        if place is None:
            raise NotFound(operation.object)
        if command.kind == "update" and not command.given:
            return Answer(body=await _shown(objects, kind, caller, object_id, paths))
        command = replace(command, tenant=tenant, payment_id=place.payment_id, object_id=object_id)
        asked = Asked(
            object=operation.object,
            parameters=(operation.path, object_id, given),
            paths=paths,
            created_ms=place.at,
        )
        return await service.carry_out(service.with_key(caller), command, asked)

    return work


async def _shown(
    objects: Objects, kind: Found, caller: Caller, object_id: str, paths: list[tuple[str, ...]]
) -> dict[str, Any]:
    body = await objects.show(kind, caller, object_id)
    if body is None:
        raise NotFound(kind.removesuffix("s"))
    await objects.expand(caller, body, paths)
    return body


def _update(given: dict[str, Any]) -> PaymentCommand:
    return PaymentCommand(
        kind="update",
        given=tuple(name for name in ("description", "metadata") if name in given),
        description=given.get("description") or "",
        metadata=told(given.get("metadata", {})),
    )


def _respond(given: dict[str, Any]) -> PaymentCommand:
    """Evidence is submitted unless `submit` says no; so is what was kept before, where it says yes."""
    for name, why in _EVIDENCE_ELSEWHERE.items():
        if name in given.get("evidence", {}):
            raise ParameterUnknown(f"evidence[{name}]", why=why)
    submit = given.get("submit")
    submits = submit is True or ("evidence" in given and submit is None)
    return PaymentCommand(
        kind="submit_evidence" if submits else "update",
        given=tuple(name for name in ("evidence", "metadata") if name in given),
        evidence=told(given.get("evidence", {})),
        metadata=told(given.get("metadata", {})),
    )


def _refusing(objects: Objects) -> Callable[[Caller, Mapping[str, str], dict[str, Any]], Awaitable[Answer]]:
    async def work(caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        body = await objects.show("refunds", caller, path["id"])
        if body is None:
            raise NotFound("refund")
        message = f"This refund is {body['status']}, and its provider has been asked for it: it can't be canceled."
        raise InvalidRequest(message, code="refund_unexpected_state")

    return work
