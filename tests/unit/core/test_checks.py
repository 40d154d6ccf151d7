import pytest
from msgspec.structs import replace

from schemas.card_numbers import has_card_number
from schemas.currencies import AMOUNT_MINOR_MAX
from schemas.records import Attribution, PaymentCommand, PaymentIntent, Tenant
from streams.core import Refused, check_command, check_intent, ids
from streams.core.checks import check_tenant, safe_text
from tests.unit.core.world import World

CARD = "4242424242424242"
SECRET = "rk_live_4eC39HqLyjWDarjtT1zdp7dc"
CLIENT_SECRET = "pi_0123456789abcdef01234567_secret_mfrggzdfmztwq2lknnwg23tpob"
INTENT = PaymentIntent(
    tenant="acme",
    intent_key="order-1",
    amount_minor=1000,
    currency="EUR",
    payment_method="pm_card_visa",
    upstream="shop",
)
COMMAND = PaymentCommand(
    tenant="acme",
    payment_id=ids.payment_id("acme", "k"),
    kind="create",
    amount_minor=1000,
    currency="EUR",
    payment_method="pm_card_visa",
    confirm=True,
    attribution=Attribution(actor_kind="api_key", actor_id="key_1", idempotency_key="k"),
)


@pytest.mark.parametrize(
    "text",
    [
        CARD,
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "4242.4242.4242.4242",
        f"card:{CARD}!",
        f"pm_{CARD}",
        f"order 12 {CARD} 34",
        f"x{CARD}y",
        "378282246310005",
        "6011111111111117",
        "4222222222222",
        "2223003122003222",  # Mastercard's newer range
        "2200000000000004",  # Mir
        f"a-{CARD}-b\n5",
    ],
)
def test_card_numbers_are_found(text):
    """Plain, parted by blanks, dashes or dots, within other text: each is found, and masked in an outsider's words."""
    assert has_card_number(text)
    assert not has_card_number(safe_text(text))


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",  # fails Luhn
        "424242424242",  # too short
        "1767225600000",  # ms since the epoch
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "4242424242424242abcdef00",  # digits within a hexadecimal id
        "42424242-4242-4242-8888-4242424242ab",
        "order-20261126-00005",  # a date and a number that happen to pass Luhn
        "pm_card_visa",
        "+49 30 1234567",
        "",
    ],
)
def test_what_is_no_card_number_passes(text):
    """Digits that fail Luhn's check, times, hexadecimal ids and UUIDs are not taken for card numbers."""
    assert not has_card_number(text)
    assert safe_text(text) == text


