"""The generated parts of docs/lifecycle.md: diagrams, tables and the error catalogue, from what the code runs on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from streams.core import disputes, late, ledger, payouts, refunds, table
from streams.core._row import Row
from streams.core.errors import CATALOGUE

_SECTION = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _says(function: Callable[..., object]) -> str:
    """The first line of a docstring, without its full stop."""
    return (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def _when(row: Row) -> str:
    return "" if row.guard is None else _says(row.guard)[:1].lower() + _says(row.guard)[1:]


def payment_diagram() -> str:
    """States of a payment intent; triggers that lead the same way share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for row in table.ROWS:
        for source in row.sources:
            target = row.to or source
            if row.event and target != source:
                triggers = arrows.setdefault((source, target), [])
                if row.trigger not in triggers:
                    triggers.append(row.trigger)
    lines = [
        f"    {'[*]' if source == 'none' else source} --> {target}: {', '.join(triggers)}"
        for (source, target), triggers in arrows.items()
    ]
    lines += ["    succeeded --> [*]", "    canceled --> [*]"]
    return "```mermaid\nstateDiagram-v2\n" + "\n".join(lines) + "\n```\n"


def payment_table() -> str:
    """Every row of the payment's table, in the order in which they are tried."""
    lines = ["| from | trigger | when | to | event | effect |", "|---|---|---|---|---|---|"]
    for row in table.ROWS:
        effect = _says(row.effect) if row.event else "No news: nothing changes"
        if row.requires is not None:
            effect += f" (needed: {_says(row.requires)[:1].lower()}{_says(row.requires)[1:]})"
        if row.then:
            effect += f"; then {row.then}"
        event = f"`{row.event}`" if row.event else ""
        lines.append(
            f"| {', '.join(row.sources)} | {row.trigger} | {_when(row)} | {row.to or 'the same'} | {event} | {effect} |"
        )
    return "\n".join(lines) + "\n"


def refund_diagram() -> str:
    """States of a refund."""
    lines = ["    [*] --> pending: refund"]
    lines += [
        f"    {row.source} --> {row.to}: {', '.join(row.outcomes)}"
        for row in refunds.ROWS
        if row.event and row.to != row.source
    ]
    lines += ["    succeeded --> [*]", "    failed --> [*]"]
    return "```mermaid\nstateDiagram-v2\n" + "\n".join(lines) + "\n```\n"


def refund_table() -> str:
    """Every row of the refund's table."""
    lines = ["| from | outcome | to | event | effect |", "|---|---|---|---|---|"]
    for row in refunds.ROWS:
        effect = "No news: nothing changes" if row.effect is None else _says(row.effect)
        event = f"`{row.event}`" if row.event else ""
        lines.append(f"| {row.source} | {', '.join(row.outcomes)} | {row.to} | {event} | {effect} |")
    lines.append("| any | everything else | the same | `refund.conflict` | Recorded for a person to look at |")
    return "\n".join(lines) + "\n"


def dispute_table() -> str:
    """Every row of the dispute's table."""
    lines = ["| from | to | event |", "|---|---|---|"]
    for row in disputes.ROWS:
        targets = "any" if row.targets == disputes.ALL else ", ".join(row.targets)
        lines.append(f"| {', '.join(row.sources) or 'none'} | {targets} | `{row.event}` |")
    lines.append(
        f"| any | everything else | `{disputes.CONFLICT}`: recorded for a person to look at; the status stays |"
    )
    return "\n".join(lines) + "\n"


def payout_diagram() -> str:
    """States of a payout."""
    lines = ["    [*] --> pending: create"]
    lines += [
        f"    {row.source} --> {row.to}: {', '.join(row.signals)}" for row in payouts.ROWS if row.to != row.source
    ]
    lines += ["    paid --> [*]", "    failed --> [*]", "    canceled --> [*]"]
    return "```mermaid\nstateDiagram-v2\n" + "\n".join(lines) + "\n```\n"


def payout_table() -> str:
    """Every row of the payout's table."""
    lines = ["| from | signal | to | event | effect |", "|---|---|---|---|---|"]
    for row in payouts.ROWS:
        effect = "No news: nothing changes" if row.effect is None else _says(row.effect)
        event = f"`{row.event}`" if row.event else ""
        lines.append(f"| {row.source} | {', '.join(row.signals)} | {row.to} | {event} | {effect} |")
    lines.append(
        "| any | everything else that a provider says | the same | `payout.conflict` | Recorded for a person to look at |"
    )
    return "\n".join(lines) + "\n"


def late_table() -> str:
    """What a result means that nothing waits for."""
    lines = ["| attempt is | result | what happens |", "|---|---|---|"]
    lines += [f"| {row.attempt} | {', '.join(row.results)} | {late.VERDICTS[row.verdict]} |" for row in late.ROWS]
    lines.append(f"| any | everything else | {late.VERDICTS['contradiction']} |")
    return "\n".join(lines) + "\n"


def chart() -> str:
    """The chart of accounts."""
    lines = ["| account | what it is |", "|---|---|"]
    lines += [f"| `{kind}` | {meaning} |" for kind, meaning in ledger.CHART.items()]
    return "\n".join(lines) + "\n"


def patterns() -> str:
    """The posting patterns."""
    lines = ["| pattern | what it means |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in ledger.PATTERNS.items()]
    return "\n".join(lines) + "\n"


def errors() -> str:
    """The error catalogue."""
    lines = ["| code | type | HTTP | a retry can help | message |", "|---|---|---|---|---|"]
    for kind in CATALOGUE.values():
        retry = "yes" if kind.retryable else "no"
        message = kind.message if kind.message != "{detail}" else "says which field, and what it may hold"
        lines.append(f"| `{kind.code}` | `{kind.type}` | {kind.http_status} | {retry} | {message} |")
    return "\n".join(lines) + "\n"


SECTIONS: dict[str, Callable[[], str]] = {
    "payment-diagram": payment_diagram,
    "payment-table": payment_table,
    "refund-diagram": refund_diagram,
    "refund-table": refund_table,
    "dispute-table": dispute_table,
    "payout-diagram": payout_diagram,
    "payout-table": payout_table,
    "late-table": late_table,
    "chart": chart,
    "patterns": patterns,
    "errors": errors,
}


def fill(document: str) -> str:
    """The document with every generated section made anew. Raises `KeyError` for a section that nobody makes."""
    return _SECTION.sub(lambda match: match.group(1) + SECTIONS[match.group("name")]() + match.group(3), document)


def main(path: str) -> None:
    """Rewrite the document's generated sections in place."""
    document = Path(path)
    document.write_text(fill(document.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "docs/lifecycle.md")
