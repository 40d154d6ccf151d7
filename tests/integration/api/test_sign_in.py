"""Goal: signing in against an issuer, over HTTP from redirect to sign-out. Method: the whole API, an issuer that lies where told, a browser."""

from __future__ import annotations

import re
import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.http import service
from api.identity.people import COOKIE
from api.identity.sign_in import SESSION_S
from tests.integration._house import wait_until
from tests.integration.api._office import TIMEOUT_S, Browser, Office

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

ME = "/v1/operators/me"


def is_in(browser: Browser) -> bool:
    """Whether the browser's session counts."""
    status = browser.ask("GET", ME).status_code
    assert status in (200, 401)
    return status == 200


def test_signing_in_and_out(office: Office) -> None:
    """The cookie can't be read by pages, says who it is, and ends for every copy of it when its owner signs out."""
    browser = Browser(office.url)
    begun = browser.http.get("/v1/operators/login")
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["scope"] == ["openid email profile"]
    assert "HttpOnly" in begun.headers["set-cookie"]
    done = browser.http.get(browser.at_the_issuer(office.email("auditor")))
    assert done.status_code == 303
    (cookie,) = [one for one in done.headers.get_list("set-cookie") if one.startswith(f"{COOKIE}=")]
    assert {"HttpOnly", "Path=/", f"Max-Age={SESSION_S}"} <= {part.strip() for part in cookie.split(";")}
    assert "samesite=lax" in cookie.lower()
    assert done.headers["cache-control"] == "no-store"
    me = browser.get(ME)
    assert (me["id"], me["roles"], me["signed_in"]) == (office.ids["auditor"], ["auditor"], True)
    copy = {"Cookie": f"{COOKIE}={browser.http.cookies[COOKIE]}"}
    assert httpx.get(office.url + ME, headers=copy, trust_env=False, timeout=TIMEOUT_S).status_code == 200
    out = browser.http.post("/v1/operators/logout")
    assert out.status_code == 200
    assert COOKIE not in browser.http.cookies
    assert httpx.get(office.url + ME, headers=copy, trust_env=False, timeout=TIMEOUT_S).status_code == 401
    again = httpx.post(f"{office.url}/v1/operators/logout", headers=copy, trust_env=False, timeout=TIMEOUT_S)
    assert again.status_code == 401


LIES = {
    "another audience": {"aud": lambda _: "another-client"},
    "several audiences without a party": {"aud": lambda said: [said["aud"], "another-client"]},
    "another party": {"azp": lambda _: "another-client"},
    "expired": {"exp": lambda said: said["iat"] - 3_600},
    "of an earlier sign-in": {"iat": lambda said: said["iat"] - 3_600},
    "another sign-in's nonce": {"nonce": lambda said: said["nonce"][::-1]},
    "no nonce": {"nonce": lambda _: None},
    "another issuer": {"iss": lambda _: "http://127.0.0.1:1"},
    "an address that nobody verified": {"email_verified": lambda _: False},
    "no address": {"email": lambda _: None},
}


@pytest.mark.parametrize("lies", LIES.values(), ids=LIES)
def test_a_token_that_is_not_for_this_sign_in_is_refused(office: Office, lies: dict) -> None:
    """Signed by the issuer's own key, but wrong in one claim: no session, and not a word of what was wrong."""
    browser = Browser(office.url)
    office.issuer.lies = lies
    try:
        refused = browser.http.get(browser.at_the_issuer(office.email("admin")))
    finally:
        office.issuer.lies = {}
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "sign_in_invalid")
    assert refused.json()["error"]["message"] == "This sign-in can't be finished. Begin it again."
    assert COOKIE not in browser.http.cookies
    assert not is_in(browser)


def test_a_code_counts_once_in_the_browser_that_began(office: Office) -> None:
    """Another state, another browser's code (its verifier is not this one's), and a code that was used: refused."""
    mine, thief = Browser(office.url), Browser(office.url)
    back = mine.at_the_issuer(office.email("admin"))
    code = parse_qs(urlsplit(back).query)["code"][0]
    own_state = parse_qs(urlsplit(thief.at_the_issuer("eve@example.com")).query)["state"][0]
    forged = f"/v1/operators/callback?code={code}&state={own_state}"
    assert thief.http.get(forged).status_code == 400
    assert thief.http.get(back).status_code == 400
    assert not is_in(thief)
    # The thief spent the code, which the issuer gives once: whose it was begins anew.
    assert mine.http.get(back).status_code == 400
    again = mine.at_the_issuer(office.email("admin"))
    assert mine.http.get(re.sub(r"state=[^&]*", "state=other", again)).status_code == 400
    kept = dict(mine.http.cookies)
    assert mine.http.get(again).status_code == 303
    replayed = httpx.get(again, cookies=kept, trust_env=False, timeout=TIMEOUT_S)
    assert (replayed.status_code, replayed.json()["error"]["code"]) == (400, "sign_in_invalid")
    assert is_in(mine)


