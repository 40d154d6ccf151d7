"""
`python -m tests.contract.stripe.make SPEC`: schemas.json out of stripe-mock's embedded/openapi/spec3.json.

Kept are the schemas of the resources that we share and all that they lead to, without descriptions; a reference to a resource that we
do not share becomes an object of which nothing is said. Nothing else is changed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SHARED = (
    "account",
    "balance",
    "balance_transaction",
    "charge",
    "customer",
    "deleted_customer",
    "deleted_webhook_endpoint",
    "dispute",
    "error",
    "event",
    "payment_intent",
    "payment_method",
    "payout",
    "refund",
    "setup_intent",
    "webhook_endpoint",
)
KEPT = Path(__file__).parent / "schemas.json"
_PREFIX = "#/components/schemas/"
_WORDS = ("description", "title", "x-expandableFields", "x-expansionResources", "x-stripeBypassValidation")
_MEMBERS = ("properties",)


def reduced(spec: dict[str, Any]) -> dict[str, Any]:
    """The version and the schemas."""
    known = spec["components"]["schemas"]
    found: dict[str, Any] = {}
    waiting = list(SHARED)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _plain(known[name], known, waiting)
    return {"version": spec["info"]["version"], "components": {"schemas": dict(sorted(found.items()))}}


def _plain(node: Any, known: dict[str, Any], waiting: list[str], *, members: bool = False) -> Any:
    if isinstance(node, list):
        return [_plain(one, known, waiting) for one in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        name = reference.removeprefix(_PREFIX)
        if name not in SHARED and "x-resourceId" in known[name]:
            return {"type": "object"}
        waiting.append(name)
        return {"$ref": reference}
    return {
        name: _plain(value, known, waiting, members=name in _MEMBERS and not members)
        for name, value in node.items()
        if members or name not in (*_WORDS, "x-resourceId")
    }


def main(arguments: list[str]) -> int:
    """0."""
    spec = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    KEPT.write_text(json.dumps(reduced(spec), separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
