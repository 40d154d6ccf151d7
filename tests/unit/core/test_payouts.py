"""Payouts: what may be paid out, a payout's whole life, and that no money goes twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from schemas.records import Attribution, ClockTick, Movement, PayoutCommand, PayoutEvent, PayoutResult, Tenant
from streams.core import Decision, InvariantBroken, ids, keys, settle
from streams.core.payouts import MATURING_MAX, ROWS
from streams.core.state import Payout, PayoutMoney, decode, encode
from tests.unit.core.world import T0, TENANT, World

DAY_MS = 86_400_000
MIDNIGHT = T0 - T0 % DAY_MS
WHO = Attribution(actor_kind="provider", actor_id="northpay", request_id="req")


class Till:
    """A world of settlement with one tenant, and payouts as short calls."""

    def __init__(self, *, settled_minor: int = 1000, **tenant: Any) -> None:
        self.world = World(settle, topic="settlement.inputs")
        self.world.put(Tenant(tenant=TENANT, version=1, **tenant))
        self.moved = 0
        if settled_minor:
            self.settle(settled_minor)

    def move(self, amount_minor: int, *, provider: str = "northpay") -> None:
        """Something was captured or refunded on the day that the clock shows."""
        self.moved += 1
        self.world.put(
            Movement(
                movement_id=f"mv_{self.moved}",
                tenant=TENANT,
                provider=provider,
                currency="EUR",
                kind="capture" if amount_minor > 0 else "refund",
                amount_minor=amount_minor,
                payment_id="pi_1",
                object_id="ch_1",
                event_id="evt_1",
                occurred_ms=self.world.time_ms,
                attribution=WHO,
            )
        )

    def settle(self, amount_minor: int, **more: Any) -> Decision:
        """It is captured, and its day ends."""
        self.move(amount_minor, **more)
        return self.day()

    def day(self) -> Decision:
        """A day goes by."""
        return self.world.tick(self.world.time_ms + DAY_MS)

    def tick(self, after_ms: int = 1000) -> Decision:
        """A second goes by."""
        return self.world.tick(self.world.time_ms + after_ms)

    def send(self, kind: str, key: str = "k1", *, of: str = "", **fields: Any) -> Decision:
        """A command about the payout that the key `of` (or `key`) made."""
        fields.setdefault("provider", "northpay")
        fields.setdefault("currency", "EUR")
        fields.setdefault("payout_id", ids.payout_id(TENANT, of or key))
        fields.setdefault("fingerprint", f"fp-{key}")
        fields.setdefault("reply_partition", 2)
        who = Attribution(actor_kind="api_key", actor_id="key_1", request_id=f"req-{key}", idempotency_key=key)
        return self.world.put(PayoutCommand(tenant=TENANT, kind=kind, correlation_id="corr", attribution=who, **fields))

    def create(self, amount_minor: int = 600, key: str = "k1", **fields: Any) -> Decision:
        """Make a payout."""
        return self.send("create", key, amount_minor=amount_minor, **fields)

    def tell(self, outcome: str, key: str = "k1", *, number: int = 1, **fields: Any) -> Decision:
        """The provider's word on the payout of that key."""
        payout_id = fields.pop("payout_id", ids.payout_id(TENANT, key))
        fields.setdefault("amount_minor", 600)
        fields.setdefault("request_id", ids.request_id(payout_id, "payout", number))
        return self.world.put(
            PayoutResult(
                tenant=TENANT,
                provider="northpay",
                currency="EUR",
                payout_id=payout_id,
                outcome=outcome,
                provider_reference="northpay_po_1",
                attribution=WHO,
                **fields,
            )
        )

    def payable(self, provider: str = "northpay") -> int:
        """What a payout could be made of now, by asking for too much."""
        self.moved += 1
        (_, reply) = self.create(10**11, f"probe-{self.moved}", provider=provider).payout_replies[0]
        assert reply.error is not None
        assert reply.error.code == "balance_insufficient"
        return int(reply.error.message.split("the ")[1].split()[0])

    @property
    def events(self) -> list[PayoutEvent]:
        """Everything that happened to payouts."""
        return [event for event in self.world.events if isinstance(event, PayoutEvent)]

    def balances(self) -> dict[str, int]:
        """The ledger, from every event's postings."""
        sums: Counter[str] = Counter()
        for event in self.world.events:
            for leg in event.postings:
                sums[leg.account] += leg.amount_minor
        return {account: amount for account, amount in sums.items() if amount}


