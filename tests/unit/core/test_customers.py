from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import ids
from schemas.records import ClockTick, CustomerEvent, PaymentCommand
from streams.core import keys
from streams.core._customer_methods import METHODS_MAX
from streams.core.customers_state import Customer, Method, Setup
from streams.core.idempotency import REPLIES_KEPT_MS
from streams.core.state import decode
from tests.unit.core.people import CK1, CK2, People, answer, sealed
from tests.unit.core.world import T0, TENANT


def types(decision) -> list[str]:
    """Of its events."""
    return [event.type for event in decision.events]


def test_a_customer_is_made_read_changed_and_deleted() -> None:
    """Each step has one event of the object as it is then; sequence and the previous event's id leave no gap."""
    people = People()
    made = people.ask(
        "create_customer", "c1", personal=(sealed("name"), sealed("email", b"e")), metadata={"tier": "gold"}
    )
    customer = ids.customer_id(TENANT, "c1")
    first = answer(made, 200).customer
    assert first is not None
    assert (first.id, first.metadata, [one.name for one in first.personal]) == (
        customer,
        {"tier": "gold"},
        ["email", "name"],
    )
    changed = people.ask(
        "update_customer",
        "u1",
        customer,
        personal=(sealed("email", b""), sealed("phone", b"p", CK2)),
        metadata={"size": "L"},
        metadata_removed=("tier",),
    )
    second = answer(changed, 200).customer
    assert second is not None
    assert [(one.name, one.key_id) for one in second.personal] == [("name", CK1), ("phone", CK2)]
    assert second.metadata == {"size": "L"}
    deleted = people.ask("delete_customer", "d1", customer)
    last = answer(deleted, 200).customer
    assert last is not None
    assert (last.deleted, last.personal, last.metadata) == (True, (), {})
    assert deleted.erasures == [(TENANT, customer, (CK1, CK2))]
    events = [event for decision in people.decisions for event in decision.events]
    assert [event.type for event in events] == ["customer.created", "customer.updated", "customer.deleted"]
    assert [event.sequence for event in events] == [1, 2, 3]
    assert [event.previous_event_id for event in events] == ["", events[0].event_id, events[1].event_id]
    answer(people.ask("update_customer", "u2", customer, metadata={"a": "b"}), 404)


def test_the_same_key_and_parameters_are_one_effect_and_one_answer() -> None:
    """Told again, a command changes nothing and is answered with what it made then, whatever has become of that."""
    people = People()
    first = answer(people.ask("create_customer", "c1", metadata={"a": "1"}), 200)
    customer = ids.customer_id(TENANT, "c1")
    answer(people.ask("update_customer", "u1", customer, metadata={"a": "2"}), 200)
    before = dict(people.view.data)
    again = people.ask("create_customer", "c1", metadata={"a": "1"})
    reply = answer(again, 200)
    assert reply.replayed
    assert reply.customer == first.customer
    assert not again.writes
    assert not again.events
    assert people.view.data == before


def test_the_same_key_with_other_parameters_or_about_another_object_is_an_error() -> None:
    """A key belongs to one request of its tenant; what was asked under it stands."""
    people = People()
    customer = people.customer(metadata={"a": "1"})
    for decision in (
        people.ask("create_customer", "c1", metadata={"a": "2"}),
        people.ask("create_method", "c1", token="pm_card_visa"),
        people.ask("update_customer", "c1", customer, metadata={"a": "1"}),
    ):
        assert answer(decision, 400).error.code == "idempotency_error"
        assert not decision.writes
    other = people.ask("create_customer", "c1", tenant="umbrella", metadata={"a": "2"})
    answer(other, 200)


def test_a_forgotten_answer_does_not_let_a_create_happen_twice() -> None:
    """After 30 days the answer is gone; the object is there, and a second create under its key is refused."""
    people = People()
    people.customer()
    people.time_ms = T0 + REPLIES_KEPT_MS + 1
    people.put(ClockTick(time_ms=people.time_ms))
    assert people.view.get(keys.answer(TENANT, "c1")) is None
    assert answer(people.ask("create_customer", "c1"), 400).error.code == "idempotency_error"


