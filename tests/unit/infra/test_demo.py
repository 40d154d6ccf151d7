"""The demo's own parts: its intents, its bad records, and what the README quotes."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest

from connectors.providers.simulator._behaviour import VERDICTS, DisputeCourse
from infra.demo import bad
from infra.demo.intents import DISPUTE_METHODS, Planned, disputes, generate
from infra.demo.run import INTENTS_FILE, DemoError, read_plans
from infra.demo.upstream import _Payment
from schemas import codec
from schemas.catalogue import PAYMENT_INTENTS
from schemas.currencies import EXPONENTS
from schemas.errors import DecodingError
from schemas.records import PaymentIntent
from streams.core.checks import check_intent
from streams.core.errors import Refused

_ROOT = Path(__file__).parents[3]


def test_the_committed_file_is_what_its_seed_gives():
    """The 10,000 intents that come with the project are the generator's, byte for byte."""
    encoder = msgspec.json.Encoder()
    made = b"".join(encoder.encode(planned) + b"\n" for planned in generate(10_000, seed=7, events=True))
    assert gzip.decompress(INTENTS_FILE.read_bytes()) == made


def test_intents_are_realistic():
    """They have five tenants, currencies with 0, 2 and 3 decimals, a long tail, manual captures, refunds, declines, time-outs."""
    plans = list(read_plans(INTENTS_FILE))
    assert len(plans) == 10_000
    assert len({planned.intent_key for planned in plans}) == 10_000
    assert {planned.tenant for planned in plans} == {"acme", "globex", "initech", "petrogulf", "tiny"}
    assert {EXPONENTS[planned.currency] for planned in plans} == {0, 2, 3}
    euros = sorted(planned.amount_minor for planned in plans if planned.currency == "EUR")
    assert euros[-1] > 100 * euros[len(euros) // 2]
    kinds = {step.kind for planned in plans for step in planned.then}
    assert kinds == {"capture", "refund", "cancel"}
    methods = {planned.payment_method for planned in plans}
    assert {"pm_card_chargeDeclined", "pm_test_timeout", "pm_test_dropAfterCharge", "pm_test_refusedByFirst"} <= methods
    assert sum(planned.payment_method == "pm_card_authenticationRequired" for planned in plans) == 40
    assert disputes(plans) == 80


def test_disputes_are_as_many_as_the_providers_will_tell_of():
    """Whatever is to be disputed is captured at once and neither canceled nor refunded, by methods that the simulator disputes."""
    for planned in generate(1_000, seed=3, events=True):
        course = VERDICTS[planned.payment_method].dispute
        assert (planned.payment_method in DISPUTE_METHODS) == (course is not DisputeCourse.NONE)
        if course is not DisputeCourse.NONE:
            assert (planned.capture_method, planned.then) == ("automatic", ())


def test_every_planned_intent_passes_intake():
    """No line of the committed file breaks the contract."""
    for planned in read_plans(INTENTS_FILE):
        fields = {name: getattr(planned, name) for name in planned.__struct_fields__ if name != "then"}
        check_intent(PaymentIntent(**fields, upstream="demo"))


def test_a_line_that_is_no_plan_is_named(tmp_path):
    """A broken line gives its number and what is wrong with it."""
    file = tmp_path / "intents.jsonl"
    file.write_text('{"tenant":"acme","intent_key":"a","amount_minor":"ten","currency":"EUR","payment_method":"pm"}\n')
    with pytest.raises(DemoError, match=r"line 1: .*amount_minor"):
        list(read_plans(file))


@pytest.mark.parametrize("record", bad.bad_records(), ids=lambda record: record.what)
def test_each_bad_record_is_bad_in_its_own_way(record):
    """Decoding or the intake's checks refuse it for the reason that it is there to show."""
    if record.reason == "unknown_tenant":  # the contract is kept; only the tenants' table can tell
        intent = codec.decode(record.value, expected=PAYMENT_INTENTS.records)
        check_intent(intent)
        return
    with pytest.raises((DecodingError, Refused)) as refused:
        check_intent(codec.decode(record.value, expected=PAYMENT_INTENTS.records))
    assert refused.value.reason == record.reason


def test_a_payment_is_finished_only_after_its_last_refund():
    """A succeeded payment whose planned refund is missing or pending goes on."""
    planned = next(plan for plan in generate(1_000, seed=1) if [step.kind for step in plan.then] == ["refund"])
    payment = _Payment(planned, status="succeeded")
    assert not payment.finished
    payment.steps_asked = 1
    payment.refunds["re_1"] = "pending"
    assert not payment.finished
    payment.refunds["re_1"] = "succeeded"
    assert payment.finished


def test_declined_is_finished_and_merely_created_is_not():
    """requires_payment_method ends a payment only after an attempt."""
    planned = Planned(tenant="acme", intent_key="k", amount_minor=1, currency="EUR", payment_method="pm")
    payment = _Payment(planned, status="requires_payment_method")
    assert not payment.finished
    payment.attempted = True
    assert payment.finished


@pytest.mark.parametrize("name", ["producer", "consumer"])
def test_the_readme_quotes_the_examples_as_they_are(name):
    """Whoever copies from the README has the program that the tests run."""
    example = (_ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").rstrip()
    assert example in (_ROOT / "README.md").read_text(encoding="utf-8")
