"""Goal: signing in over HTTP, from the first redirect to a session that ends. Method: our handlers, the local issuer as a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from litestar import Litestar
from msgspec.structs import replace

from api.http.errors import Unauthenticated
from api.identity import oidc
from api.identity.people import COOKIE, People
from api.identity.sign_in import SESSIONS_MAX, SignIn, handlers, settings
from schemas.environment import VariableError
from schemas.records import Operator
from tests.unit.api.identity._memory import ORG, Memory

ROOT = Path(__file__).parents[4]
HERE = "http://127.0.0.1:1"
TIMEOUT_S = 90
"""Of a busy machine, where the issuer's process may get no turn for longer than httpx waits, and than we wait for an issuer."""
ADA = Operator(
    operator_id="op_ada", organization=ORG, email="ada@example.com", roles=("admin",), status="active", version=1
)


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """`python -m api.identity`, on a port of its own."""
    command = [sys.executable, "-m", "api.identity", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            lines: list[str] = []
            while not (found := re.search(r"ready: (http://\S+)", lines[-1] if lines else "")):
                line = process.stdout.readline()
                assert line, f"it ended: {lines}"
                lines.append(line)
            assert "never for production" in "".join(lines)
            yield found[1]
        finally:
            process.terminate()
            assert process.wait(60) == 0


@pytest.fixture
def memory() -> Memory:
    """One operator, who never signed in."""
    made = Memory()
    made.operators[ADA.operator_id] = ADA
    return made


@pytest.fixture
async def signing(issuer, memory, monkeypatch) -> AsyncIterator[SignIn]:
    """What answers the paths."""
    monkeypatch.setattr(oidc, "TIMEOUT_S", TIMEOUT_S)
    chosen = oidc.Settings(issuer=issuer, client_id="clearline-development", public_url=HERE)
    made = SignIn(oidc.Issuer(chosen), memory, memory, internal_token="token")
    yield made
    await made.issuer.close()


@pytest.fixture
async def browser(signing) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody's browser at our door."""
    application = Litestar(route_handlers=handlers(signing), openapi_config=None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url=HERE) as client:
        yield client


async def at_the_issuer(browser: httpx.AsyncClient, email: str = "ada@example.com") -> str:
    """Begin, say who one is, and where the issuer then sends the browser."""
    begun = await browser.get("/v1/operators/login")
    assert begun.status_code == 302, begun.text
    address = begun.headers["location"]
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert asked["code_challenge_method"] == "S256"
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S) as other:
        assert (await other.get(address)).status_code == 200
        chosen = await other.post(address.partition("?")[0], data={**asked, "email": email})
    assert chosen.status_code == 302
    return chosen.headers["location"]


def session_of(answer: httpx.Response) -> str:
    """The cookie's value, checked for what keeps it safe."""
    cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{COOKIE}="))
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    return cookie.partition("=")[2].partition(";")[0]


def who(memory: Memory, value: str):
    """Whom a session's cookie names."""
    return People(memory).identify({"cookie": f"{COOKIE}={value}", "host": "127.0.0.1:1"}, now_ms=memory_now(memory))


def memory_now(memory: Memory) -> int:
    """When the newest session began."""
    return max((one.created_ms for one in memory.sessions.values()), default=1)


async def test_signing_in_and_out(browser, memory) -> None:
    """A known address becomes a session, bound to the issuer's own name for them; signing out ends it at once."""
    back = await at_the_issuer(browser)
    done = await browser.get(back)
    assert (done.status_code, done.headers["location"]) == (303, "/v1/operators/me"), done.text
    assert done.headers["cache-control"] == "no-store"
    value = session_of(done)
    assert who(memory, value).key_id == "op_ada"
    assert memory.operators["op_ada"].subject == "local|ada@example.com"
    assert not any(value.encode() in repr(one).encode() for one in memory.history)
    browser.cookies.clear()
    out = await browser.post("/v1/operators/logout", headers={"Cookie": f"{COOKIE}={value}"})
    assert out.status_code == 200
    with pytest.raises(Unauthenticated):
        who(memory, value)
    assert (await browser.post("/v1/operators/logout", headers={"Cookie": f"{COOKIE}={value}"})).status_code == 401


