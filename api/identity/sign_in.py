"""Signing in and out: `/v1/operators/login`, `/callback` and `/logout`, and the session that comes of it."""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from msgspec.structs import replace

from api.http._tables import Tables
from api.http.errors import ApiError, Broken, NotFound, encode
from api.http.service import now_ms
from api.http.wire import made_request_id
from api.identity import oidc
from api.identity.errors import IssuerUnavailable, SignInInvalid, SignInRefused
from api.identity.log import Change, ConfigurationLog
from api.identity.people import COOKIE, SECURE_COOKIE, People, check_own_site, digest
from schemas.environment import OIDC_CLIENT_ID, OIDC_ISSUER, VariableError
from schemas.records import Attribution, Operator, OperatorSession

CLIENT_SECRET = "CLEARLINE_OIDC_CLIENT_SECRET"  # noqa: S105 - its name
PUBLIC_URL = "CLEARLINE_PUBLIC_URL"

SESSION_S = 8 * 3_600
"""A working day; nothing prolongs it."""
SESSIONS_MAX = 5
"""Of one operator at once; a new one ends the oldest."""
FLOW_S = 600
FLOW_COOKIE = "clearline_sign_in"
CODE_CHARS_MAX = 4_096
_NONCE_BYTES = 12
_SECRET_BYTES = 32
_ID_BYTES = 12
_ROOT = "/v1/operators"

log = logging.getLogger("clearline.api")

_Request: TypeAlias = Request[Any, Any, Any]


def settings(environ: Mapping[str, str], *, default_url: str) -> oidc.Settings | None:
    """The issuer that the environment names; None: nobody can sign in. Raises `VariableError`."""
    issuer = environ.get(OIDC_ISSUER, "").strip()
    if not issuer:
        return None
    client_id = environ.get(OIDC_CLIENT_ID, "").strip()
    public_url = (environ.get(PUBLIC_URL, "").strip() or default_url).rstrip("/")
    for variable, value in ((OIDC_ISSUER, issuer), (PUBLIC_URL, public_url)):
        if not oidc.is_safe(value):
            remedy = "give an https address; http is for this machine's own, 127.0.0.1"
            raise VariableError(variable=variable, value=value, reason="is not https", remedy=remedy)
    if not client_id:
        remedy = "give the id under which the issuer knows this installation"
        raise VariableError(variable=OIDC_CLIENT_ID, value="", reason="is needed with an issuer", remedy=remedy)
    return oidc.Settings(
        issuer=issuer, client_id=client_id, client_secret=environ.get(CLIENT_SECRET, "").strip(), public_url=public_url
    )


class SignIn:
    """One for each process; what a browser has to bring back it brings sealed, so any process may answer it."""

    def __init__(self, issuer: oidc.Issuer, tables: Tables, writer: ConfigurationLog, *, internal_token: str) -> None:
        self.issuer = issuer
        self._tables, self._log = tables, writer
        self._people = People(tables)
        # Shared by the API's processes and nobody else; without one, a sign-in ends with the process that began it.
        shared = internal_token or secrets.token_hex(_SECRET_BYTES)
        self._seal = AESGCM(hashlib.sha256(b"clearline sign-in\0" + shared.encode()).digest())
        self.secure = issuer.settings.public_url.startswith("https:")

    async def begin(self) -> tuple[str, str]:
        """Where to go, and the cookie to go with."""
        flow = oidc.begin(now_s=int(time.time()), lasts_s=FLOW_S)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._seal.encrypt(nonce, msgspec.json.encode(flow), FLOW_COOKIE.encode())
        return await self.issuer.address(flow), base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    async def finish(self, cookie: str, query: Mapping[str, list[str]], request_id: str) -> str:
        """The session's cookie, for what the issuer sent the browser back with."""
        flow = self._opened(cookie)
        state, code = (query.get(name, [""])[0] for name in ("state", "code"))
        if not secrets.compare_digest(state.encode(), flow.state.encode()):
            raise SignInInvalid("the state is another sign-in's")
        if not 0 < len(code) <= CODE_CHARS_MAX:
            raise SignInInvalid("the issuer sent no code")
        person = await self.issuer.person(code, flow)
        value = secrets.token_urlsafe(_SECRET_BYTES)
        operator = await self._log.write(lambda: self._session(person, value, request_id))
        log.info("request_id=%s operator=%s signed in", request_id, operator.operator_id)
        return value

    async def end(self, headers: Mapping[str, str], request_id: str) -> None:
        """End the session of a request."""
        check_own_site(headers)
        session = self._people.session(headers, now_ms=now_ms())
        who = Attribution(actor_kind="operator", actor_id=session.operator_id, request_id=request_id)
        ended = replace(session, status="ended", attribution=who)
        await self._log.write(lambda: Change(result=None, records=(ended,)))

    def _opened(self, cookie: str) -> oidc.Flow:
        try:
            sealed = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
            plain = self._seal.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], FLOW_COOKIE.encode())
            flow = msgspec.json.decode(plain, type=oidc.Flow)
        except (ValueError, InvalidTag, msgspec.MsgspecError):
            raise SignInInvalid("no sign-in was begun in this browser") from None
        if flow.until_s < time.time():
            raise SignInInvalid("it took too long")
        return flow

    def _session(self, person: oidc.Person, value: str, request_id: str) -> Change[Operator]:
        now = now_ms()
        operator = self._operator(person)
        who = Attribution(actor_kind="operator", actor_id=operator.operator_id, request_id=request_id)
        session = OperatorSession(
            session_id=f"os_{secrets.token_hex(_ID_BYTES)}",
            operator_id=operator.operator_id,
            digest=digest(value),
            status="active",
            created_ms=now,
            expires_ms=now + 1000 * SESSION_S,
            attribution=who,
        )
        own = [one for one in list(self._tables.sessions.values()) if one.operator_id == operator.operator_id]
        own.sort(key=lambda one: one.created_ms, reverse=True)
        over = [one for number, one in enumerate(own) if one.expires_ms <= now or number >= SESSIONS_MAX - 1]
        ended = tuple(replace(one, status="ended", attribution=who) for one in over)
        first: tuple[Operator, ...] = ()
        if not operator.subject:
            # From here on the issuer's own name for them counts, whatever becomes of the address.
            bound = replace(
                operator, issuer=person.issuer, subject=person.subject, version=operator.version + 1, attribution=who
            )
            first = (bound,)
        return Change(result=operator, records=(*first, session, *ended))

    def _operator(self, person: oidc.Person) -> Operator:
        people = [one for one in list(self._tables.operators.values()) if one.status == "active"]
        for one in people:
            if one.subject and (one.issuer, one.subject) == (person.issuer, person.subject):
                return one
        for one in people:
            if not one.subject and one.email == person.email:
                return one
        raise SignInRefused


