import pytest

from schemas.records import FeeRule, Tenant
from streams.core import fees
from streams.core.state import Fees, TenantState
from tests.unit.core.books import audit
from tests.unit.core.world import TENANT, World

RULES = Tenant(
    tenant=TENANT,
    version=1,
    fees=(
        FeeRule(payment_method="pm_card_amex", basis_points=350, fixed_minor=30),
        FeeRule(currency="EUR", basis_points=290, fixed_minor=25, dispute_minor=1500),
    ),
    refund_fees_returned=True,
    available_delay_ms=172_800_000,
)


@pytest.mark.parametrize(
    ("amount", "numerator", "denominator", "share"),
    [
        (50, 1, 100, 0),
        (150, 1, 100, 2),
        (250, 1, 100, 2),
        (251, 1, 100, 3),
        (249, 1, 100, 2),
        (0, 1, 100, 0),
        (7, 7, 7, 7),
    ],
)
def test_shares_are_rounded_half_to_even(amount, numerator, denominator, share):
    """Exactly, in whole numbers: 1.5 is 2, 2.5 is 2."""
    assert fees.share_minor(amount, numerator, denominator) == share


def test_the_first_rule_that_fits_is_taken():
    """By the start of the payment method's token and the currency; none: the provider's own fees."""
    state = TenantState(1, active=True, fees=(Fees("pm_card_amex", "", 350, 30, 0), Fees("", "EUR", 290, 25, 0)))
    assert fees.rule(state, payment_method="pm_card_amex_1", currency="EUR").basis_points == 350
    assert fees.rule(state, payment_method="pm_card_visa", currency="EUR").basis_points == 290
    assert fees.rule(state, payment_method="pm_card_visa", currency="USD") is None
    assert fees.rule(None, payment_method="pm_card_visa", currency="USD") is None
    assert fees.charge_minor(Fees("", "", 0, 500, 0), 300) == 300


def test_a_tenant_with_rules_pays_by_them_and_the_provider_is_our_cost():
    """10.00 EUR at 2.9 % and 0.25: the tenant pays 0.54; the provider's 0.30 is ours; the rest is available two days later."""
    world = World(tenant=RULES)
    world.create()
    event = world.answer(world.requests[-1], "captured", provider_fee_minor=30).events[-1]
    assert [(leg.account, leg.amount_minor) for leg in event.postings] == [
        ("provider_receivable:northpay", 1000),
        ("tenant_payable:acme", -1000),
        ("tenant_payable:acme", 54),
        ("platform_fees:acme", -54),
        ("provider_costs:northpay", 30),
        ("provider_receivable:northpay", -30),
    ]
    (told,) = event.balance_transactions
    assert (told.type, told.gross_minor, told.fee_minor, told.net_minor) == ("charge", 1000, 54, 946)
    assert told.available_on_ms == event.occurred_ms + RULES.available_delay_ms
    assert (event.charge.tenant_fee_minor, event.charge.provider_fee_minor) == (54, 30)
    audit(world)


def test_refunds_return_all_of_the_fee_in_the_end_and_a_failed_one_takes_its_share_back():
    """Three refunds of parts return shares that add up to the fee exactly; one that fails pays its share again."""
    world = World(tenant=RULES)
    world.create()
    world.answer(world.requests[-1], "captured", provider_fee_minor=30)
    returned = []
    for key, amount in (("r1", 333), ("r2", 333), ("r3", None)):
        event = world.send("refund", key, of="k1", amount_minor=amount).events[0]
        returned.append(-event.balance_transactions[0].fee_minor)
    assert sum(returned) == 54
    failed = world.answer(world.requests[-1], "refund_failed").events[0]
    assert failed.balance_transactions[0].fee_minor == returned[-1]
    again = world.send("refund", "r4", of="k1").events[0]
    assert again.balance_transactions[0].fee_minor == -returned[-1]
    audit(world)


def test_without_rules_the_provider_s_fee_is_the_tenant_s():
    """As the provider reports it, and a refund returns none of it."""
    world = World()
    world.create()
    event = world.answer(world.requests[-1], "captured", provider_fee_minor=30).events[-1]
    assert event.balance_transactions[0].fee_minor == 30
    assert world.send("refund", "r1", of="k1").events[0].balance_transactions[0].fee_minor == 0
    audit(world)
