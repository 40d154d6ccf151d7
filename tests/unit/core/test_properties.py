"""Random lives of payments, after every step of which an auditor reads the books."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from schemas.records import CaptureRule, DisputeStatus, FeeRule, ProviderOutcome, RoutingUpdate, Tenant
from streams.core import ids, keys, settle
from streams.core.idempotency import REPLIES_KEPT_MS
from streams.core.settlement import totals
from streams.core.state import Flow, Window, decode
from tests.unit.core.books import audit
from tests.unit.core.world import RATE, TENANT, World

RUN = settings(derandomize=True, deadline=None, max_examples=40, stateful_step_count=30, database=None)

PAYMENTS = ("a", "b", "c")
OUTCOMES = st.sampled_from(ProviderOutcome.__args__)
DEFINITE_NO = {"declined", "refused"}
STATUSES = st.sampled_from(DisputeStatus.__args__[1:])
SCHEDULED = Tenant(
    tenant=TENANT,
    version=1,
    fees=(FeeRule(basis_points=290, fixed_minor=30, dispute_minor=1500),),
    refund_fees_returned=True,
    capture_days=3,
    capture_rules=(CaptureRule(payment_method="pm_card_amex", days=7),),
    action_hours=1,
)
CONVERTING = replace(
    SCHEDULED, reserve_basis_points=1_000, reserve_days=3, settlement_currency="JPY", available_delay_ms=86_400_000
)
RATES = (RATE, "150", "171.5")
CONVERSIONS = (
    {"fx_rate": "0.5"},
    {"settlement_currency": "JPY", "fx_rate": "150", "settlement_amount_minor": 1},
    {"settlement_currency": "USD", "fx_rate": "1", "settlement_amount_minor": 1000},
    {"settlement_currency": ""},
)
"""At another rate; one that its amount contradicts; to a currency that nobody asked for; none."""
HOPED = {"submit_evidence": "evidence_submitted", "accept_dispute": "dispute_accepted"}
AMOUNTS = st.sampled_from((None, 1, 300, 700, 999, 1000, 1001))


class Lives(RuleBasedStateMachine):
    """Commands, results and notices in any order, repeated and contradicting each other, operators, time and routing, on three payments."""

    TENANT: Tenant | None = None

    def __init__(self):
        super().__init__()
        self.world = World(tenant=self.TENANT)
        self.settlement = World(settle, topic="settlement.inputs")
        self.settlement.put(self.world.inputs[0].message)
        self.said_no: set[str] = set()
        self.settled = 0

    def _heard(self, decision):
        for request in decision.requests:
            if request.operation == "authorize":
                earlier = [
                    one
                    for one in self.world.requests
                    if one.operation == "authorize"
                    and one.payment_id == request.payment_id
                    and one.request_id != request.request_id
                ]
                unresolved = {one.request_id for one in earlier} - self.said_no
                assert not unresolved, "another provider was asked while an attempt was not known to have failed (P3)"
        for movement in decision.movements:
            self.settlement.put(movement)

    @rule(
        name=st.sampled_from(PAYMENTS),
        manual=st.booleans(),
        confirm=st.booleans(),
        method=st.sampled_from(("pm_card_visa", "")),
    )
    def create(self, name, manual, confirm, method):
        self._heard(
            self.world.create(
                name, confirm=confirm, capture_method="manual" if manual else "automatic", payment_method=method
            )
        )

    @rule(
        name=st.sampled_from(PAYMENTS),
        kind=st.sampled_from(("confirm", "capture", "cancel", "refund", "update")),
        key=st.integers(0, 5),
        amount=AMOUNTS,
        final=st.booleans(),
    )
    def command(self, name, kind, key, amount, final):
        self._heard(
            self.world.send(
                kind,
                f"{kind} {key}",
                of=name,
                amount_minor=amount if kind in {"capture", "refund", "update"} else None,
                payment_method="pm_card_visa" if kind == "confirm" else "",
                final_capture=final or kind != "capture",
            )
        )

    @rule(
        name=st.sampled_from(PAYMENTS),
        key=st.integers(0, 5),
        metadata=st.dictionaries(st.sampled_from(("a", "b")), st.sampled_from(("", "1", "2")), max_size=2),
        data=st.data(),
    )
    def words(self, name, key, metadata, data):
        about = [""]
        if ids.payment_id(TENANT, name) in {event.payment_id for event in self.world.events}:
            payment = self.world.payment(name)
            about += [one.id for one in (*payment.refunds, *payment.disputes)]
            about += [
                ids.charge_id(ids.payment_id(TENANT, name), number + 1) for number in range(len(payment.attempts))
            ]
        object_id = data.draw(st.sampled_from(about))
        self._heard(
            self.world.send(
                "update", f"words {key}", of=name, object_id=object_id, given=("metadata",), metadata=metadata
            )
        )

    def _attempted(self):
        made = {request.payment_id for request in self.world.requests}
        return [name for name in PAYMENTS if ids.payment_id(TENANT, name) in made]

    @precondition(lambda self: self.world.requests)
    @rule(
        data=st.data(),
        status=STATUSES,
        money=st.tuples(st.sampled_from((0, 250, 1000)), st.sampled_from((0, 15))),
        dispute=st.sampled_from(("np_dp_1", "np_dp_2")),
        currency=st.sampled_from(("EUR", "EUR", "EUR", "USD")),
        sequence=st.sampled_from((None, None, 1)),
    )
    def notice(self, data, status, money, *, dispute, currency, sequence):
        name = data.draw(st.sampled_from(self._attempted()))
        fields = {} if sequence is None else {"sequence": sequence}
        self._heard(
            self.world.notify(
                status,
                withdrawn_minor=money[0],
                of=name,
                dispute=f"{name} {dispute}",
                provider_fee_minor=money[1],
                currency=currency,
                **fields,
            )
        )

    @precondition(lambda self: self.world.requests)
    @rule(data=st.data(), kind=st.sampled_from(("submit_evidence", "close_dispute")), key=st.integers(0, 3))
    def respond(self, data, kind, key):
        name = data.draw(st.sampled_from(self._attempted()))
        disputes = self.world.payment(name).disputes
        if disputes:
            object_id = data.draw(st.sampled_from(disputes)).id
            self._heard(
                self.world.send(
                    kind, f"{kind} {key}", of=name, object_id=object_id, evidence={"product_description": "a"}
                )
            )

    @precondition(lambda self: self.world.requests)
    @rule(
        data=st.data(),
        resolution=st.sampled_from(
            ("authorized", "captured", "declined", "voided", "refunded", "refund_failed", "credit", "debit")
        ),
    )
    def resolve(self, data, resolution):
        """Two operators say what is true. What they call voided or declined is as good as the provider's no."""
        request = data.draw(st.sampled_from(self.world.requests[-4:]))
        name = next(one for one in PAYMENTS if ids.payment_id(TENANT, one) == request.payment_id)
        adjusts = resolution in {"credit", "debit"}
        if resolution in {"voided", "declined"}:
            self.said_no.add(ids.request_id(request.object_id, "authorize", 1))
        self._heard(
            self.world.resolve(
                resolution,
                request.payment_id if adjusts else request.object_id,
                of=name,
                amount_minor=50 if adjusts else None,
            )
        )

    @precondition(lambda self: self.world.requests)
    @rule(data=st.data(), key=st.integers(0, 3))
    def inquire(self, data, key):
        """An operator has a provider asked at once; what it says is the earlier request's result."""
        request = data.draw(st.sampled_from(self.world.requests[-4:]))
        name = next(one for one in PAYMENTS if ids.payment_id(TENANT, one) == request.payment_id)
        self._heard(self.world.operate("inquire", f"inquire {key}", of=name, object_id=request.object_id))

    @precondition(lambda self: self.world.requests)
    @rule(
        data=st.data(),
        outcome=OUTCOMES,
        soft=st.booleans(),
        fee=st.sampled_from((0, 7)),
        wrong=st.sampled_from((None, None, None, 1, 5000)),
        conversion=st.sampled_from(({}, {}, *CONVERSIONS)),
    )
    def answer(self, data, outcome, *, soft, fee, wrong, conversion):
        request = data.draw(
            st.sampled_from(self.world.requests[-4:] if data.draw(st.booleans()) else self.world.requests)
        )
        request = self.world.original(request)
        fields = {"decline_kind": "soft" if soft else "hard", "provider_fee_minor": fee, **conversion}
        if wrong is not None:
            fields["amount_minor"] = wrong
        if outcome in DEFINITE_NO and request.operation == "authorize":
            self.said_no.add(request.request_id)
        if outcome == "voided" and request.operation == "void":
            self.said_no.add(ids.request_id(request.object_id, "authorize", 1))
        self._heard(self.world.answer(request, outcome, **fields))

    @precondition(lambda self: self.world.requests)
    @rule(good=st.booleans(), rate=st.sampled_from(RATES))
    def answer_well(self, good, rate=RATE):
        """The newest request gets the answer that it hopes for, so that lives get somewhere."""
        request = self.world.original(self.world.requests[-1])
        hoped = {
            "authorize": "captured" if request.capture else "authorized",
            "capture": "captured",
            "void": "voided",
            "refund": "refunded" if good else "refund_pending",
            **HOPED,
        }[request.operation]
        if hoped == "voided":
            self.said_no.add(ids.request_id(request.object_id, "authorize", 1))
        fields = {"fx_rate": rate} if request.settlement_currency and hoped in {"captured", "refunded"} else {}
        self._heard(self.world.answer(request, hoped, provider_fee_minor=3, **fields))

    @rule()
    def repeat_the_last_input(self):
        """The same command or result at once again has no second effect."""
        message = self.world.inputs[-1].message
        before = dict(self.world.view.data)
        decision = self.world.put(message)
        assert not decision.events
        assert not decision.requests
        assert not decision.movements
        assert self.world.view.data == before

    @rule(provider=st.sampled_from(("northpay", "southpay")), healthy=st.booleans())
    def health(self, provider, healthy):
        self._heard(self.world.put(RoutingUpdate(kind="health", provider=provider, healthy=healthy)))

    @rule(days=st.sampled_from((0, 1, 4, 31)))
    def time(self, days):
        self._heard(self.world.tick(self.world.time_ms + 1 + days * 86_400_000))
        self.settlement.tick(self.world.time_ms)

    @invariant()
    def books_are_right(self):
        audit(self.world)

    @invariant()
    def windows_sum_to_the_ledger(self):
        """P6 after every step: per provider, what windows hold is what moved."""
        moved: dict[tuple[str, str], int] = {}
        for movement in self.world.movements:
            of = movement.provider, movement.currency
            moved[of] = moved.get(of, 0) + movement.amount_minor
        closed: dict[tuple[str, str], int] = {}
        for event in self.settlement.events:
            if event.type == "settlement_window.closed":
                of = event.provider, event.currency
                closed[of] = closed.get(of, 0) + event.totals.net_minor
        for of, amount_minor in moved.items():
            view = self.settlement.view
            value = view.get(keys.flow(TENANT, *of))
            assert value is not None
            flow = decode(Flow, value)
            open_minor = sum(
                totals(decode(Window, window)).net_minor for _, window in view.range(keys.windows(TENANT, *of))
            )
            assert flow.net_minor == amount_minor == closed.get(of, 0) + open_minor

    @invariant()
    def no_balance_is_negative_without_a_word(self):
        """What a tenant earned at a provider and was not settled is below zero only after balance.overdrawn, until it is restored or settled."""
        overdrawn: dict[tuple[str, str], bool] = {}
        balance: dict[tuple[str, str], int] = {}
        for event in self.settlement.events:
            of = event.provider, event.currency
            if event.type == "settlement_window.movement_added":
                balance[of] = balance.get(of, 0) + event.movement.amount_minor
            elif event.type == "settlement_window.closed":
                balance[of] = balance.get(of, 0) - event.totals.net_minor
            elif event.type.startswith("balance."):
                overdrawn[of] = event.type == "balance.overdrawn"
        for of, minor in balance.items():
            assert minor >= 0 or overdrawn.get(of), of

    def teardown(self):
        """P4: folding the inputs again gives the same decisions and the same state, byte for byte."""
        again = World(configured=False)
        for entry, decision in zip(self.world.inputs, self.world.decisions, strict=True):
            again.time_ms = entry.time_ms
            repeated = again.put(entry.message)
            assert repeated.writes == decision.writes
            assert repeated.events == decision.events
            assert repeated.requests == decision.requests
            assert repeated.replies == decision.replies
            assert repeated.movements == decision.movements
        assert again.view.data == self.world.view.data


