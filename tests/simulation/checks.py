"""What must be true after a run, each check by name; all of them look at what anybody could read: logs, offsets, disks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from schemas import catalogue, codec
from schemas.records import Attribution, Movement, PaymentCommand, PaymentEvent, Reply, SettlementEvent
from tests.history import Recorder, check
from tests.simulation.broker import Broker
from tests.simulation.cluster import APPLICATION, SPECS, Cluster
from tests.simulation.fold import Fold
from tests.simulation.log import PartitionLog
from tests.simulation.provider import Gateway

EVENTS = catalogue.PAYMENTS_EVENTS.name
SETTLED = catalogue.SETTLEMENT_EVENTS.name


class Violation(AssertionError):
    """A promise is broken; says which check saw it."""


class Evidence(msgspec.Struct):
    """What a run leaves to be looked at."""

    broker: Broker
    cluster: Cluster
    gateway: Gateway
    recorder: Recorder
    fold: Fold
    events: list[PaymentEvent]
    settlement: list[SettlementEvent]
    regressions: list[str]
    counts: Counter[str]
    machines: list[Any]
    # Whether everything was read to its end, and time has passed every cut-off.
    drained: bool


def _expect(condition: object, message: str) -> None:
    if not condition:
        raise Violation(message)


def _logs(broker: Broker, topic: str) -> list[PartitionLog]:
    return broker.topics[topic].partitions


def _decoded(broker: Broker, topic: str) -> list[Any]:
    return [codec.decode(record.value) for log in _logs(broker, topic) for record in log.committed()]


def gather(
    broker: Broker,
    cluster: Cluster,
    gateway: Gateway,
    *,
    recorder: Recorder,
    regressions: list[str],
    machines: list[Any],
    drained: bool,
) -> Evidence:
    """Recompute everything from the inputs, and decode what was said."""
    return Evidence(
        broker=broker,
        cluster=cluster,
        gateway=gateway,
        recorder=recorder,
        fold=Fold(broker),
        events=_decoded(broker, EVENTS),
        settlement=_decoded(broker, SETTLED),
        regressions=regressions,
        counts=Counter(),
        machines=machines,
        drained=drained,
    )


def outputs(evidence: Evidence) -> None:
    """P1, P4: what was committed is what the inputs up to the committed offsets say: byte for byte, in order, once."""
    fold = evidence.fold
    _expect(not fold.repeated, f"two inputs led to the same bytes: {fold.repeated[:1]}")
    for topic in sorted(evidence.broker.topics):
        if topic.endswith(".changelog"):
            continue
        for log in _logs(evidence.broker, topic):
            pair = topic, log.number
            missing = dict(fold.outputs.get(pair, {}))
            positions: dict[Any, int] = {}
            intake_writes = topic == catalogue.PAYMENTS_INPUTS.name
            for entry in log.entries:
                if entry.pid is None or not entry.committed:
                    continue
                record = entry.record
                assert record is not None
                content = record.key, record.value, None if intake_writes else record.timestamp_ms
                expected = missing.pop(content, None)
                where = f"{topic}[{log.number}] offset {record.offset}"
                if expected is None:
                    again = content in fold.outputs.get(pair, {})
                    what = "is there twice" if again else "follows from no input that was committed"
                    raise Violation(f"{where} {what}: {record.value!r:.120}")
                before = positions.get(expected.source, -1)
                _expect(expected.index > before, f"{where} is out of order")
                positions[expected.source] = expected.index
                evidence.counts["outputs"] += 1
            if missing:
                raise Violation(f"{topic}[{log.number}] lacks {len(missing)} records: {next(iter(missing))!r:.160}")


def state(evidence: Evidence) -> None:
    """P4: the changelog's committed records add up to the fold's state; no store says anything else at its own marker."""
    for spec in SPECS:
        if spec.changelog is None:
            continue
        for log in _logs(evidence.broker, spec.changelog):
            source = spec.name, log.number
            steps: list[tuple[int, bytes, bytes | None]] = [
                (record.offset, record.key or b"", record.value) for record in log.committed()
            ]
            _same(_state_at(steps, len(log.entries)), evidence.fold.state[source], f"{spec.changelog}[{log.number}]")
            evidence.counts["changelogs"] += 1
            for machine in evidence.machines:
                files = machine.disk.files.get(source)
                if files is None or files.marker is None or files.damaged:
                    continue
                name = f"store {source} of {machine.instance} at {files.marker.offset}"
                _expect(files.marker.offset <= len(log.entries), f"{name} is beyond its changelog")
                if log.compacted:
                    # A restore in progress over a compacted log has not met some keys yet: what is left mends it.
                    found, wanted = _followed(files.data, log, files.marker.offset), evidence.fold.state[source]
                else:
                    found, wanted = files.data, _state_at(steps, files.marker.offset)
                _same(found, wanted, name)
                evidence.counts["stores"] += 1


def _followed(data: dict[bytes, bytes], log: PartitionLog, offset: int) -> dict[bytes, bytes]:
    """A store's state once it has read the rest of its changelog."""
    followed = dict(data)
    for entry in log.entries[offset:]:
        if entry.committed and not entry.removed:
            assert entry.record is not None
            if entry.record.value is None:
                followed.pop(entry.record.key or b"", None)
            else:
                followed[entry.record.key or b""] = entry.record.value
    return followed


