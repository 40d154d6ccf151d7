"""A recorded history replays equal; whatever is planted in it is found and named first."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from schemas import catalogue, codec
from schemas.records import AuditDigest, ClockTick, CustomerCommand, Movement, PaymentEvent, ProviderRequest, Reply
from streams.core import InvariantBroken
from streams.replay import ALGORITHM, Bounds, Difference, InputsGone, NotComparable, Report, replay
from streams.replay.published import compare, read
from tests.unit.replay import _recorded
from tests.unit.replay._recorded import (
    CUSTOMERS,
    DIGESTS,
    EVENTS,
    INPUTS,
    PARTITIONS,
    REJECTED,
    REPLIES,
    REQUESTS,
    SETTLEMENT,
    STATE,
    WINDOWS,
    MemoryLog,
    history,
    movements,
)

CUSTOMER_EVENTS = catalogue.CUSTOMERS_EVENTS.name
MADE = history()
BUSY = next(number for number in range(PARTITIONS) if MADE.log.records[WINDOWS, number])
"""The partition that the only flow's windows are on."""


@pytest.fixture
def log() -> Iterator[MemoryLog]:
    """A history of this test's own."""
    return copy.deepcopy(MADE.log)


def the_first(report: Report, fold: str = "lifecycle", partition: int = 0) -> Difference:
    """The first difference of a partition."""
    (found,) = [one for one in report.folds if (one.fold, one.partition) == (fold, partition)]
    assert not report.equal
    assert found.difference_count == sum(count.differences for count in found.topics.values()) > 0
    return found.differences[0]


def changed(value: bytes, field: str, to: object) -> bytes:
    """The record with another value in one field."""
    return codec.encode(replace(codec.decode(value), **{field: to}))


def test_a_recorded_history_is_equal(log):
    """Everything that the workers wrote is found again: each record of each topic, and each key of state."""
    report = replay(log)
    assert report.equal, [found for fold in report.folds for found in fold.differences]
    assert report.inputs == sum(
        len(log.records[topic, number]) for topic in (INPUTS, SETTLEMENT, CUSTOMERS) for number in (0, 1)
    )
    assert report.not_comparable == 0
    for topic in (EVENTS, REQUESTS, REPLIES, WINDOWS, REJECTED):
        recorded = sum(len(log.records[topic, number]) for number in range(PARTITIONS))
        assert recorded > 0
        assert sum(fold.topics[topic].equal for fold in report.folds if topic in fold.topics) == recorded
    moved = sum(len(movements(log, number)) for number in range(PARTITIONS))
    assert sum(fold.topics[SETTLEMENT].equal for fold in report.folds if fold.fold == "lifecycle") == moved > 20
    wished = sum(fold.topics[CUSTOMERS].equal for fold in report.folds if fold.fold == "lifecycle")
    told = sum(fold.topics[CUSTOMER_EVENTS].equal for fold in report.folds if fold.fold == "customers")
    assert (wished, told) == (len(wishes(log)), sum(len(log.records[CUSTOMER_EVENTS, n]) for n in range(PARTITIONS)))
    assert min(wished, told) > 0
    for fold in report.folds:
        state = MADE.stores[fold.fold, fold.partition].data
        assert fold.topics[STATE[fold.fold]].equal == len(state) > 0


def test_processes_find_the_same(log):
    """Two processes come to the report that one comes to, digests too."""
    log.change(EVENTS, 0, 3, lambda value: changed(value, "policy_version", 9))
    one, two = (replay(log, processes=number, with_digests=True) for number in (1, 2))
    assert one.difference_count == two.difference_count == 1
    assert one.digests == two.digests
    assert the_first(one) == the_first(two)


def lose(topic: str, partition: int, place: int) -> Callable[[MemoryLog], str]:
    """Remove a record."""

    def plant(log: MemoryLog) -> str:
        del log.records[topic, partition][place]
        return ""

    return plant


def double(topic: str, partition: int, place: int) -> Callable[[MemoryLog], str]:
    """Record one again, behind its neighbour."""

    def plant(log: MemoryLog) -> str:
        there = log.records[topic, partition]
        later = [replace(record, offset=record.offset + 1) for record in there[place + 2 :]]
        again = replace(there[place], offset=there[place + 1].offset + 1)
        there[place + 2 :] = [again, *later]
        return f"{topic}/{partition}/{again.offset}"

    return plant


