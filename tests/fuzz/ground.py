"""Whom a fuzzed API knows: a tenant with objects of every kind, its secret key, and an admin who has signed in."""

from __future__ import annotations

import subprocess
import sys
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from api.http import catalogue
from api.http.operations import Operation
from api.identity.people import COOKIE
from api.identity.roles import PEOPLE_ONLY
from infra.configure import apply
from tests.integration._house import ROOT, wait_until

TENANT = "fuzzed"
IN_USE = "in use"
"""Name of the key that the run asks with, which nothing may revoke."""
TENANTS = f"""
[[tenants]]
tenant = "{TENANT}"
name = "Fuzzed"
timezone = "UTC"
settlement_cutoff = "00:00"
settlement_interval_ms = 1000

[[tenants]]
tenant = "spare"
name = "Spare"
timezone = "UTC"
settlement_cutoff = "00:00"
"""
SPOILING = ("PostApiKeysApiKeyRevoke", "PostApiKeysApiKeyRoll")
"""Only ever asked with the ids that are known, among which the run's own key is not."""
TIMEOUT_S = 90
VISA = {"amount": "100000", "currency": "eur", "payment_method": "pm_card_visa", "confirm": "true"}
_OF_PEOPLE = (*PEOPLE_ONLY, "tenants")


@dataclass
class Ground:
    """Where the API is, and who asks it."""

    url: str
    key: str
    session: str
    """The admin's cookie."""
    customer: str = ""
    """One who has a payment method."""
    ids: dict[str, list[str]] = field(default_factory=dict)
    """Of the tenant's objects, by the path that lists them."""

    def headers(self, operation: Operation) -> dict[str, str]:
        """Who may ask this: a person where only people may, else the key."""
        return self.person() if operation.scope.partition(":")[0] in _OF_PEOPLE else self.program()

    def program(self) -> dict[str, str]:
        """Headers of the key."""
        return {"Authorization": f"Bearer {self.key}"}

    def person(self) -> dict[str, str]:
        """Headers of the admin."""
        return {"Cookie": f"{COOKIE}={self.session}", "Stripe-Context": TENANT, "Clearline-Reason": "fuzzing"}

    def known(self, operation: Operation) -> dict[str, list[str]]:
        """Ids that there are, for each name in an operation's path."""
        steps = operation.path.split("/")
        return {
            step[1:-1]: found
            for place, step in enumerate(steps)
            if step.startswith("{") and (found := self._of(steps[1:place]))
        }

    def _of(self, steps: list[str]) -> list[str]:
        if steps[-1] in ("payments", "traces"):
            return self.ids.get("/v1/payment_intents", [])
        if steps[:2] == ["v1", "test_helpers"]:
            steps = ["v1", steps[2]]
        # The last of nested names is one of the tenant's own: /v1/customers/{id}/payment_methods
        return self.ids.get("/" + "/".join(steps)) or self.ids.get(f"/v1/{steps[-1]}", [])

    def still_lets_in(self) -> None:
        """Fails where what was tried took away the right to try."""
        for headers, path in ((self.program(), "/v1/account"), (self.person(), "/v1/operators/me")):
            answer = requests.get(self.url + path, headers=headers, timeout=TIMEOUT_S)
            assert answer.status_code == 200, (path, answer.text)


def prepared(url: str, bootstrap: str, environ: Mapping[str, str], directory: Path) -> Ground:
    """Everything made by the commands and requests that people make it with."""
    file = directory / "fuzzed.toml"
    file.write_text(TENANTS, encoding="utf-8")
    apply(bootstrap, file)
    organization = _clearline(environ, "organizations", "create", "Fuzzed Group")
    for tenant in (TENANT, "spare"):
        _clearline(environ, "organizations", "take", organization, tenant)
    for email in ("admin@example.com", "other@example.com"):
        _clearline(environ, "operators", "add", organization, email, "--role", "admin")
    ground = Ground(
        url, _clearline(environ, "keys", "create", TENANT, "--name", IN_USE), _signed_in(url, "admin@example.com")
    )
    _fill(ground)
    ground.ids = _harvest(ground)
    return ground


