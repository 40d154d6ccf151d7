"""What the demonstration shows a person: settlement by tenant, one payment's audit trail, the checks."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from connectors.clickhouse.client import Client
from infra.demo.checks import Check
from schemas.currencies import format_minor

_SETTLEMENT = """
SELECT tenant, provider, currency, count(), sum(movements), sum(captured_minor), sum(refunded_minor), sum(fees_minor),
    sum(net_minor), sum(late_movements)
FROM settlement_windows GROUP BY tenant, provider, currency ORDER BY tenant, currency, provider
"""
_PAYOUTS = """
SELECT tenant, provider, status, currency, count(), sum(amount_minor) FROM payouts
GROUP BY tenant, provider, status, currency ORDER BY tenant, currency, provider, status
"""
_DISPUTES = """
SELECT provider, status, currency, count(), sum(withdrawn_minor), sum(fee_minor) FROM disputes
GROUP BY provider, status, currency ORDER BY provider, status, currency
"""
# A payment whose answer was lost after charging, and that was refunded later, tells the most.
_TELLING = """
SELECT tenant, payment_id FROM payment_events GROUP BY tenant, payment_id
ORDER BY countIf(type = 'charge.outcome_unknown') > 0 AND countIf(refund_id != '') > 0 DESC, count() DESC, payment_id LIMIT 1
"""
_AUDIT = """
SELECT toString(at), step, what, status, amount_minor, currency, provider, detail, actor_kind, actor_id, request_id,
    concat(_topic, '/', toString(_partition), '/', toString(_offset))
FROM audit_trail WHERE tenant = {tenant:String} AND payment_id = {payment_id:String}
ORDER BY at_ms, rank, input_offset, ordinal
"""


def settlement(warehouse: Client, out: Console) -> None:
    """Prints what each tenant is owed by each provider, over all windows."""
    table = Table(title="Settlement, from ClickHouse", title_justify="left")
    for column in ("tenant", "provider"):
        table.add_column(column)
    for column in ("windows", "movements", "captured", "refunded", "fees", "net", "late"):
        table.add_column(column, justify="right")
    for tenant, provider, currency, windows, movements, *sums, late in warehouse.rows(_SETTLEMENT):
        money = (format_minor(int(amount), currency) for amount in sums)
        table.add_row(tenant, provider, str(windows), str(movements), *money, str(late))
    out.print(table)


def payouts(warehouse: Client, out: Console) -> None:
    """Prints what was paid out to each tenant, by provider."""
    table = Table(title="Payouts, from ClickHouse", title_justify="left")
    for column in ("tenant", "provider", "status"):
        table.add_column(column)
    for column in ("payouts", "paid out"):
        table.add_column(column, justify="right")
    for tenant, provider, status, currency, count, amount_minor in warehouse.rows(_PAYOUTS):
        table.add_row(tenant, provider, status, str(count), format_minor(int(amount_minor), currency))
    out.print(table)


def disputes(warehouse: Client, out: Console) -> None:
    """Prints what customers' banks have taken back, by provider and currency."""
    table = Table(title="Disputes, from ClickHouse", title_justify="left")
    for column in ("provider", "status"):
        table.add_column(column)
    for column in ("disputes", "taken back", "fees"):
        table.add_column(column, justify="right")
    for provider, status, currency, count, withdrawn, fees in warehouse.rows(_DISPUTES):
        money = (format_minor(int(amount), currency) for amount in (withdrawn, fees))
        table.add_row(provider, status, str(count), *money)
    out.print(table)


def audit(warehouse: Client, out: Console) -> None:
    """Prints everything that happened to one payment, who caused it, and where it stands on the topics."""
    tenant, payment_id = warehouse.rows(_TELLING)[0]
    table = Table(title=f"Audit trail of {payment_id} ({tenant}), from ClickHouse", title_justify="left")
    for column in ("at (UTC)", "step", "what", "status", "amount", "provider", "detail", "by", "request", "record"):
        table.add_column(column, overflow="fold")
    for row in warehouse.rows(_AUDIT, {"tenant": tenant, "payment_id": payment_id}):
        at, step, what, status, amount, currency, provider, detail, kind, actor, request, place = row
        money = "" if amount is None or not currency else format_minor(int(amount), currency)
        by = f"{kind} {actor}".strip()
        table.add_row(at[11:], step, what, status, money, provider, detail, by, request, place)
    out.print(table)


def check(result: Check, out: Console) -> None:
    """Prints one check."""
    mark = Text("  holds  ", style="green") if result.holds else Text("  FAILS  ", style="bold red")
    out.print(Text.assemble(mark, result.name, (f"  {result.detail}", "dim")))
