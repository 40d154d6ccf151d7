"""The providers' notices and disputes against the log: what they told and what we have, one difference at a time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from schemas import codec
from schemas.records import ProviderNotice
from tests.chaos import names
from tests.chaos.providers import check_notices
from tests.unit.chaos._recorded import Recording
from tests.unit.chaos.test_verify import busiest, find, renumbered


def _broken(recording: Recording) -> list[bool]:
    return [not check.holds for check in check_notices(recording.log, recording.told)]


def test_books_that_agree_hold():
    """Every notice and every dispute is looked at: one won, one lost with more taken than the charge still held."""
    recording = Recording()
    checks = check_notices(recording.log, recording.told)
    assert [(check.holds, check.count) for check in checks] == [(True, 4), (True, 2)]


def test_a_notice_that_is_not_on_the_log_is_found():
    """The gateway lost it."""
    recording = Recording()
    records = busiest(recording.log, names.INPUTS)
    del records[find(records, ProviderNotice)]
    renumbered(records)
    assert _broken(recording)[0]


def test_a_notice_that_is_there_twice_is_found():
    """The fold knows it again, and so nothing else would tell."""
    recording = Recording()
    records = busiest(recording.log, names.INPUTS)
    records.insert(len(records), records[find(records, ProviderNotice)])
    renumbered(records)
    assert _broken(recording)[0]


def test_a_notice_that_no_provider_told_is_found():
    """Out of nothing."""
    recording = Recording()
    recording.told.pop(0)
    assert _broken(recording) == [True, False]


@pytest.mark.parametrize(("field", "value"), [("status", "under_review"), ("withdrawn_minor", 7)])
def test_a_dispute_that_stands_otherwise_is_found(field, value):
    """Its status, or what was taken back for it, is not what the provider's last word says."""
    recording = Recording()
    recording.told[-1] = recording.told[-1]._replace(**{field: value})
    assert _broken(recording) == [False, True]


def test_money_that_is_taken_back_but_not_posted_is_found():
    """What the tenant does not bear counts too: its leg is on an account of the provider's."""
    recording = Recording()
    for records in recording.log.topics[names.EVENTS].values():
        for at, record in enumerate(records):
            event = codec.decode(record.value)
            kept = tuple(leg for leg in event.postings if not leg.account.startswith("provider_disputed:"))
            records[at] = replace(record, value=codec.encode(replace(event, postings=kept)))
    assert _broken(recording) == [False, True]
