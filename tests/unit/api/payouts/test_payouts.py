"""Which provider a payout is proposed for, and what is left undone where none has as much."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from api.http.errors import Refused
from api.http.keys import Identity
from api.http.service import Caller
from api.payouts.payouts import Payouts
from schemas.records import ErrorObject, PayoutObject, PayoutReply, Tenant

DELAY_MS = 86_400_000


class Fold:
    """Claims for the first that is named, and makes what is claimed."""

    def __init__(self) -> None:
        self.asked = []
        self.claimed = {}

    async def send(self, command, *, topic, key):
        """What the fold answers."""
        assert topic == "settlement.inputs"
        self.asked.append((command.kind, command.provider, key))
        provider = self.claimed.get(command.payout_id, command.provider)
        if not provider:
            error = ErrorObject(type="invalid_request_error", code="balance_insufficient", message="m", retryable=True)
            return PayoutReply(tenant="acme", payout_id=command.payout_id, status_code=400, error=error)
        if command.kind == "claim":
            self.claimed[command.payout_id] = provider
            return PayoutReply(tenant="acme", payout_id=command.payout_id, status_code=200, provider=provider)
        made = PayoutObject(id=command.payout_id, amount_minor=command.amount_minor, currency="EUR", status="pending")
        return PayoutReply(tenant="acme", payout_id=command.payout_id, status_code=200, payout=made)


class Balances:
    """What the warehouse says."""

    def __init__(self, payable) -> None:
        self.payable_minor = payable
        self.delays_ms = []

    async def payable(self, tenant, currency, *, delay_ms, now_ms):
        """By provider, most first."""
        assert (tenant, currency, now_ms > 0) == ("acme", "EUR", True)
        self.delays_ms.append(delay_ms)
        return self.payable_minor


async def _nothing(*_arguments) -> None:
    return None


def _payouts(fold, balances) -> Payouts:
    reads = SimpleNamespace(
        paths=lambda given, of: [], expand=_nothing, landed_payouts=SimpleNamespace(note=lambda _reply: None)
    )
    tenants = {"acme": Tenant(tenant="acme", version=1, available_delay_ms=DELAY_MS)}
    return Payouts(fold, balances, reads, tenants)


def _caller(key="k1") -> Caller:
    identity = Identity(
        tenant="acme", key_id="key_1", kind="secret", livemode=False, scopes=("payouts:write",), api_version=""
    )
    return Caller(identity=identity, request_id="req_1", idempotency_key=key, version="", traceparent="")


def _given(amount):
    return {"amount": amount, "currency": "eur"}


async def test_one_that_has_as_much_is_proposed():
    """The first in the warehouse's order that has it; what of it is available is asked by the tenant's own delay."""
    fold, balances = Fold(), Balances({"northpay": 900, "southpay": 500})
    await _payouts(fold, balances)._create(_caller(), {}, _given(800))
    assert fold.asked == [("claim", "northpay", "acme//"), ("create", "northpay", "acme/northpay/EUR")]
    assert balances.delays_ms == [DELAY_MS]


async def test_where_none_has_as_much_nothing_is_claimed():
    """The refusal says what there is; under the same key it is paid out once another provider has it."""
    fold, balances = Fold(), Balances({"northpay": 700, "southpay": 500})
    with pytest.raises(Refused, match="northpay 700, southpay 500") as refused:
        await _payouts(fold, balances)._create(_caller(), {}, _given(800))
    assert (refused.value.code, fold.claimed) == ("balance_insufficient", {})
    balances.payable_minor = {"southpay": 1_300, "northpay": 700}
    await _payouts(fold, balances)._create(_caller(), {}, _given(800))
    assert fold.asked[-1] == ("create", "southpay", "acme/southpay/EUR")


async def test_a_key_that_was_claimed_meets_its_payout_whatever_there_is_now():
    """The balance is gone, as it is once the payout was made: the claim's provider answers."""
    fold, balances = Fold(), Balances({"northpay": 800})
    await _payouts(fold, balances)._create(_caller(), {}, _given(800))
    balances.payable_minor = {}
    again = await _payouts(fold, balances)._create(_caller(), {}, _given(800))
    assert fold.asked[-2:] == [("claim", "", "acme//"), ("create", "northpay", "acme/northpay/EUR")]
    assert again.body["amount"] == 800
