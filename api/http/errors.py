"""What the API answers when it can't do what was asked, as Stripe's SDKs know it.

ApiError                      status, type, code, message, param: the body of the answer
├── InvalidRequest            400 invalid_request_error
│   ├── ParameterUnknown      400 parameter_unknown, with a suggestion
│   ├── ParameterMissing      400 parameter_missing
│   ├── ParameterInvalid      400 parameter_invalid_...
│   ├── Unreadable            400 the body is not what its content type says, or too large
│   ├── Gone                  400 the connection ended before the body did; nobody is there to hear it
│   └── VersionUnknown        400 invalid_api_version
├── KeyReused                 400 idempotency_error: the key belongs to another request
├── Unauthenticated           401 no key, or none that is valid
├── Forbidden                 403 the key may not do this
├── NotFound                  404 resource_missing
├── MethodRefused             405 the path is known, the method is not
├── Overloaded                429 rate_limit: too many requests are waiting in this process; Retry-After says when
├── RateLimited               429 rate_limit: this key asks more often than it may; Retry-After says when
├── NoAnswer                  503 reply_timeout: nobody answered in time; the same key may be sent again
├── Stopping                  503 this process is ending; another one will answer
├── Broken                    500 a fault of ours
└── Refused                   what the payment's fold answered: status and error are its own
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from api.http.secrecy import refused
from schemas.records import ErrorObject

INVALID = "invalid_request_error"
API = "api_error"

_SHOWABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,63}")
_DIGITS_SHOWN_MAX = 11
"""A name with more digits might be a card number in the wrong place, and is not repeated."""


def showable(name: str) -> str:
    """A parameter's name as an error may repeat it."""
    plain = _SHOWABLE.fullmatch(name) and sum(letter.isdigit() for letter in name) <= _DIGITS_SHOWN_MAX
    return name if plain and refused(name) is None else "(a name that is not repeated here)"