def _reply(decision: Decision) -> Any:
    ((partition, reply),) = decision.payout_replies
    assert (partition, reply.correlation_id) == (2, "corr")
    return reply


def _types(decision: Decision) -> list[str]:
    return [event.type for event in decision.events]


def test_a_payout_takes_its_money_at_once_is_asked_for_by_time_and_paid_by_the_provider():
    """pending, in_transit, paid: each told once, with postings that balance, under who caused it and by which request."""
    till = Till()
    made = till.create(600, description="January", metadata={"run": "1"})
    assert _reply(made).payout.status == "pending"
    assert made.payout_requests == []
    assert till.payable() == 400
    asked = till.tick()
    (request,) = asked.payout_requests
    assert (request.amount_minor, request.currency, request.provider) == (600, "EUR", "northpay")
    assert (request.request_id, request.attribution.request_id) == (f"{request.payout_id}_payout_1", "req-k1")
    assert till.tick().payout_requests == []
    assert till.tell("in_transit").events[0].payout.provider_reference == "northpay_po_1"
    paid = till.tell("paid")
    assert [event.type.rpartition(".")[2] for event in till.events] == ["created", "updated", "updated", "paid"]
    assert [event.sequence for event in till.events] == [1, 2, 3, 4]
    assert [event.previous_event_id for event in till.events] == ["", *(one.event_id for one in till.events[:-1])]
    assert (paid.events[0].payout.status, paid.events[0].payout.metadata) == ("paid", {"run": "1"})
    assert [event.attribution.actor_kind for event in till.events] == ["api_key", "system", "provider", "provider"]
    assert [event.transaction and event.transaction.amount_minor for event in till.events] == [-600, None, None, None]
    assert till.balances() == {
        "tenant_payable:acme": 1000,
        "payout_in_transit:acme": -400,
        "provider_receivable:northpay": -600,
    }


def test_nothing_more_than_what_is_settled_is_paid_out():
    """Not what is still in an open window, not what another payout took, not another provider's; the answer says how much."""
    till = Till(settled_minor=0)
    till.move(1000)
    assert till.payable() == 0
    till.day()
    till.settle(500, provider="southpay")
    assert (till.payable(), till.payable("southpay"), till.payable("eastpay")) == (1000, 500, 0)
    error = _reply(till.create(1001)).error
    assert (error.code, error.param, error.retryable) == ("balance_insufficient", "amount_minor", True)
    assert "1001 is more than the 1000 EUR" in error.message
    assert "northpay" in error.message
    assert till.create(1000).events
    assert till.payable() == 0


def test_a_loss_that_is_settled_after_a_payout_is_taken_off_the_next():
    """What can be paid out may be less than nothing meanwhile; the answer then says zero."""
    till = Till(settled_minor=1000)
    till.create(1000)
    till.settle(-300)
    assert till.payable() == 0
    till.settle(500)
    assert till.payable() == 200


def test_money_that_is_not_available_yet_is_not_paid_out():
    """A window's net waits for the tenant's delay after its close; a loss doesn't wait."""
    till = Till(settled_minor=0, available_delay_ms=3 * DAY_MS)
    till.settle(1000)
    till.settle(-200)
    assert till.payable() == 0
    till.day()
    till.day()
    assert till.payable() == 800


