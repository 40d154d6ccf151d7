"""Goal: the verifier is only trusted if it catches what a broken stack would leave. Method: a clean log, and one fault in it at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from schemas import codec
from schemas.records import (
    CustomerCommand,
    CustomerEvent,
    CustomerReply,
    Movement,
    PaymentEvent,
    PayoutCommand,
    PayoutReply,
    PayoutRequest,
    PayoutResult,
    ProviderNotice,
    ProviderResult,
    Rejection,
    Reply,
)
from streams.agents import customers, lifecycle
from streams.runtime import POSITIONS_KEY, Record
from tests.chaos import names, verify
from tests.chaos.checks import fingerprint
from tests.chaos.live import READER, check_live
from tests.chaos.log import MemoryLog
from tests.chaos.pairing import is_wish
from tests.history import Operation
from tests.unit.chaos._recorded import GONE, Recording


def broken(recording: Recording) -> set[str]:
    """Names of the checks that don't hold."""
    return {check.name for check in verify.verify(recording.log, recording.sent) if not check.holds}


def busiest(log: MemoryLog, topic: str) -> list[Record]:
    """The partition with most records."""
    return max(log.topics[topic].values(), key=len)


def renumbered(records: list[Record]) -> None:
    """Give a partition's records the offsets that a broker would have."""
    records[:] = [replace(record, offset=offset) for offset, record in enumerate(records)]


def find(records: list[Record], kind: type, where: Callable[[object], bool] = lambda _: True) -> int:
    """The first record of a kind."""
    for at, record in enumerate(records):
        try:
            message = codec.decode(record.value)
        except Exception:
            continue
        if isinstance(message, kind) and where(message):
            return at
    raise LookupError(kind)


def dropped(topic: str, at: int = 4) -> Callable[[MemoryLog], None]:
    """A record was never written."""

    def plant(log: MemoryLog) -> None:
        records = busiest(log, topic)
        del records[min(at, len(records) - 1)]
        renumbered(records)

    return plant


def lost(topic: str, kind: type) -> Callable[[MemoryLog], None]:
    """The first record of a kind was never written."""

    def plant(log: MemoryLog) -> None:
        for records in log.topics[topic].values():
            if any(isinstance(codec.decode(one.value), kind) for one in records if one.value[:1] == b"\0"):
                del records[find(records, kind)]
                renumbered(records)
                return
        raise LookupError(kind)

    return plant


def doubled(topic: str, at: int = 4, *, later: int = 1) -> Callable[[MemoryLog], None]:
    """A record was written twice, the second time some records later."""

    def plant(log: MemoryLog) -> None:
        records = busiest(log, topic)
        at_ = min(at, len(records) - 1)
        records.insert(at_ + later, records[at_])
        renumbered(records)

    return plant


def changed(topic: str, kind: type, **fields: object) -> Callable[[MemoryLog], None]:
    """A record says something else than it should."""

    def plant(log: MemoryLog) -> None:
        records = busiest(log, topic)
        at = find(records, kind)
        message = codec.decode(records[at].value)
        records[at] = replace(records[at], value=codec.encode(replace(message, **fields)))

    return plant


def amount(log: MemoryLog) -> None:
    """An event of one cent more."""
    records = busiest(log, names.EVENTS)
    event = codec.decode(records[2].value)
    more = replace(event, payment=replace(event.payment, amount_minor=event.payment.amount_minor + 1))
    records[2] = replace(records[2], value=codec.encode(more))


def swapped(topic: str, at: int = 3) -> Callable[[MemoryLog], None]:
    """Two neighbours in the wrong order."""

    def plant(log: MemoryLog) -> None:
        records = busiest(log, topic)
        records[at], records[at + 1] = records[at + 1], records[at]
        renumbered(records)

    return plant


def movements_swapped(log: MemoryLog) -> None:
    """Two movements of one payment's partition in the wrong order."""
    records = busiest(log, names.SETTLEMENTS)
    first = find(records, Movement)
    second = next(
        at
        for at in range(first + 1, len(records))
        if isinstance(message := codec.decode(records[at].value), Movement)
        and message.payment_id == codec.decode(records[first].value).payment_id
    )
    records[first], records[second] = records[second], records[first]
    renumbered(records)


