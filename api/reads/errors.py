"""What reading can end in besides the errors of `api.http.errors`.

api.http.errors.ApiError
└── Unavailable               503 nobody who may answer did so in time; Retry-After says when
"""

from __future__ import annotations

from api.http.errors import ApiError

WAREHOUSE_BACK_S = 5
"""When to come again where the warehouse, or what lands in it, is late. SDKs that heed it then see out a restart by two retries."""


class Unavailable(ApiError):
    """The owner of the payment, or the warehouse, can't answer now. Nothing was changed by asking."""

    status, code = 503, "temporarily_unavailable"
    should_retry, retry_after_s = True, 1

    def __init__(self, why: str, *, retry_after_s: int = 1) -> None:
        super().__init__("This can't be read just now. Retry in a moment.")
        self.retry_after_s = retry_after_s
        self.why = why
        """For the log: names processes, so it is not shown to callers."""