async def test_what_comes_back_counts_once_and_in_this_browser_only(browser, memory) -> None:
    """Another state, no cookie, a cookie that was changed, a code that was used: refused, and no session."""
    back = await at_the_issuer(browser)
    kept = dict(browser.cookies)
    forged = re.sub(r"state=[^&]*", "state=other", back)
    assert (await browser.get(forged)).json()["error"]["code"] == "sign_in_invalid"
    browser.cookies.clear()
    assert (await browser.get(back)).status_code == 400
    (name, sealed) = next(iter(kept.items()))
    changed = sealed[:-4] + ("AAAA" if not sealed.endswith("AAAA") else "BBBB")
    assert (await browser.get(back, headers={"Cookie": f"{name}={changed}"})).status_code == 400
    assert not memory.sessions
    assert (await browser.get(back, headers={"Cookie": f"{name}={sealed}"})).status_code == 303
    assert (await browser.get(back, headers={"Cookie": f"{name}={sealed}"})).status_code == 400
    assert len(memory.sessions) == 1


async def test_strangers_and_disabled_people_are_refused_alike(browser, memory) -> None:
    """Whom the issuer knows and we don't, and whom we disabled: 403 in the same words."""
    stranger = await browser.get(await at_the_issuer(browser, "eve@example.com"))
    memory.operators["op_ada"] = replace(ADA, status="disabled")
    disabled = await browser.get(await at_the_issuer(browser))
    assert stranger.status_code == disabled.status_code == 403
    assert stranger.json() == disabled.json()
    assert not memory.sessions


async def test_an_address_that_changes_hands_is_nobodys(browser, memory) -> None:
    """Once the issuer's own name for somebody is known, the address alone signs nobody in."""
    memory.operators["op_ada"] = replace(ADA, issuer="http://127.0.0.1:2", subject="ada-for-ever")
    assert (await browser.get(await at_the_issuer(browser))).status_code == 403


async def test_sessions_have_a_limit(browser, memory) -> None:
    """The oldest ends when one too many begins."""
    values = [session_of(await browser.get(await at_the_issuer(browser))) for _ in range(SESSIONS_MAX + 1)]
    assert len(memory.sessions) == SESSIONS_MAX
    assert who(memory, values[-1]).key_id == "op_ada"


async def test_nothing_secret_is_logged(browser, caplog) -> None:
    """Neither code nor state, verifier or session stands in a line."""
    caplog.set_level("DEBUG", logger="clearline")
    back = await at_the_issuer(browser)
    value = session_of(await browser.get(back))
    secrets = [value, *(one[0] for one in parse_qs(urlsplit(back).query).values())]
    text = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("clearline"))
    assert "signed in" in text
    assert not [one for one in secrets if one in text]


async def test_without_an_issuer_nobody_signs_in() -> None:
    """The paths are not there."""
    application = Litestar(route_handlers=handlers(None), openapi_config=None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url=HERE) as client:
        assert (await client.get("/v1/operators/login")).status_code == 404


def test_settings_take_https_or_this_machine() -> None:
    """An issuer or address in plain http elsewhere, and an issuer without a client's id, are refused with what to do."""
    good = {
        "CLEARLINE_OIDC_ISSUER": "https://id.example",
        "CLEARLINE_OIDC_CLIENT_ID": "c",
        "CLEARLINE_OIDC_CLIENT_SECRET": "hush",
    }
    found = settings(good, default_url=HERE)
    assert found.redirect_uri == f"{HERE}/v1/operators/callback"
    assert "hush" not in repr(found)
    assert settings({}, default_url=HERE) is None
    for bad in (
        {**good, "CLEARLINE_OIDC_ISSUER": "http://id.example"},
        {**good, "CLEARLINE_PUBLIC_URL": "http://api.example"},
        {**good, "CLEARLINE_OIDC_CLIENT_ID": ""},
    ):
        with pytest.raises(VariableError):
            settings(bad, default_url=HERE)


def test_the_local_issuer_stays_on_this_machine() -> None:
    """Asked to listen beyond it, it ends with what to do instead."""
    command = [sys.executable, "-m", "api.identity", "--port", "0", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert "this machine only" in done.stdout
