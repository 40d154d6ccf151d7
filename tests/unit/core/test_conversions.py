from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.currencies import EXPONENTS
from schemas.records import FeeRule, FxFact, ProviderResult, RoutingUpdate, Tenant
from streams.core import conversions, ids, ledger
from streams.core.state import Attempt, Conversion
from tests.unit.core.books import audit
from tests.unit.core.world import TENANT, World, converted

USD = Tenant(tenant=TENANT, version=1, settlement_currency="USD")
PAIRS = (("EUR", "USD"), ("JPY", "EUR"), ("EUR", "JPY"), ("KWD", "JPY"), ("JPY", "KWD"), ("USD", "BHD"), ("BHD", "USD"))


def _legs(event):
    return [(leg.account, leg.amount_minor, leg.currency) for leg in event.postings]


def _captured(tenant=USD, *, rate="1.0825", amount_minor=1000, currency="EUR", fee_minor=30):
    world = World(tenant=tenant)
    world.create(amount_minor=amount_minor, currency=currency)
    world.answer(world.requests[-1], "captured", fx_rate=rate, provider_fee_minor=fee_minor)
    return world


@pytest.mark.parametrize(
    ("rate", "is_one"),
    [
        ("1", True),
        ("1.0825", True),
        ("0.000019012345", False),
        ("0.00001901234", True),
        ("162.37", True),
        ("0", False),
        ("0.00", False),
        ("", False),
        ("-1.2", False),
        ("+1.2", False),
        (".5", False),
        ("1.", False),
        ("1e3", False),
        ("1,2", False),
        (" 1.2", False),
        ("1.2\n", False),
        ("NaN", False),
        ("١.٢", False),
        ("1234567890.123", False),
    ],
)
def test_a_rate_is_a_decimal_number_above_zero_of_at_most_twelve_digits(rate, is_one):
    """Nothing else is, whatever Python would read as a number; thirteen digits could be a card's."""
    assert conversions.is_rate(rate) is is_one


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(
    pair=st.sampled_from(PAIRS),
    amount_minor=st.integers(1, 10**12),
    rate=st.integers(1, 10**9),
    decimals=st.integers(0, 8),
    off=st.integers(-3, 3),
)
def test_an_amount_agrees_with_its_rate_when_it_is_less_than_one_minor_unit_away(
    pair, amount_minor, rate, decimals, off
):
    """Whatever the decimals of both currencies, 0, 2 or 3, and whichever way the provider rounds; by exact fractions."""
    text = f"{rate // 10**decimals}.{rate % 10**decimals:0{decimals}d}" if decimals else str(rate)
    exact = Fraction(amount_minor, 10 ** EXPONENTS[pair[0]]) * Fraction(text) * 10 ** EXPONENTS[pair[1]]
    to_minor = int(exact) + off
    agreed = conversions.agree(
        from_minor=amount_minor, from_currency=pair[0], to_minor=to_minor, to_currency=pair[1], rate=text
    )
    assert agreed == (abs(to_minor - exact) < 1)


@pytest.mark.parametrize(("currency", "to"), PAIRS)
def test_a_converted_capture_balances_in_both_currencies(currency, to):
    """The payment's currency through fx_conversion, the tenant's money, movements and transactions in the other one."""
    world = _captured(
        replace(USD, settlement_currency=to), currency=currency, amount_minor=123_456, rate="3.7", fee_minor=7
    )
    assert world.requests[-1].settlement_currency == to
    came_to = converted(123_456, currency, to, "3.7")
    event = world.events[-1]
    assert event.fx == FxFact(from_minor=123_456, from_currency=currency, to_minor=came_to, to_currency=to, rate="3.7")
    assert _legs(event) == [
        ("provider_receivable:northpay", 123_456, currency),
        ("fx_conversion:northpay", -123_456, currency),
        ("fx_conversion:northpay", came_to, to),
        ("tenant_payable:acme", -came_to, to),
        ("tenant_payable:acme", 7, to),
        ("provider_receivable:northpay", -7, to),
    ]
    assert [(one.kind, one.amount_minor, one.currency) for one in world.movements] == [
        ("capture", came_to, to),
        ("fee", -7, to),
    ]
    (told,) = event.balance_transactions
    assert (told.gross_minor, told.fee_minor, told.currency, told.exchange_rate) == (came_to, 7, to, "3.7")
    assert (event.payment.amount_received_minor, event.payment.currency) == (123_456, currency)
    audit(world)