def test_generated_idempotency_keys_pass():
    """No UUID or hash that a caller would use as a key is refused: 20,000 of each, made by counting."""
    for number in range(20_000):
        digest = ids.payment_id("acme", str(number))[3:] + ids.payment_id("other", str(number))[3:11]
        uuid = f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"
        assert not has_card_number(digest), digest
        assert not has_card_number(f"stripe-node-retry-{uuid}"), uuid


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("tenant", "", "invalid_field"),
        ("tenant", "Acme", "invalid_field"),
        ("tenant", "a/b", "invalid_field"),
        ("tenant", "a" * 65, "invalid_field"),
        ("intent_key", "", "invalid_field"),
        ("intent_key", "a" * 256, "invalid_field"),
        ("intent_key", "a\nb", "invalid_field"),
        ("intent_key", CARD, "card_number"),
        ("intent_key", SECRET, "secret"),
        ("amount_minor", 0, "invalid_amount"),
        ("amount_minor", -5, "invalid_amount"),
        ("amount_minor", AMOUNT_MINOR_MAX + 1, "invalid_amount"),
        ("currency", "EURO", "unknown_currency"),
        ("currency", "eur", "unknown_currency"),
        ("capture_method", "unrecognized", "invalid_field"),
        ("payment_method", "", "invalid_field"),
        ("payment_method", CARD, "card_number"),
        ("payment_method", SECRET, "secret"),
        ("customer", "c" * 256, "invalid_field"),
        ("description", "d" * 1001, "invalid_field"),
        ("description", f"paid with {CARD}", "card_number"),
        ("description", f"paid with {CLIENT_SECRET}", "secret"),
        ("metadata", {str(number): "x" for number in range(51)}, "invalid_field"),
        ("metadata", {"k" * 41: "x"}, "invalid_field"),
        ("metadata", {"": "x"}, "invalid_field"),
        ("metadata", {"k": "v" * 501}, "invalid_field"),
        ("metadata", {"k": CARD}, "card_number"),
        ("metadata", {"k": SECRET}, "secret"),
        ("metadata", {CARD: "v"}, "card_number"),
        ("metadata", {SECRET[:40]: "v"}, "secret"),
        ("upstream", "u" * 256, "invalid_field"),
        ("request_id", CARD, "card_number"),
        ("request_id", SECRET, "secret"),
        ("traceparent", "nonsense", "invalid_field"),
    ],
)
def test_an_intent_that_breaks_its_contract_is_refused(field, value, reason):
    """Typed, naming the field, without the card number or secret in the message; the intact one passes."""
    check_intent(INTENT)
    with pytest.raises(Refused) as caught:
        check_intent(replace(INTENT, **{field: value}))
    assert caught.value.reason == reason
    assert caught.value.field == field
    assert CARD not in caught.value.message
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("tenant", "a/b", "invalid_field"),
        ("payment_id", "pi_x", "invalid_field"),
        ("payment_id", ids.payment_id("acme", "other"), "invalid_field"),
        ("kind", "unrecognized", "invalid_field"),
        ("amount_minor", None, "invalid_amount"),
        ("amount_minor", 0, "invalid_amount"),
        ("currency", "XXX", "unknown_currency"),
        ("capture_method", "unrecognized", "invalid_field"),
        ("payment_method", CARD, "card_number"),
        ("payment_method", SECRET, "secret"),
        ("payment_method", "p" * 256, "invalid_field"),
        ("customer", "c" * 256, "invalid_field"),
        ("description", "d" * 1001, "invalid_field"),
        ("metadata", {"k": CARD}, "card_number"),
        ("metadata", {"k": SECRET}, "secret"),
        ("fingerprint", "f" * 129, "invalid_field"),
        ("correlation_id", "c" * 256, "invalid_field"),
        ("reply_partition", -1, "invalid_field"),
    ],
)
def test_a_command_that_breaks_its_contract_is_refused(field, value, reason):
    """Typed, naming the field; the lifecycle answers its caller and changes nothing."""
    check_command(COMMAND)
    broken = replace(COMMAND, reply_partition=0) if field != "reply_partition" else COMMAND
    broken = replace(broken, **{field: value})
    with pytest.raises(Refused) as caught:
        check_command(broken)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    decision = World().put(broken)
    assert decision.refused is not None
    assert [reply.status_code for _, reply in decision.replies] == ([] if field == "reply_partition" else [400])


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("actor_kind", "unrecognized", "invalid_field"),
        ("idempotency_key", "", "invalid_field"),
        ("idempotency_key", "k" * 256, "invalid_field"),
        ("actor_id", "a" * 256, "invalid_field"),
        ("on_behalf_of", CARD, "card_number"),
        ("on_behalf_of", SECRET, "secret"),
        ("reason", CARD, "card_number"),
        ("reason", SECRET, "secret"),
        ("request_id", CARD, "card_number"),
        ("request_id", SECRET, "secret"),
        ("traceparent", "00-xyz", "invalid_field"),
    ],
)
def test_attribution_is_checked(field, value, reason):
    """P8 and P9 at the door: an actor, a key, and texts within their limits and without card numbers."""
    with pytest.raises(Refused) as caught:
        check_command(replace(COMMAND, kind="confirm", attribution=replace(COMMAND.attribution, **{field: value})))
    assert (caught.value.reason, caught.value.field) == (reason, f"attribution.{field}")


@pytest.mark.parametrize(("kind", "reason"), [("cancel", "because"), ("refund", "abandoned")])
def test_reasons_are_stripes(kind, reason):
    """A cancellation and a refund have their own lists of reasons; others are refused."""
    check_command(replace(COMMAND, kind=kind, reason="duplicate"))
    with pytest.raises(Refused, match="reason is one of"):
        check_command(replace(COMMAND, kind=kind, reason=reason))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reserve_basis_points": -1, "reserve_days": 1}, "reserve_basis_points"),
        ({"reserve_basis_points": 10_001, "reserve_days": 1}, "reserve_basis_points"),
        ({"reserve_basis_points": 1}, "reserve_days"),
        ({"reserve_basis_points": 1, "reserve_days": 367}, "reserve_days"),
        ({"reserve_days": -1}, "reserve_days"),
        ({"settlement_currency": "usd"}, "settlement_currency"),
        ({"settlement_currency": "XXX"}, "settlement_currency"),
    ],
)
def test_a_tenant_s_reserve_and_settlement_currency_are_checked(fields, field):
    """A reserve has its days, and a settlement currency is one."""
    with pytest.raises(Refused) as refused:
        check_tenant(Tenant(tenant="acme", version=1, **fields))
    assert refused.value.field == field
    check_tenant(
        Tenant(tenant="acme", version=1, reserve_basis_points=10_000, reserve_days=366, settlement_currency="USD")
    )
