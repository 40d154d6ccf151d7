"""Goal: only who the issuer vouches for, to us, now, signs in. Method: our client against the local issuer over HTTP, and forged tokens."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from api.identity import oidc
from api.identity.errors import IssuerUnavailable, SignInInvalid
from api.identity.local_issuer import LocalIssuer

CLIENT = "clearline-development"
HERE = "http://127.0.0.1:1"


class Forging(LocalIssuer):
    """The same, but what it signs can be chosen."""

    forge = None

    async def _token(self, request: web.Request) -> web.Response:
        true = await super()._token(request)
        if self.forge is None or true.status != 200:
            return true
        claims = jwt.decode(re.search(r'"id_token": "([^"]+)"', true.text)[1], self._key).claims
        return web.json_response({"id_token": self.forge(claims, self._key)})


@asynccontextmanager
async def running(*, client_id: str = CLIENT) -> AsyncIterator[tuple[Forging, oidc.Issuer]]:
    """An issuer on a port of its own, and our side of it."""
    runner = web.AppRunner(web.Application())
    issuer = Forging("", client_id=CLIENT)
    runner = web.AppRunner(issuer.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = oidc.Issuer(oidc.Settings(issuer=issuer.url, client_id=client_id, public_url=HERE))
    try:
        yield issuer, client
    finally:
        await client.close()
        await runner.cleanup()


async def signed_in(client: oidc.Issuer, flow: oidc.Flow, email: str = "Ada@Example.com") -> dict[str, str]:
    """What a browser brings back: code and state."""
    address = await client.address(flow)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    async with aiohttp.ClientSession() as browser:
        async with browser.get(address) as page:
            assert page.status == 200
            assert "never for production" in await page.text()
        form = {name: asked[name] for name in ("client_id", "redirect_uri", "state", "nonce", "code_challenge")}
        async with browser.post(
            address.partition("?")[0], data={**form, "email": email}, allow_redirects=False
        ) as sent:
            assert sent.status == 302
            back = urlsplit(sent.headers["Location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"{HERE}/v1/operators/callback"
    return {name: values[0] for name, values in parse_qs(back.query).items()}


def flow() -> oidc.Flow:
    """A sign-in that begins now."""
    return oidc.begin(now_s=int(time.time()), lasts_s=600)


async def test_who_signs_in_is_who_the_issuer_says() -> None:
    """Code and PKCE verifier become a verified person, the address in lower case; a code works once."""
    async with running() as (issuer, client):
        begun = flow()
        back = await signed_in(client, begun)
        assert back["state"] == begun.state
        person = await client.person(back["code"], begun)
        assert person == oidc.Person(issuer=issuer.url, subject="local|ada@example.com", email="ada@example.com")
        with pytest.raises(SignInInvalid):
            await client.person(back["code"], begun)


async def test_a_stolen_code_is_worth_nothing() -> None:
    """Without the verifier that the sign-in began with, the issuer gives no token for a code."""
    async with running() as (_, client):
        back = await signed_in(client, flow())
        with pytest.raises(SignInInvalid):
            await client.person(back["code"], flow())


FORGERIES = {
    "another issuer": lambda claims, key: _signed(key, claims | {"iss": "http://127.0.0.1:2"}),
    "another audience": lambda claims, key: _signed(key, claims | {"aud": "somebody-else"}),
    "several audiences, made for another": lambda claims, key: _signed(
        key, claims | {"aud": [CLIENT, "x"], "azp": "x"}
    ),
    "several audiences, made for nobody": lambda claims, key: _signed(key, claims | {"aud": [CLIENT, "x"]}),
    "expired": lambda claims, key: _signed(key, claims | {"exp": int(time.time()) - 120}),
    "of an earlier sign-in": lambda claims, key: _signed(key, claims | {"iat": int(time.time()) - 3_600}),
    "of the future": lambda claims, key: _signed(key, claims | {"iat": int(time.time()) + 3_600}),
    "no expiry": lambda claims, key: _signed(key, {name: one for name, one in claims.items() if name != "exp"}),
    "another nonce": lambda claims, key: _signed(key, claims | {"nonce": "other"}),
    "no nonce": lambda claims, key: _signed(key, {name: one for name, one in claims.items() if name != "nonce"}),
    "address not verified": lambda claims, key: _signed(key, claims | {"email_verified": False}),
    "no address": lambda claims, key: _signed(key, {name: one for name, one in claims.items() if name != "email"}),
    "another key": lambda claims, _: _signed(ECKey.generate_key("P-256", private=True), claims),
    "a shared secret": lambda claims, _: jwt.encode(
        {"alg": "HS256"}, claims, OctKey.import_key("a secret that is long enough for it")
    ),
    "no signature": lambda claims, _: jwt.encode(
        {"alg": "none"}, claims, OctKey.import_key("a secret that is long enough for it"), algorithms=["none"]
    ),
    "no token": lambda _claims, _key: "not.a.token",
    "a very long one": lambda _claims, _key: "x" * 40_000,
}


def _signed(key, claims) -> str:
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
async def test_forged_tokens_are_refused(forgery) -> None:
    """Issuer, audience, time, nonce, address, key and algorithm: each alone refuses a token."""
    async with running() as (issuer, client):
        begun = flow()
        back = await signed_in(client, begun)
        issuer.forge = lambda claims, key: forgery(dict(claims), key)
        with pytest.raises(SignInInvalid):
            await client.person(back["code"], begun)


async def test_a_true_token_passes_the_forger() -> None:
    """The forger's own signature over unchanged claims is taken: so the refusals above are those of the change."""
    async with running() as (issuer, client):
        begun = flow()
        back = await signed_in(client, begun)
        issuer.forge = lambda claims, key: _signed(key, dict(claims))
        assert (await client.person(back["code"], begun)).email == "ada@example.com"


async def test_an_issuer_that_is_away_or_another_is_none() -> None:
    """Nobody there, or metadata of another issuer: 503, and nobody is signed in."""
    gone = oidc.Issuer(oidc.Settings(issuer="http://127.0.0.1:1", client_id=CLIENT, public_url=HERE))
    with pytest.raises(IssuerUnavailable):
        await gone.address(flow())
    await gone.close()
    async with running() as (issuer, client):
        issuer.url = "http://127.0.0.1:2"
        with pytest.raises(IssuerUnavailable):
            await client.address(flow())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"client_id": "another"}, 400),
        ({"redirect_uri": "https://evil.example/cb"}, 400),
        ({"redirect_uri": "http://evil.example/cb"}, 400),
        ({"code_challenge": ""}, 400),
        ({"state": "<script>"}, 200),
    ],
)
async def test_the_local_issuer_sends_nobody_elsewhere(change, status) -> None:
    """Other clients, other machines and requests without PKCE get no page; what it repeats is escaped."""
    asked = {"client_id": CLIENT, "redirect_uri": HERE, "state": "s", "nonce": "n", "code_challenge": "c", **change}
    async with (
        running() as (issuer, _),
        aiohttp.ClientSession() as browser,
        browser.get(f"{issuer.url}/authorize", params=asked) as page,
    ):
        assert page.status == status
        assert "<script>" not in await page.text()


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://id.example", True), ("http://127.0.0.1:8790", True), ("http://[::1]:1", True), ("http://localhost:1", True),
        ("http://id.example", False), ("http://127.0.0.1.evil.example", False), ("ftp://127.0.0.1", False), ("https://", False), ("http://[", False),
    ],
)  # fmt: skip
def test_http_is_for_this_machine_only(url, safe) -> None:
    """Tokens travel by https, or not over any network."""
    assert oidc.is_safe(url) is safe
