"""The chart of accounts, and what each posting pattern means.

An account is 'kind:owner'. Positive amounts debit, negative ones credit. The legs of an event sum to zero per currency;
that is checked when the event is made, and an event that does not balance stops the partition.

Where a provider converts, `fx_conversion` stands between the two currencies, so that each of them balances by itself. What
the provider owes in a currency is then `provider_receivable` and `fx_conversion` together: nothing in the payment's
currency, and what the payment came to in the other one. The tenant bears the rate: what a refund costs more or less
than its share of the charge is the tenant's (`fx_difference`), and nothing of it is ours.
"""

from __future__ import annotations

from schemas.records import Posting
from streams.core.errors import Unbalanced

CHART: dict[str, str] = {
    "authorization_hold": "memo, provider: what the provider's customers' banks hold for us",
    "authorized_funds": "memo, tenant: the other side of the holds",
    "provider_receivable": "asset, provider: what the provider has taken for tenants, less what it gave back and its fees",
    "tenant_payable": "liability, tenant: what the tenant has earned and was not settled yet",
    "refund_pending": "liability, provider: refunds that the tenant has paid for and the provider has not made yet",
    "provider_stray": "asset, provider: money taken by attempts that were given up, to go straight back",
    "provider_disputed": "asset, provider: taken back for disputes beyond what their charges still held; for people to recover",
    "platform_fees": "income, tenant: what the tenant pays by its own schedule",
    "provider_costs": "expense, provider: the provider's fees, where tenants pay by schedules of their own",
    "adjustments": "expense, tenant: what two operators gave to the tenant, or took from it",
    "stray_owed": "liability, provider: the same money as what customers are owed",
    "fx_conversion": "asset, provider: between the currency that it took money in (credit) and the one that it owes it in (debit)",
    "tenant_reserve": "liability, tenant: kept of what it has captured until the day that its contract says",
    "payout_pending": "liability, provider: payouts that were taken from what is settled and the provider has not made yet",
    "payout_in_transit": "liability, tenant: settled, on its way to the tenant (or, negative, to be collected)",
}
"""Kinds of account: class, owner, meaning."""

PATTERNS: dict[str, str] = {
    "hold": "An authorisation: debit authorization_hold, credit authorized_funds. No money has moved.",
    "release": "A hold ends, by capture, void or expiry: the reverse of hold, always in full.",
    "capture": "Money taken: debit provider_receivable, credit tenant_payable.",
    "fee": "The provider keeps its fee, a cost of the tenant's: debit tenant_payable, credit provider_receivable.",
    "refund": "A refund begins, and the tenant pays for it: debit tenant_payable, credit refund_pending.",
    "refunded": "The provider made the refund: debit refund_pending, credit provider_receivable.",
    "refund_failed": "A refund failed before it was made: the reverse of refund; the tenant has the money back.",
    "refund_returned": "A refund failed after it was made: debit provider_receivable, credit tenant_payable.",
    "stray": "Money taken by an attempt that was given up: debit provider_stray, credit stray_owed. Never the tenant's.",
    "stray_returned": "It went back: the reverse of stray.",
    "tenant_fee": "The tenant pays by its schedule: debit tenant_payable, credit platform_fees.",
    "fee_returned": "It has a fee back, whole or in part: the reverse of tenant_fee.",
    "provider_cost": "The provider keeps its fee, and it is ours: debit provider_costs, credit provider_receivable (the reverse when negative).",
    "dispute": "The provider takes money back for a dispute: debit tenant_payable, credit provider_receivable.",
    "dispute_returned": "It gives it back: the reverse of dispute.",
    "dispute_excess": "It takes more than the charge still holds: debit provider_disputed, credit provider_receivable (the reverse when negative).",
    "adjustment": "Two operators put a balance right: debit adjustments, credit tenant_payable (the reverse when negative).",
    "converted_in": "A converted capture, in the payment's currency: debit provider_receivable, credit fx_conversion (the reverse when negative: a dispute).",
    "converted_refund": "A refund of it begins, in the payment's currency: debit fx_conversion, credit refund_pending (the reverse when negative: it failed).",
    "converted_out": "The same money in the currency that it settles in: debit fx_conversion, credit tenant_payable (the reverse when negative).",
    "fx_difference": "A refund came to more than its share of the charge: debit tenant_payable, credit fx_conversion (the reverse when it came to less).",
    "reserve": "A part of a capture is kept in reserve: debit tenant_payable, credit tenant_reserve.",
    "reserve_release": "Its day has come: the reverse of reserve.",
    "settle": "A window closes: debit tenant_payable, credit payout_in_transit by its net (the reverse when negative).",
    "payout": "A payout begins, of what is settled: debit payout_in_transit, credit payout_pending.",
    "paid_out": "The provider made the payout: debit payout_pending, credit provider_receivable.",
    "payout_failed": "A payout was canceled or failed before it was made: the reverse of payout; the tenant can have it paid out again.",
    "payout_returned": "A payout failed after it was made: debit provider_receivable, credit payout_in_transit.",
}
"""Every pattern by name. Each is a function of this module with the same name."""