def handlers(sign_in: SignIn | None) -> tuple[Any, ...]:
    """For `api.http.app.application(handlers=...)`; None: there is no issuer, and the paths are not there."""

    @get(f"{_ROOT}/login")
    async def login(request: _Request) -> Response[bytes]:
        async def work(made: SignIn, _request_id: str) -> Response[bytes]:
            address, cookie = await made.begin()
            answer: Response[bytes] = Response(b"", status_code=302, headers={"Location": address})
            answer.set_cookie(_cookie(made, FLOW_COOKIE, cookie, max_age=FLOW_S, path=_ROOT))
            return answer

        return await _answered(sign_in, request, work)

    @get(f"{_ROOT}/callback")
    async def callback(request: _Request) -> Response[bytes]:
        async def work(made: SignIn, request_id: str) -> Response[bytes]:
            query = parse_qs(request.scope.get("query_string", b"").decode("ascii", "replace"), max_num_fields=20)
            value = await made.finish(request.cookies.get(FLOW_COOKIE, ""), query, request_id)
            answer: Response[bytes] = Response(b"", status_code=303, headers={"Location": f"{_ROOT}/me"})
            answer.set_cookie(_cookie(made, FLOW_COOKIE, "", max_age=0, path=_ROOT))
            answer.set_cookie(_cookie(made, _session_cookie(made), value, max_age=SESSION_S, path="/"))
            return answer

        return await _answered(sign_in, request, work)

    @post(f"{_ROOT}/logout")
    async def logout(request: _Request) -> Response[bytes]:
        async def work(made: SignIn, request_id: str) -> Response[bytes]:
            await made.end(request.headers, request_id)
            answer: Response[bytes] = Response(b"{}", status_code=200, media_type="application/json")
            answer.set_cookie(_cookie(made, _session_cookie(made), "", max_age=0, path="/"))
            return answer

        return await _answered(sign_in, request, work)

    return (login, callback, logout)


async def _answered(made: SignIn | None, request: _Request, work: Any) -> Response[bytes]:
    """Work, answer, one line; of the query, where code and state are, nothing."""
    request_id = made_request_id()
    path = request.scope["path"]
    try:
        if made is None:
            raise NotFound("endpoint", param="")  # noqa: TRY301 - answered as every error is
        answer: Response[bytes] = await work(made, request_id)
    except ApiError as error:
        why = error.why if isinstance(error, SignInInvalid | IssuerUnavailable) else error.code
        log.info(
            "request_id=%s method=%s path=%s status=%d why=%s", request_id, request.method, path, error.status, why
        )
        answer = Response(encode(error), status_code=error.status, media_type="application/json")
    except Exception:
        log.exception("request_id=%s path=%s failed", request_id, path)
        broken = Broken()
        answer = Response(encode(broken), status_code=broken.status, media_type="application/json")
    else:
        log.info("request_id=%s method=%s path=%s status=%d", request_id, request.method, path, answer.status_code)
    answer.headers["Request-Id"] = request_id
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def _session_cookie(made: SignIn) -> str:
    return SECURE_COOKIE if made.secure else COOKIE


def _cookie(made: SignIn, name: str, value: str, *, max_age: int, path: str) -> Cookie:
    # Lax: the browser comes back from the issuer's site, and has to bring it along.
    return Cookie(key=name, value=value, max_age=max_age, path=path, secure=made.secure, httponly=True, samesite="lax")
