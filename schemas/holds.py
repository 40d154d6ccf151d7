"""What providers hold of authorisations, as postings tell it."""

from __future__ import annotations

from schemas.records import PaymentEvent

ACCOUNTS = "authorization_hold:"
"""What the accounts' names begin with, a provider behind it."""


def held_minor(event: PaymentEvent) -> int:
    """What an event adds to the authorised amount, in minor units; negative: what it takes off."""
    return sum(one.amount_minor for one in event.postings if one.account.startswith(ACCOUNTS))
