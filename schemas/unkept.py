"""What is never kept, in no text and no bytes: card numbers (`schemas.card_numbers`) and secrets (`schemas.secret_keys`)."""

from __future__ import annotations

from typing import Literal

from schemas import card_numbers, secret_keys


def why(text: str) -> Literal["card_number", "secret"] | None:
    """Why a text must not be kept, in the words of a `Rejection`; None where it may be."""
    if card_numbers.has_card_number(text):
        return "card_number"
    return "secret" if secret_keys.has_secret(text) else None


def may_be(text: str) -> bool:
    """Whether there might be something: nearly never, and quickly said."""
    return card_numbers.has_digits(text) or secret_keys.has_secret(text)


def holds(raw: bytes | None) -> bool:
    """Whether there is something in bytes of any kind."""
    return raw is not None and why(raw.decode("latin-1")) is not None


def masked(text: str) -> str:
    """A text with asterisks where it stood."""
    for start, end in list(secret_keys.spans(text)):
        text = text[:start] + "*" * (end - start) + text[end:]
    return card_numbers.masked(text)
