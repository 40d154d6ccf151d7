"""What tenants pay: whole minor units, in whole-number arithmetic, rounded half to even; never more than what they earn.

A tenant without rules pays the provider's own fees as the provider reports them. One with rules pays by them, and what
the provider keeps is our cost.
"""

from __future__ import annotations

from streams.core.state import Fees, TenantState

BASIS_POINTS = 10_000


def share_minor(amount_minor: int, numerator: int, denominator: int) -> int:
    """amount × numerator / denominator, rounded half to even. None of them is negative."""
    quotient, rest = divmod(amount_minor * numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and quotient % 2):
        return quotient + 1
    return quotient


def rule(tenant: TenantState | None, *, payment_method: str, currency: str) -> Fees | None:
    """The first of the tenant's rules that fits; None when it pays the provider's fees."""
    if tenant is None or not tenant.fees:
        return None
    for one in tenant.fees:
        if payment_method.startswith(one.payment_method) and one.currency in ("", currency):
            return one
    return None


def charge_minor(one: Fees, amount_minor: int) -> int:
    """The fee for capturing an amount."""
    return min(amount_minor, share_minor(amount_minor, one.basis_points, BASIS_POINTS) + one.fixed_minor)


def returned_minor(*, fee_minor: int, captured_minor: int, refunded_minor: int, returned_minor: int) -> int:
    """
    What of a charge's fee one more refund returns, when refunds come to `refunded_minor` with it.

    Parts add up: what is returned for all of a charge is all of its fee.
    """
    return max(0, share_minor(fee_minor, refunded_minor, captured_minor) - returned_minor)