def later_time(log: MemoryLog) -> None:
    """An event carries another time than its input."""
    records = busiest(log, names.EVENTS)
    records[1] = replace(records[1], timestamp_ms=records[1].timestamp_ms + 1)


def state_swapped(log: MemoryLog) -> None:
    """Two payments' states were exchanged."""
    records = busiest(log, names.CHANGELOGS["lifecycle"])
    payments = [at for at, record in enumerate(records) if record.key.startswith(b"p/") and record.value != b"before"]
    one, other = payments[:2]
    records[one], records[other] = (
        replace(records[one], value=records[other].value),
        replace(records[other], value=records[one].value),
    )


def state_stale(log: MemoryLog) -> None:
    """The last change of a key never reached the changelog."""
    records = busiest(log, names.CHANGELOGS["lifecycle"])
    del records[-3]
    renumbered(records)


def state_undeleted(log: MemoryLog) -> None:
    """A deletion never reached the changelog."""
    records = busiest(log, names.CHANGELOGS["settlement"])
    del records[-2]
    renumbered(records)


def positions_wrong(task: str):
    """A state says that other inputs are in it than the group has committed."""

    def change(log: MemoryLog) -> None:
        records = busiest(log, names.CHANGELOGS[task])
        assert records[-1].key == POSITIONS_KEY
        records[-1] = replace(records[-1], value=records[-1].value.replace(b":", b":1"))

    return change


def dangling(log: MemoryLog) -> None:
    """A transaction was neither committed nor aborted."""
    log.open_from[names.EVENTS, 0] = 1


def dangling_offsets(log: MemoryLog) -> None:
    """Nor was one that holds only offsets."""
    log.topics["__consumer_offsets"] = {7: []}
    log.append("__consumer_offsets", 7, b"offset", key=b"group", timestamp_ms=1)
    log.open_from["__consumer_offsets", 7] = 0


def behind(group: str, topic: str) -> Callable[[MemoryLog], None]:
    """A group's position lies before its last inputs, whose outputs are there."""

    def plant(log: MemoryLog) -> None:
        ends = log.groups[f"{names.APPLICATION}-{group}", topic]
        number = max(ends, key=ends.__getitem__)
        ends[number] -= 4

    return plant


def result_of_nobody(log: MemoryLog) -> None:
    """A provider's result that no request asked for."""
    changed(names.INPUTS, ProviderResult, request_id="re_of_nobody")(log)