def swap(topic: str, partition: int, place: int) -> Callable[[MemoryLog], str]:
    """Put two neighbours at each other's place."""

    def plant(log: MemoryLog) -> str:
        there = log.records[topic, partition]
        one, two = there[place : place + 2]
        there[place : place + 2] = [replace(two, offset=one.offset), replace(one, offset=two.offset)]
        return f"{topic}/{partition}/{two.offset}"

    return plant


def alter(topic: str, partition: int, place: int, field: str, to: object) -> Callable[[MemoryLog], str]:
    """Another value in one field of the message."""

    def plant(log: MemoryLog) -> str:
        before = log.change(topic, partition, place, lambda value: changed(value, field, to))
        return f"{topic}/{partition}/{before.offset}"

    return plant


def envelope(topic: str, partition: int, place: int, **fields: object) -> Callable[[MemoryLog], str]:
    """Another key or timestamp around the same value."""

    def plant(log: MemoryLog) -> str:
        there = log.records[topic, partition]
        there[place] = replace(there[place], **fields)
        return f"{topic}/{partition}/{there[place].offset}"

    return plant


MOVEMENT = movements(MADE.log, BUSY)[5]
PAYER = codec.decode(MADE.log.records[SETTLEMENT, BUSY][MOVEMENT].value)
assert isinstance(PAYER, Movement)
PAYS = _recorded.partition_of(f"acme/{PAYER.payment_id}".encode(), PARTITIONS)

