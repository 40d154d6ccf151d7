"""A payment's whole life as pure functions over small frozen records: no clock, no randomness, no I/O."""

from streams.core.checks import check_command, check_intent
from streams.core.decision import Addressed, Decision, Input, View
from streams.core.errors import CommandError, CoreError, InvariantBroken, Refused, StateUnreadable, Unbalanced
from streams.core.ids import payment_id
from streams.core.intake import command_of
from streams.core.lifecycle import decide
from streams.core.settlement import settle
from streams.core.state import STATE_VERSION

__all__ = [
    "STATE_VERSION",
    "Addressed",
    "CommandError",
    "CoreError",
    "Decision",
    "Input",
    "InvariantBroken",
    "Refused",
    "StateUnreadable",
    "Unbalanced",
    "View",
    "check_command",
    "check_intent",
    "command_of",
    "decide",
    "payment_id",
    "settle",
]