def elsewhere(log: MemoryLog) -> None:
    """A command lies on another partition than its key's."""
    records = busiest(log, names.INPUTS)
    other = next(others for others in log.topics[names.INPUTS].values() if others is not records)
    moved = records[len(records) // 2]
    other.append(replace(moved, partition=1 - moved.partition, offset=other[-1].offset + 1))


def _drop(log: MemoryLog, topic: str, kind: type) -> None:
    records = busiest(log, topic)
    del records[find(records, kind)]
    renumbered(records)


def _double(log: MemoryLog, topic: str, kind: type) -> None:
    records = busiest(log, topic)
    at = find(records, kind)
    records.insert(at + 1, records[at])
    renumbered(records)


def _drop_command(log: MemoryLog) -> None:
    records = busiest(log, names.INPUTS)
    del records[find(records, object, lambda message: getattr(message, "kind", "") == "refund")]
    renumbered(records)


def _wish(log: MemoryLog) -> tuple[list[Record], int]:
    records = busiest(log, names.CUSTOMERS)
    return records, find(records, CustomerCommand, is_wish)


def _drop_wish(log: MemoryLog) -> None:
    records, at = _wish(log)
    del records[at]
    renumbered(records)


def _double_wish(log: MemoryLog) -> None:
    records, at = _wish(log)
    records.append(records[at])
    renumbered(records)


def customers_stale(log: MemoryLog) -> None:
    """The last change of a key never reached the changelog."""
    records = busiest(log, names.CHANGELOGS["customers"])
    del records[-3]
    renumbered(records)


TOLD = f"{names.TOLD} is what its inputs make, byte for byte and in order"
SENT_CUSTOMERS = "commands on the customers' log are those that were sent"
WISHES = "methods to save are those that payments' successes asked for"
CUSTOMER_REPLIES = "answers about customers are those that commands asked for"
EVENTS = f"{names.EVENTS} is what its inputs make, byte for byte and in order"
REQUESTS = f"{names.REQUESTS} is what its inputs make, byte for byte and in order"
SETTLED = f"{names.SETTLED} is what its inputs make, byte for byte and in order"
INTAKE = "every intent became one command, or one rejection"
SENT_INTENTS = "intents on the topic are those that were sent"
SENT_COMMANDS = "commands on the input log are those that were sent"
SENT_PAYOUTS = "commands on the settlement log are those that were sent"
RESULTS = "every request has one definite result"
REJECTIONS = "every refused record is rejected once, with its bytes and its reason"
KEYS = "customers' keys are those that intents made"
REPLIES = "replies are those that commands asked for"
MOVEMENTS = "movements are those that payments made"
PLACES = "every keyed input lies on its key's partition"
OPEN = "no transaction is left open"
STATE = "lifecycle.changelog is the recomputed state, byte for byte"
INTAKE_STATE = "intake.changelog is the recomputed state, byte for byte"
SETTLEMENT_STATE = "settlement.changelog is the recomputed state, byte for byte"

PLANTED: list[tuple[str, Callable[[MemoryLog], None], str]] = [
    ("an event was lost", dropped(names.EVENTS), EVENTS),
    ("the last event was lost", dropped(names.EVENTS, 10_000), EVENTS),
    ("an event is there twice", doubled(names.EVENTS), EVENTS),
    ("an event is there twice, later", doubled(names.EVENTS, later=9), EVENTS),
    ("the last event is there twice", doubled(names.EVENTS, 10_000), EVENTS),
    ("an event's amount is wrong", amount, EVENTS),
    ("two events are in the wrong order", swapped(names.EVENTS), EVENTS),
    ("an event has another time", later_time, EVENTS),
    ("a request was lost", dropped(names.REQUESTS), REQUESTS),
    ("a request is there twice", doubled(names.REQUESTS), REQUESTS),
    ("a settlement event was lost", dropped(names.SETTLED), SETTLED),
    ("a settlement event is there twice", doubled(names.SETTLED), SETTLED),
    ("a movement was lost", lambda log: _drop(log, names.SETTLEMENTS, Movement), MOVEMENTS),
    ("a movement is there twice", lambda log: _double(log, names.SETTLEMENTS, Movement), MOVEMENTS),
    ("a movement's amount is wrong", changed(names.SETTLEMENTS, Movement, amount_minor=7), MOVEMENTS),
    ("movements of one partition overtook each other", movements_swapped, MOVEMENTS),
    ("a rejection was lost", dropped(names.REJECTED, 0), REJECTIONS),
    ("a customer's key was lost", dropped(names.KEYS, 0), INTAKE),
    ("a customer's key is there twice", doubled(names.KEYS, 0), KEYS),
    ("a rejection is there twice", doubled(names.REJECTED, 0), REJECTIONS),
    ("a rejection has another reason", changed(names.REJECTED, Rejection, reason="oversized"), REJECTIONS),
    ("an intent was lost after it was acknowledged", dropped(names.INTENTS, 1), SENT_INTENTS),
    ("an intent is there twice", doubled(names.INTENTS, 1), SENT_INTENTS),
    ("intake's command was lost", dropped(names.INPUTS, 3), INTAKE),
    ("intake's command is there twice", doubled(names.INPUTS, 3), INTAKE),
    ("an upstream command was lost", _drop_command, SENT_COMMANDS),
    ("a provider's result was lost", lambda log: _drop(log, names.INPUTS, ProviderResult), RESULTS),
    ("a provider's result is there twice", lambda log: _double(log, names.INPUTS, ProviderResult), RESULTS),
    ("a provider's result was asked for by nobody", result_of_nobody, RESULTS),
    ("a provider's notice was lost", lambda log: _drop(log, names.INPUTS, ProviderNotice), EVENTS),
    ("a command lies on another partition", elsewhere, PLACES),
    ("a reply was lost", lost(names.REPLIES, Reply), REPLIES),
    ("a reply says something else", changed(names.REPLIES, Reply, status_code=500), REPLIES),
    ("states were exchanged", state_swapped, STATE),
    ("a state is stale", state_stale, STATE),
    ("a state was not deleted", state_undeleted, SETTLEMENT_STATE),
    ("the lifecycle's positions are wrong", positions_wrong("lifecycle"), STATE),
    ("intake's positions are wrong", positions_wrong("intake"), INTAKE_STATE),
    ("a transaction is open", dangling, OPEN),
    ("a transaction of offsets is open", dangling_offsets, OPEN),
    ("intake did not read its last intents", behind("intake", names.INTENTS), "intake has read everything"),
    (
        "lifecycle's offsets are behind its outputs",
        behind("lifecycle", names.INPUTS),
        "lifecycle has read everything but the last ticks",
    ),
    (
        "a payout's result is lost",
        lost(names.SETTLEMENTS, PayoutResult),
        "every payout that was asked for has one definite result",
    ),
    (
        "a payout's request is lost",
        lost(names.REQUESTS, PayoutRequest),
        "requests of payouts are those that settlement made",
    ),
    (
        "an answer about a payout is lost",
        lost(names.REPLIES, PayoutReply),
        "answers about payouts are those that commands asked for",
    ),
    ("a payout's command was lost", lost(names.SETTLEMENTS, PayoutCommand), SENT_PAYOUTS),
    (
        "a payout's command is there twice",
        lambda log: _double(log, names.SETTLEMENTS, PayoutCommand),
        SENT_PAYOUTS,
    ),
    ("an event about a customer was lost", dropped(names.TOLD), TOLD),
    ("an event about a customer is there twice", doubled(names.TOLD), TOLD),
    ("a customer's command was lost", lost(names.CUSTOMERS, CustomerCommand), SENT_CUSTOMERS),
    (
        "a customer's command is there twice",
        lambda log: _double(log, names.CUSTOMERS, CustomerCommand),
        SENT_CUSTOMERS,
    ),
    ("a method to save was lost", _drop_wish, WISHES),
    ("a method to save is there twice", _double_wish, WISHES),
    ("an answer about a customer is lost", lost(names.REPLIES, CustomerReply), CUSTOMER_REPLIES),
    ("a customer's state is stale", customers_stale, "customers.changelog is the recomputed state, byte for byte"),
    ("customers' offsets are behind their outputs", behind("customers", names.CUSTOMERS), TOLD),
    ("settlement's offsets are behind its outputs", behind("settlement", names.SETTLEMENTS), SETTLEMENT_STATE),
]


def test_a_clean_log_holds():
    """Nothing is found where nothing is wrong, and every check looked at something."""
    recording = Recording()
    checks = verify.verify(recording.log, recording.sent)
    assert [str(check) for check in checks if not check.holds] == []
    assert {check.name for check in checks if not check.count} == set()


@pytest.mark.parametrize(("plant", "caught_by"), [row[1:] for row in PLANTED], ids=[row[0] for row in PLANTED])
def test_a_planted_fault_is_caught(plant, caught_by):
    """One fault in a clean log breaks the check that is there for it."""
    recording = Recording()
    plant(recording.log)
    assert caught_by in broken(recording)


@pytest.mark.parametrize(
    ("change", "caught_by"),
    [
        (lambda event: replace(event, sequence=event.sequence + 1), "events are numbered without a gap and chained"),
        (lambda event: replace(event, previous_event_id="ev_other"), "events are numbered without a gap and chained"),
        (
            lambda event: replace(
                event, postings=tuple(replace(leg, amount_minor=leg.amount_minor + 1) for leg in event.postings)
            ),
            "every event's postings are balanced in every currency",
        ),
        (
            lambda event: replace(
                event,
                payment=replace(event.payment, amount_received_minor=event.payment.amount_received_minor + 1),
            ),
            "captured − refunded = movements = closed windows, in every currency",
        ),
    ],
    ids=["sequence", "chain", "balance", "money"],
)
def test_a_bug_of_a_handler_does_not_excuse_itself(monkeypatch, change, caught_by):
    """What a handler does wrongly is recomputed alike, so the books are kept from the events alone."""
    right = lifecycle.decide

    def wrong(view, given):
        decision = right(view, given)
        decision.events[:] = [change(event) for event in decision.events]
        return decision

    monkeypatch.setattr(lifecycle, "decide", wrong)
    assert broken(Recording()) == {caught_by}


def test_a_wrong_movement_of_a_dispute_does_not_excuse_itself(monkeypatch):
    """Where the handler moves a cent more than it withdraws, the books of disputes and of the tenant differ."""
    right = lifecycle.decide

    def wrong(view, given):
        decision = right(view, given)
        decision.movements[:] = [
            replace(one, amount_minor=one.amount_minor - 1) if one.kind == "dispute" else one
            for one in decision.movements
        ]
        return decision

    monkeypatch.setattr(lifecycle, "decide", wrong)
    assert broken(Recording()) == {
        "withdrawn by disputes = movements of disputes, in every currency",
        "balance transactions = movements = windows, for every tenant and currency",
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda event: replace(event, customer=replace(event.customer, deleted=True)) if event.customer else event,
        lambda event: replace(event, method=replace(event.method, customer=GONE)) if event.method else event,
    ],
    ids=["deleted too early", "left with a deleted customer"],
)
def test_a_bug_about_customers_does_not_excuse_itself(monkeypatch, change):
    """What is deleted stays so, and has no methods; whatever the handler thinks."""
    right = customers.decide_customer

    def wrong(view, given):
        decision = right(view, given)
        decision.events[:] = [change(event) for event in decision.events]
        return decision

    monkeypatch.setattr(customers, "decide_customer", wrong)
    assert broken(Recording()) == {"nothing follows a customer's deletion, and no method is left with it"}


