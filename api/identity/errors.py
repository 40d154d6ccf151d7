"""What signing in can end in besides the errors of `api.http.errors`.

api.http.errors.ApiError
├── SignInRefused             403 the issuer knows the person, we don't, or they are disabled
├── SignInInvalid             400 what came back from the issuer is not what was asked for
└── IssuerUnavailable         503 the issuer did not answer, or not with what OpenID Connect says
"""

from __future__ import annotations

from api.http.errors import INVALID, ApiError


class SignInRefused(ApiError):
    """Nobody of ours; the message never says which part was wrong."""

    status, type, code = 403, INVALID, "sign_in_refused"

    def __init__(self) -> None:
        super().__init__("You can't sign in here. An admin of your organisation can add your e-mail address.")


class SignInInvalid(ApiError):
    """A state, code or token that is not for us, or not any more. `why` is for the log."""

    status, type, code = 400, INVALID, "sign_in_invalid"

    def __init__(self, why: str) -> None:
        super().__init__("This sign-in can't be finished. Begin it again.")
        self.why = why


class IssuerUnavailable(ApiError):
    """The issuer is away, or is none. `why` is for the log."""

    status, code = 503, "issuer_unavailable"
    should_retry, retry_after_s = True, 5

    def __init__(self, why: str) -> None:
        super().__init__("The issuer of identities does not answer. Try again in a moment.")
        self.why = why
