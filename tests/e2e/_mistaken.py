"""What is said to a stack by mistake or in bad faith: by shops that err, scanners, upstream systems and endpoints."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import urllib.parse
from collections.abc import Iterator

import requests
from confluent_kafka import Producer

from api.identity.people import COOKIE
from schemas import catalogue, codec
from schemas.clients import producer_config
from schemas.records import PaymentIntent
from tests.e2e._confided import TIMEOUT_S, VISA, Confided, form
from tests.e2e._planted import Planted

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


def mistakes(confided: Confided) -> None:
    """Card numbers and keys where neither belongs, wrong credentials, bodies that can't be read, callers that go away."""
    mark, visa = confided.planted.marker, form(VISA)
    card = confided.planted.card("4242")
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
        {"expand[]": confided.key},
    ):
        confided.asked("POST", intents, data={**visa, **given}, expect=400)
    for body in (f'{{"amount": 1, "card": "{card}"}}', f'{{"number": "{card}', f"\xff{card}", "[" * 900 + card):
        confided.asked(
            "POST", intents, data=body.encode("latin-1"), headers={"Content-Type": "application/json"}, expect=400
        )
    for path in (
        f"{intents}/{card}",
        f"/v1/cards/{card}",
        f"{intents}?number={card}",
        f"/{confided.key}/{mark('a path')}",
    ):
        confided.asked("GET", path, expect=None)
        confided.asked("PUT", path, expect=None)
    confided.asked("GET", f"/v1/charges?key={confided.key}&api_key={confided.key}", expect=None)
    confided.asked("GET", f"/v1/customers/cus_{mark('an id')}", expect=404)
    confided.asked("GET", f"{intents}/search?query={urllib.parse.quote(mark('a bad query'))}:", expect=400)
    for name in (
        "Idempotency-Key",
        "Stripe-Version",
        "Stripe-Account",
        "Stripe-Context",
        "traceparent",
        "User-Agent",
    ):
        for value in (card, confided.key, mark(f"a header {name}")):
            confided.asked("POST", intents, data=visa, headers={name: value}, expect=None)
    for wrong in (
        f"Bearer sk_test_{mark('a wrong key')}",
        f"Token {mark('a wrong key')}",
        f"Basic {mark('no base64')}",
    ):
        confided.asked("GET", "/v1/charges", key="", headers={"Authorization": wrong}, expect=401)
    confided.asked("GET", "/v1/charges", key="", auth=(confided.key, mark("a password")), expect=None)
    confided.asked("GET", "/v1/account", key="", headers={"Cookie": f"{COOKIE}={mark('a cookie')}"}, expect=401)
    with contextlib.suppress(requests.RequestException):
        requests.post(
            f"{confided.url}{intents}",
            data={**visa, "description": mark("cut off")},
            auth=(confided.key, ""),
            timeout=0.001,
        )


def garbage(confided: Confided) -> None:
    """What is no HTTP, at every port that speaks it, with a credential or a card number in each; and requests that break off."""
    card = confided.planted.card("5555")
    token = confided.stack.read.internal_token
    for port in ports(confided):
        value = confided.planted.marker(f"malformed HTTP at port {port}")
        for raw in (
            f"GET /?key={confided.key}&{value} HTTX\r\n\r\n",
            f"GET /{value}/{card} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\x01\r\n\r\n",
            f"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: {card}{value}\r\n\r\n",
            f"GET / HTTP/1.1\r\n{value} {confided.key} {card}\r\n\r\n",
            f"{value.upper()} /{value} HTTP/1.1\r\nHost: x\r\n\r\n",
            f"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{value}{card}\r\n\r\n",
            f"\x16\x03\x01{value}{confided.key}\r\n\r\n",
            f"POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\ndescription={value}{card}",
        ):
            _send(port, raw.encode("latin-1"))
    for worker in confided.stack.workers:
        for given in (confided.planted.marker("a wrong internal token"), token):
            asked = {"Authorization": f"Bearer {given}"}
            requests.get(f"http://127.0.0.1:{worker}/payments/acme/{value}", headers=asked, timeout=TIMEOUT_S)
    place = confided.stack.read.warehouse
    for user, password in ((place.user, confided.planted.marker("a wrong password")), (place.user, place.password)):
        sql = f"SELECT toUInt8('{confided.planted.marker('a query')}') FROM {confided.planted.marker('a table')}"
        requests.post(f"http://127.0.0.1:{place.port}/", data=sql, auth=(user, password), timeout=TIMEOUT_S)
    confided.command("sql", f"SELECT toUInt8('{confided.planted.marker('a query')}'", status=None)
    confided.printed.popitem()  # the person's own statement, shown to them