Postings = tuple[Posting, ...]


def _legs(debit: str, credit: str, amount_minor: int, currency: str) -> Postings:
    return (
        Posting(account=debit, amount_minor=amount_minor, currency=currency),
        Posting(account=credit, amount_minor=-amount_minor, currency=currency),
    )


def hold(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """An authorisation stands."""
    return _legs(f"authorization_hold:{provider}", f"authorized_funds:{tenant}", amount_minor, currency)


def release(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """An authorisation ends."""
    return _legs(f"authorized_funds:{tenant}", f"authorization_hold:{provider}", amount_minor, currency)


def capture(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """The provider took money for the tenant."""
    return _legs(f"provider_receivable:{provider}", f"tenant_payable:{tenant}", amount_minor, currency)


def fee(provider: str, tenant: str, fee_minor: int, currency: str) -> Postings:
    """The provider keeps its fee; nothing when there is none."""
    if not fee_minor:
        return ()
    return _legs(f"tenant_payable:{tenant}", f"provider_receivable:{provider}", fee_minor, currency)


def refund(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """A refund begins."""
    return _legs(f"tenant_payable:{tenant}", f"refund_pending:{provider}", amount_minor, currency)


def refunded(provider: str, amount_minor: int, currency: str) -> Postings:
    """The provider made a refund."""
    return _legs(f"refund_pending:{provider}", f"provider_receivable:{provider}", amount_minor, currency)


def refund_failed(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """A refund failed before it was made."""
    return _legs(f"refund_pending:{provider}", f"tenant_payable:{tenant}", amount_minor, currency)


def refund_returned(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """A refund failed after it was made."""
    return _legs(f"provider_receivable:{provider}", f"tenant_payable:{tenant}", amount_minor, currency)


def stray(provider: str, amount_minor: int, currency: str) -> Postings:
    """An attempt that was given up took money."""
    return _legs(f"provider_stray:{provider}", f"stray_owed:{provider}", amount_minor, currency)


def stray_returned(provider: str, amount_minor: int, currency: str) -> Postings:
    """That money went back."""
    return _legs(f"stray_owed:{provider}", f"provider_stray:{provider}", amount_minor, currency)


def tenant_fee(tenant: str, fee_minor: int, currency: str) -> Postings:
    """The tenant pays by its schedule; nothing when there is no fee."""
    if not fee_minor:
        return ()
    return _legs(f"tenant_payable:{tenant}", f"platform_fees:{tenant}", fee_minor, currency)


def fee_returned(tenant: str, fee_minor: int, currency: str) -> Postings:
    """The tenant has a fee back; nothing when there is none."""
    return tenant_fee(tenant, -fee_minor, currency)


def provider_cost(provider: str, fee_minor: int, currency: str) -> Postings:
    """The provider keeps its fee, or gives it back; nothing when there is none."""
    if not fee_minor:
        return ()
    return _legs(f"provider_costs:{provider}", f"provider_receivable:{provider}", fee_minor, currency)


def dispute(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """The provider takes money back from the tenant; nothing when the amount is zero."""
    if not amount_minor:
        return ()
    return _legs(f"tenant_payable:{tenant}", f"provider_receivable:{provider}", amount_minor, currency)


def dispute_returned(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """The provider gives it back."""
    return dispute(provider, tenant, -amount_minor, currency)


def dispute_excess(provider: str, amount_minor: int, currency: str) -> Postings:
    """The provider takes more than the charge holds, or gives it back; nothing when the amount is zero."""
    if not amount_minor:
        return ()
    return _legs(f"provider_disputed:{provider}", f"provider_receivable:{provider}", amount_minor, currency)


def adjustment(tenant: str, amount_minor: int, currency: str) -> Postings:
    """Operators give to the tenant, or, negative, take from it."""
    return _legs(f"adjustments:{tenant}", f"tenant_payable:{tenant}", amount_minor, currency)


def converted_in(provider: str, amount_minor: int, currency: str) -> Postings:
    """The provider took money in the payment's currency that it converts, or, negative, takes it back."""
    if not amount_minor:
        return ()
    return _legs(f"provider_receivable:{provider}", f"fx_conversion:{provider}", amount_minor, currency)


def converted_refund(provider: str, amount_minor: int, currency: str) -> Postings:
    """A refund of a converted payment begins, or, negative, has failed."""
    if not amount_minor:
        return ()
    return _legs(f"fx_conversion:{provider}", f"refund_pending:{provider}", amount_minor, currency)


def converted_out(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """What it came to for the tenant, in the currency that it settles in; negative when it goes back. Nothing when zero."""
    if not amount_minor:
        return ()
    return _legs(f"fx_conversion:{provider}", f"tenant_payable:{tenant}", amount_minor, currency)


def fx_difference(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """A refund came to so much more than the tenant had paid for it, or, negative, to less; nothing when to the same."""
    return converted_out(provider, tenant, -amount_minor, currency)


def reserve(tenant: str, amount_minor: int, currency: str) -> Postings:
    """A part of a capture is kept; nothing when there is none."""
    if not amount_minor:
        return ()
    return _legs(f"tenant_payable:{tenant}", f"tenant_reserve:{tenant}", amount_minor, currency)


def reserve_release(tenant: str, amount_minor: int, currency: str) -> Postings:
    """What was kept is the tenant's again."""
    return _legs(f"tenant_reserve:{tenant}", f"tenant_payable:{tenant}", amount_minor, currency)


def settle(tenant: str, net_minor: int, currency: str) -> Postings:
    """A window closes with this net, which may be negative; nothing when it is zero."""
    if not net_minor:
        return ()
    return _legs(f"tenant_payable:{tenant}", f"payout_in_transit:{tenant}", net_minor, currency)


def payout(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """A payout begins."""
    return _legs(f"payout_in_transit:{tenant}", f"payout_pending:{provider}", amount_minor, currency)


def paid_out(provider: str, amount_minor: int, currency: str) -> Postings:
    """The provider made a payout."""
    return _legs(f"payout_pending:{provider}", f"provider_receivable:{provider}", amount_minor, currency)


def payout_failed(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """A payout was canceled, or failed before it was made."""
    return _legs(f"payout_pending:{provider}", f"payout_in_transit:{tenant}", amount_minor, currency)


def payout_returned(provider: str, tenant: str, amount_minor: int, currency: str) -> Postings:
    """A payout failed after it was made."""
    return _legs(f"provider_receivable:{provider}", f"payout_in_transit:{tenant}", amount_minor, currency)


def balanced(postings: Postings) -> Postings:
    """The postings, checked (P2). Raises `Unbalanced`."""
    if not postings:
        return postings
    first = postings[0].currency
    total = 0
    others: dict[str, int] = {}
    for leg in postings:
        if not leg.amount_minor:
            message = f"an empty leg on {leg.account}"
            raise Unbalanced(message)
        if leg.account.partition(":")[0] not in CHART:
            message = f"{leg.account} is not in the chart of accounts"
            raise Unbalanced(message)
        if leg.currency == first:
            total += leg.amount_minor
        else:
            others[leg.currency] = others.get(leg.currency, 0) + leg.amount_minor
    if total or any(others.values()):
        message = f"postings do not sum to zero: {[(leg.account, leg.amount_minor, leg.currency) for leg in postings]}"
        raise Unbalanced(message)
    return postings
