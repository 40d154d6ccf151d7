"""What no text of a request may hold, because texts are kept for ever: card numbers, and keys that are for a header only."""

from __future__ import annotations

import re

from schemas.card_numbers import has_card_number

CARD_CODE = "card_number_refused"
KEY_CODE = "secret_refused"

# Ours, and others' of the same make: somebody may send us the keys of where they come from.
_KEY = re.compile(r"(?<![0-9A-Za-z])(?:(?:sk|rk)_(?:org_)?(?:test|live)|whsec)_[0-9A-Za-z+/]{16,}")


def refused(text: str) -> tuple[str, str] | None:
    """Code and reason where a text must not be kept; the reason goes behind the name of what held it."""
    if has_card_number(text):
        return CARD_CODE, "holds what looks like a card number"
    if "_" in text and _KEY.search(text):
        return KEY_CODE, "holds what looks like a secret key; it is compromised by having been sent here, so roll it"
    return None