def test_windows_that_wait_are_bounded():
    """Beyond the limit the newest are taken together, and none of their money is lost."""
    till = Till(settled_minor=0, available_delay_ms=3 * DAY_MS)
    till.settle(1000)
    key = keys.payout_money(TENANT, "northpay", "EUR")
    until = till.world.time_ms + 9 * DAY_MS
    till.world.view.data[key] = encode(PayoutMoney(0, tuple((until, 1) for _ in range(MATURING_MAX))))
    till.settle(1000)
    after = decode(PayoutMoney, till.world.view.data[key])
    assert len(after.maturing) == MATURING_MAX
    assert sum(net for _, net in after.maturing) == MATURING_MAX + 1000


def test_a_pending_payout_can_be_canceled_and_its_money_is_there_again():
    """Its provider never hears of it; once it was asked, it can't be canceled; the same key says the same."""
    till = Till(payout_delay_ms=60_000)
    till.create(600)
    assert till.tick(30_000).payout_requests == []
    canceled = till.send("cancel", "c1", of="k1")
    assert _reply(canceled).payout.status == "canceled"
    assert till.payable() == 1000
    assert till.tick(60_000).payout_requests == []
    again = _reply(till.send("cancel", "c1", of="k1"))
    assert (again.status_code, again.replayed, again.payout.status) == (200, True, "canceled")
    assert _reply(till.send("cancel", "c2", of="k1")).error.code == "payout_not_cancelable"
    till.create(600, "k2")
    till.tick(60_000)
    assert _reply(till.send("cancel", "c3", of="k2")).error.code == "payout_not_cancelable"
    assert _reply(till.send("cancel", "c4", of="k9")).status_code == 404
    assert till.events[1].transaction.type == "payout_cancel"
    assert "payout_pending:northpay" in till.balances()


def test_a_payout_that_fails_gives_its_money_back_once():
    """Before it was made, and also after it was paid; told again, nothing more comes of it."""
    till = Till()
    till.create(600)
    till.tick()
    failed = till.tell("failed", failure_code="account_closed", message="closed 4242 4242 4242 4242")
    payout = failed.events[0].payout
    assert (payout.status, payout.failure_code, payout.failure_message[:6]) == ("failed", "account_closed", "closed")
    assert "4242" not in payout.failure_message
    assert till.payable() == 1000
    assert till.tell("failed").events == []
    till.create(600, "k2")
    till.tick()
    till.tell("paid", "k2")
    returned = till.tell("failed", "k2", request_id="northpay_evt_7")
    assert [leg.account for leg in returned.events[0].postings] == [
        "provider_receivable:northpay",
        "payout_in_transit:acme",
    ]
    assert till.payable() == 1000
    assert till.tell("failed", "k2", request_id="northpay_evt_7").events == []
    assert till.balances() == {"tenant_payable:acme": 1000, "payout_in_transit:acme": -1000}


def test_doubt_is_told_once_and_ends_with_a_clear_word():
    """While nobody knows, nothing is posted and nothing is given back."""
    till = Till()
    till.create(600)
    till.tick()
    assert till.tell("unknown", amount_minor=0).events[0].payout.outcome_unknown
    assert till.tell("unknown", amount_minor=0).events == []
    assert till.payable() == 400
    paid = till.tell("paid").events[0]
    assert (paid.type, paid.payout.outcome_unknown) == ("payout.paid", False)


def test_an_amount_that_was_not_asked_for_is_held_for_a_person():
    """Nothing is posted; what the provider says after that is recorded and changes no money."""
    till = Till()
    till.create(600)
    till.tick()
    held = till.tell("paid", amount_minor=601).events[0]
    assert (held.type, held.payout.outcome_unknown, held.postings) == ("payout.updated", True, ())
    assert till.tell("integrity_failure").events == []
    assert _types(till.tell("paid")) == ["payout.conflict"]
    assert till.tell("paid").events == []
    assert till.payable() == 400


def test_a_contradiction_is_recorded_once_and_moves_nothing():
    """Paid after it failed; a word on a payout that the provider was never asked for."""
    till = Till()
    till.create(600)
    till.tick()
    till.tell("failed")
    before = till.balances()
    assert _types(till.tell("paid")) == ["payout.conflict"]
    assert till.tell("paid").events == []
    assert till.balances() == before
    till.create(600, "k2")
    assert till.tell("paid", "k2", number=1).refused is not None