def _state_at(steps: list[tuple[int, bytes, bytes | None]], end: int) -> dict[bytes, bytes]:
    data: dict[bytes, bytes] = {}
    for offset, key, value in steps:
        if offset >= end:
            break
        if value is None:
            data.pop(key, None)
        else:
            data[key] = value
    return data


def _same(found: dict[bytes, bytes], wanted: dict[bytes, bytes], where: str) -> None:
    if found != wanted:
        odd = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
        raise Violation(f"{where} differs from the fold in {len(odd)} keys, first {odd[0]!r}")


def offsets(evidence: Evidence) -> None:
    """No committed offset ever went back; no transaction is left open; no partition stopped."""
    _expect(not evidence.regressions, f"offsets went back: {evidence.regressions[:1]}")
    _expect(not evidence.broker.transactions.dangling, f"open: {evidence.broker.transactions.dangling}")
    _expect(not evidence.cluster.stopped(), f"stopped: {evidence.cluster.stopped()[:1]}")
    evidence.counts["offsets"] += 1


def sequences(evidence: Evidence) -> None:
    """Each payment's and each flow's events are numbered without gap, and each names the one before it."""
    last: dict[Any, Any] = {}
    for event in (*evidence.events, *evidence.settlement):
        whose: tuple[str, ...] = (
            (event.tenant, event.payment_id)
            if isinstance(event, PaymentEvent)
            else (event.tenant, event.provider, event.currency)
        )
        before = last.get(whose)
        number, of = (before.sequence, before.event_id) if before is not None else (0, "")
        _expect(event.sequence == number + 1, f"{whose}: event {event.sequence} follows {number}")
        _expect(event.previous_event_id == of, f"{whose}: event {event.sequence} names {event.previous_event_id}")
        last[whose] = event
        evidence.counts["events"] += 1


def balances(evidence: Evidence) -> None:
    """P2: postings sum to zero; what tenants are owed is what moved; no movement came twice."""
    owed: Counter[tuple[str, str]] = Counter()
    for event in (*evidence.events, *evidence.settlement):
        total: Counter[str] = Counter()
        for leg in event.postings:
            total[leg.currency] += leg.amount_minor
            kind, _, owner = leg.account.partition(":")
            if kind == "tenant_payable" and isinstance(event, PaymentEvent):
                owed[owner, leg.currency] -= leg.amount_minor
        _expect(not any(total.values()), f"{event.event_id} does not balance")
        evidence.counts["postings"] += len(event.postings)
    moved: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()
    for movement in _movements(evidence.broker):
        _expect(movement.movement_id not in seen, f"{movement.movement_id} moved twice")
        seen.add(movement.movement_id)
        moved[movement.tenant, movement.currency] += movement.amount_minor
    for whose in owed.keys() | moved.keys():
        _expect(owed[whose] == moved[whose], f"{whose} is owed {owed[whose]}, but {moved[whose]} moved")


def _movements(broker: Broker) -> list[Movement]:
    found = []
    for log in _logs(broker, catalogue.SETTLEMENT_INPUTS.name):
        for entry in log.entries:
            if entry.pid is not None and entry.committed and entry.record is not None:
                message = codec.decode(entry.record.value)
                assert isinstance(message, Movement)
                found.append(message)
    return found


def charges(evidence: Evidence) -> None:
    """P3: at most one attempt of a payment ends captured: in the events, and in the providers' own books."""
    standing: dict[str, dict[str, Any]] = defaultdict(dict)
    ever: dict[str, set[str]] = defaultdict(set)
    for event in evidence.events:
        if event.charge is not None:
            if event.charge.outcome == "captured":
                ever[event.payment_id].add(event.charge.id)
            standing[event.payment_id][event.charge.id] = event.charge
    for payment_id, attempts in standing.items():
        captured = [
            charge.id for charge in attempts.values() if charge.outcome == "captured" and charge.status == "succeeded"
        ]
        _expect(len(captured) <= 1, f"{payment_id} was captured by {captured}")
        evidence.counts["payments"] += 1
    taken: dict[str, set[str]] = defaultdict(set)
    for key, (outcome, _) in evidence.gateway.books.items():
        request = evidence.gateway.requests[key.rpartition("/")[0]]
        if outcome == "captured":
            taken[request.payment_id].add(request.object_id)
    for payment_id, charged in taken.items():
        _expect(len(charged) <= 1, f"providers charged {payment_id} {len(charged)} times: {sorted(charged)}")
        if evidence.drained:
            # Also what was taken after the attempt was given up, and went back since.
            known = ever[payment_id]
            _expect(charged == known, f"providers charged {sorted(charged)}, the events know {sorted(known)}")