PLANTED = {
    "event lost": ("missing", 0, EVENTS, "", lose(EVENTS, 0, 4)),
    "last event lost": ("missing", 0, EVENTS, "", lose(EVENTS, 0, -1)),
    "event doubled": ("doubled", 1, EVENTS, "", double(EVENTS, 1, 4)),
    "events swapped": ("reordered", 0, EVENTS, "", swap(EVENTS, 0, 6)),
    "event's status changed": ("changed", 0, EVENTS, "to_status", alter(EVENTS, 0, 7, "to_status", "canceled")),
    "event's id changed": ("changed", 1, EVENTS, "event_id", alter(EVENTS, 1, 2, "event_id", "evt_0")),
    "event's tenant changed": ("changed", 0, EVENTS, "tenant", alter(EVENTS, 0, 2, "tenant", "globex")),
    "event's cause changed": ("changed", 0, EVENTS, "cause_offset", alter(EVENTS, 0, 9, "cause_offset", 7_000)),
    "event's key changed": ("changed", 0, EVENTS, "(key)", envelope(EVENTS, 0, 5, key=b"globex/pi")),
    "event's time changed": ("changed", 0, EVENTS, "(timestamp)", envelope(EVENTS, 0, 5, timestamp_ms=5)),
    "request lost": ("missing", 1, REQUESTS, "", lose(REQUESTS, 1, 3)),
    "first request lost": ("missing", 1, REQUESTS, "", lose(REQUESTS, 1, 0)),
    "request doubled": ("doubled", 0, REQUESTS, "", double(REQUESTS, 0, 2)),
    "request's amount changed": ("changed", 0, REQUESTS, "amount_minor", alter(REQUESTS, 0, 1, "amount_minor", 1_001)),
    "movement's amount changed": (
        "changed",
        PAYS,
        SETTLEMENT,
        "amount_minor",
        alter(SETTLEMENT, BUSY, MOVEMENT, "amount_minor", PAYER.amount_minor + 1),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found_and_named_first(log, name):
    """One planted difference is the only one reported, with its kind, its topic, its place and its field."""
    kind, partition, topic, field, plant = PLANTED[name]
    place = plant(log)
    report = replay(log)
    first = the_first(report, partition=partition)
    assert (first.kind, first.topic) == (kind, topic)
    assert first.cause is not None
    assert (first.cause.topic, first.cause.partition) == (INPUTS, partition)
    assert str(first.recorded or "") == place
    if field:
        assert [one.field for one in first.fields] == [field]
        assert first.fields[0].folded != first.fields[0].recorded
    mine = [found for found in report.folds if found.fold == "lifecycle"]
    assert sum(found.difference_count for found in mine) == 1


def test_one_byte_of_an_amount_is_shown_on_both_sides(log):
    """A single byte changed inside an event's payment is reported as that field, as folded and as recorded."""
    there = log.records[EVENTS, 0]
    place = next(number for number, record in enumerate(there) if b"\xd0\x0f" in record.value)
    before = log.change(EVENTS, 0, place, lambda value: value.replace(b"\xd0\x0f", b"\xd2\x0f", 1))
    assert sum(one != other for one, other in zip(before.value, there[place].value, strict=True)) == 1
    report = replay(log)
    first = the_first(report)
    assert first.kind == "changed"
    assert (first.fields[0].folded, first.fields[0].recorded) == ("1000", "1001")
    assert str(first.recorded) == f"{EVENTS}/0/{before.offset}"
    assert report.difference_count == 1


def test_a_lost_movement_is_missed_on_both_of_its_sides(log):
    """Lifecycle's partition misses the movement; settlement, which is folded from what is there, differs in its events."""
    lose(SETTLEMENT, BUSY, MOVEMENT)(log)
    report = replay(log)
    first = the_first(report, partition=PAYS)
    assert (first.kind, first.topic) == ("missing", SETTLEMENT)
    assert PAYER.movement_id in first.what
    assert the_first(report, "settlement", BUSY).topic == WINDOWS


def test_a_movement_that_no_payment_caused_is_found(log):
    """A movement that somebody appended by hand is recorded and not folded."""
    forged = replace(PAYER, movement_id="mv_forged", amount_minor=5)
    last = log.records[SETTLEMENT, BUSY][-1]
    log.append(SETTLEMENT, BUSY, codec.encode(forged), last.key, last.timestamp_ms)
    first = the_first(replay(log), partition=PAYS)
    assert (first.kind, first.topic) == ("unexpected", SETTLEMENT)
    assert "mv_forged" in first.what


def test_a_forged_event_is_found(log):
    """An event that no input caused is recorded and not folded, wherever it stands."""
    there = log.records[EVENTS, 1]
    event = codec.decode(there[-1].value)
    assert isinstance(event, PaymentEvent)
    forged = replace(event, ordinal=77, event_id="evt_forged")
    log.append(EVENTS, 1, codec.encode(forged), there[-1].key, there[-1].timestamp_ms)
    report = replay(log)
    first = the_first(report, partition=1)
    assert (first.kind, first.topic) == ("unexpected", EVENTS)
    assert report.difference_count == 1


def test_bytes_that_are_no_event_are_found(log):
    """A record that can't be decoded is a difference at its place, whichever topic it is on."""
    before = log.change(EVENTS, 0, 5, lambda _: b"garbage")
    log.change(REPLIES, 1, 5, lambda _: b"garbage")
    report = replay(log)
    assert str(the_first(report).recorded) in (f"{EVENTS}/0/{before.offset}", "None")
    assert [found.kind for found in report.strays] == ["unreadable"]
    assert str(report.strays[0].recorded) == f"{REPLIES}/1/5"


def test_a_changed_reply_and_a_lost_rejection_are_found(log):
    """Replies and rejections are compared too, a rejection without a key on whichever partition it is."""
    lost = next(
        (number, place)
        for number in range(PARTITIONS)
        for place, record in enumerate(log.records[REJECTED, number])
        if codec.decode(record.value).component == "lifecycle" and record.key is None
    )
    rejection = codec.decode(log.records[REJECTED, lost[0]].pop(lost[1]).value)
    alter(REPLIES, 0, 4, "status_code", 500)(log)
    report = replay(log)
    found = [one for fold in report.folds for one in fold.differences]
    assert sorted((one.kind, one.topic) for one in found) == [("changed", REPLIES), ("missing", REJECTED)]
    missing = next(one for one in found if one.kind == "missing")
    assert (missing.cause.partition, missing.cause.offset) == (rejection.source_partition, rejection.source_offset)


def test_a_rejection_on_another_partition_is_found(log):
    """A rejection that has a key belongs on its key's partition."""
    number, place = next(
        (number, place)
        for number in range(PARTITIONS)
        for place, record in enumerate(log.records[REJECTED, number])
        if record.key is not None
    )
    moved = log.records[REJECTED, number].pop(place)
    log.append(REJECTED, 1 - number, moved.value, moved.key, moved.timestamp_ms)
    report = replay(log)
    (found,) = [one for fold in report.folds for one in fold.differences]
    assert found.topic == REJECTED
    (field,) = found.fields
    assert (field.field, field.folded, field.recorded) == ("(partition)", str(number), str(1 - number))


def test_first_means_first_in_the_order_of_inputs(log):
    """Of several differences on several topics, the one whose input is earliest comes first."""
    late, early = log.records[EVENTS, 0][20], log.records[REQUESTS, 0][1]
    assert codec.decode(late.value).cause_offset > 1
    assert isinstance(codec.decode(early.value), ProviderRequest)
    lose(EVENTS, 0, 20)(log)
    lose(REQUESTS, 0, 1)(log)
    found = next(fold for fold in replay(log).folds if (fold.fold, fold.partition) == ("lifecycle", 0))
    assert [one.topic for one in found.differences] == [REQUESTS, EVENTS]


def test_a_changed_byte_of_state_is_found(log):
    """The last value of a key in the changelog, changed by one byte, is a difference with the field's name."""
    there = log.records[STATE["lifecycle"], 0]
    place = max(
        number for number, record in enumerate(there) if record.key.startswith(b"p/") and b"EUR" in record.value
    )
    before = log.change(STATE["lifecycle"], 0, place, lambda value: value.replace(b"EUR", b"EUS"))
    report = replay(log)
    first = the_first(report)
    assert (first.kind, first.topic) == ("state", STATE["lifecycle"])
    assert first.recorded is not None
    assert first.recorded.offset == before.offset
    assert first.fields[0] == type(first.fields[0])("currency", "EUR", "EUS")
    assert report.difference_count == 1


@pytest.mark.parametrize("how", ["deleted", "added"])
def test_a_key_of_state_too_few_or_too_many_is_found(log, how):
    """A key that was deleted from the changelog, or added to it, is a difference."""
    there = log.records[STATE["settlement"], BUSY]
    key = next(record.key for record in there if record.key.startswith(b"f/")) if how == "deleted" else b"p/acme/ghost"
    log.append(STATE["settlement"], BUSY, None if how == "deleted" else b"\x01\x90", key, 5)
    report = replay(log)
    first = the_first(report, "settlement", BUSY)
    assert first.kind == "state"
    assert key.decode() in first.what
    assert report.difference_count == 1


def test_hundreds_of_lost_events_are_counted_one_by_one(log):
    """A gap does not hide what comes after it: every lost event is counted, the others are equal."""
    there = log.records[EVENTS, 1]
    total = len(there)
    del there[10:50]
    found = next(fold for fold in replay(log).folds if (fold.fold, fold.partition) == ("lifecycle", 1))
    assert found.topics[EVENTS].differences == 40
    assert found.topics[EVENTS].equal == total - 40
    assert {one.kind for one in found.differences} == {"missing"}


def test_an_emptied_topic_is_all_missing(log):
    """When nothing is left, everything is missing."""
    total = len(log.records[REQUESTS, 0])
    log.records[REQUESTS, 0].clear()
    found = [fold.topics[REQUESTS] for fold in replay(log).folds if REQUESTS in fold.topics]
    assert sum(count.differences for count in found) == total


def test_a_fold_that_fails_is_a_difference(log, monkeypatch):
    """An input that a worker went past and that can't be folded now is named; what follows is not judged."""

    def broken(*_):
        raise InvariantBroken("P2: it does not add up")

    monkeypatch.setattr("streams.agents.settlement.settle", broken)
    report = replay(log)
    first = the_first(report, "settlement", BUSY)
    assert first.kind == "stopped"
    assert "P2" in first.what
    assert report.difference_count == PARTITIONS


class Moving(MemoryLog):
    """A log whose workers went on between the two looks: the first one finds the groups some inputs further back."""

    behind = 0

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Behind once for each group."""
        there = super().committed(group, topic)
        self.looks = getattr(self, "looks", set())
        if group in self.looks:
            return there
        self.looks.add(group)
        return {number: max(0, offset - self.behind) for number, offset in there.items()}


def moving(log: MemoryLog, behind: int) -> Moving:
    """The same history, seen while it was made."""
    seen = Moving()
    seen.__dict__.update(log.__dict__)
    seen.behind = behind
    return seen


def test_workers_may_go_on_meanwhile(log):
    """What inputs beyond the first look led to may be missing at the end; what those before it led to may not."""
    causes = {}
    for number in range(PARTITIONS):
        event = codec.decode(log.records[EVENTS, number].pop().value)  # committed after the topic's end was asked for
        causes[number] = event.cause_offset
    offsets = log.committed("clearline-lifecycle", INPUTS)
    needed = max(offsets[number] - cause for number, cause in causes.items())
    assert replay(moving(log, needed)).equal
    assert replay(moving(log, 10_000)).equal
    late = sum(offsets[number] - cause == needed for number, cause in causes.items())
    assert replay(moving(log, needed - 1)).difference_count == late
    assert replay(log).difference_count == PARTITIONS


def test_state_is_compared_at_the_moment_of_its_changelog(log):
    """A changelog that ends between the looks is equal to the state of that moment, and one that never was is not."""
    while log.records[STATE["lifecycle"], 0][-1].key != b"c/":
        log.records[STATE["lifecycle"], 0].pop()
    log.records[STATE["lifecycle"], 0].pop()
    assert not replay(log).equal
    assert replay(moving(log, 5)).equal
    log.change(STATE["lifecycle"], 0, 0, lambda value: value[:-1] + b"\x7f")
    report = replay(moving(log, 5))
    assert the_first(report).kind == "state"


def test_replies_that_retention_removed_are_counted_not_missed(log):
    """Of a topic with a retention, what is left is compared, and the rest is told; a change in the rest is found."""
    there = log.records[REPLIES, 0]
    del there[:10]
    log.starts[REPLIES, 0] = 10
    report = replay(log)
    assert report.equal
    assert report.not_comparable == 10
    paid = [place for place, record in enumerate(there) if isinstance(codec.decode(record.value), Reply)]
    lose(REPLIES, 0, paid[-2])(log)
    assert replay(log).difference_count == 1
    there.clear()
    assert replay(log).equal


@pytest.mark.parametrize("topic", [INPUTS, SETTLEMENT, EVENTS])
def test_a_log_that_lost_its_beginning_has_no_verdict(log, topic):
    """Without its first inputs or events nothing is judged: the error names the topic."""
    log.starts[topic, 1] = 3
    with pytest.raises(InputsGone, match=topic):
        replay(log)


def test_missing_topics_and_rewound_groups_have_no_verdict(log):
    """Topics that aren't there, or a group that goes back meanwhile: no verdict."""
    back = moving(log, -3)
    with pytest.raises(NotComparable, match="went back"):
        replay(back)
    for number in range(PARTITIONS):
        del log.records[REQUESTS, number]
    with pytest.raises(NotComparable, match=REQUESTS):
        replay(log)


def test_an_empty_stack_is_equal():
    """Nothing recorded and nothing folded."""
    report = replay(MemoryLog(), with_digests=True)
    assert report.equal
    assert (report.inputs, report.digests, report.closed) == (0, [], [])


# Digests.


def published(log: MemoryLog, **changes: object) -> Report:
    """Publish the closed days' digests, one of them changed."""
    report = replay(log, with_digests=True)
    for number, digest in enumerate(report.closed):
        told = AuditDigest(
            tenant=digest.tenant,
            day=digest.day,
            algorithm=ALGORITHM,
            events=digest.events,
            root_sha256=digest.root_sha256,
        )
        if number == 0:
            told = replace(told, **changes)
        log.append(DIGESTS, 0, codec.encode(told), f"{told.tenant}/{told.day}".encode(), 5)
    return report


def test_digests_cover_every_event_once_and_can_be_recomputed(log):
    """An auditor who reads topics in order with nothing but SHA-256 comes to the same roots."""
    from tests.unit.replay.test_digest import by_the_book

    days: dict[tuple[str, str], list[bytes]] = {}
    for topic in (EVENTS, WINDOWS):
        for number in range(PARTITIONS):
            for record in log.records[topic, number]:
                event = codec.decode(record.value)
                day = f"2026-09-{21 + (event.occurred_ms - _recorded.T0) // 86_400_000}"
                days.setdefault((event.tenant, day), []).append(record.value)
    report = replay(log, with_digests=True)
    found = {(one.tenant, one.day): (one.events, one.root_sha256) for one in report.digests}
    assert found == {name: (len(leaves), by_the_book(leaves).hex()) for name, leaves in days.items()}
    assert len(found) >= 3


def test_a_day_is_closed_when_every_partition_is_an_hour_past_it(log):
    """Only days that every partition's inputs have left behind are offered for publishing."""
    assert [one.day for one in replay(log, with_digests=True).closed] == ["2026-09-21", "2026-09-22"]
    past = _recorded.T0 + 3 * _recorded.DAY_MS + 2 * 3_600_000
    tick = codec.encode(ClockTick(time_ms=past, source="test"))
    for number in range(PARTITIONS):
        for group, topic in _recorded.GROUPS.items():
            if (topic, number) == (INPUTS, 1):
                continue
            record = log.append(topic, number, tick, b"tick", past)
            log.offsets[group, number] = record.offset + 1
    assert replay(log, with_digests=True).closed[-1].day == "2026-09-22"


def test_published_digests_are_compared_without_being_asked_for(log):
    """What was published is looked at in every replay; the same is equal, and an event changed later is told by its day."""
    first = published(log)
    again = replay(log)
    assert again.equal
    assert again.published == len(first.closed) == 2
    log.change(EVENTS, 0, 3, lambda value: changed(value, "policy_version", 9))
    report = replay(log)
    (difference,) = report.digest_differences
    assert difference.kind == "digest"
    assert "2026-09-21" in difference.what
    assert [one.field for one in difference.fields] == ["root_sha256"]
    assert report.fold_difference_count == 1


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"root_sha256": "00" * 32}, "not what was published"),
        ({"events": 3}, "not what was published"),
        ({"day": "2020-02-02"}, "no event any more"),
        ({"tenant": "globex"}, "no event any more"),
        ({"algorithm": "md5"}, "only knows"),
    ],
)
def test_a_published_digest_that_does_not_hold_is_told(log, changes, word):
    """Another root, another count, a day or a tenant without events, an unknown algorithm: each is a difference."""
    published(log, **changes)
    report = replay(log)
    (difference,) = report.digest_differences
    assert word in difference.note
    assert str(difference.recorded) == f"{DIGESTS}/0/0"
    assert not report.equal
    assert report.fold_difference_count == 0


