"""The writes to payments and all the reads as operations: `api.http.resources.ENDPOINTS` and `api.reads` described."""

from __future__ import annotations

from api.http.operations import Operation
from api.http.parameters import Field, Spec, Text, Texts
from api.http.resources import ENDPOINTS, Endpoint
from api.reads.lists import Kind
from api.reads.service import OBJECTS as KINDS
from api.reads.service import list_spec

_WRITES = {
    "/v1/payment_intents": ("PostPaymentIntents", "Create a payment, and with `confirm` charge it at once."),
    "/v1/payment_intents/{id}": ("PostPaymentIntentsIntent", "Change a payment that is not yet under way."),
    "/v1/payment_intents/{id}/confirm": ("PostPaymentIntentsIntentConfirm", "Charge the payment method."),
    "/v1/payment_intents/{id}/capture": ("PostPaymentIntentsIntentCapture", "Take what was authorised, or a part."),
    "/v1/payment_intents/{id}/cancel": ("PostPaymentIntentsIntentCancel", "Give the payment up."),
    "/v1/payment_intents/{id}/increment_authorization": (
        "PostPaymentIntentsIntentIncrementAuthorization",
        "Ask the issuer to authorise more.",
    ),
    "/v1/refunds": ("PostRefunds", "Give back what was captured, or a part."),
}
_NAMES: dict[Kind, tuple[str, str, str]] = {
    "payment_intents": ("PaymentIntents", "Intent", "payments"),
    "charges": ("Charges", "Charge", "charges: one for each attempt at a provider"),
    "refunds": ("Refunds", "Refund", "refunds"),
    "disputes": ("Disputes", "Dispute", "disputes"),
    "balance_transactions": ("BalanceTransactions", "Id", "changes of the balance"),
    "events": ("Events", "Id", "events: what became of each payment, step by step"),
}
_SECRETS: dict[Kind, dict[str, Field]] = {"payment_intents": {"client_secret": Text()}}


def _write(endpoint: Endpoint) -> Operation:
    path = endpoint.path
    name, summary = _WRITES[path]
    return Operation(
        method="POST",
        path=path,
        id=name,
        summary=summary,
        scope=endpoint.scope,
        object=endpoint.object,
        spec=endpoint.spec,
    )


def _reads(kind: Kind) -> tuple[Operation, Operation]:
    many, one, words = _NAMES[kind]
    return (
        Operation(
            method="GET",
            path=f"/v1/{kind}",
            id=f"Get{many}",
            summary=f"List {words}; newest first.",
            scope=f"{kind}:read",
            object=KINDS[kind],
            answers="list",
            spec=list_spec(kind, created_is_exact=False),
        ),
        Operation(
            method="GET",
            path=f"/v1/{kind}/{{id}}",
            id=f"Get{many}{one}",
            summary="Read one as it stands now.",
            scope=f"{kind}:read",
            object=KINDS[kind],
            spec=Spec(fields={**_SECRETS.get(kind, {}), "expand": Texts()}),
        ),
    )


OPERATIONS: tuple[Operation, ...] = (
    *(_write(endpoint) for endpoint in ENDPOINTS),
    *(operation for kind in KINDS for operation in _reads(kind)),
    Operation(
        method="GET",
        path="/v1/balance",
        id="GetBalance",
        summary="What was earned, by currency: available by now, and pending.",
        scope="balance:read",
        object="balance",
    ),
)