def test_a_capture_that_comes_to_nothing_moves_nothing():
    """One yen is less than half a cent here: legs and movements of zero are left out, and the books balance."""
    world = _captured(
        replace(USD, settlement_currency="EUR"), currency="JPY", amount_minor=1, rate="0.0049", fee_minor=0
    )
    event = world.events[-1]
    assert event.to_status == "succeeded"
    assert event.fx.to_minor == 0
    assert _legs(event) == [("provider_receivable:northpay", 1, "JPY"), ("fx_conversion:northpay", -1, "JPY")]
    assert not world.movements
    world.send("refund", "r1", of="k1")
    world.answer(world.requests[-1], "refunded", fx_rate="0.0049")
    assert world.payment().refunds[0].status == "succeeded"
    assert not world.movements
    audit(world)


@pytest.mark.parametrize(
    "stated",
    [
        {"settlement_amount_minor": 1084},
        {"settlement_amount_minor": 1081},
        {"settlement_amount_minor": -1083},
        {"settlement_currency": "GBP", "settlement_amount_minor": 1083},
        {"settlement_currency": "EUR", "settlement_amount_minor": 1000, "fx_rate": "1"},
        {"settlement_currency": "XXX", "settlement_amount_minor": 1083},
        {"settlement_currency": "usd", "settlement_amount_minor": 1083},
        {"fx_rate": "0", "settlement_amount_minor": 0},
        {"fx_rate": "-1.0825"},
        {"fx_rate": "nan"},
        {"fx_rate": ""},
        {"settlement_currency": "", "settlement_amount_minor": 1083},
        {"settlement_currency": "", "settlement_amount_minor": 0},
    ],
)
def test_a_conversion_that_cannot_be_right_is_held(stated):
    """Another amount than the rate's, a currency that was not asked for, no rate: nothing is posted or settled."""
    world = World(tenant=USD)
    world.create()
    fields = {"settlement_currency": "USD", "fx_rate": "1.0825", "settlement_amount_minor": 1083, **stated}
    event = world.answer(world.requests[-1], "captured", **fields).events[-1]
    assert (event.type, event.to_status) == ("charge.integrity_failure", "processing")
    assert not event.postings
    assert event.fx is None
    assert not world.movements
    assert world.payment().attempts[-1].doubt == "held"
    audit(world)


@pytest.mark.parametrize("settlement_amount_minor", [1082, 1083])
def test_a_provider_may_round_either_way(settlement_amount_minor):
    """10.00 at 1.0825 is 10.825: both neighbours are taken as stated."""
    world = World(tenant=USD)
    world.create()
    world.answer(
        world.requests[-1],
        "captured",
        settlement_currency="USD",
        fx_rate="1.0825",
        settlement_amount_minor=settlement_amount_minor,
    )
    assert world.movements[0].amount_minor == settlement_amount_minor


def test_a_conversion_that_nobody_asked_for_is_held():
    """A tenant without a settlement currency, and a payment that is in it already, ask for none."""
    for tenant in (Tenant(tenant=TENANT, version=1), replace(USD, settlement_currency="EUR")):
        world = World(tenant=tenant)
        world.create()
        assert world.requests[-1].settlement_currency == ""
        fields = {"settlement_currency": "EUR", "fx_rate": "1", "settlement_amount_minor": 1000}
        assert world.answer(world.requests[-1], "captured", **fields).events[-1].type == "charge.integrity_failure"
        audit(world)


