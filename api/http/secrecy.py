"""What no text of a request may hold, because texts are kept for ever: card numbers, and keys that are for a header only."""

from __future__ import annotations

from schemas import unkept

CARD_CODE = "card_number_refused"
KEY_CODE = "secret_refused"

_REFUSALS = {
    "card_number": (CARD_CODE, "holds what looks like a card number"),
    "secret": (
        KEY_CODE,
        "holds what looks like a secret key; it is compromised by having been sent here, so roll it",
    ),
}


def refused(text: str) -> tuple[str, str] | None:
    """Code and reason where a text must not be kept; the reason goes behind the name of what held it."""
    reason = unkept.why(text)
    return None if reason is None else _REFUSALS[reason]
