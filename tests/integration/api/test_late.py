"""A landing that stands still for a while: lists say when to come again, all else goes on, and the SDK gets through."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import stripe

from api.reads import landed
from tests.integration._house import wait_until
from tests.integration.api._answers import Watched
from tests.integration.api._asking import ask

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

WRITTEN = {"amount": "1200", "currency": "eur"}


class Counted(Watched):
    """The SDK's client, which tells when the first answer was 503."""

    def __init__(self) -> None:
        super().__init__()
        self.late = threading.Event()

    def request(self, method, url, headers, post_data=None):
        answered = super().request(method, url, headers, post_data)
        if answered[1] == 503:
            self.late.set()
        return answered


def test_the_sdk_sees_out_a_late_landing_by_itself(api, office, monkeypatch) -> None:
    """With two retries: while landing stands still a list is 503 with when to come again, then it has what was written."""
    monkeypatch.setattr(landed, "DEADLINE_S", 0.5)
    monkeypatch.setattr(landed, "WAREHOUSE_BACK_S", 1)
    landing = api.house.running("landing").process.pid
    http = Counted()
    client = stripe.StripeClient(
        office.live_key, base_addresses={"api": office.url}, http_client=http, max_network_retries=2
    )
    found: list[str] = []
    os.kill(landing, signal.SIGSTOP)
    try:
        made = ask(office.port, office.live_key, "POST", "/v1/payment_intents", WRITTEN)
        assert made.status == 200, made.body
        payment = made.json["id"]
        refused = ask(office.port, office.live_key, "GET", "/v1/disputes")
        assert (refused.status, refused.json["error"]["code"]) == (503, "temporarily_unavailable")
        assert (refused.headers["stripe-should-retry"], refused.headers["retry-after"]) == ("true", "1")
        # What needs no warehouse goes on, and so the process is ready.
        assert ask(office.port, office.live_key, "GET", f"/v1/payment_intents/{payment}").status == 200
        assert ask(office.port, "", "GET", "/ready").status == 200
        listing = threading.Thread(
            target=lambda: found.extend(one.id for one in client.v1.payment_intents.list().data), daemon=True
        )
        listing.start()
        assert http.late.wait(60)
    finally:
        # However long it then takes, on a busy machine too.
        monkeypatch.setattr(landed, "DEADLINE_S", 60.0)
        os.kill(landing, signal.SIGCONT)
    wait_until(lambda: not listing.is_alive(), "the SDK has its list")
    assert payment in found