def ports(confided: Confided) -> Iterator[int]:
    """Every port of the stack that speaks HTTP."""
    for process in confided.stack.stack.status().processes:
        yield from (port for use, port in process.ports.items() if use in ("http", "web"))


def endpoints(confided: Confided, receiver: Receiver) -> None:
    """Endpoints that fail, with secrets in their addresses; one is disabled; secrets rolled. Call it before payments are made."""
    for path in ("hook", "other"):
        given = {
            "enabled_events[]": "*",
            "url": f"{receiver.url}/{path}?token={confided.planted.marker('a token in a URL')}",
        }
        made = confided.asked("POST", "/v1/webhook_endpoints", data=given).json()
        confided.asked("POST", f"/v1/webhook_endpoints/{made['id']}/roll_secret", data={"expires_in": "3600"})
        confided.finds["webhooks"].add(made["id"])
    away = {"enabled_events[]": "*", "url": f"http://127.0.0.1:1/{confided.planted.marker('a path of a URL')}"}
    confided.asked("POST", "/v1/webhook_endpoints", data=away)
    user = f"http://user:{confided.planted.marker('a password in a URL')}@127.0.0.1:1/hook"
    confided.asked("POST", "/v1/webhook_endpoints", data={"enabled_events[]": "*", "url": user}, expect=None)


def upstream(confided: Confided) -> None:
    """Intents that are refused, for a card number or a secret among other things, and bytes that are no record, on ten topics."""
    card = confided.planted.card("4000")
    whole = {"tenant": "acme", "amount_minor": 1, "currency": "EUR", "payment_method": "pm_card_visa"}
    secret = f"pi_{'0' * 24}_secret_{confided.planted.marker('a client secret')}"
    person = {
        "billing_name": confided.planted.marker("a name"),
        "receipt_email": f"{confided.planted.marker('an e-mail')}@example.com",
    }
    intents = [
        PaymentIntent(tenant="acme", intent_key="refused-1", amount_minor=-1, currency="EUR", personal=person),
        PaymentIntent(tenant="acme", intent_key="refused-2", amount_minor=1, currency="EUR", payment_method=card),
        PaymentIntent(tenant="acme", intent_key=f"refused-{card}", amount_minor=1, currency="EUR", personal=person),
        PaymentIntent(tenant="acme", intent_key="taken", amount_minor=900, currency="EUR", payment_method="pm_card_visa", personal=person),
    ]  # fmt: skip
    for number, value in enumerate((confided.key, secret)):
        for given in ({"description": f"see {value}"}, {"metadata": {"key": value}}, {"request_id": value}):
            named = next(iter(given))
            intents.append(PaymentIntent(intent_key=f"secret-{number}-{named}", **whole, **given))
    producer = Producer(producer_config(confided.stack.read.kafka))
    for one in intents:
        confided.poison.add(codec.encode(one))
        producer.produce(catalogue.PAYMENT_INTENTS.name, codec.encode(one), f"acme/{one.intent_key}".encode())
    for topic in POISONED:
        for head in (b"", b"\x00\x00\x00\xff\xff", b"\x00\x00\x00\x00\x01"):
            value = (
                head
                + f'{{"pan": "{card}", "key": "{confided.key}", "name": "{confided.planted.marker(f"poison on {topic.name}")}"}}'.encode()
            )
            key = f"acme/{confided.planted.marker(f'a key of poison on {topic.name}')}".encode()
            confided.poison.add(value)
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


def _send(port: int, raw: bytes) -> None:
    """Send bytes, and wait for an answer or an end; a server that waits for more is left."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass
