"""When a log is quiet: nothing that a worker has not taken, nothing that a provider has not answered."""

from __future__ import annotations

from schemas.records import PayoutResult, ProviderNotice, ProviderResult
from tests.chaos import names
from tests.chaos.quiet import unanswered, untaken
from tests.unit.chaos._recorded import Recording
from tests.unit.chaos.test_verify import busiest, find


def test_a_finished_log_is_quiet():
    """The last ticks are taken by nobody and don't count."""
    log = Recording().log
    assert not untaken(log)
    assert not unanswered(log)


def test_a_record_behind_a_tasks_position_is_seen():
    """A notice that came last."""
    log = Recording().log
    records = busiest(log, names.INPUTS)
    log.groups["clearline-lifecycle", names.INPUTS][records[0].partition] = find(records, ProviderNotice)
    assert untaken(log)["lifecycle"] > 0


def test_a_request_without_a_definite_result_is_seen():
    """Of a payment, or of a payout; that one pends is no answer."""
    for topic, kind in ((names.INPUTS, ProviderResult), (names.SETTLEMENTS, PayoutResult)):
        log = Recording().log
        records = busiest(log, topic)
        del records[find(records, kind, lambda message: message.outcome not in names.INDEFINITE)]
        assert len(unanswered(log)) == 1