def test_the_log_tells_of_customers():
    """They are made, save methods at once, by a setup and by a payment, and one of them goes with its method."""
    records = [record for some in Recording().log.topics[names.TOLD].values() for record in some]
    events = [codec.decode(record.value) for record in records]
    assert all(isinstance(event, CustomerEvent) for event in events)
    types = [event.type for event in events]
    assert {"customer.deleted", "setup_intent.succeeded", "payment_method.detached"} <= set(types)
    assert types.count("payment_method.attached") == 4


def test_the_first_event_of_a_clean_log_is_an_event():
    """The recording is what it claims to be: several payments with several events, captured and refunded."""
    events = [codec.decode(record.value) for record in busiest(Recording().log, names.EVENTS)]
    assert all(isinstance(event, PaymentEvent) for event in events)
    assert {"succeeded", "requires_capture"} <= {event.to_status for event in events}
    assert any(event.refund is not None and event.refund.status == "succeeded" for event in events)


def test_the_log_has_what_the_load_brings_about():
    """A challenge, a raised authorisation, and disputes to both of their ends."""
    records = [record for some in Recording().log.topics[names.EVENTS].values() for record in some]
    events = [codec.decode(record.value) for record in records]
    assert {"payment_intent.requires_action", "payment_intent.increment_requested"} <= {event.type for event in events}
    assert {event.dispute.status for event in events if event.dispute} >= {"needs_response", "won", "lost"}