def test_a_wish_that_cannot_be_met_is_not_remembered() -> None:
    """Asked again when it can be, the same key has its effect."""
    people = People()
    customer = ids.customer_id(TENANT, "c1")
    answer(people.ask("update_customer", "u1", customer, metadata={"a": "1"}), 404)
    people.customer()
    answer(people.ask("update_customer", "u1", customer, metadata={"a": "1"}), 200)


def test_a_method_is_attached_once_and_gone_once_detached() -> None:
    """It is one customer's at a time; a detached one is nobody's for ever, and the provider's token is forgotten."""
    people = People()
    one, two = people.customer("c1"), people.customer("c2")
    method = people.saved(one)
    assert answer(people.ask("attach_method", "a2", method, customer=two), 400).error.code == (
        "payment_method_unexpected_state"
    )
    answer(people.ask("update_customer", "u1", one, default_method=method), 200)
    answer(people.ask("update_customer", "u2", two, default_method=method), 404)
    detached = people.ask("detach_method", "d1", method)
    shown = answer(detached, 200).method
    assert shown is not None
    assert (shown.customer, shown.token) == ("", "")
    assert decode(Customer, people.view.get(keys.customer(TENANT, one))).default_method == ""
    answer(people.ask("attach_method", "a3", method, customer=one), 400)
    answer(people.ask("detach_method", "d2", method), 400)


def test_a_token_is_attached_under_an_id_of_its_own() -> None:
    """As Stripe's test methods: attaching pm_card_visa saves a new method, each time another one."""
    people = People()
    customer = people.customer()
    method = ids.method_id(TENANT, "a1")
    shown = answer(people.ask("attach_method", "a1", method, token="tok_visa", customer=customer), 200).method
    assert shown is not None
    assert (shown.id, shown.customer, shown.token) == (method, customer, "pm_card_visa")
    assert (shown.card.brand, shown.card.last4, shown.card.exp_month) == ("visa", "4242", 12)


def test_a_customer_has_a_limit_of_methods() -> None:
    """One more than that is refused, and after a detachment it is not."""
    people = People()
    customer = people.customer()
    methods = [people.saved(customer, f"m{number}") for number in range(METHODS_MAX)]
    answer(people.ask("create_method", "more", token="pm_card_visa"), 200)
    more = ids.method_id(TENANT, "more")
    assert answer(people.ask("attach_method", "a1", more, customer=customer), 400).error.code == "payment_method_limit"
    answer(people.ask("detach_method", "d1", methods[7]), 200)
    answer(people.ask("attach_method", "a2", more, customer=customer), 200)


def test_a_deleted_customers_methods_are_detached() -> None:
    """In the same step, each with an event; nothing can be attached to it any more."""
    people = People()
    customer = people.customer()
    methods = [people.saved(customer, f"m{number}") for number in range(3)]
    gone = people.ask("delete_customer", "d1", customer)
    assert types(gone) == ["payment_method.detached"] * 3 + ["customer.deleted"]
    assert all(not decode(Method, people.view.get(keys.method(TENANT, one))).token for one in methods)
    answer(people.ask("create_method", "late", token="pm_card_visa"), 200)
    answer(people.ask("attach_method", "a9", ids.method_id(TENANT, "late"), customer=customer), 404)


def test_metadata_is_merged_and_has_a_limit() -> None:
    """Keys are set and removed by name, all go when it is cleared, and 50 are the most after each of these."""
    people = People()
    customer = people.customer(metadata={f"k{number}": "v" for number in range(50)})
    over = answer(people.ask("update_customer", "u1", customer, metadata={"one": "more"}), 400)
    assert (over.error.code, over.error.param) == ("parameter_invalid", "metadata")
    answer(people.ask("update_customer", "u2", customer, metadata={"one": "more"}, metadata_removed=("k0",)), 200)
    cleared = answer(people.ask("update_customer", "u3", customer, metadata={"a": "b"}, metadata_cleared=True), 200)
    assert cleared.customer.metadata == {"a": "b"}