def test_words_about_nothing_known_are_refused():
    """Another payout, another request, an outcome of a later version."""
    till = Till()
    till.create(600)
    till.tick()
    assert till.tell("paid", "k9").refused.field == "payout_id"
    assert till.tell("paid", number=2).refused.field == "request_id"
    assert till.tell("unrecognized").refused.field == "outcome"
    assert till.tell("paid", failure_code="4242 4242 4242 4242").refused.reason == "card_number"


def test_an_idempotency_key_makes_one_payout_and_its_answer_stays():
    """Repeated after it was paid, the answer is the first one; other parameters are refused; nothing happens twice."""
    till = Till()
    first = _reply(till.create(600))
    till.tick()
    till.tell("paid")
    second = till.create(600)
    assert second.events == []
    reply = _reply(second)
    assert (reply.payout, reply.replayed, reply.status_code) == (first.payout, True, 200)
    other = _reply(till.create(600, fingerprint="another"))
    assert (other.status_code, other.error.code) == (400, "idempotency_error")
    assert till.payable() == 400


def test_a_claim_says_where_the_payout_of_a_key_is_for_good():
    """Who comes again with another provider hears the first one's name; other parameters are refused."""
    till = Till()
    assert _reply(till.send("claim", amount_minor=1, provider="")).error.code == "balance_insufficient"
    assert _reply(till.send("claim", amount_minor=1, provider="southpay")).provider == "southpay"
    again = _reply(till.send("claim", amount_minor=1, provider="northpay"))
    assert (again.provider, again.replayed) == ("southpay", True)
    assert _reply(till.send("claim", amount_minor=1, provider="")).provider == "southpay"
    other = _reply(till.send("claim", amount_minor=1, fingerprint="another"))
    assert other.error.code == "idempotency_error"
    assert till.events == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount_minor", 0),
        ("amount_minor", -5),
        ("currency", "EURO"),
        ("provider", "north/pay"),
        ("provider", ""),
        ("provider", "4242 4242 4242 4242"),
        ("payout_id", ids.payout_id(TENANT, "another")),
        ("payout_id", "pi_1"),
        ("description", "pay 4242424242424242"),
        ("destination", "x" * 300),
        ("metadata", {"a": "4242 4242 4242 4242"}),
        ("kind", "unrecognized"),
    ],
)
def test_a_command_that_breaks_its_contract_is_refused_and_answered(field, value):
    """Its caller hears which field; the record is rejected; nothing is written."""
    till = Till()
    fields = {"kind": "create", "amount_minor": 600, field: value}
    decision = till.send(fields.pop("kind"), "k1", **fields)
    assert decision.refused is not None
    assert decision.refused.field == field
    assert _reply(decision).status_code == 400
    assert till.payable() == 1000


def test_a_suspended_or_unknown_tenant_is_paid_nothing_out():
    """What it has under way goes on; nothing new begins, automatic payouts neither."""
    till = Till(payout_schedule="automatic", payout_delay_ms=DAY_MS)
    till.world.put(Tenant(tenant=TENANT, version=2, status="suspended", payout_schedule="automatic"))
    assert till.create(1).refused.reason == "unknown_tenant"
    made = len(till.events)
    till.settle(500)
    assert [event.type for event in till.events[made:]] == ["payout.updated"]


def test_a_window_that_closes_is_paid_out_where_the_tenant_wants_that():
    """Everything that can be paid out, in one payout that names the window; with nothing to pay out, none."""
    till = Till(settled_minor=0, payout_schedule="automatic")
    closed = till.settle(1000)
    (made,) = till.events
    assert (made.payout.automatic, made.payout.amount_minor) == (True, 1000)
    assert made.payout.window_id == closed.events[0].window_id
    assert made.attribution.actor_kind == "system"
    till.settle(-300)
    assert [event.type for event in till.events] == ["payout.created", "payout.updated"]
    till.settle(450)
    assert till.events[-1].payout.amount_minor == 150
    assert till.payable() == 0