def watched(log: MemoryLog) -> list[Operation]:
    """What a reader saw that read every event as it came."""
    return [
        Operation(
            process=READER,
            kind="poll",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            value=fingerprint(record.key, record.value),
        )
        for records in log.topics[names.EVENTS].values()
        for record in records
    ]


def test_a_reader_that_saw_what_is_committed_saw_right():
    """Also when it stopped before the end."""
    log = Recording().log
    found = check_live(log, names.EVENTS, watched(log)[:-2])
    assert (found.holds, found.count) == (True, len(watched(log)) - 2)


@pytest.mark.parametrize(
    "plant",
    [
        lambda seen: seen.insert(3, replace(seen[3], value=b"of an aborted transaction", offset=seen[3].offset)),
        lambda seen: seen.pop(3),
        lambda seen: seen.insert(5, seen[4]),
        lambda seen: seen.__setitem__(slice(3, 5), [seen[4], seen[3]]),
    ],
    ids=["aborted read", "skipped", "twice", "backwards"],
)
def test_a_reader_that_saw_anything_else_is_caught(plant):
    """A record that is not there in the end, one that was never given, one given twice, two in the wrong order."""
    log = Recording().log
    seen = watched(log)
    plant(seen)
    assert not check_live(log, names.EVENTS, seen).holds
