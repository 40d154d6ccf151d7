"""Payouts by Stripe's official SDK against a running stack: made of what is settled, once each, whatever is lost or killed."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from typing import Any

import pytest
import stripe

from infra.configure import apply
from tests.integration._house import wait_until
from tests.integration.api._answers import look

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

TENANTS = """
[[tenants]]
tenant = "payee"
name = "Payee"
timezone = "UTC"
settlement_cutoff = "00:00"
settlement_interval_ms = 1000

[[tenants]]
tenant = "patient"
name = "Patient"
timezone = "UTC"
settlement_cutoff = "00:00"
settlement_interval_ms = 1000
payout_delay_ms = 3600000

[[tenants]]
tenant = "punctual"
name = "Punctual"
timezone = "UTC"
settlement_cutoff = "00:00"
settlement_interval_ms = 1000
payout_schedule = "automatic"
"""


class Payee:
    """A tenant with short settlement windows, and its client."""

    def __init__(self, api, tenant: str) -> None:
        self.api, self.key = api, api.key(tenant)
        self.client = api.client(self.key)
        self.payouts = self.client.v1.payouts

    def get(self, path: str) -> dict[str, Any]:
        """A resource of ours, which the SDK has no word for."""
        asked = urllib.request.Request(f"{self.api.url}{path}", headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            body = answer.read()
        look("GET", asked.full_url, "", status=answer.status, headers=answer.headers, body=body)
        return json.loads(body)

    def earn(self, amount: int = 10_000, currency: str = "eur") -> dict[str, Any]:
        """A payment, once the window that it is in has closed and landed; that window."""
        known = {one["id"] for one in self.windows()}
        self.client.v1.payment_intents.create(
            {"amount": amount, "currency": currency, "payment_method": "pm_card_visa", "confirm": True}
        )
        return wait_until(
            lambda: next(
                (
                    one
                    for one in self.windows()
                    if one["id"] not in known and one["gross"] and one["status"] == "closed"
                ),
                None,
            ),
            "the window has closed",
        )

    def windows(self) -> list[dict[str, Any]]:
        """The newest settlement windows."""
        return self.get("/v1/settlement_windows?limit=100")["data"]

    def until(self, identity: str, status: str):
        """The payout, once it has that status."""

        def fact():
            found = self.payouts.retrieve(identity)
            return found if found.status == status else None

        return wait_until(fact, f"{identity} is {status}")

    def made(self, identity: str) -> list[dict[str, Any]]:
        """The payout in its provider's own books."""
        base = f"http://127.0.0.1:{self.api.house.ports.simulator}"
        with urllib.request.urlopen(f"{base}/northpay/v1/payouts?limit=1000", timeout=60) as answer:
            return [one for one in json.load(answer)["data"] if one["payment_reference"].endswith(f"/{identity}")]


@pytest.fixture(scope="module")
def tenants(api, tmp_path_factory):
    """Three tenants more: one as others, one whose payouts can be canceled for an hour, one that is paid out at every close."""
    file = tmp_path_factory.mktemp("tenants") / "tenants.toml"
    file.write_text(TENANTS)
    apply(api.house.bootstrap, file)
    return api


@pytest.fixture(scope="module")
def payee(tenants) -> Payee:
    """The one as others, with something settled."""
    made = Payee(tenants, "payee")
    window = made.earn(100_000)
    assert (window["net"], window["payout"]) == (window["gross"] + window["fees"], None)
    return made