def test_terms_are_kept_only_where_they_differ_and_change_with_the_tenant():
    """A tenant as everybody has no state of them; an older version changes nothing."""
    till = Till()
    assert keys.payout_terms(TENANT) not in till.world.view.data
    till.world.put(Tenant(tenant=TENANT, version=3, payout_delay_ms=5_000))
    till.world.put(Tenant(tenant=TENANT, version=2))
    assert _reply(till.create(1)).payout.due_ms == till.world.time_ms + 5_000
    till.world.put(Tenant(tenant=TENANT, version=4))
    assert _reply(till.create(1, "k2")).payout.due_ms == till.world.time_ms
    for bad in ({"payout_delay_ms": -1}, {"payout_delay_ms": 40 * DAY_MS}, {"payout_schedule": "unrecognized"}):
        assert till.world.put(Tenant(tenant=TENANT, version=5, **bad)).refused is not None


def test_more_given_back_than_taken_stops_the_partition():
    """An invariant: state that says so is wrong, and nothing may be built on it."""
    till = Till()
    till.create(600)
    till.world.view.data[keys.payout_money(TENANT, "northpay", "EUR")] = encode(PayoutMoney(0))
    with pytest.raises(InvariantBroken):
        till.send("cancel", "c1", of="k1")


def test_the_table_names_each_case_once():
    """No status and signal has two rows, every event that changes the status has one of its own, and ends are ends."""
    cases = [(row.source, signal) for row in ROWS for signal in row.signals]
    assert len(cases) == len(set(cases))
    assert all(row.event for row in ROWS if row.effect is not None)
    assert all(row.effect is not None for row in ROWS if row.to != row.source)


_STEPS = st.one_of(
    st.tuples(st.just("move"), st.integers(-500, 900).filter(bool)),
    st.tuples(st.just("day"), st.none()),
    st.tuples(st.just("tick"), st.none()),
    st.tuples(st.just("create"), st.tuples(st.integers(0, 4), st.integers(1, 800))),
    st.tuples(st.just("cancel"), st.integers(0, 4)),
    st.tuples(
        st.just("tell"),
        st.tuples(st.integers(0, 4), st.sampled_from(("paid", "failed", "unknown", "in_transit", "integrity_failure"))),
    ),
    st.tuples(st.just("resolve"), st.tuples(st.integers(0, 4), st.sampled_from(("paid", "failed")))),
    st.tuples(st.just("again"), st.integers(0, 60)),
)


@settings(deadline=None, max_examples=150)
@given(steps=st.lists(_STEPS, max_size=40), automatic=st.booleans(), delay=st.sampled_from((0, 1500)))
def test_never_more_is_paid_out_than_was_settled_whatever_comes_in_which_order(steps, automatic, delay):
    """At each payout's making it is covered; the ledger, the payouts and the state agree; inputs that come again make nothing."""
    schedule = "automatic" if automatic else "manual"
    till = Till(settled_minor=0, payout_schedule=schedule, payout_delay_ms=delay)
    for act, what in steps:
        if act == "move":
            till.move(what)
        elif act in ("day", "tick"):
            getattr(till, act)()
        elif act == "create":
            till.create(what[1], f"k{what[0]}", fingerprint=str(what[1]))
        elif act == "cancel":
            till.send("cancel", f"c{what}", of=f"k{what}")
        elif act == "tell":
            _tell(till, *what)
        elif act == "resolve":
            _resolve(till, *what)
        elif till.world.inputs:
            entry = till.world.inputs[what % len(till.world.inputs)]
            if not isinstance(entry.message, Tenant | ClockTick):
                till.world.put(entry.message)
    _audit(till)


def _tell(till: Till, number: int, outcome: str) -> None:
    payouts = sorted({event.payout_id for event in till.events})
    if payouts:
        payout_id = payouts[number % len(payouts)]
        amount = next(event.payout.amount_minor for event in till.events if event.payout_id == payout_id)
        till.tell(outcome, payout_id=payout_id, amount_minor=amount)


