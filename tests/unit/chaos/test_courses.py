"""What the load does with its payments: which are challenged, raised and disputed, and when they are over."""

from __future__ import annotations

import itertools

from infra.demo.intents import Planned, generate
from tests.chaos.courses import Course, Followed, courses, response


def _some(count: int = 4_000) -> list[Followed]:
    return list(itertools.islice(courses(generate(count, seed=7), seed=7), count))


def test_everything_happens():
    """Each way a challenge ends, each answer to a dispute, and raised authorisations, whose capture is still at most theirs."""
    found = _some()
    assert {one.course.challenge for one in found} == {"", "succeeded", "failed", "canceled", "raced"}
    assert {one.course.response for one in found} == {"", "win", "lose", "keep", "accept", "silence"}
    raised = [one.planned for one in found if any(step.kind == "increment" for step in one.planned.then)]
    assert raised
    for planned in raised:
        assert planned.then[0].amount_minor > planned.amount_minor
        captures = [step.amount_minor for step in planned.then if step.kind == "capture"]
        assert all(amount_minor is None or amount_minor <= planned.amount_minor for amount_minor in captures)


def test_a_seed_gives_the_same_courses():
    """A run can be repeated."""
    assert _some(500) == _some(500)


def test_a_disputed_payment_is_over_when_its_dispute_is():
    """Not when it has succeeded, and not while a refund of it is under way."""
    planned = Planned(tenant="acme", intent_key="k", amount_minor=9, currency="EUR", payment_method="pm_card_visa")
    payment = Followed(planned, course=Course(response="win"), status="succeeded", attempted=True)
    assert not payment.finished
    payment.disputes["dp_1"] = "needs_response"
    assert not payment.finished
    payment.disputes["dp_1"] = "won"
    assert payment.finished
    payment.refunds["re_1"] = "pending"
    assert not payment.finished
    payment.refunds["re_1"] = "succeeded"
    assert payment.finished


def test_nobody_accepts_an_inquiry():
    """Only what has taken money can be given up."""
    course = Course(response="accept")
    assert [fields["kind"] for fields in response(course, "needs_response")] == ["close_dispute"]
    assert response(course, "warning_needs_response") == []
    assert response(Course(response="silence"), "needs_response") == []