def windows(evidence: Evidence) -> None:
    """P6: each movement is in one window; a closed window stays as it is; windows add up to what was settled."""
    added: dict[str, int] = defaultdict(int)
    closed: dict[str, int] = {}
    held: set[str] = set()
    for event in evidence.settlement:
        if event.movement is not None:
            _expect(event.movement.movement_id not in held, f"{event.movement.movement_id} is in two windows")
            _expect(event.window_id not in closed, f"{event.window_id} changed after it had closed")
            held.add(event.movement.movement_id)
            added[event.window_id] += event.movement.amount_minor
        elif event.type == "settlement_window.closed":
            _expect(event.window_id not in closed, f"{event.window_id} closed twice")
            assert event.totals is not None
            closed[event.window_id] = event.totals.net_minor
    for window_id, net_minor in closed.items():
        _expect(net_minor == added[window_id], f"{window_id} closed with {net_minor}, holds {added[window_id]}")
        evidence.counts["windows"] += 1
    offsets = evidence.broker.groups.group(f"{APPLICATION}-settlement").offsets
    source = catalogue.SETTLEMENT_INPUTS.name
    settled = {
        message.movement_id
        for log in _logs(evidence.broker, source)
        for record in log.committed(offsets.get((source, log.number), 0))
        if isinstance(message := _message(record.value), Movement)
    }
    _expect(held == settled, f"{len(held)} movements in windows, {len(settled)} were read")
    if evidence.drained:
        moved = {movement.movement_id: movement.amount_minor for movement in _movements(evidence.broker)}
        _expect(held == moved.keys(), f"{len(held)} movements in windows, {len(moved)} were made")
        _expect(
            added.keys() == closed.keys(), f"{len(added.keys() - closed.keys())} windows are open after their cut-off"
        )
        _expect(sum(closed.values()) == sum(moved.values()), "closed windows do not add up to what moved")


def _message(value: bytes | None) -> Any:
    try:
        return codec.decode(value)
    except Exception:
        return None


def replies(evidence: Evidence) -> None:
    """P9: every answer under one idempotency key that is an answer at all is the same answer."""
    asked = {
        message.correlation_id: (message.tenant, message.payment_id, message.attribution.idempotency_key)
        for log in _logs(evidence.broker, catalogue.PAYMENTS_INPUTS.name)
        for record in log.committed()
        if isinstance(message := _message(record.value), PaymentCommand)
    }
    first: dict[tuple[str, str, str], Reply] = {}
    for reply in _decoded(evidence.broker, catalogue.PAYMENTS_REPLIES.name):
        if reply.error is not None and reply.error.type in ("idempotency_error", "invalid_request_error"):
            continue
        key = asked[reply.correlation_id]
        plain = replace(
            reply,
            correlation_id="",
            replayed=False,
            cause_topic="",
            cause_partition=0,
            cause_offset=0,
            ordinal=0,
            attribution=Attribution(),
        )
        known = first.setdefault(key, plain)
        _expect(known == plain, f"{key} was answered in two ways: {known} and {plain}")
        evidence.counts["replies"] += 1


def history(evidence: Evidence) -> None:
    """No anomaly of Jepsen's Kafka workload in what workers and readers did."""
    found = check(evidence.recorder.history)
    _expect(not found, f"{len(found)} anomalies, first {found[0].kind}: {found[0].message}" if found else "")
    evidence.counts["operations"] += len(evidence.recorder.history)


CHECKS: dict[str, Callable[[Evidence], None]] = {
    "outputs": outputs,
    "state": state,
    "offsets": offsets,
    "sequences": sequences,
    "balances": balances,
    "charges": charges,
    "windows": windows,
    "replies": replies,
    "history": history,
}


def run_all(evidence: Evidence) -> Counter[str]:
    """All checks; raises `Violation` naming the first that fails. Returns what each looked at."""
    for name, look in CHECKS.items():
        try:
            look(evidence)
        except Violation as violation:
            raise Violation(f"{name}: {violation}") from violation
    evidence.counts["inputs"] += evidence.fold.inputs
    return evidence.counts