class ScheduledLives(Lives):
    """The same for a tenant that pays by rules of its own, and whose authorisations and challenges end sooner."""

    TENANT = SCHEDULED


class ConvertingLives(Lives):
    """The same for a tenant whose payments settle in another currency, where that fits, and a tenth of which is kept."""

    TENANT = CONVERTING


TestLives = Lives.TestCase
TestLives.settings = RUN
TestScheduledLives = ScheduledLives.TestCase
TestScheduledLives.settings = RUN
TestConvertingLives = ConvertingLives.TestCase
TestConvertingLives.settings = RUN

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("command"), st.sampled_from(("confirm", "capture", "cancel", "refund")), AMOUNTS),
        st.tuples(st.just("answer"), OUTCOMES, st.integers(0, 3)),
        st.tuples(st.just("hoped"), st.none(), st.none()),
    ),
    max_size=8,
)


def _live(world: World, name: str, steps, at: int):
    """Step number `at` of a payment's life; the first is its creation."""
    mine = [one for one in world.requests if one.payment_id == ids.payment_id(TENANT, name)]
    if at == 0:
        return world.create(name, capture_method="manual" if len(steps) % 2 else "automatic")
    what, first, second = steps[at - 1]
    if what == "command":
        amount = second if first in {"capture", "refund"} else None
        return world.send(first, f"{first} {at}", of=name, amount_minor=amount, correlation_id=f"{name} {at}")
    if what == "hoped":
        request = mine[-1]
        hoped = {
            "authorize": "captured" if request.capture else "authorized",
            "capture": "captured",
            "void": "voided",
            **HOPED,
        }
        return world.answer(request, hoped.get(request.operation, "refunded"))
    return world.answer(mine[second % len(mine)], first)