def test_a_provider_that_cannot_convert_settles_in_the_payment_s_currency():
    """It says nothing of a conversion; then the refund asks for none either."""
    world = World(tenant=USD)
    world.create()
    world.answer(world.requests[-1], "captured", settlement_currency="", provider_fee_minor=30)
    assert {movement.currency for movement in world.movements} == {"EUR"}
    assert world.events[-1].balance_transactions[0].exchange_rate == ""
    world.send("refund", "r1", of="k1", amount_minor=400)
    assert world.requests[-1].settlement_currency == ""
    world.answer(world.requests[-1], "refunded")
    assert world.events[-1].type == "refund.updated"
    audit(world)


def test_what_was_asked_stands_when_the_tenant_changes_its_mind():
    """An authorisation that asked for USD is captured in USD, whatever the tenant's configuration says meanwhile."""
    world = World(tenant=USD)
    world.create(capture_method="manual")
    world.answer(world.requests[-1], "authorized")
    world.put(replace(USD, version=2, settlement_currency="GBP"))
    world.send("capture", "c1", of="k1")
    assert world.requests[-1].settlement_currency == "USD"
    world.answer(world.requests[-1], "captured", fx_rate="1.0825")
    assert {movement.currency for movement in world.movements} == {"USD"}
    audit(world)


def test_parts_of_a_capture_each_have_their_own_rate_and_all_are_converted():
    """Two parts at two rates add up; a part that is not converted after one that was is held."""
    for last, event_type in (
        ({"fx_rate": "1.1"}, "payment_intent.succeeded"),
        ({"settlement_currency": ""}, "charge.integrity_failure"),
    ):
        world = World(tenant=USD)
        world.create(capture_method="manual")
        world.answer(world.requests[-1], "authorized")
        world.send("capture", "c1", of="k1", amount_minor=400, final_capture=False)
        world.answer(world.requests[-1], "captured", fx_rate="1.08")
        world.send("capture", "c2", of="k1")
        assert world.answer(world.requests[-1], "captured", **last).events[-1].type == event_type
        audit(world)
        if event_type == "payment_intent.succeeded":
            assert world.payment().attempts[-1].conversion == Conversion("USD", 432 + 660, "1.1")


@pytest.mark.parametrize(
    ("rate", "difference_minor"), [("1.0825", 0), ("1.10", 7), ("1.05", -13)], ids=["same", "dearer", "cheaper"]
)
def test_a_refund_begins_at_the_charge_s_rate_and_ends_at_its_own(rate, difference_minor):
    """4.00 of 10.00: begun as 4.33 USD; what the provider takes beyond or below that is the tenant's loss or gain."""
    world = _captured()
    begun = world.send("refund", "r1", of="k1", amount_minor=400).events[-1]
    assert begun.fx is None
    assert _legs(begun) == [
        ("fx_conversion:northpay", 400, "EUR"),
        ("refund_pending:northpay", -400, "EUR"),
        ("fx_conversion:northpay", -433, "USD"),
        ("tenant_payable:acme", 433, "USD"),
    ]
    assert begun.balance_transactions[0].exchange_rate == "1.0825"
    assert world.requests[-1].settlement_currency == "USD"
    before = len(world.movements)
    made = world.answer(world.requests[-1], "refunded", fx_rate=rate).events[-1]
    assert made.fx.rate == rate
    expected = [("refund_pending:northpay", 400, "EUR"), ("provider_receivable:northpay", -400, "EUR")]
    if difference_minor:
        expected += [
            ("fx_conversion:northpay", -difference_minor, "USD"),
            ("tenant_payable:acme", difference_minor, "USD"),
        ]
        (told,) = made.balance_transactions
        assert (told.type, told.net_minor, told.exchange_rate) == ("refund", -difference_minor, rate)
    assert _legs(made) == expected
    moved = [(one.kind, one.amount_minor) for one in world.movements[before:]]
    assert moved == ([("refund", -difference_minor)] if difference_minor else [])
    assert world.payment().refunds[0].settled_minor == 433 + difference_minor
    audit(world)


