"""An upstream system's intent becomes a command, or is refused."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.records import Attribution, PaymentCommand, PaymentIntent, Tenant
from streams.core import checks, ids
from streams.core.errors import Refused


def command_of(intent: PaymentIntent, tenants: Mapping[str, Tenant]) -> PaymentCommand:
    """
    The create that the intent asks for; its idempotency key is the intent's key, so sending it again has no effect.

    Raises `Refused` when the intent breaks its contract or its tenant is unknown or suspended.
    """
    checks.check_intent(intent)
    tenant = tenants.get(intent.tenant)
    if tenant is None or tenant.status != "active":
        what = "not known" if tenant is None else "suspended"
        message = f"This tenant is {what}. Make or reactivate the tenant, then send the intent again."
        raise Refused(reason="unknown_tenant", field="tenant", message=message)
    return PaymentCommand(
        tenant=intent.tenant,
        payment_id=ids.payment_id(intent.tenant, intent.intent_key),
        kind="create",
        amount_minor=intent.amount_minor,
        currency=intent.currency,
        payment_method=intent.payment_method,
        capture_method=intent.capture_method,
        confirm=intent.confirm,
        customer=intent.customer,
        description=intent.description,
        metadata=intent.metadata,
        attribution=Attribution(
            actor_kind="upstream",
            actor_id=intent.upstream,
            on_behalf_of=intent.tenant,
            request_id=intent.request_id,
            idempotency_key=intent.intent_key,
            traceparent=intent.traceparent,
        ),
    )