def _without_cause(records):
    """Records without what tells their place in the log, which is all that may differ."""
    records = [
        replace(record, balance_transactions=tuple(replace(one, id="") for one in record.balance_transactions))
        if hasattr(record, "balance_transactions")
        else record
        for record in records
    ]
    place = {"event_id", "previous_event_id", "movement_id", "cause_offset", "ordinal", "correlation_id"}
    return [
        replace(
            record,
            **{
                field: 0 if field in {"cause_offset", "ordinal"} else ""
                for field in place & set(record.__struct_fields__)
            },
        )
        for record in records
    ]


@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(lives=st.tuples(_STEPS, _STEPS), order=st.randoms(use_true_random=False))
def test_permuting_independent_payments_changes_nothing(lives, order):
    """However the inputs of two payments are interleaved, each payment says and asks the same."""
    apart = World()
    turns = []
    for name, steps in zip("ab", lives, strict=True):
        for at in range(len(steps) + 1):
            _live(apart, name, steps, at)
            turns.append(name)
    order.shuffle(turns)
    mixed = World()
    done = {"a": 0, "b": 0}
    for name in turns:
        _live(mixed, name, lives["ab".index(name)], done[name])
        done[name] += 1
    for name in "ab":
        payment_id = ids.payment_id(TENANT, name)
        for what in ("events", "requests", "movements"):
            one, other = (
                _without_cause([record for record in getattr(world, what) if record.payment_id == payment_id])
                for world in (apart, mixed)
            )
            assert one == other


