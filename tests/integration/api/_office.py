"""People who sign in: an issuer that can be told to lie, their browsers, and an organisation with tenants of both modes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from aiohttp import web

from api.identity.local_issuer import LocalIssuer
from schemas import codec
from schemas.catalogue import IDENTITY_HISTORY
from tests.integration._house import wait_until
from tests.integration._runtime_kit import committed_records
from tests.integration.api._asking import ask

CLIENT_ID = "clearline-development"
TIMEOUT_S = 90


class Lying(LocalIssuer):
    """The development's issuer, whose tokens say otherwise where a test has them do so."""

    lies: dict[str, Any]

    def claims(self, email: str, *, nonce: str, client_id: str) -> dict[str, Any]:
        said = super().claims(email, nonce=nonce, client_id=client_id)
        return {**said, **{name: value(said) for name, value in self.lies.items()}}


@contextlib.contextmanager
def issuing() -> Iterator[Lying]:
    """The issuer on a thread and a port of its own."""
    ready: list[Lying] = []
    started, ending = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        listener = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        listener.close()
        await listener.wait_closed()
        issuer = Lying(f"http://127.0.0.1:{port}", client_id=CLIENT_ID)
        issuer.lies = {}
        runner = web.AppRunner(issuer.application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        ready.append(issuer)
        started.set()
        await ending.wait()
        await runner.cleanup()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(TIMEOUT_S)
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(TIMEOUT_S)


_OPEN: list[httpx.Client] = []


def close_browsers() -> None:
    """Close what was opened."""
    while _OPEN:
        _OPEN.pop().close()


class Browser:
    """Somebody's browser, which keeps cookies and goes only where a test says."""

    def __init__(self, url: str, *, tenant: str = "") -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=TIMEOUT_S)
        _OPEN.append(self.http)
        self.tenant = tenant

    def at_the_issuer(self, email: str) -> str:
        """Begin, say who one is, and where the issuer then sends the browser."""
        begun = self.http.get("/v1/operators/login")
        assert begun.status_code == 302, begun.text
        address = begun.headers["location"]
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        chosen = httpx.post(
            address.partition("?")[0], data={**asked, "email": email}, trust_env=False, timeout=TIMEOUT_S
        )
        assert chosen.status_code == 302, chosen.text
        return chosen.headers["location"]

    def sign_in(self, email: str) -> Browser:
        """All of it."""
        done = self.http.get(self.at_the_issuer(email))
        assert (done.status_code, done.headers["location"]) == (303, "/v1/operators/me"), done.text
        return self

    def ask(
        self, method: str, path: str, given: Any = None, *, tenant: str | None = None, **headers: str
    ) -> httpx.Response:
        """One request, for a tenant: the browser's usual one unless another is named."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        wanted = self.tenant if tenant is None else tenant
        if wanted:
            sent["Stripe-Context"] = wanted
        if method == "GET":
            # Asked again while the warehouse does not show what was just written.
            found = wait_until(
                lambda: (answer := self.http.get(path, params=given, headers=sent)).status_code != 503 and answer,
                f"GET {path} is answered",
            )
            assert isinstance(found, httpx.Response)
            return found
        return self.http.post(path, data=dict(given or {}), headers=sent)

    def get(self, path: str, given: Any = None, **more: Any) -> dict[str, Any]:
        """What is there."""
        found = self.ask("GET", path, given, **more)
        assert found.status_code == 200, found.text
        return found.json()

    def post(self, path: str, given: Any = None, **more: Any) -> dict[str, Any]:
        """What comes of it."""
        done = self.ask("POST", path, given, **more)
        assert done.status_code == 200, done.text
        return done.json()


@dataclass
class Office:
    """An organisation with a test and a live tenant, and people of every role."""

    house: Any
    port: int
    issuer: Lying
    organization: str
    test: str
    live: str
    live_key: str
    """A secret key of the live tenant."""
    ids: dict[str, str] = field(default_factory=dict)
    """Operators' ids by the part of their address before the @."""

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.port}"

    def email(self, name: str) -> str:
        """Somebody's address, which is nobody's in another organisation."""
        return f"{name}.{self.organization}@example.com"

    def add(self, name: str, *roles: str) -> str:
        """A person by the command line, and their id."""
        options = [option for role in roles for option in ("--role", role)]
        done = self.house.clearline("operators", "add", self.organization, self.email(name), *options)
        assert done.returncode == 0, done.stderr
        self.ids[name] = done.stdout.strip()
        return self.ids[name]

    def person(self, name: str, *, tenant: str = "") -> Browser:
        """Somebody who has signed in."""
        return Browser(self.url, tenant=tenant).sign_in(self.email(name))

    def history(self) -> list[Any]:
        """Everything that `identity.history` keeps, oldest first."""
        return [codec.decode(one.value()) for one in committed_records(self.house.bootstrap, IDENTITY_HISTORY.name)]


def opened(house: Any, port: int, issuer: Lying, mark: str) -> Office:
    """An organisation made by the command line, its tenants by its key, its live key by two people's word."""
    made = house.clearline("organizations", "create", f"Group {mark}")
    assert made.returncode == 0, made.stderr
    organization = made.stdout.strip()
    key = house.clearline("organizations", "key", organization)
    assert key.returncode == 0, key.stderr
    names = {"test": f"{mark}-test", "live": f"{mark}-live"}
    for mode, name in names.items():
        given = {"id": name, "livemode": str(mode == "live").lower(), "settlement_interval_ms": "1000"}
        answer = ask(port, key.stdout.strip(), "POST", "/v1/tenants", given)
        assert answer.status == 200, answer.body
    live_key = house.clearline("keys", "create", names["live"], "--live")
    assert live_key.returncode == 0, live_key.stderr
    return Office(house, port, issuer, organization, names["test"], names["live"], live_key.stdout.strip())