def test_a_payouts_life(api, payee) -> None:
    """Made, in transit, paid: the same for the same key, found and paged through, off the balance, once in the provider's books."""
    before = payee.client.v1.balance.retrieve()
    key = uuid.uuid4().hex
    asked = {"amount": 5_000, "currency": "eur", "description": "Week 1", "metadata": {"run": "1"}}
    made = payee.payouts.create(asked, {"idempotency_key": key})
    assert (made.object, made.status, made.amount, made.currency) == ("payout", "pending", 5_000, "eur")
    assert (made.description, made.metadata.to_dict(), made.automatic) == ("Week 1", {"run": "1"}, False)
    again = payee.payouts.create(asked, {"idempotency_key": key})
    assert again.to_dict() == made.to_dict()
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        payee.payouts.create({**asked, "amount": 5_001}, {"idempotency_key": key})
    paid = payee.until(made.id, "paid")
    assert (paid.failure_code, paid.metadata.to_dict()) == (None, {"run": "1"})
    (theirs,) = payee.made(made.id)
    assert (theirs["amount_minor"], theirs["state"]) == (5_000, "paid")
    after = payee.client.v1.balance.retrieve()
    (left,) = [one.amount for one in after.available if one.currency == "eur"]
    assert left == next(one.amount for one in before.available if one.currency == "eur") - 5_000
    moved = payee.client.v1.balance_transactions.list({"type": "payout", "source": made.id}).data
    assert [(one.amount, one.net, one.fee, one.id) for one in moved] == [(-5_000, -5_000, 0, paid.balance_transaction)]
    told = payee.client.v1.events.list({"type": "payout.*", "limit": 100}).data
    ours = [one for one in reversed(told) if one.data.object.id == made.id]
    assert [one.type for one in ours][:2] == ["payout.created", "payout.updated"]
    assert (ours[-1].type, ours[-1].data.object.status) == ("payout.paid", "paid")
    assert payee.client.v1.events.retrieve(ours[0].id).data.object.status == "pending"
    assert {one.type.partition(".")[0] for one in payee.client.v1.events.list({"limit": 100}).auto_paging_iter()} >= {
        "payment_intent",
        "payout",
    }
    others = [payee.payouts.create({"amount": 100 + number, "currency": "eur"}).id for number in range(3)]
    ids = [one.id for one in payee.payouts.list({"limit": 2}).auto_paging_iter()]
    assert ids == [*reversed(others), made.id]
    back = [one.id for one in payee.payouts.list({"limit": 2, "ending_before": made.id}).auto_paging_iter()]
    assert back == others
    assert made.id in [one.id for one in payee.payouts.list({"status": "paid"}).data]
    assert payee.payouts.list({"status": "failed"}).data == []
    assert payee.payouts.list({"created": {"lt": made.created}}).data == []
    with pytest.raises(stripe.InvalidRequestError) as refused:
        payee.payouts.cancel(made.id)
    assert refused.value.code == "payout_not_cancelable"