def test_a_session_ends_by_itself(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second before its eight hours are over it counts, then never, though it is used all the time."""
    browser = office.person("analyst")
    began = service.now_ms()
    monkeypatch.setattr(service, "now_ms", lambda: began + 1000 * SESSION_S - 30_000)
    assert is_in(browser)
    monkeypatch.setattr(service, "now_ms", lambda: began + 1000 * SESSION_S + 30_000)
    assert not is_in(browser)


def test_who_is_taken_out_is_out(office: Office) -> None:
    """Disabled by the command line or by an admin, an operator's open sessions are refused, also once they are active again."""
    office.add("leaver", "analyst")
    admin, leaver = office.person("admin"), office.person("leaver")
    assert is_in(leaver)
    path = f"/v1/operators/{office.ids['leaver']}"
    admin.post(path, {"status": "disabled"})
    assert not is_in(leaver)
    assert Browser(office.url).http.get(Browser(office.url).at_the_issuer(office.email("leaver"))).status_code == 400
    stranger = Browser(office.url)
    assert stranger.http.get(stranger.at_the_issuer(office.email("leaver"))).status_code == 403
    admin.post(path, {"status": "active"})
    assert not is_in(leaver)
    leaver = office.person("leaver")
    done = office.house.clearline("operators", "disable", office.ids["leaver"])
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not is_in(leaver), "the session is refused")


def test_roles_hold_from_the_next_request_on(office: Office) -> None:
    """What is taken from somebody who is signed in they no longer have; what they are given they have without signing in again."""
    office.add("mover", "auditor")
    admin, mover = office.person("admin"), office.person("mover", tenant=office.test)
    assert mover.ask("GET", "/v1/api_keys").status_code == 200
    admin.post(f"/v1/operators/{office.ids['mover']}", {"roles[]": "analyst"})
    assert mover.ask("GET", "/v1/api_keys").status_code == 403
    assert mover.ask("GET", "/v1/balance").status_code == 200


def test_another_sites_page_does_nothing_with_the_cookie(office: Office) -> None:
    """A browser that another origin makes send it is refused, reading and writing alike, and signing out too."""
    browser = office.person("operator", tenant=office.test)
    for headers in ({"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
        assert browser.ask("GET", "/v1/balance", **headers).status_code == 403
        assert browser.ask("POST", "/v1/refunds", {}, **headers).status_code == 403
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        assert browser.http.post("/v1/operators/logout", headers=sent).status_code == 403
    assert is_in(browser)


def test_a_session_is_nobodys_who_guesses(office: Office) -> None:
    """The cookie has no structure to forge: a changed one, an id, a digest and an empty one are all none."""
    value = office.person("developer").http.cookies[COOKIE]
    for guess in (
        value[:-1] + ("A" if value[-1] != "A" else "B"),
        office.ids["developer"],
        "os_1",
        "",
        value.swapcase(),
    ):
        headers = {"Cookie": f"{COOKIE}={guess}"}
        assert httpx.get(office.url + ME, headers=headers, trust_env=False, timeout=TIMEOUT_S).status_code == 401


def test_sessions_are_kept_as_digests(office: Office) -> None:
    """What a browser holds is nowhere in the history of identity; each session there says whose it is and when it ends."""
    value = office.person("operator").http.cookies[COOKIE]
    own = [one for one in office.history() if type(one).__name__ == "OperatorSession"]
    assert not [one for one in own if value in repr(one)]
    newest = [one for one in own if one.operator_id == office.ids["operator"]][-1]
    assert (newest.status, newest.attribution.actor_id) == ("active", office.ids["operator"])
    assert newest.expires_ms - newest.created_ms == 1000 * SESSION_S
    assert abs(newest.created_ms - time.time() * 1000) < 600_000