def test_the_machine_reaches_what_it_is_for():
    """A check of the check: its rules lead to captures, refunds, failovers, conflicts and closed windows."""
    machine = Lives()
    machine.create(name="a", manual=False, confirm=True, method="pm_card_visa")
    request = machine.world.requests[0]
    machine.said_no.add(request.request_id)
    machine._heard(machine.world.answer(request, "refused"))
    machine.answer_well(good=True)
    machine.command(name="a", kind="refund", key=1, amount=300, final=True)
    machine.answer_well(good=True)
    machine._heard(machine.world.notify("needs_response", withdrawn_minor=1000, of="a", provider_fee_minor=15))
    machine._heard(machine.world.answer(request, "captured"))
    machine.time(days=31)
    machine.books_are_right()
    machine.windows_sum_to_the_ledger()
    machine.teardown()
    types = {event.type for event in machine.world.events} | {event.type for event in machine.settlement.events}
    assert types >= {
        "charge.failed",
        "payment_intent.succeeded",
        "refund.updated",
        "charge.conflict",
        "charge.dispute.funds_withdrawn",
        "settlement_window.closed",
    }
    assert REPLIES_KEPT_MS < 31 * 86_400_000


def test_the_converting_machine_reaches_what_it_is_for():
    """A check of the check: a converted capture, what is kept of it and given back, a refund at another rate, a dispute."""
    machine = ConvertingLives()
    machine.create(name="a", manual=False, confirm=True, method="pm_card_visa")
    machine.answer_well(good=True)
    machine.command(name="a", kind="refund", key=1, amount=300, final=True)
    machine.answer_well(good=True, rate="171.5")
    machine._heard(machine.world.notify("needs_response", withdrawn_minor=700, of="a", provider_fee_minor=15))
    machine.time(days=4)
    machine.books_are_right()
    machine.windows_sum_to_the_ledger()
    machine.teardown()
    moved = {(movement.kind, movement.currency) for movement in machine.world.movements}
    assert moved == {(kind, "JPY") for kind in ("capture", "fee", "reserve", "refund", "dispute", "reserve_release")}
    assert sum(event.fx is not None for event in machine.world.events) == 2
