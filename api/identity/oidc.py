"""OpenID Connect, the client's side: discovery, the authorization-code flow with PKCE, and the check of what comes back."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import secrets
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api.identity.errors import IssuerUnavailable, SignInInvalid

ALGORITHMS = ["RS256", "PS256", "ES256"]
"""Signatures by a key that only the issuer has; never `none`, never a shared secret."""
SCOPE = "openid email profile"
TIMEOUT_S = 10
ANSWER_BYTES_MAX = 256 * 1024
TOKEN_CHARS_MAX = 32_768
METADATA_KEPT_S = 3_600.0
KEYS_AGAIN_S = 10.0
"""A token with a key that is not known has the keys read anew, so often at most."""
LEEWAY_S = 60
AGE_S_MAX = 600
"""Of a token, when it comes: it was made for this very sign-in."""
_SECRET_BYTES = 32


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Which issuer, and who we are to it."""

    issuer: str
    client_id: str
    client_secret: str = ""
    """Empty for a public client, which has PKCE alone."""
    public_url: str
    """Where browsers reach us, without a slash at its end."""

    @property
    def redirect_uri(self) -> str:
        """Where the issuer sends browsers back to; it has to know it."""
        return f"{self.public_url}/v1/operators/callback"

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Settings(issuer={self.issuer!r}, client_id={self.client_id!r}, public_url={self.public_url!r})"


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What a sign-in that began has to come back with."""

    state: str
    nonce: str
    verifier: str
    until_s: int


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an issuer vouches for."""

    issuer: str
    subject: str
    email: str
    """In lower case, and verified by the issuer."""


class _Metadata(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str


def is_safe(url: str) -> bool:
    """Whether a URL is https, or http on this very machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    return parts.scheme == "http" and is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether a host's name is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def begin(*, now_s: int, lasts_s: int) -> Flow:
    """A sign-in's own secrets."""
    return Flow(
        state=secrets.token_urlsafe(_SECRET_BYTES),
        nonce=secrets.token_urlsafe(_SECRET_BYTES),
        verifier=secrets.token_urlsafe(_SECRET_BYTES),
        until_s=now_s + lasts_s,
    )


def challenge(verifier: str) -> str:
    """What the issuer is shown of the verifier: its digest (S256)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class Issuer:
    """One for each process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._metadata: _Metadata | None = None
        self._metadata_until_s = 0.0
        self._keys: KeySet | None = None
        self._keys_read_s = -KEYS_AGAIN_S

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()

    async def address(self, flow: Flow) -> str:
        """Where the browser goes to sign in. Raises `IssuerUnavailable`."""
        metadata = await self._discover()
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.settings.redirect_uri,
            "scope": SCOPE,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": challenge(flow.verifier),
            "code_challenge_method": "S256",
        }
        separator = "&" if urlsplit(metadata.authorization_endpoint).query else "?"
        return f"{metadata.authorization_endpoint}{separator}{urlencode(asked)}"

    async def person(self, code: str, flow: Flow) -> Person:
        """Who signed in, for the code that came back. Raises `SignInInvalid`, `IssuerUnavailable`."""
        metadata = await self._discover()
        sent = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.settings.redirect_uri,
            "client_id": self.settings.client_id,
            "code_verifier": flow.verifier,
        }
        authentication = None
        if self.settings.client_secret:
            authentication = aiohttp.BasicAuth(self.settings.client_id, self.settings.client_secret)
        status, body = await self._ask("POST", metadata.token_endpoint, data=sent, auth=authentication)
        if status != 200:
            raise SignInInvalid(f"the issuer took no code: {status}")
        try:
            tokens = msgspec.json.decode(body, type=_Tokens)
        except msgspec.MsgspecError:
            raise SignInInvalid("the issuer's answer has no id_token") from None
        return await self._verified(tokens.id_token, flow, metadata)

    async def _verified(self, text: str, flow: Flow, metadata: _Metadata) -> Person:
        """The check of a token: signature, algorithm, issuer, audience, time, nonce; in OpenID Connect Core's words, 3.1.3.7."""
        if len(text) > TOKEN_CHARS_MAX:
            raise SignInInvalid("the token is too long")
        claims = await self._claims(text, metadata)
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": metadata.issuer},
            aud={"essential": True, "value": self.settings.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            registry.validate(claims)
        except JoseError as error:
            raise SignInInvalid(f"a claim is wrong: {error.error}") from None
        audience = claims["aud"]
        several = isinstance(audience, list) and len(audience) > 1
        if claims.get("azp", self.settings.client_id if not several else None) != self.settings.client_id:
            raise SignInInvalid("the token was made for another client")
        if claims["iat"] < time.time() - AGE_S_MAX:
            raise SignInInvalid("the token is of an earlier sign-in")
        if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), flow.nonce.encode()):
            raise SignInInvalid("the nonce is another sign-in's")
        email = claims.get("email")
        if not isinstance(email, str) or claims.get("email_verified") is not True:
            raise SignInInvalid("the issuer names no verified e-mail address")
        return Person(issuer=metadata.issuer, subject=str(claims["sub"]), email=email.lower())

    async def _claims(self, text: str, metadata: _Metadata) -> dict[str, Any]:
        for _ in range(2):
            keys = self._keys or await self._read_keys(metadata)
            try:
                return jwt.decode(text, keys, algorithms=ALGORITHMS).claims
            except (JoseError, ValueError) as error:
                # Perhaps the issuer has changed its keys since.
                if time.monotonic() - self._keys_read_s < KEYS_AGAIN_S:
                    raise SignInInvalid(f"the signature does not hold: {type(error).__name__}") from None
                self._keys = None
        raise SignInInvalid("the signature does not hold")

    async def _read_keys(self, metadata: _Metadata) -> KeySet:
        status, body = await self._ask("GET", metadata.jwks_uri)
        try:
            if status != 200:
                raise IssuerUnavailable(f"the issuer's keys: {status}")
            self._keys = KeySet.import_key_set(msgspec.json.decode(body))
        except (JoseError, ValueError, KeyError, TypeError, msgspec.MsgspecError):
            raise IssuerUnavailable("the issuer's keys can't be read") from None
        self._keys_read_s = time.monotonic()
        return self._keys

    async def _discover(self) -> _Metadata:
        if self._metadata is not None and time.monotonic() < self._metadata_until_s:
            return self._metadata
        status, body = await self._ask("GET", f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        try:
            if status != 200:
                raise IssuerUnavailable(f"discovery: {status}")
            found = msgspec.json.decode(body, type=_Metadata)
        except msgspec.MsgspecError:
            raise IssuerUnavailable("discovery can't be read") from None
        if found.issuer != self.settings.issuer:
            raise IssuerUnavailable("discovery is of another issuer")
        if not all(map(is_safe, (found.authorization_endpoint, found.token_endpoint, found.jwks_uri))):
            raise IssuerUnavailable("discovery names an address that is not https")
        self._metadata, self._metadata_until_s = found, time.monotonic() + METADATA_KEPT_S
        return found

    async def _ask(self, method: str, url: str, **more: Any) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=False)
        try:
            async with self._session.request(method, url, allow_redirects=False, **more) as answer:
                body = await answer.content.read(ANSWER_BYTES_MAX + 1)
                while len(body) <= ANSWER_BYTES_MAX and (rest := await answer.content.read(ANSWER_BYTES_MAX)):
                    body += rest
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise IssuerUnavailable(f"the issuer is away: {type(error).__name__}") from None
        if len(body) > ANSWER_BYTES_MAX:
            raise IssuerUnavailable("the issuer's answer is too long")
        return status, body
