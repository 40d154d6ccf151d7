"""Everything that is told a stack in confidence, or by mistake: by shops, people who sign in, upstream systems, scanners and endpoints.

Each part plants values of its own and remembers the secrets that it is answered; `finds` are ids that have to be found in logs.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import requests
import stripe
from confluent_kafka import Producer

from api.identity.people import COOKIE
from schemas import catalogue, codec
from schemas.clients import producer_config
from schemas.records import PaymentIntent
from tests.e2e._planted import Planted
from tests.e2e.conftest import RunningStack
from tests.integration._runtime_kit import wait_until

TIMEOUT_S = 120
VISA = {"amount": 1_000, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
POISONED = (
    catalogue.PAYMENT_INTENTS,
    catalogue.PAYMENTS_INPUTS,
    catalogue.PAYMENTS_EVENTS,
    catalogue.PROVIDER_REQUESTS,
    catalogue.SETTLEMENT_INPUTS,
    catalogue.CUSTOMERS_INPUTS,
    catalogue.API_KEYS,
    catalogue.TENANTS,
    catalogue.WEBHOOKS_ENDPOINTS,
    catalogue.WEBHOOKS_DELIVERIES,
)
"""Topics on which somebody puts what is no record."""


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
        shop = stripe.StripeClient(self.key, base_addresses={"api": self.url})
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
        paid = self._kept(shop.v1.payment_intents.create({**VISA, **words, "customer": customer.id}, again))
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

    def _challenged(self, shop: stripe.StripeClient, words: dict[str, Any]) -> None:
        asked = {**VISA, **words, "payment_method": "pm_card_authenticationRequired"}
        payment = self._kept(shop.v1.payment_intents.create(asked))
        page = urllib.parse.urljoin(self.stack.simulator, payment.next_action.redirect_to_url.url)
        assert requests.post(page, json={"outcome": "succeeded"}, timeout=TIMEOUT_S).status_code == 200
        wait_until(lambda: shop.v1.payment_intents.retrieve(payment.id).status == "succeeded", "it is authenticated")

    def _disputed(self, shop: stripe.StripeClient, words: dict[str, Any]) -> None:
        payment = self._kept(
            shop.v1.payment_intents.create({**VISA, **words, "payment_method": "pm_card_createDispute"})
        )
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
        answer = self.asked("POST", "/v1/payment_intents", data={**_form(VISA), "payment_method": method}, expect=None)
        self.finds["gateway"].add(answer.json()["latest_charge"] or f"ch_{answer.json()['id'][3:]}")

    # -- mistakes ----------------------------------------------------------------------------------------------------------------

    def mistakes(self) -> None:
        """Card numbers and keys where neither belongs, wrong credentials, bodies that can't be read, callers that go away."""
        mark, form = self.planted.marker, _form(VISA)
        card = self.planted.card("4242")
        spaced = " ".join(card[at : at + 4] for at in range(0, 16, 4))
        intents = "/v1/payment_intents"
        for given in (
            {"payment_method_data[type]": "card", "payment_method_data[card][number]": card},
            {"source": card},
            {"metadata[card]": spaced},
            {"metadata[" + card + "]": "x"},
            {"description": f"card {spaced}, {mark('a refused description')}"},
            {"payment_method": card},
            {"shipping[name]": mark("a shipping name"), "receipt_email": f"{mark('an e-mail address')}@example.com"},
            {"statement_descriptor": mark("a statement descriptor")},
            {card: "1"},
            {"expand[]": self.key},
        ):
            self.asked("POST", intents, data={**form, **given}, expect=400)
        for body in (f'{{"amount": 1, "card": "{card}"}}', f'{{"number": "{card}', f"\xff{card}", "[" * 900 + card):
            self.asked(
                "POST", intents, data=body.encode("latin-1"), headers={"Content-Type": "application/json"}, expect=400
            )
        for path in (
            f"{intents}/{card}",
            f"/v1/cards/{card}",
            f"{intents}?number={card}",
            f"/{self.key}/{mark('a path')}",
        ):
            self.asked("GET", path, expect=None)
            self.asked("PUT", path, expect=None)
        self.asked("GET", f"/v1/charges?key={self.key}&api_key={self.key}", expect=None)
        self.asked("GET", f"/v1/customers/cus_{mark('an id')}", expect=404)
        self.asked("GET", f"{intents}/search?query={urllib.parse.quote(mark('a bad query'))}:", expect=400)
        for name in (
            "Idempotency-Key",
            "Stripe-Version",
            "Stripe-Account",
            "Stripe-Context",
            "traceparent",
            "User-Agent",
        ):
            for value in (card, self.key, mark(f"a header {name}")):
                self.asked("POST", intents, data=form, headers={name: value}, expect=None)
        for wrong in (
            f"Bearer sk_test_{mark('a wrong key')}",
            f"Token {mark('a wrong key')}",
            f"Basic {mark('no base64')}",
        ):
            self.asked("GET", "/v1/charges", key="", headers={"Authorization": wrong}, expect=401)
        self.asked("GET", "/v1/charges", key="", auth=(self.key, mark("a password")), expect=None)
        self.asked("GET", "/v1/account", key="", headers={"Cookie": f"{COOKIE}={mark('a cookie')}"}, expect=401)
        with contextlib.suppress(requests.Timeout):
            requests.post(
                f"{self.url}{intents}",
                data={**form, "description": mark("cut off")},
                auth=(self.key, ""),
                timeout=0.001,
            )

    def garbage(self) -> None:
        """What is no HTTP, at every port that speaks it, with a credential or a card number in each; and requests that break off."""
        card = self.planted.card("5555")
        token = self.stack.read.internal_token
        for port in self.ports():
            value = self.planted.marker(f"malformed HTTP at port {port}")
            for raw in (
                f"GET /?key={self.key}&{value} HTTX\r\n\r\n",
                f"GET /{value}/{card} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\x01\r\n\r\n",
                f"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: {card}{value}\r\n\r\n",
                f"GET / HTTP/1.1\r\n{value} {self.key} {card}\r\n\r\n",
                f"{value.upper()} /{value} HTTP/1.1\r\nHost: x\r\n\r\n",
                f"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{value}{card}\r\n\r\n",
                f"\x16\x03\x01{value}{self.key}\r\n\r\n",
                f"POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\ndescription={value}{card}",
            ):
                _send(port, raw.encode("latin-1"))
        for worker in self.stack.workers:
            for given in (self.planted.marker("a wrong internal token"), token):
                asked = {"Authorization": f"Bearer {given}"}
                requests.get(f"http://127.0.0.1:{worker}/payments/acme/{value}", headers=asked, timeout=TIMEOUT_S)
        place = self.stack.read.warehouse
        for user, password in ((place.user, self.planted.marker("a wrong password")), (place.user, place.password)):
            sql = f"SELECT toUInt8('{self.planted.marker('a query')}') FROM {self.planted.marker('a table')}"
            requests.post(f"http://127.0.0.1:{place.port}/", data=sql, auth=(user, password), timeout=TIMEOUT_S)
        self.command("sql", f"SELECT toUInt8('{self.planted.marker('a query')}'", status=None)
        self.printed.popitem()  # the person's own statement, shown to them

    def ports(self) -> Iterator[int]:
        """Every port of the stack that speaks HTTP."""
        for process in self.stack.stack.status().processes:
            yield from (port for use, port in process.ports.items() if use in ("http", "web"))

    # -- people ------------------------------------------------------------------------------------------------------------------

    def people(self) -> None:
        """Two who sign in; what one asks and the other decides; an end, and what comes back without having been begun."""
        ada, bob = self._signed_in(self.ada), self._signed_in(self.bob)
        why = {"Stripe-Context": "acme", "Clearline-Reason": self.planted.marker("a reason")}
        suspend = {"data": {"status": "suspended"}, "timeout": TIMEOUT_S}
        for who in (ada, bob):
            for path in ("/v1/tenants", "/v1/payment_intents", "/v1/operators/approvals"):
                assert who.get(f"{self.url}{path}", headers=why, timeout=TIMEOUT_S).status_code == 200
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

    # -- endpoints and upstream --------------------------------------------------------------------------------------------------

    def endpoints(self, receiver: Receiver) -> None:
        """Endpoints that fail, with secrets in their addresses; one is disabled; secrets rolled. Call it before payments are made."""
        for path in ("hook", "other"):
            given = {
                "enabled_events[]": "*",
                "url": f"{receiver.url}/{path}?token={self.planted.marker('a token in a URL')}",
            }
            made = self.asked("POST", "/v1/webhook_endpoints", data=given).json()
            self.asked("POST", f"/v1/webhook_endpoints/{made['id']}/roll_secret", data={"expires_in": "3600"})
            self.finds["webhooks"].add(made["id"])
        away = {"enabled_events[]": "*", "url": f"http://127.0.0.1:1/{self.planted.marker('a path of a URL')}"}
        self.asked("POST", "/v1/webhook_endpoints", data=away)
        user = f"http://user:{self.planted.marker('a password in a URL')}@127.0.0.1:1/hook"
        self.asked("POST", "/v1/webhook_endpoints", data={"enabled_events[]": "*", "url": user}, expect=None)

    def upstream(self) -> None:
        """Intents that are refused, for a card number among other things, and bytes that are no record, on ten topics."""
        card = self.planted.card("4000")
        person = {
            "billing_name": self.planted.marker("a name"),
            "receipt_email": f"{self.planted.marker('an e-mail')}@example.com",
        }
        intents = [
            PaymentIntent(tenant="acme", intent_key="refused-1", amount_minor=-1, currency="EUR", personal=person),
            PaymentIntent(tenant="acme", intent_key="refused-2", amount_minor=1, currency="EUR", payment_method=card),
            PaymentIntent(tenant="acme", intent_key=f"refused-{card}", amount_minor=1, currency="EUR", personal=person),
            PaymentIntent(tenant="acme", intent_key="taken", amount_minor=900, currency="EUR", payment_method="pm_card_visa", personal=person),
        ]  # fmt: skip
        producer = Producer(producer_config(self.stack.read.kafka))
        for one in intents:
            self.poison.add(codec.encode(one))
            producer.produce(catalogue.PAYMENT_INTENTS.name, codec.encode(one), f"acme/{one.intent_key}".encode())
        for topic in POISONED:
            for head in (b"", b"\x00\x00\x00\xff\xff", b"\x00\x00\x00\x00\x01"):
                value = (
                    head + f'{{"pan": "{card}", "name": "{self.planted.marker(f"poison on {topic.name}")}"}}'.encode()
                )
                key = f"acme/{self.planted.marker(f'a key of poison on {topic.name}')}".encode()
                self.poison.add(value)
                producer.produce(topic.name, value, key)
        assert producer.flush(TIMEOUT_S) == 0


class Receiver:
    """An endpoint that answers 500, with words that are nobody's business."""

    def __init__(self, planted: Planted) -> None:
        body = json.dumps({"error": planted.marker("what an endpoint answered")}).encode()
        marker = planted.marker("a header of an endpoint's answer")
        heard = self.heard = threading.Semaphore(0)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(500, marker)
                self.send_header("X-Trace", marker)
                self.send_header("Set-Cookie", f"session={marker}")
                self.end_headers()
                self.wfile.write(body)
                heard.release()

            def log_message(self, *_arguments) -> None:
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()


def _form(given: dict[str, Any]) -> dict[str, str]:
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


def _send(port: int, raw: bytes) -> None:
    """Send bytes, and wait for an answer or an end; a server that waits for more is left."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass
