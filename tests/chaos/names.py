"""What the application's topics, tasks and changelogs are called, and which outcomes are no last word."""

from __future__ import annotations

from schemas import catalogue

APPLICATION = "clearline"

INTENTS, INPUTS, EVENTS = catalogue.PAYMENT_INTENTS.name, catalogue.PAYMENTS_INPUTS.name, catalogue.PAYMENTS_EVENTS.name
REQUESTS, REPLIES = catalogue.PROVIDER_REQUESTS.name, catalogue.PAYMENTS_REPLIES.name
SETTLEMENTS, SETTLED = catalogue.SETTLEMENT_INPUTS.name, catalogue.SETTLEMENT_EVENTS.name
REJECTED, TENANTS = catalogue.RECORDS_REJECTED.name, catalogue.TENANTS.name
KEYS = catalogue.CUSTOMERS_KEYS.name
CUSTOMERS, TOLD = catalogue.CUSTOMERS_INPUTS.name, catalogue.CUSTOMERS_EVENTS.name
TASKS = {"intake": INTENTS, "lifecycle": INPUTS, "settlement": SETTLEMENTS, "customers": CUSTOMERS}
"""What workers do, and what each reads."""
CHANGELOGS = {
    "intake": catalogue.INTAKE_CHANGELOG.name,
    "lifecycle": catalogue.LIFECYCLE_CHANGELOG.name,
    "settlement": catalogue.SETTLEMENT_CHANGELOG.name,
    "customers": catalogue.CUSTOMERS_CHANGELOG.name,
}

# What the gateway may say again; anything else once a request.
INDEFINITE = frozenset({"unknown", "refund_pending", "requires_action"})
PAYOUT_INDEFINITE = frozenset({"unknown", "in_transit"})