class ApiError(Exception):
    """An answer other than success."""

    status = 500
    type = API
    code = ""
    should_retry: bool | None = None
    """What Stripe-Should-Retry says; None: the status says enough."""
    retry_after_s: int | None = None
    replayed = False
    """Whether it is the stored answer to an earlier request."""

    def __init__(self, message: str, *, param: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code:
            self.code = code

    def body(self) -> dict[str, Any]:
        """The `error` object."""
        fields = {"code": self.code, "message": self.message, "param": self.param, "type": self.type}
        return {name: value for name, value in fields.items() if value}


class InvalidRequest(ApiError):
    """The request can't be meant as it is."""

    status, type = 400, INVALID


class ParameterUnknown(InvalidRequest):
    """No such parameter here."""

    code = "parameter_unknown"

    def __init__(self, param: str, *, meant: str = "", why: str = "") -> None:
        shown = showable(param)
        hint = f" {why}" if why else f" Did you mean {meant}?" if meant else ""
        super().__init__(f"Received unknown parameter: {shown}.{hint}", param=shown)


class ParameterMissing(InvalidRequest):
    """A parameter is required here."""

    code = "parameter_missing"

    def __init__(self, param: str, *, why: str = "") -> None:
        super().__init__(f"Missing required param: {param}.{' ' + why if why else ''}", param=param)


class ParameterInvalid(InvalidRequest):
    """A parameter's value is not what it may hold. The message never repeats the value."""

    code = "parameter_invalid"


class Unreadable(InvalidRequest):
    """The request's encoding is broken, or beyond a limit."""

    code = "request_unreadable"


class Gone(InvalidRequest):
    """The connection ended before the request did: what is answered stands in the log only."""

    code = "request_incomplete"

    def __init__(self) -> None:
        super().__init__("The connection ended before the request did. Nothing was begun.")


class VersionUnknown(InvalidRequest):
    """No such API version."""

    code = "invalid_api_version"


class KeyReused(ApiError):
    """The idempotency key was used for something else."""

    status, type, code = 400, "idempotency_error", "idempotency_error"
    should_retry = False

    def __init__(self) -> None:
        super().__init__("This idempotency key was used with other parameters. Use a new key for another request.")


class Unauthenticated(ApiError):
    """No valid key; the message never says which part was wrong."""

    status, type, code = 401, INVALID, "api_key_invalid"


class Forbidden(ApiError):
    """The key is valid and may not do this."""

    status, type, code = 403, INVALID, "permission_denied"


class NotFound(ApiError):
    """Nothing of that id, for this tenant."""

    status, type, code = 404, INVALID, "resource_missing"

    def __init__(self, what: str, *, param: str = "id") -> None:
        super().__init__(f"No such {what}. Check the id, and the key that it was made with.", param=param)


class MethodRefused(ApiError):
    """The path is known, the method is not."""

    status, type, code = 405, INVALID, "method_not_allowed"


class Overloaded(ApiError):
    """More wait here than may; nothing was begun."""

    status, type, code = 429, INVALID, "rate_limit"
    should_retry, retry_after_s = True, 1

    def __init__(self) -> None:
        super().__init__("Too many requests are waiting. Nothing was begun; retry in a moment with the same key.")


class RateLimited(ApiError):
    """The key has used up what it may ask in this process; nothing was begun."""

    status, type, code = 429, INVALID, "rate_limit"
    should_retry = True

    def __init__(self, *, retry_after_s: int, per_s: float) -> None:
        super().__init__(
            f"This key asks more often than {per_s:.0f} times a second. Nothing was begun; retry more slowly."
        )
        self.retry_after_s = retry_after_s


class NoAnswer(ApiError):
    """The command may or may not have been carried out; the same idempotency key finds out."""

    status, code = 503, "reply_timeout"
    should_retry, retry_after_s = True, 1

    def __init__(self) -> None:
        super().__init__(
            "There is no answer yet. Retry with the same idempotency key: it has one effect, however often it is sent."
        )


class Stopping(ApiError):
    """This process takes no more work; nothing was begun."""

    status, code = 503, "stopping"
    should_retry, retry_after_s = True, 1

    def __init__(self) -> None:
        super().__init__("This server is stopping. Nothing was begun; retry, and another one answers.")


class Broken(ApiError):
    """A fault of ours; the log names the request."""

    status, code = 500, "internal_error"
    should_retry = True

    def __init__(self) -> None:
        super().__init__("Something went wrong here. Retry with the same idempotency key.")


class Refused(ApiError):
    """What the payment's fold answered to a command."""

    def __init__(
        self,
        status: int,
        error: ErrorObject,
        *,
        payment: dict[str, Any] | None,
        charge: str = "",
        replayed: bool = False,
    ) -> None:
        super().__init__(error.message, param=_wire_name(error.param), code=error.code)
        self.status = status
        self.type = error.type
        self.decline_code = error.decline_code
        self.payment = payment
        self.charge = charge
        self.replayed = replayed
        # The answer is stored: the same key gets it again, so only what is said to pass is worth another try.
        in_use = error.code in ("idempotency_key_in_use", "dispute_busy")
        for_ever = status >= 500 or error.type == KeyReused.type
        self.should_retry = True if in_use else False if for_ever else None

    def body(self) -> dict[str, Any]:
        """The `error` object, with the payment as it stands where the failure is the payment's."""
        fields: dict[str, Any] = super().body()
        if self.decline_code:
            fields["decline_code"] = self.decline_code
        if self.charge:
            fields["charge"] = self.charge
        if self.payment is not None:
            fields["payment_intent"] = self.payment
        return fields


_NAMES = {"amount_minor": "amount", "object_id": "id", "attribution.idempotency_key": "idempotency_key"}


def _wire_name(param: str) -> str:
    """Our field's name as it is on the wire."""
    return _NAMES.get(param, param)


def encode(error: ApiError) -> bytes:
    """The whole body of an answer."""
    return msgspec.json.encode({"error": error.body()})


def headers_of(error: ApiError) -> dict[str, str]:
    """What the headers of an answer say of an error: whether and when to try again, and how to identify oneself."""
    headers = {}
    if error.should_retry is not None:
        headers["Stripe-Should-Retry"] = "true" if error.should_retry else "false"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Clearline"'
    return headers