def test_a_setup_saves_the_method_for_its_customer() -> None:
    """Confirmed, the method of a good card is the customer's; a repetition of the confirmation saves nothing twice."""
    people = People()
    customer = people.customer()
    made = people.ask("create_setup", "s1", customer=customer, token="pm_card_visa", confirm=True)
    setup = answer(made, 200).setup
    assert setup is not None
    assert (setup.status, setup.method) == ("succeeded", ids.method_id(TENANT, "s1"))
    assert types(made) == [
        "payment_method.created",
        "setup_intent.created",
        "payment_method.attached",
        "setup_intent.succeeded",
    ]
    assert decode(Customer, people.view.get(keys.customer(TENANT, customer))).methods == (setup.method,)
    again = people.ask("create_setup", "s1", customer=customer, token="pm_card_visa", confirm=True)
    assert answer(again, 200).replayed
    assert not again.events
    for wish in ("confirm_setup", "cancel_setup", "update_setup"):
        assert answer(people.ask(wish, f"{wish}-late", setup.id), 400).error.code == "setup_intent_unexpected_state"


def test_a_declined_card_is_not_saved_and_another_can_be_given() -> None:
    """402 with the issuer's reason, remembered under its key; the setup waits for another method."""
    people = People()
    customer = people.customer()
    setup = ids.setup_id(TENANT, "s1")
    token = "pm_card_chargeDeclinedInsufficientFunds"
    made = people.ask("create_setup", "s1", customer=customer, token=token, confirm=True)
    reply = answer(made, 402)
    assert (reply.error.code, reply.error.decline_code) == ("card_declined", "insufficient_funds")
    assert (reply.setup.status, reply.setup.method) == ("requires_payment_method", "")
    assert decode(Customer, people.view.get(keys.customer(TENANT, customer))).methods == ()
    assert answer(people.ask("create_setup", "s1", customer=customer, token=token, confirm=True), 402).replayed
    assert answer(people.ask("confirm_setup", "f0", setup), 400).error.code == "parameter_missing"
    good = answer(people.ask("confirm_setup", "f1", setup, token="pm_card_mastercard"), 200)
    assert (good.setup.status, good.setup.error_code) == ("succeeded", "")


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_challenge_waits_for_the_customer(succeeded: bool) -> None:
    """Nothing is saved until they did what their bank asked; did they not, another try may be made."""
    people = People()
    customer = people.customer()
    made = people.ask("create_setup", "s1", customer=customer, token="pm_card_authenticationRequired", confirm=True)
    assert answer(made, 200).setup.status == "requires_action"
    assert "payment_method.attached" not in types(made)
    setup = ids.setup_id(TENANT, "s1")
    done = people.ask("complete_action", "x1", setup, succeeded=succeeded)
    shown = answer(done, 200).setup
    assert shown.status == ("succeeded" if succeeded else "requires_payment_method")
    assert ("payment_method.attached" in types(done)) is succeeded
    assert shown.error_code == ("" if succeeded else "setup_intent_authentication_failure")
    answer(people.ask("complete_action", "x2", setup, succeeded=True), 400)


def test_a_setup_takes_no_method_of_another_customer() -> None:
    """Neither at its creation, nor when the method became another's in between."""
    people = People()
    one, two = people.customer("c1"), people.customer("c2")
    method = people.saved(one)
    answer(people.ask("create_setup", "s1", customer=two, method=method), 400)
    answer(people.ask("create_method", "m2", token="pm_card_visa"), 200)
    free = ids.method_id(TENANT, "m2")
    answer(people.ask("create_setup", "s2", customer=two, method=free), 200)
    answer(people.ask("attach_method", "a1", free, customer=one), 200)
    answer(people.ask("confirm_setup", "f1", ids.setup_id(TENANT, "s2")), 400)


