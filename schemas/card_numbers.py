"""What looks like a card number, so that none gets anywhere: the same rule at the API's door and in the folds.

13 to 19 digits, also parted by blanks, dots or dashes, that pass Luhn's check and start as the cards of
payment networks do (not 0, 1 or 7, which is how times and phone numbers start, nor the 20 of a date). A run of digits inside a longer
hexadecimal word or a UUID is an id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_HEX = re.compile(r"[0-9a-fA-F]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_DIGITS = re.compile(r"[0-9](?:[ .-]?[0-9]){12,}")
_GROUP = re.compile(r"[0-9]+")
_CARD_DIGITS = range(13, 20)
_NOT_OF_A_NETWORK = "017"
# Mir from 2200, Mastercard from 2221; nothing below, so that 20260131... is a date.
_NETWORKS_WITH_2 = range(2200, 2721)


def has_digits(text: str) -> bool:
    """Whether the text has digits enough for a card number: nearly never, and quickly said."""
    return _DIGITS.search(text) is not None


def _luhn(digits: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit)
        if position % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def _is_card(digits: str) -> bool:
    if len(digits) not in _CARD_DIGITS or digits[0] in _NOT_OF_A_NETWORK:
        return False
    if digits[0] == "2" and int(digits[:4]) not in _NETWORKS_WITH_2:
        return False
    return _luhn(digits)


def _word_around(text: str, start: int, end: int) -> str:
    while start > 0 and text[start - 1].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum():
        end += 1
    return text[start:end]


def spans(text: str) -> Iterable[tuple[int, int]]:
    """Where card numbers stand in a text."""
    text = _UUID.sub(lambda match: "x" * len(match.group()), text)
    for run in _DIGITS.finditer(text):
        groups = [(run.start() + group.start(), run.start() + group.end()) for group in _GROUP.finditer(run.group())]
        for first, (start, _) in enumerate(groups):
            digits = ""
            for last_start, end in groups[first:]:
                digits += text[last_start:end]
                if len(digits) > _CARD_DIGITS[-1]:
                    break
                if _is_card(digits):
                    word = _word_around(text, start, end)
                    if len(word) == end - start or not _HEX.fullmatch(word):
                        yield start, end


def masked(text: str) -> str:
    """A text with asterisks where card numbers stood."""
    if has_digits(text):
        for start, end in list(spans(text)):
            text = text[:start] + "*" * (end - start) + text[end:]
    return text


def holds_card_number(raw: bytes | None) -> bool:
    """Whether something in bytes of any kind looks like a card number in digits."""
    return raw is not None and has_card_number(raw.decode("latin-1"))


def has_card_number(text: str) -> bool:
    """Whether something in the text looks like a card number."""
    return _DIGITS.search(text) is not None and any(True for _ in spans(text))