def _resolve(till: Till, number: int, resolution: str) -> None:
    """Two operators say so, of a payout that may be in doubt or not."""
    payouts = sorted({event.payout_id for event in till.events})
    if not payouts:
        return
    key = f"o{len(till.world.inputs)}"
    of = {"payout_id": payouts[number % len(payouts)], "provider": "northpay", "currency": "EUR", "tenant": TENANT}
    for who, asked in (
        ("ada", PayoutCommand(kind="propose", resolution=resolution, reference="b", fingerprint="p", **of)),
        ("bob", PayoutCommand(kind="approve", proposal_id=ids.proposal_id(TENANT, of["payout_id"], key), fingerprint="a", **of)),
    ):  # fmt: skip
        name = key if who == "ada" else f"{key}a"
        till.world.put(
            replace(
                asked,
                attribution=Attribution(actor_kind="operator", actor_id=who, reason="seen", idempotency_key=name),
            )
        )


def _audit(till: Till) -> None:
    settled = taken = 0
    made: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for decision in till.world.decisions:
        for event in decision.events:
            assert sum(leg.amount_minor for leg in event.postings) == 0
            if isinstance(event, PayoutEvent):
                made[event.payout_id] += event.type == "payout.created"
                taken -= event.transaction.amount_minor if event.transaction else 0
                assert event.type != "payout.created" or taken <= settled
            elif event.type == "settlement_window.closed":
                settled += event.totals.net_minor
        asked.update(request.payout_id for request in decision.payout_requests)
    assert set(made.values()) <= {1}
    assert set(asked.values()) <= {1}
    state = till.world.view.data.get(keys.payout_money(TENANT, "northpay", "EUR"))
    assert (decode(PayoutMoney, state).taken_minor if state else 0) == taken
    standing = [decode(Payout, value) for key, value in till.world.view.data.items() if key.startswith(b"y/")]
    assert sum(one.amount_minor for one in standing if one.status not in ("failed", "canceled")) == taken
    ledger = till.balances()
    assert ledger.get("payout_in_transit:acme", 0) == taken - settled
    paid = sum(one.amount_minor for one in standing if one.status == "paid")
    assert ledger.get("provider_receivable:northpay", 0) == -paid
    assert ledger.get("payout_pending:northpay", 0) == paid - taken


def test_metadata_changes_whatever_became_of_it_and_the_first_answer_stays() -> None:
    """Set, removed and cleared, each one event; a repeated key is answered without another, with other parameters it is refused."""
    till = Till()
    first = _reply(till.create(metadata={"run": "1", "old": "x"}))
    till.tick()
    till.tell("paid")

    def update(key: str, **fields):
        return till.send("update", key, of="k1", fingerprint=ids.fingerprint(repr(fields).encode()).hex(), **fields)

    changed = update("u1", metadata={"run": "2", "old": ""})
    reply = _reply(changed)
    assert (reply.status_code, reply.payout.status, reply.payout.metadata) == (200, "paid", {"run": "2"})
    (event,) = changed.events
    assert (event.type, event.to_status, event.postings, event.transaction) == ("payout.updated", "paid", (), None)
    again = update("u1", metadata={"run": "2", "old": ""})
    assert (_reply(again).replayed, again.events) == (True, [])
    for key, fields in (("u1", {"metadata": {"run": "3"}}), ("k1", {"metadata": {"run": "3"}})):
        refused = update(key, **fields)
        assert (_reply(refused).error.code, refused.events) == ("idempotency_error", [])
    many = {f"k{number}": "v" for number in range(50)}
    over = _reply(update("u2", metadata=many))
    assert (over.status_code, over.error.param) == (400, "metadata")
    assert _reply(update("u3", metadata_cleared=True)).payout.metadata == {}
    create_again = _reply(till.create(metadata={"run": "1", "old": "x"}))
    assert (create_again.replayed, create_again.payout) == (True, first.payout)
    missing = _reply(till.send("update", "u4", of="nobody", metadata={"a": "b"}))
    assert (missing.status_code, missing.error.code) == (404, "resource_missing")
