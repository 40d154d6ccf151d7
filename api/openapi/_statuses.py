"""What each operation can be answered with: always the same few, and what only some of them can come to."""

from __future__ import annotations

from api.http.operations import Operation

WORDS = {
    "400": "The request can't be meant as it is, or the object is in another state.",
    "401": "No key, or none that is valid.",
    "402": "The card or the payment was declined, or failed; the error holds the payment or setup intent as it stands.",
    "403": "The key may not do this.",
    "404": "No such object, for this tenant.",
    "409": "What was asked before is still under way: the request with this idempotency key, or the dispute's.",
    "429": "Too many requests; nothing was begun. `Retry-After` says when.",
    "500": "A fault of ours.",
    "503": "Nobody could answer in time. The same idempotency key finds out.",
}
"""What each means, wherever it comes."""
_ALWAYS = ("400", "401", "403", "429", "500", "503")

_CHARGED = (
    "PostPaymentIntents",
    "PostPaymentIntentsIntentCancel",
    "PostPaymentIntentsIntentCapture",
    "PostPaymentIntentsIntentConfirm",
    "PostPaymentIntentsIntentIncrementAuthorization",
)
_VERIFIED = ("PostPaymentMethodsPaymentMethodAttach", "PostSetupIntents", "PostSetupIntentsIntentConfirm")
_ASKED = (
    "PostDisputesDispute",
    "PostDisputesDisputeClose",
    "PostOperatorsPaymentsPaymentRefund",
    "PostRefunds",
)

_SOME: dict[str, tuple[str, ...]] = {
    # A provider or an issuer may say no.
    "402": (*_CHARGED, *_VERIFIED),
    # A provider is asked, which takes a while.
    "409": (*_CHARGED, *_ASKED),
    # Its path names nothing, but its parameters may name what isn't there; or the key's own tenant was never configured.
    "404": (
        "GetAccount",
        "GetPaymentMethods",
        "PostCustomers",
        "PostPaymentIntents",
        "PostRefunds",
        "PostRoutingPolicies",
        "PostSetupIntents",
    ),
}


def statuses(operation: Operation) -> tuple[str, ...]:
    """All but 200, in order."""
    named = ("404",) if "{" in operation.path else ()
    some = (status for status, ids in _SOME.items() if operation.id in ids)
    return tuple(sorted({*_ALWAYS, *named, *some}))


def unknown(operations: tuple[Operation, ...]) -> set[str]:
    """Names in the table above that no operation has."""
    return {name for ids in _SOME.values() for name in ids} - {one.id for one in operations}