def test_a_payments_method_is_saved_once_and_nobody_waits() -> None:
    """Told twice, it is saved once; what can't be saved is refused where people look, and changes nothing."""
    people = People()
    customer = people.customer()
    payment = ids.payment_id(TENANT, "p1")
    method = ids.saved_method_id(TENANT, payment)
    given = {"token": "pm_card_visa", "customer": customer, "payment_id": payment, "reply_partition": None}
    assert types(people.ask("save_method", f"save/{payment}", method, **given)) == ["payment_method.attached"]
    assert not people.ask("save_method", f"save/{payment}", method, **given).events
    assert not people.ask("save_method", "another key", method, **given).events
    people.ask("delete_customer", "d1", customer)
    late = people.ask("save_method", "late", ids.saved_method_id(TENANT, ids.payment_id(TENANT, "p2")), **given)
    assert late.refused is not None
    assert not late.writes


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"token": "4242424242424242"}, "token"),
        ({"token": "a b c d"}, "token"),
        ({"token": ""}, "token"),
        ({"object_id": "pm_" + "0" * 24}, "object_id"),
        ({"metadata": {"a": "4242 4242 4242 4242"}}, "metadata"),
        ({"personal": (sealed("name"),)}, "personal"),
        ({"customer": "cust_17"}, "customer"),
        ({"reply_partition": -1}, "reply_partition"),
    ],
)
def test_what_breaks_the_contract_is_refused(fields, field) -> None:
    """Typed, naming the field, without the value; nothing is written."""
    people = People()
    decision = people.ask("create_method", "m1", **{"token": "pm_card_visa", **fields})
    assert decision.refused is not None
    assert decision.refused.field == field
    assert "4242" not in decision.refused.message
    assert not decision.writes


def test_personal_data_comes_sealed_and_under_known_names() -> None:
    """What names no key is refused: it might be in the clear. So is a name that nobody seals."""
    people = People()
    for personal in (
        (replace(sealed("name"), key_id=""),),
        (sealed("nickname"),),
        (sealed("name"), sealed("name")),
        (sealed("name", b"x" * 9_000),),
    ):
        decision = people.ask("create_customer", "c1", personal=personal)
        assert decision.refused is not None
        assert decision.refused.field == "personal"


def test_another_topics_record_is_refused() -> None:
    """A payment's command has no place here."""
    assert People().put(PaymentCommand()).refused.reason == "wrong_record"


_KEYS = st.sampled_from([f"k{number}" for number in range(6)])
_TOKENS = st.sampled_from(["pm_card_visa", "pm_card_chargeDeclined", "pm_card_authenticationRequired", "vault-0815"])
_KINDS = st.sampled_from(
    [
        "create_customer",
        "update_customer",
        "delete_customer",
        "create_method",
        "update_method",
        "attach_method",
        "detach_method",
        "save_method",
        "create_setup",
        "update_setup",
        "confirm_setup",
        "cancel_setup",
        "complete_action",
    ]
)


def _fields(kind: str, about: str, other: str, token: str) -> dict:
    """Parameters that fit the kind, about objects that other commands may have made."""
    customer, method = ids.customer_id(TENANT, other), ids.method_id(TENANT, other)
    fields: dict = {"metadata": {"by": other}}
    if kind.endswith("_customer") and kind != "create_customer":
        fields["object_id"] = ids.customer_id(TENANT, about)
    if kind == "update_customer":
        fields["default_method"] = method
    if kind in ("update_method", "attach_method", "detach_method", "save_method"):
        fields["object_id"] = ids.method_id(TENANT, about)
    if kind.endswith("_setup") or kind == "complete_action":
        fields["object_id"] = ids.setup_id(TENANT, about)
    if kind in ("attach_method", "save_method", "create_setup"):
        fields["customer"] = customer
    if kind in ("create_method", "save_method"):
        fields["token"] = token
    if kind == "confirm_setup":
        fields["method"] = method
    if kind == "create_setup":
        fields |= {"token": token, "confirm": about < other, "object_id": ""}
    if kind == "complete_action":
        fields["succeeded"] = about < other
    return fields


