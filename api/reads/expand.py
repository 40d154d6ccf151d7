"""`expand`: ids within an answer replaced by their objects, along dotted paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from api.http.errors import ParameterInvalid, showable

DEPTH_MAX = 4
PATHS_MAX = 20

Fetch = Callable[[str, str], Awaitable[dict[str, Any] | None]]
"""Field name and id to the object; None where it can't be had."""

EXPANDABLE = {
    "payment_intent": ("customer", "latest_charge", "payment_method"),
    "charge": ("balance_transaction", "customer", "payment_intent"),
    "refund": ("balance_transaction", "charge", "payment_intent"),
    "dispute": ("charge", "payment_intent"),
    "balance_transaction": ("source",),
    "payout": ("balance_transaction", "failure_balance_transaction"),
}
"""By object: the fields that hold an id of something that can be fetched."""

_INSIDE = {"latest_charge": "charge", "failure_balance_transaction": "balance_transaction"}


def check(paths: list[str], *, of: str, in_list: bool) -> list[tuple[str, ...]]:
    """The paths as steps from the object that is shown. Raises `ParameterInvalid` for one that leads nowhere."""
    if len(paths) > PATHS_MAX:
        raise ParameterInvalid(f"At most {PATHS_MAX} paths can be expanded at once.", param="expand")
    found = []
    for path in paths:
        steps = tuple(path.split("."))
        if in_list:
            if steps[0] != "data":
                raise _nowhere(path, "In a list, paths begin with data.")
            steps = steps[1:]
        if not 0 < len(steps) <= DEPTH_MAX:
            raise _nowhere(path, f"Paths have 1 to {DEPTH_MAX} steps.")
        kinds = [of]
        for step in steps:
            if not any(step in EXPANDABLE.get(kind, ()) for kind in kinds):
                raise _nowhere(path, f"There is no {showable(step)} to expand there.")
            kinds = ["charge", "refund", "dispute"] if step == "source" else [_INSIDE.get(step, step)]
        found.append(steps)
    return found


async def expand(body: dict[str, Any], steps: tuple[str, ...], fetch: Fetch) -> None:
    """Replace, in place, what one path names. A field that is null stays null."""
    here = body
    for step in steps:
        value = here.get(step)
        if isinstance(value, str):
            value = await fetch(step, value)
            if value is None:
                return
            here[step] = value
        if not isinstance(value, dict):
            return
        here = value


def _nowhere(path: str, why: str) -> ParameterInvalid:
    shown = showable(path)
    return ParameterInvalid(f"This property cannot be expanded ({shown}). {why}", param="expand")
