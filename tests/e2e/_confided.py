"""Everything that is told a stack in confidence, or by mistake: by shops, people who sign in, upstream systems, scanners and endpoints.

Each part plants values of its own and remembers the secrets that it is answered; `finds` are ids that have to be found in logs.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.parse
from collections import defaultdict
from typing import Any

import requests
import stripe

from api.identity.people import COOKIE
from tests.e2e._planted import Planted
from tests.e2e.conftest import RunningStack
from tests.integration._runtime_kit import wait_until

TIMEOUT_S = 120
VISA = {"amount": 1_000, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}


class Confided:
    """One run's confidences."""

    def __init__(self, stack: RunningStack, planted: Planted) -> None:
        self.stack, self.planted = stack, planted
        self.url = stack.apis[0]
        self.port = int(self.url.rpartition(":")[2])
        self.finds: dict[str, set[str]] = defaultdict(set)
        """By process: request ids and objects' ids that its log tells of."""
        self.printed: dict[str, str] = {}
        """What commands printed, but for what is shown once on purpose."""
        self.poison: set[bytes] = set()
        self.key = ""

    # -- commands ----------------------------------------------------------------------------------------------------------------

    def command(self, *arguments: str, status: int | None = 0, **environ: str) -> subprocess.CompletedProcess[str]:
        """`clearline` as a person calls it; what it prints is kept."""
        done = subprocess.run(
            [sys.executable, "-m", "infra.cli", *arguments],
            env={**self.stack.environ, **environ},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert status is None or done.returncode == status, done.stderr
        self.printed[f"clearline {' '.join(arguments[:2])} #{len(self.printed)}"] = done.stdout + done.stderr
        return done

    def shown_once(self, *arguments: str) -> str:
        """A key that a command prints: alone on its stdout, and nowhere else."""
        done = self.command(*arguments)
        name = list(self.printed)[-1]
        self.printed[name] = done.stderr
        return self.planted.secret("an API key", done.stdout.strip())

    def commands(self) -> str:
        """An organisation with two people; a tenant's key; and settings that are wrong. The organisation's id."""
        organization = self.command("organizations", "create", "Example Group").stdout.strip()
        self.command("organizations", "take", organization, "acme")
        for email in ("ada", "bob"):
            address = f"{email}.{self.planted.marker('an operator')}@example.com"
            self.command("operators", "add", organization, address, "--role", "admin", "--name", "A person")
            setattr(self, email, address)
        self.key = self.shown_once("keys", "create", "acme")
        self.shown_once("organizations", "key", organization)
        self.command("keys", "list", "acme")
        self.command("status", "--json", status=None)
        self.command("topics", status=None)
        password = self.planted.marker("a password in a refused setting")
        for variable, value in (
            ("CLEARLINE_CLICKHOUSE", f"clearline:{password}@127.0.0.1:8123/clearline"),
            ("CLEARLINE_KAFKA", f"sasl://clearline:{password}@127.0.0.1"),
            ("CLEARLINE_KAFKA_CONFIG", f'{{"sasl.password": "{password}"'),
        ):
            self.command("sql", "SELECT 1", status=None, **{variable: value})
        self.started_wrongly(CLEARLINE_CLICKHOUSE=f"clearline:{password}@127.0.0.1:8123/clearline")
        self.started_wrongly(CLEARLINE_OIDC_ISSUER=f"http://clearline:{password}@login.example/?secret={password}")
        return organization

    def started_wrongly(self, **environ: str) -> None:
        """A process that refuses its settings."""
        done = subprocess.run(
            [sys.executable, "-m", "api.http", "--port", "0"],
            env={**self.stack.environ, **environ},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 1, done.stdout
        self.printed[f"api.http with {' '.join(environ)}"] = done.stdout + done.stderr

    # -- a shop ------------------------------------------------------------------------------------------------------------------

    def asked(self, method: str, path: str, *, key: str | None = None, expect: int | None = 200, **more: Any) -> Any:
        """A request by hand; `key` None: the shop's. What is answered is kept, whatever the status."""
        headers = more.pop("headers", {})
        if key != "":
            headers = {"Authorization": f"Bearer {key or self.key}", **headers}
        end_s = time.monotonic() + TIMEOUT_S
        answer = requests.request(method, f"{self.url}{path}", headers=headers, timeout=TIMEOUT_S, **more)
        while answer.status_code == 503 and time.monotonic() < end_s:  # a busy machine's: ask again
            answer = requests.request(method, f"{self.url}{path}", headers=headers, timeout=TIMEOUT_S, **more)
        assert expect is None or answer.status_code == expect, (path, answer.status_code, answer.text)
        assert answer.status_code < 500, (path, answer.text)
        if request_id := answer.headers.get("Request-Id"):
            self.finds["api"].add(request_id)
        with contextlib.suppress(ValueError):
            self.planted.answered(answer.json())
        return answer

    def keys(self) -> None:
        """Made, restricted, rolled and revoked over the API."""
        for given in ({}, {"type": "restricted", "scopes[]": "charges:read"}):
            made = self.asked("POST", "/v1/api_keys", data={"name": "Till 4", **given}).json()
            rolled = self.asked("POST", f"/v1/api_keys/{made['id']}/roll", data={"expires_in": "3600"}).json()
            self.asked("GET", "/v1/charges", key=made["secret"])
            self.asked("POST", f"/v1/api_keys/{rolled['id']}/revoke")
            self.asked("GET", "/v1/charges", key=rolled["secret"], expect=None)
            self.asked("POST", "/v1/refunds", key=made["secret"], expect=None)

    def sdk(self) -> None:
        """A shop's whole day with Stripe's SDK: customers, payments of every outcome, refunds, disputes, payouts."""
        mark = self.planted.marker
        shop = stripe.StripeClient(self.key, base_addresses={"api": self.url}, max_network_retries=10)
        person = {
            "name": f"Jenny {mark('a name')}",
            "email": f"jenny.{mark('an e-mail address')}@example.com",
            "phone": f"+49{mark('a phone number')[:17]}",
            "description": mark("a customer's description"),
            "metadata": {mark("metadata's name"): mark("metadata")},
        }
        customer = self._kept(shop.v1.customers.create(person))
        self._kept(shop.v1.customers.update(customer.id, {"name": f"Ann {mark('a name')}"}))
        setup = {"customer": customer.id, "payment_method": "pm_card_visa"}
        self._kept(shop.v1.setup_intents.create({**setup, "confirm": True, "metadata": {"a": mark("metadata")}}))
        method = self._kept(shop.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}}))
        self._kept(shop.v1.payment_methods.attach(method.id, {"customer": customer.id}))
        words = {"description": mark("a payment's description"), "metadata": {"order": mark("metadata")}}
        again = {"idempotency_key": mark("an idempotency key")}
        paid = shop.v1.payment_intents.create({**VISA, **words, "customer": customer.id}, again)
        self._outcome(shop, paid)
        self._kept(shop.v1.payment_intents.create({**VISA, **words, "customer": customer.id}, again))
        self.finds["api"].add(paid.last_response.headers["Request-Id"])
        self._kept(shop.v1.payment_intents.update(paid.id, {"description": mark("a payment's description")}))
        self._kept(
            shop.v1.refunds.create({"payment_intent": paid.id, "amount": 100, "metadata": {"a": mark("metadata")}})
        )
        with contextlib.suppress(stripe.CardError):
            shop.v1.payment_intents.create({**VISA, **words, "payment_method": "pm_card_chargeDeclined"})
        self._challenged(shop, words)
        self._disputed(shop, words)
        self._kept(shop.v1.payment_intents.search({"query": f"metadata['order']:'{mark('a search')}'"}))
        with contextlib.suppress(stripe.InvalidRequestError):
            bank = {"destination": f"ba_{mark('a bank account')}", "description": mark("a payout's description")}
            self._kept(shop.v1.payouts.create({"amount": 10, "currency": "eur", **bank}))
        self._kept(shop.v1.customers.delete(customer.id))
        trace = self.asked("GET", f"/v1/traces/{paid.id}").json()
        assert trace["steps"]

    def _kept(self, answer: Any) -> Any:
        """What the SDK was answered."""
        self.planted.answered(answer.to_dict())
        return answer

    def _outcome(self, shop: stripe.StripeClient, payment: Any) -> Any:
        """A payment once its provider has answered; on a busy machine that takes longer than an answer may."""
        self._kept(payment)
        if payment.status != "processing":
            return payment
        again = shop.v1.payment_intents.retrieve
        return wait_until(
            lambda: (one := again(payment.id)).status != "processing" and one, "the payment has an outcome"
        )

    def _challenged(self, shop: stripe.StripeClient, words: dict[str, Any]) -> None:
        asked = {**VISA, **words, "payment_method": "pm_card_authenticationRequired"}
        payment = self._outcome(shop, shop.v1.payment_intents.create(asked))
        page = urllib.parse.urljoin(self.stack.simulator, payment.next_action.redirect_to_url.url)
        assert requests.post(page, json={"outcome": "succeeded"}, timeout=TIMEOUT_S).status_code == 200
        wait_until(lambda: shop.v1.payment_intents.retrieve(payment.id).status == "succeeded", "it is authenticated")

    def _disputed(self, shop: stripe.StripeClient, words: dict[str, Any]) -> None:
        asked = {**VISA, **words, "payment_method": "pm_card_createDispute"}
        payment = self._outcome(shop, shop.v1.payment_intents.create(asked))
        about = {"payment_intent": payment.id}
        dispute = wait_until(lambda: next(iter(shop.v1.disputes.list(about).data), None), "the dispute is told of")
        evidence = {
            "customer_name": self.planted.marker("a dispute's evidence"),
            "uncategorized_text": self.planted.marker("a dispute's evidence"),
        }
        self._kept(shop.v1.disputes.update(dispute.id, {"evidence": evidence, "submit": True}))

    def unknown_outcome(self) -> None:
        """A payment whose outcome the gateway has to ask for: its log names the request, by its charge."""
        method = "pm_test_dropAfterCharge"
        answer = self.asked("POST", "/v1/payment_intents", data={**form(VISA), "payment_method": method}, expect=None)
        self.finds["gateway"].add(answer.json()["latest_charge"] or f"ch_{answer.json()['id'][3:]}")

    # -- people ------------------------------------------------------------------------------------------------------------------

    def people(self) -> None:
        """Two who sign in; what one asks and the other decides; an end, and what comes back without having been begun."""
        ada, bob = self._signed_in(self.ada), self._signed_in(self.bob)
        why = {"Stripe-Context": "acme", "Clearline-Reason": self.planted.marker("a reason")}
        suspend = {"data": {"status": "suspended"}, "timeout": TIMEOUT_S}
        for who in (ada, bob):
            for path in ("/v1/tenants", "/v1/payment_intents", "/v1/operators/approvals"):
                self._reads(who, path, why)
        asked = ada.post(f"{self.url}/v1/tenants/acme/status", headers=why, **suspend)
        assert asked.status_code == 200, asked.text
        for one in ada.get(f"{self.url}/v1/operators/approvals", headers=why, timeout=TIMEOUT_S).json()["data"]:
            bob.post(f"{self.url}/v1/operators/approvals/{one['id']}/reject", headers=why, timeout=TIMEOUT_S)
        assert ada.post(f"{self.url}/v1/operators/logout", timeout=TIMEOUT_S).status_code == 200
        callback = {"code": self.planted.marker("a code"), "state": self.planted.marker("a state")}
        cookie = {"clearline_sign_in": self.planted.marker("a sign-in's cookie")}
        back = requests.get(f"{self.url}/v1/operators/callback", params=callback, cookies=cookie, timeout=TIMEOUT_S)
        assert back.status_code in (400, 401), back.text
        bob.get(f"{self.url}/v1/operators/callback", params=callback, timeout=TIMEOUT_S)

    def _reads(self, who: requests.Session, path: str, headers: dict[str, str]) -> None:
        url = f"{self.url}{path}"
        wait_until(
            lambda: who.get(url, headers=headers, timeout=TIMEOUT_S).status_code == 200, f"{path} is read", pause_s=0.5
        )

    def _signed_in(self, email: str) -> requests.Session:
        browser = requests.Session()
        begun = browser.get(f"{self.url}/v1/operators/login", allow_redirects=False, timeout=TIMEOUT_S)
        assert begun.status_code == 302, begun.text
        self.planted.secret("a sign-in's cookie", browser.cookies["clearline_sign_in"])
        page = urllib.parse.urlsplit(begun.headers["Location"])
        hidden = dict(urllib.parse.parse_qsl(page.query))
        for name in ("state", "nonce", "code_challenge"):
            self.planted.secret(f"a sign-in's {name}", hidden[name])
        browser.get(begun.headers["Location"], timeout=TIMEOUT_S)
        given = {**hidden, "email": email}
        issuer = page._replace(query="").geturl()
        done = browser.post(issuer, data=given, allow_redirects=False, timeout=TIMEOUT_S)
        back = done.headers["Location"]
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)["code"][0]
        self.planted.secret("an authorisation code", code)
        ended = browser.get(back, allow_redirects=False, timeout=TIMEOUT_S)
        assert ended.status_code == 303, ended.text
        self.planted.secret("a session's cookie", browser.cookies[COOKIE])
        me = f"{self.url}/v1/tenants"
        wait_until(lambda: browser.get(me, timeout=TIMEOUT_S).status_code == 200, "the session is known")
        return browser


def form(given: dict[str, Any]) -> dict[str, str]:
    """Parameters as a form takes them."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