def test_a_refund_without_a_conversion_of_a_converted_charge_is_held():
    """What it came to is not known: nothing is posted until the provider says, or two operators do."""
    world = _captured()
    world.send("refund", "r1", of="k1", amount_minor=400)
    event = world.answer(world.requests[-1], "refunded", settlement_currency="").events[-1]
    assert event.type == "refund.integrity_failure"
    assert not event.postings
    world.resolve("refunded", world.requests[-1].object_id)
    assert world.payment().refunds[0].settled_minor == 433
    audit(world)


def test_refunds_of_parts_take_all_of_the_charge_and_a_failed_one_gives_its_part_back():
    """333, 333 and 334 of 10.00 are 10.83 USD together; each failure returns what that refund took, to the cent."""
    world = _captured()
    taken = []
    for key, amount_minor in (("r1", 333), ("r2", 333), ("r3", None)):
        world.send("refund", key, of="k1", amount_minor=amount_minor)
        taken.append(-world.movements[-1].amount_minor)
    assert sum(taken) == converted(1000, "EUR", "USD", "1.0825")
    world.answer(world.requests[-1], "refund_failed")
    assert world.movements[-1].amount_minor == taken[-1]
    world.answer(world.requests[-2], "refunded", fx_rate="1.2")
    world.answer(world.requests[-2], "refund_failed")
    assert world.movements[-1].amount_minor == converted(333, "EUR", "USD", "1.2")
    audit(world)


def test_a_converted_charge_s_dispute_takes_its_share_and_gives_all_of_it_back():
    """7.00 of 10.00 and a fee of 15.00 EUR, at what the charge came to; won, all of it is back."""
    world = _captured(fee_minor=0)
    taken = world.notify("needs_response", withdrawn_minor=700, provider_fee_minor=1500).events[-1]
    assert _legs(taken) == [
        ("provider_receivable:northpay", -700, "EUR"),
        ("fx_conversion:northpay", 700, "EUR"),
        ("fx_conversion:northpay", -757, "USD"),
        ("tenant_payable:acme", 757, "USD"),
        ("tenant_payable:acme", 1623, "USD"),
        ("provider_receivable:northpay", -1623, "USD"),
    ]
    assert taken.balance_transactions[0].exchange_rate == "1.0825"
    audit(world)
    world.notify("won", withdrawn_minor=0, provider_fee_minor=0)
    assert sum(movement.amount_minor for movement in world.movements) == 1082
    audit(world)


def test_disputes_and_refunds_together_never_take_more_than_the_charge_came_to():
    """A refund of a third, then a dispute over all: the rest is the tenant's, what is beyond it is for people."""
    world = _captured(fee_minor=0)
    world.send("refund", "r1", of="k1", amount_minor=333)
    world.answer(world.requests[-1], "refunded", fx_rate="1.0825")
    world.notify("needs_response", withdrawn_minor=1000)
    assert sum(movement.amount_minor for movement in world.movements) == 0
    dispute = world.payment().disputes[0]
    assert (dispute.withdrawn_minor, dispute.excess_minor) == (667, 333)
    audit(world)


def test_fees_by_rules_are_those_of_the_settlement_currency():
    """The rule for USD is taken, of what the charge came to; a refund returns its share of it."""
    rules = (FeeRule(currency="EUR", basis_points=100), FeeRule(currency="USD", basis_points=290, fixed_minor=30))
    world = _captured(replace(USD, fees=rules, refund_fees_returned=True))
    assert world.events[-1].charge.tenant_fee_minor == 31 + 30
    assert ("provider_costs:northpay", 30, "USD") in _legs(world.events[-1])
    world.send("refund", "r1", of="k1")
    assert world.movements[-1].amount_minor == 61
    audit(world)