def test_a_damaged_published_digest_is_told(log):
    """A record on audit.digests that can't be read is a difference, too."""
    log.append(DIGESTS, 0, b"garbage", None, 5)
    (difference,) = compare(read(log), {})
    assert difference.kind == "unreadable"


def test_bounds_are_what_a_log_promises(log):
    """The double keeps to the seam: it returns what lies within the bounds and nothing else."""
    assert [record.offset for record in log.read(EVENTS, 0, Bounds(2, 5))] == [2, 3, 4]


def wishes(log: MemoryLog) -> list[tuple[int, int]]:
    """Partition and place of what payments asked the customers' fold."""
    return [
        (number, place)
        for number in range(PARTITIONS)
        for place, record in enumerate(log.records[CUSTOMERS, number])
        if (record.value or b"")[:1] == b"\x00"
        and isinstance(message := codec.decode(record.value), CustomerCommand)
        and message.kind == "save_method"
    ]


def test_what_happened_to_customers_is_compared(log):
    """A changed event of a customer, and a method that no payment asked to save, are each found where they are."""
    number = next(n for n in range(PARTITIONS) if log.records[CUSTOMER_EVENTS, n])
    log.change(CUSTOMER_EVENTS, number, 1, lambda value: changed(value, "type", "customer.forged"))
    report = replay(log)
    assert report.difference_count == 1
    assert the_first(report, "customers", number).topic == CUSTOMER_EVENTS
    number, place = wishes(log)[0]
    log.change(CUSTOMERS, number, place, lambda value: changed(value, "customer", "cus_" + "0" * 24))
    assert any(one.topic == CUSTOMERS for fold in replay(log).folds for one in fold.differences)
