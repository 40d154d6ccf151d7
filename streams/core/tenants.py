"""What the folds know of tenants, and who may do what."""

from __future__ import annotations

from schemas.records import CommandKind, Tenant
from streams.core import checks, keys
from streams.core.decision import Decision, View
from streams.core.errors import Refused
from streams.core.state import Fees, TenantState, decode_configuration, encode

_NEW_BUSINESS = frozenset({"create", "confirm", "increment"})
"""What a suspended tenant may not do; what it has begun may still be captured, canceled and refunded."""


def known(view: View, tenant: str) -> TenantState | None:
    """The tenant's configuration, None for an unknown one."""
    value = view.get(keys.tenant(tenant))
    return None if value is None else decode_configuration(TenantState, value)


def check_may(view: View, tenant: str, kind: CommandKind) -> TenantState:
    """The tenant's configuration. Raises `Refused` when the tenant is unknown, or suspended and the command would be new business."""
    state = known(view, tenant)
    if state is None:
        message = "This tenant is not known here. Make the tenant first, or check the id."
        raise Refused(reason="unknown_tenant", field="tenant", message=message)
    if not state.active and kind in _NEW_BUSINESS:
        message = "This tenant is suspended: new payments are refused until it is active again."
        raise Refused(reason="unknown_tenant", field="tenant", message=message)
    return state


def learn(view: View, tenant: Tenant, decision: Decision) -> None:
    """Take a tenant's configuration over. Raises `Refused`; one that is not newer than the known one changes nothing."""
    checks.check_tenant(tenant)
    before = known(view, tenant.tenant)
    if before is None or before.version < tenant.version:
        state = TenantState(
            tenant.version,
            tenant.status == "active",
            tenant.timezone,
            tenant.settlement_cutoff,
            tenant.settlement_interval_ms,
            tenant.settlement_grace_ms,
            tuple(
                Fees(one.payment_method, one.currency, one.basis_points, one.fixed_minor, one.dispute_minor)
                for one in tenant.fees
            ),
            tenant.refund_fees_returned,
            tenant.capture_days,
            tuple((one.payment_method, one.days) for one in tenant.capture_rules),
            tenant.action_hours,
            tenant.available_delay_ms,
            tenant.reserve_basis_points,
            tenant.reserve_days,
            tenant.settlement_currency,
        )
        decision.writes.append((keys.tenant(tenant.tenant), encode(state)))