def test_operators_adjust_a_balance_where_it_is():
    """A credit on a converted payment is in the currency that it settled in."""
    world = _captured()
    world.resolve("credit", ids.payment_id(TENANT, "k1"), amount_minor=50)
    assert (world.movements[-1].amount_minor, world.movements[-1].currency) == (50, "USD")
    audit(world)


def test_what_operators_say_was_captured_is_converted_only_at_a_rate_that_is_known():
    """They know no rate: the charge settles in its own currency, and the provider's late word about another is a conflict."""
    world = World(tenant=USD)
    world.create()
    world.answer(world.requests[-1], "unknown")
    world.resolve("captured", world.requests[-1].object_id)
    assert {movement.currency for movement in world.movements} == {"EUR"}
    assert world.answer(world.requests[-1], "captured", fx_rate="1.0825").events[-1].type == "charge.conflict"
    audit(world)


def test_money_of_an_attempt_that_was_given_up_goes_back_unconverted():
    """A stray capture is never the tenant's, so what it came to is nobody's business."""
    world = World(tenant=USD)
    world.create()
    first = world.requests[-1]
    world.answer(first, "refused")
    world.answer(world.requests[-1], "refused")
    event = world.answer(first, "captured", fx_rate="1.0825").events[-1]
    assert {leg.currency for leg in event.postings} == {"EUR"}
    assert world.answer(world.requests[-1], "refunded", fx_rate="1.2").events[-1].type == "charge.reversed"
    assert not world.movements
    audit(world)


def test_every_attempt_asks_anew():
    """The second provider is asked to convert as the first was."""
    world = World(tenant=USD)
    world.put(RoutingUpdate(kind="policy", tenant="", policy_version=8, providers=("northpay", "southpay")))
    world.create()
    world.answer(world.requests[-1], "refused")
    assert [request.settlement_currency for request in world.requests] == ["USD", "USD"]


def test_a_rate_that_could_be_a_card_number_is_refused_at_the_door():
    """Text fields are looked through like all others: it gets no further than records.rejected."""
    world = World(tenant=USD)
    world.create()
    decision = world.answer(world.requests[-1], "captured", fx_rate="4.242424242424242", settlement_amount_minor=1)
    assert decision.refused.reason == "card_number"
    assert decision.refused.field == "fx_rate"


def test_nothing_asked_nothing_stated_fits():
    """The plain case: no conversion on either side."""
    assert conversions.fits(ProviderResult(outcome="captured"), Attempt("northpay"))
    assert conversions.wanted(None, "EUR") is None


def test_the_documented_example_is_what_happens():
    """The converted payment with a reserve and a refund of docs/lifecycle.md: every leg in its order, and none besides."""
    world = _captured(
        replace(USD, settlement_currency="JPY", reserve_basis_points=1_000, reserve_days=90), rate="162.37"
    )
    world.send("refund", "r1", of="k1", amount_minor=400)
    world.answer(world.requests[-1], "refunded", fx_rate="171.50")
    world.tick(world.time_ms + 90 * 86_400_000)
    told = [
        (event.type, leg.account, str(leg.amount_minor), leg.currency)
        for event in world.events
        for leg in event.postings
    ]
    text = (Path(__file__).parents[3] / "docs" / "lifecycle.md").read_text(encoding="utf-8")
    rows = [
        tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in text.splitlines() if line.startswith("| ")
    ]
    assert told == [row[:4] for row in rows if len(row) == 5 and row[3] in {"EUR", "JPY"}]
    for *_, pattern in (row for row in rows if len(row) == 5 and row[3] in {"EUR", "JPY"}):
        assert pattern in ledger.PATTERNS
    owed = sum(
        leg.amount_minor
        for event in world.events
        for leg in event.postings
        if leg.currency == "JPY" and leg.account.partition(":")[0] in {"fx_conversion", "provider_receivable"}
    )
    assert f"northpay owes {owed} JPY" in text
    audit(world)
