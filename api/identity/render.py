"""Keys, tenants, people and approvals as JSON; no secret, and of digests nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.records import ApiKey, Approval, Operator, Organization, Tenant


def _seconds(ms: int) -> int | None:
    return ms // 1000 or None


def api_key(
    key: ApiKey, *, now_ms: int, secret: str = "", last_used_ms: int = 0, approval: str = "", pending: bool = False
) -> dict[str, Any]:
    """A key. `secret` only in the answer that makes it; `approval` of it, where it is `pending`, or of a change to it."""
    status: str = key.status
    if key.status == "active" and key.expires_ms:
        status = "expiring" if key.expires_ms > now_ms else "expired"
    if pending:
        status = "pending_approval"
    return {
        "id": key.key_id,
        "object": "api_key",
        "api_version": key.api_version or None,
        "approval": approval or None,
        "created": key.created_ms // 1000,
        "expires_at": _seconds(key.expires_ms),
        "hint": key.hint,
        "last_used": _seconds(last_used_ms),
        "livemode": key.livemode,
        "name": key.name or None,
        "scopes": list(key.scopes),
        "secret": secret or None,
        "status": status,
        "successor": key.successor or None,
        "type": key.kind,
    }


def account(tenant: Tenant) -> dict[str, Any]:
    """A tenant in the shape of Stripe's account."""
    active = tenant.status == "active"
    capability = "active" if active else "inactive"
    shown: dict[str, Any] = {
        "id": tenant.tenant,
        "object": "account",
        "business_profile": {
            "annual_revenue": None,
            "estimated_worker_count": None,
            "mcc": None,
            "name": tenant.name or None,
            "support_address": None,
            "support_email": None,
            "support_phone": None,
            "support_url": None,
            "url": None,
        },
        "business_type": None,
        "capabilities": {"card_payments": capability, "transfers": capability},
        "charges_enabled": active,
        "created": tenant.created_ms // 1000,
        "details_submitted": True,
        "email": None,
        "livemode": tenant.livemode,
        "metadata": {},
        "payouts_enabled": active,
        "settings": {
            "branding": dict.fromkeys(("icon", "logo", "primary_color", "secondary_color")),
            "card_payments": {"statement_descriptor_prefix": None},
            "dashboard": {"display_name": tenant.name or None, "timezone": tenant.timezone},
            "payments": {"statement_descriptor": None},
        },
        "type": "standard",
    }
    if tenant.settlement_currency:
        shown["default_currency"] = tenant.settlement_currency.lower()
    return shown


def tenant(one: Tenant, *, approval: str = "") -> dict[str, Any]:
    """A tenant with its settings. `approval`: of what was asked, and another person has to agree to."""
    return {
        "id": one.tenant,
        "object": "tenant",
        "action_hours": one.action_hours,
        "api_version": one.api_version or None,
        "approval": approval or None,
        "available_delay_ms": one.available_delay_ms,
        "capture_days": one.capture_days,
        "capture_rules": [msgspec.structs.asdict(rule) for rule in one.capture_rules],
        "created": one.created_ms // 1000,
        "fees": [
            {
                "basis_points": rule.basis_points,
                "currency": rule.currency.lower() or None,
                "dispute": rule.dispute_minor,
                "fixed": rule.fixed_minor,
                "payment_method": rule.payment_method or None,
            }
            for rule in one.fees
        ],
        "livemode": one.livemode,
        "name": one.name or None,
        "organization": one.organization or None,
        "payout_delay_ms": one.payout_delay_ms,
        "payout_schedule": "automatic" if one.payout_schedule == "automatic" else "manual",
        "refund_fees_returned": one.refund_fees_returned,
        "reserve_basis_points": one.reserve_basis_points,
        "reserve_days": one.reserve_days,
        "settlement_currency": one.settlement_currency.lower() or None,
        "settlement_cutoff": one.settlement_cutoff,
        "settlement_grace_ms": one.settlement_grace_ms,
        "settlement_interval_ms": one.settlement_interval_ms,
        "status": one.status,
        "timezone": one.timezone,
        "version": one.version,
    }


def operator(one: Operator, organization: Organization | None = None, *, approval: str = "") -> dict[str, Any]:
    """A person; what their issuer calls them stays with us. `approval`: of what another person has to agree to."""
    return {
        "id": one.operator_id,
        "object": "operator",
        "approval": approval or None,
        "created": one.created_ms // 1000,
        "email": one.email,
        "livemode": False,
        "name": one.name or None,
        "organization": {"id": one.organization, "name": (organization.name if organization else "") or None},
        "roles": list(one.roles),
        "signed_in": bool(one.subject),
        "status": one.status,
        "tenants": list(one.tenants),
        "version": one.version,
    }


def approval(one: Approval, *, now_ms: int) -> dict[str, Any]:
    """What was asked, by whom and why, and who decided."""
    expired = one.status == "pending" and one.expires_ms <= now_ms
    return {
        "id": one.approval_id,
        "object": "approval",
        "action": one.action,
        "created": one.created_ms // 1000,
        "decided_by": one.decided_by or None,
        "expires_at": one.expires_ms // 1000,
        "livemode": False,
        "object_id": one.object_id or None,
        "parameters": _shown(one.parameters),
        "proposed_by": one.proposed_by,
        "reason": one.reason or None,
        "result": one.result or None,
        "status": "expired" if expired else one.status,
        "tenant": one.tenant or None,
    }


def _shown(parameters: str) -> dict[str, str]:
    """What was asked as texts by name; digests are nobody's business."""
    found: dict[str, Any] = msgspec.json.decode(parameters) if parameters else {}
    plain = {
        name: value for name, value in found.items() if name not in ("digest", "fingerprint") and value not in ("", [])
    }
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode() for name, value in plain.items()
    }