def test_not_more_than_is_settled(payee) -> None:
    """The answer tells how much there is and where; wrong parameters are named; nothing is made."""
    count = len(payee.payouts.list({"limit": 100}).data)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        payee.payouts.create({"amount": 10**9, "currency": "eur"})
    assert (refused.value.code, refused.value.param) == ("balance_insufficient", "amount")
    assert "northpay" in str(refused.value)
    for parameters, code in (
        ({"amount": 5, "currency": "usd"}, "balance_insufficient"),
        ({"amount": 5, "currency": "eur", "provider": "nowhere"}, "balance_insufficient"),
        ({"amount": 5, "currency": "xyz"}, "currency_unknown"),
        ({"amount": 0, "currency": "eur"}, "parameter_invalid_integer"),
        ({"currency": "eur"}, "parameter_missing"),
        ({"amount": 5, "currency": "eur", "method": "instant"}, "parameter_unknown"),
        ({"amount": 5, "currency": "eur", "provider": "north/pay"}, "parameter_invalid"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            payee.payouts.create(parameters)
        assert refused.value.code == code, parameters
    assert len(payee.payouts.list({"limit": 100}).data) == count


def test_another_tenants_payouts_are_not_there(api, payee, acme) -> None:
    """Not by id, in a list, as a cursor or to be canceled; windows and reconciliations neither."""
    made = payee.payouts.create({"amount": 10, "currency": "eur"})
    payee.until(made.id, "paid")
    for act in (acme.v1.payouts.retrieve, acme.v1.payouts.cancel):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            act(made.id)
        assert (refused.value.code, refused.value.http_status) == ("resource_missing", 404)
    assert acme.v1.payouts.list().data == []
    with pytest.raises(stripe.InvalidRequestError):
        acme.v1.payouts.list({"starting_after": made.id})
    window = payee.windows()[0]["id"]
    stranger = Payee(api, "acme")
    assert window not in [one["id"] for one in stranger.windows()]
    with pytest.raises(urllib.error.HTTPError) as missing:
        stranger.get(f"/v1/settlement_windows/{window}")
    assert missing.value.code == 404
    missing.value.close()
    assert payee.get(f"/v1/settlement_windows/{window}")["id"] == window


def test_a_pending_payout_is_canceled(tenants) -> None:
    """Its money is there again, and its provider has never heard of it."""
    patient = Payee(tenants, "patient")
    window = patient.earn()
    made = patient.payouts.create({"amount": window["net"], "currency": "eur", "provider": "northpay"})
    with pytest.raises(stripe.InvalidRequestError):
        patient.payouts.create({"amount": 1, "currency": "eur"})
    key = uuid.uuid4().hex
    canceled = patient.payouts.cancel(made.id, options={"idempotency_key": key})
    assert (canceled.id, canceled.status) == (made.id, "canceled")
    assert patient.payouts.cancel(made.id, options={"idempotency_key": key}).status == "canceled"
    shown = patient.payouts.retrieve(made.id)
    assert (shown.status, bool(shown.failure_balance_transaction)) == ("canceled", True)
    assert patient.payouts.create({"amount": window["net"], "currency": "eur"}).status == "pending"
    assert patient.made(made.id) == []


def test_a_close_is_paid_out_where_the_tenant_wants_that(tenants) -> None:
    """All of it, by a payout that names its window, as the window does."""
    punctual = Payee(tenants, "punctual")
    window = punctual.earn()
    made = wait_until(lambda: next(iter(punctual.payouts.list().data), None), "the payout is made")
    assert (made.automatic, made.amount) == (True, window["net"])
    assert made.to_dict()["clearline"]["settlement_window"] == window["id"]
    assert punctual.get(f"/v1/settlement_windows/{window['id']}")["payout"] == made.id
    punctual.until(made.id, "paid")


@pytest.mark.parametrize(
    ("destination", "status", "failure"),
    [
        ("ba_test_dropAfterPaying", "paid", None),
        ("ba_test_accountClosed", "failed", "account_closed"),
        ("ba_test_returned", "failed", "no_account"),
    ],
)
def test_what_becomes_of_it_is_found_out(payee, destination, status, failure) -> None:
    """The answer got lost after it was made; it failed; it came back after it was paid: never more than one, and the money adds up."""
    made = payee.payouts.create({"amount": 50, "currency": "eur", "destination": destination})
    found = payee.until(made.id, status)
    assert (found.failure_code, bool(found.failure_balance_transaction)) == (failure, failure is not None)
    assert len(payee.made(made.id)) == 1


def test_nothing_is_paid_twice_when_worker_and_gateway_are_killed(api, payee) -> None:
    """`kill -9` of both with payouts under way, some with lost answers: each is paid once, and every proof holds."""
    made = [
        payee.payouts.create({"amount": 20 + number, "currency": "eur", "destination": destination}).id
        for number in range(3)
        for destination in ("ba_test_flaky", "ba_test_dropAfterPaying")
    ]
    for name in ("gateway", "worker-0"):
        running = next(one for one in reversed(api.house._running) if one.spec.name == name)
        running.kill()
    for name in ("worker-0", "gateway"):
        api.house.start(name).ready()
    for identity in made:
        payee.until(identity, "paid")
        assert len(payee.made(identity)) == 1

    def compared() -> list[dict[str, Any]]:
        found = payee.get("/v1/reconciliations?limit=100")["data"]
        return found if found and all(one["status"] == "matched" for one in found) else []

    told = wait_until(compared, lambda: str(payee.get("/v1/reconciliations?limit=100")["data"]))
    assert {one["kind"] for one in told} == {
        "payments_to_windows",
        "ledger_to_windows",
        "payouts_to_ledger",
        "payouts_to_balance_transactions",
    }
    assert all(one["remainder"] == 0 and one["records"] > 0 for one in told)


def test_metadata_is_updated_and_balance_transactions_are_expanded(payee) -> None:
    """Right in the answer, in what is read and in an event; the money that it took is shown in its place."""
    made = payee.payouts.create({"amount": 1_100, "currency": "eur", "metadata": {"run": "7"}})
    changed = payee.payouts.update(made.id, {"metadata": {"run": "", "seen": "yes"}})
    assert changed.metadata.to_dict() == {"seen": "yes"}
    found = payee.payouts.retrieve(made.id, {"expand": ["balance_transaction"]})
    assert found.metadata.to_dict() == {"seen": "yes"}
    transaction = found.balance_transaction
    assert (transaction.object, transaction.amount, transaction.type) == ("balance_transaction", -1_100, "payout")
    (listed,) = payee.payouts.list({"limit": 1, "expand": ["data.balance_transaction"]}).data
    assert listed.balance_transaction.id == transaction.id
    told = payee.client.v1.events.list({"type": "payout.updated", "limit": 100}).data
    assert {"seen": "yes"} in [one.data.object.to_dict()["metadata"] for one in told if one.data.object.id == made.id]
    with pytest.raises(stripe.InvalidRequestError):
        payee.payouts.retrieve(made.id, {"expand": ["destination"]})
    assert payee.payouts.update(made.id, {"metadata": ""}).metadata.to_dict() == {}
