"""What is answered about customers besides the errors of `api.http.errors`.

api.http.errors.ApiError
├── InvalidRequest
│   ├── CardDataRefused       400 card_data_refused: a card's number or code was sent where a token belongs
│   └── NoMasterKey           400 personal_data_refused: this installation can't seal personal data
├── Refused
│   └── SetupFailed           402 with the setup intent as it stands
└── KeysLost (no answer)      the process ends: more keys than it may hold
"""

from __future__ import annotations

from typing import Any

from api.http.errors import InvalidRequest, Refused
from schemas.records import ErrorObject


class CardDataRefused(InvalidRequest):
    """A card's number, code or date: neither is taken, looked at, kept or logged."""

    code = "card_data_refused"

    def __init__(self, param: str) -> None:
        super().__init__(
            "Card data is not taken here. Send card[token] with a token of your provider or vault, such as tok_visa.",
            param=param,
        )


class NoMasterKey(InvalidRequest):
    """Without a master key nothing can be sealed, and nothing personal is kept in the clear."""

    code = "personal_data_refused"

    def __init__(self, param: str) -> None:
        super().__init__(
            "This installation has no master key, so it takes no personal data; see CLEARLINE_MASTER_KEY.", param=param
        )


class SetupFailed(Refused):
    """A setup intent's card was declined."""

    def __init__(self, status: int, error: ErrorObject, *, setup: dict[str, Any], replayed: bool) -> None:
        super().__init__(status, error, payment=None, replayed=replayed)
        self.setup = setup

    def body(self) -> dict[str, Any]:
        """The `error` object with the setup intent."""
        return {**super().body(), "setup_intent": self.setup}


class KeysLost(Exception):
    """The keys of customers can't be held or read any more."""