def _clearline(environ: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "infra.cli", *arguments]
    done = subprocess.run(
        command, env=dict(environ), capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _signed_in(url: str, email: str) -> str:
    """The cookie of somebody whom the development issuer believes."""
    with requests.Session() as browser:

        def page() -> Any:
            found = browser.get(f"{url}/v1/operators/login", timeout=TIMEOUT_S)
            return found if found.status_code == 200 else None

        asked = wait_until(page, "the issuer answers").url
        hidden = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(asked).query))
        # The session is known as soon as the API has read its own record.
        done = browser.post(
            asked.partition("?")[0], data={**hidden, "email": email}, timeout=TIMEOUT_S, allow_redirects=False
        )
        back = browser.get(done.headers["Location"], timeout=TIMEOUT_S, allow_redirects=False)
        assert back.status_code == 303, back.text
        return browser.cookies[COOKIE]


def _fill(ground: Ground) -> None:
    """Objects of every kind."""
    customer = _made(ground, "/v1/customers", {"name": "Somebody", "email": "somebody@example.com"})
    ground.customer = customer["id"]
    setup = {"customer": customer["id"], "payment_method": "pm_card_visa"}
    _made(ground, "/v1/setup_intents", {**setup, "confirm": "true"})
    _made(ground, "/v1/setup_intents", setup)
    _made(ground, "/v1/payment_methods", {"type": "card", "card[token]": "tok_visa"})
    for more in (
        {"payment_method": "pm_card_createDispute"},
        {"capture_method": "manual"},
        {"capture_method": "manual"},
        {},
    ):
        paid = _made(ground, "/v1/payment_intents", {**VISA, **more})
    _made(ground, "/v1/payment_intents", {"amount": "500", "currency": "eur"})
    _made(ground, "/v1/refunds", {"payment_intent": paid["id"], "amount": "100"})
    _made(ground, "/v1/webhook_endpoints", {"url": "https://example.com/hook", "enabled_events[]": "*"})
    for _ in range(2):
        _made(ground, "/v1/api_keys", {"type": "restricted", "scopes[]": "charges:read"})
    _made(ground, "/v1/routing/policies", {"providers[]": "northpay"})
    _made(ground, "/v1/tenants/spare/status", {"status": "suspended"}, person=True)

    def settled() -> bool:
        asked = {"amount": "10", "currency": "eur"}
        return (
            requests.post(
                f"{ground.url}/v1/payouts", data=asked, headers=ground.program(), timeout=TIMEOUT_S
            ).status_code
            == 200
        )

    wait_until(settled, "something is settled and paid out")


def _made(ground: Ground, path: str, given: dict[str, str], *, person: bool = False) -> dict[str, Any]:
    headers = ground.person() if person else ground.program()
    answer = requests.post(ground.url + path, data=given, headers=headers, timeout=TIMEOUT_S)
    assert answer.status_code == 200, (path, answer.text)
    found: dict[str, Any] = answer.json()
    return found


def _harvest(ground: Ground) -> dict[str, list[str]]:
    """Ids by the path that lists them. Those whose loss would end the run are left out: the key in use, the admin's own tenant."""
    found: dict[str, list[str]] = {}
    for operation in catalogue.operations():
        if operation.answers == "list" and "{" not in operation.path:
            found[operation.path] = [one["id"] for one in _listed(ground, operation) if one.get("name") != IN_USE]
    found["/v1/accounts"] = [TENANT]
    found["/v1/tenants"] = ["spare"]
    return found


def _listed(ground: Ground, operation: Operation) -> list[dict[str, Any]]:
    asked = {}
    if operation.path == "/v1/payment_methods":
        asked["customer"] = ground.customer
    headers = ground.headers(operation)
    answer = requests.get(ground.url + operation.path, params=asked, headers=headers, timeout=TIMEOUT_S)
    assert answer.status_code == 200, (operation.id, answer.text)
    found: list[dict[str, Any]] = answer.json()["data"]
    return found
