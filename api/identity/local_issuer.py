"""An OpenID Connect issuer for development: whoever opens its page says who they are, and it believes them.

Not for production: it asks for no password, its key lives as long as the process, and it listens on this machine only.
"""

from __future__ import annotations

import html
import secrets
import time
from collections import OrderedDict
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey

from api.identity.oidc import challenge, is_safe

CODE_S = 60
TOKEN_S = 300
CODES_MAX = 1_000
BODY_BYTES_MAX = 16_384
TEXT_CHARS_MAX = 2_000
_SECRET_BYTES = 32
_HIDDEN = ("client_id", "redirect_uri", "state", "nonce", "code_challenge")


class _Code(msgspec.Struct, frozen=True, kw_only=True):
    """What a code was given for."""

    client_id: str
    redirect_uri: str
    nonce: str
    code_challenge: str
    email: str
    until_s: float


class LocalIssuer:
    """One for each process; everything it knows is in memory."""

    def __init__(self, url: str, *, client_id: str) -> None:
        self.url, self._client_id = url.rstrip("/"), client_id
        self._key = ECKey.generate_key(
            "P-256", {"kid": secrets.token_hex(8), "use": "sig", "alg": "ES256"}, private=True
        )
        self._codes: OrderedDict[str, _Code] = OrderedDict()

    def application(self) -> web.Application:
        """Its paths."""
        made = web.Application(client_max_size=BODY_BYTES_MAX)
        made.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._metadata),
                web.get("/keys", self._keys),
                web.get("/authorize", self._page),
                web.post("/authorize", self._choose),
                web.post("/token", self._token),
                web.get("/health", self._health),
            ]
        )
        return made

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _metadata(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
                "scopes_supported": ["openid", "email", "profile"],
            }
        )

    async def _keys(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": [self._key.as_dict(private=False)]})

    async def _page(self, request: web.Request) -> web.Response:
        asked = request.query
        why = self._refusal(asked)
        if why:
            return web.Response(text=why, status=400)
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{html.escape(asked.get(name, ""))}">' for name in _HIDDEN
        )
        page = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Development sign-in</title><h1>Development sign-in</h1>'
            "<p>This issuer believes everybody. It is for development on this machine, never for production.</p>"
            f'<form method="post" action="/authorize">{hidden}<label>E-mail address '
            '<input name="email" type="email" required autofocus></label> <button>Sign in</button></form></html>'
        )
        return web.Response(text=page, content_type="text/html", headers={"Cache-Control": "no-store"})

    async def _choose(self, request: web.Request) -> web.Response:
        asked = await request.post()
        why = self._refusal(asked)
        email = str(asked.get("email", "")).strip().lower()
        if why or "@" not in email or len(email) > TEXT_CHARS_MAX:
            return web.Response(text=why or "Give an e-mail address.", status=400)
        code = secrets.token_urlsafe(_SECRET_BYTES)
        named = {name: str(asked.get(name, "")) for name in _HIDDEN}
        state = named.pop("state")
        self._codes[code] = _Code(**named, email=email, until_s=time.monotonic() + CODE_S)
        while len(self._codes) > CODES_MAX:
            self._codes.popitem(last=False)
        query = urlencode({"code": code, "state": state})
        raise web.HTTPFound(f"{named['redirect_uri']}?{query}")

    async def _token(self, request: web.Request) -> web.Response:
        asked = await request.post()
        given = {name: str(value) for name, value in asked.items()}
        found = self._codes.pop(given.get("code", ""), None)  # whatever comes of it, a code is used once
        right = (
            found is not None
            and given.get("grant_type") == "authorization_code"
            and found.until_s > time.monotonic()
            and (found.client_id, found.redirect_uri) == (given.get("client_id"), given.get("redirect_uri"))
            and secrets.compare_digest(challenge(given.get("code_verifier", "")), found.code_challenge)
        )
        if found is None or not right:
            return web.json_response({"error": "invalid_grant"}, status=400)
        claims = self.claims(found.email, nonce=found.nonce, client_id=found.client_id)
        token = jwt.encode({"alg": "ES256", "kid": self._key.kid}, claims, self._key)
        body = {"access_token": secrets.token_urlsafe(_SECRET_BYTES), "token_type": "Bearer", "id_token": token}
        return web.json_response(body, headers={"Cache-Control": "no-store"})

    def claims(self, email: str, *, nonce: str, client_id: str) -> dict[str, Any]:
        """What a token says."""
        now = int(time.time())
        return {
            "iss": self.url,
            "aud": client_id,
            "sub": f"local|{email}",
            "iat": now,
            "exp": now + TOKEN_S,
            "nonce": nonce,
            "email": email,
            "email_verified": True,
        }

    def _refusal(self, asked: Any) -> str:
        """Why a request to sign in is not taken; empty when it is."""
        given = {name: str(asked.get(name, "")) for name in _HIDDEN}
        if any(len(value) > TEXT_CHARS_MAX for value in given.values()):
            return "The request is too long."
        if given["client_id"] != self._client_id:
            return "No such client here."
        if not (given["redirect_uri"].startswith("http://") and is_safe(given["redirect_uri"])):
            return "This issuer sends nobody to other machines."
        if not (given["state"] and given["nonce"] and given["code_challenge"]):
            return "A request has state, nonce and code_challenge (S256)."
        return ""