_COMMANDS = st.lists(st.tuples(_KINDS, _KEYS, _KEYS, _KEYS, _TOKENS, st.booleans()), max_size=40)


@settings(max_examples=150, deadline=None)
@given(_COMMANDS)
def test_whatever_comes_the_books_of_customers_hold(commands) -> None:
    """
    After any commands, a method is in its customer's list and in no other, and the events leave no gap.

    Lists name what is there, defaults are among them. Each command told again changes nothing and has the same answer.
    """
    people = People()
    for kind, key, about, other, token, again in commands:
        fields = _fields(kind, about, other, token)
        first = people.ask(kind, f"{kind}-{key}" if kind[:6] != "create" else key, **fields)
        if again:
            before = dict(people.view.data)
            second = people.ask(kind, f"{kind}-{key}" if kind[:6] != "create" else key, **fields)
            assert not second.events
            assert people.view.data == before
            if first.replies and first.replies[0][1].status_code in (200, 402):
                told, repeated = first.replies[0][1], second.replies[0][1]
                assert repeated.replayed
                assert (repeated.status_code, repeated.customer, repeated.method, repeated.setup) == (
                    told.status_code,
                    told.customer,
                    told.method,
                    told.setup,
                )
    _hold(people)


def _hold(people: People) -> None:
    data = people.view.data
    customers = {
        key.decode().rpartition("/")[2]: decode(Customer, value) for key, value in data.items() if key[:2] == b"u/"
    }
    methods = {
        key.decode().rpartition("/")[2]: decode(Method, value) for key, value in data.items() if key[:2] == b"m/"
    }
    setups = [decode(Setup, value) for key, value in data.items() if key[:2] == b"g/"]
    listed = [(method, customer) for customer, one in customers.items() for method in one.methods]
    assert sorted(listed) == sorted((method, one.customer) for method, one in methods.items() if one.customer)
    for one in customers.values():
        assert one.default_method in ("", *one.methods)
        assert not (one.deleted and (one.methods or one.personal or one.metadata))
    for setup in setups:
        assert not (setup.status == "requires_confirmation" and not setup.method)
    newest: dict[str, CustomerEvent] = {}
    for decision in people.decisions:
        for event in decision.events:
            before = newest.get(event.object_id)
            assert event.sequence == (1 if before is None else before.sequence + 1)
            assert event.previous_event_id == ("" if before is None else before.event_id)
            newest[event.object_id] = event


@pytest.mark.parametrize("made_first", [True, False])
def test_a_card_that_its_bank_declines_is_not_attached(made_first) -> None:
    """402 with the bank's reason, and nothing has changed; one that is declined only when it is charged is attached."""
    people = People()
    customer = people.customer()
    method = ids.method_id(TENANT, "m1" if made_first else "a1")
    token = "pm_card_chargeDeclinedInsufficientFunds"
    if made_first:
        answer(people.ask("create_method", "m1", token=token), 200)
    given = {} if made_first else {"token": token}
    before = dict(people.view.data)
    declined = people.ask("attach_method", "a1", method, customer=customer, **given)
    error = answer(declined, 402).error
    assert error is not None
    assert (error.code, error.decline_code, error.type) == ("card_declined", "insufficient_funds", "card_error")
    assert (people.view.data, declined.events) == (before, [])
    later = ids.method_id(TENANT, "a3")
    answer(people.ask("attach_method", "a3", later, customer=customer, token="pm_card_chargeCustomerFail"), 200)
