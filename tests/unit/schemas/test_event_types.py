"""The catalogue of events' types and the code that makes them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from api.webhooks import notices, pings, types
from schemas.event_types import BY_OBJECT, TYPES
from tests.unit.core.situations import SITUATIONS
from tests.unit.core.world import World

ROOT = Path(__file__).parents[3]
NOT_TOLD = "settlement_window"
"""What happens to settlement windows is on its topic and told to no endpoint."""
NOT_ASKED_FOR = {pings.TYPE}


def test_the_catalogue_names_what_the_code_makes_and_nothing_else():
    """Each text of the folds and of the sender that is formed like a type is one of the catalogue; each of the catalogue is there."""
    about = "|".join(map(re.escape, sorted({*BY_OBJECT, NOT_TOLD}, key=len, reverse=True)))
    formed = re.compile(rf"({about})\.[a-z_]+")
    found = set()
    for path in (*(ROOT / "streams/core").glob("*.py"), *(ROOT / "api/webhooks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and formed.fullmatch(node.value):
                found.add(node.value)
    told = {one for one in found if not one.startswith(NOT_TOLD)} - NOT_ASKED_FOR
    assert told == set(TYPES)
    assert len(TYPES) == len(set(TYPES))


def test_whatever_a_payment_goes_through_is_told_under_a_type_of_the_catalogue():
    """In every situation that there is, companions included; and a dead endpoint's notice."""
    told = {notices.DISABLED}
    for reach in SITUATIONS.values():
        world = World()
        reach(world)
        told |= {one.type for event in world.events for one in types.told(event)}
    assert told <= set(TYPES)
    assert len(told) > 30
