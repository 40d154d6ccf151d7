"""
The verifier: recomputes every output and every state from the inputs, and compares byte for byte with what is committed.

It trusts nothing that the runtime wrote down but the groups' offsets, at which it cuts the inputs. Agents' handlers are run
again on state in memory. Beside that, sequence, money and the pairing of requests with results are checked on the
records alone, so that a bug in a handler doesn't excuse itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from schemas.partitioner import partition_of
from schemas.records import (
    ClockTick,
    CustomerKey,
    CustomerReply,
    Movement,
    PayoutCommand,
    PayoutReply,
    PayoutRequest,
    PayoutResult,
    ProviderRequest,
    Reply,
    Tenant,
)
from schemas.records import Record as Message
from streams.agents import customers, intake, lifecycle, settlement
from streams.runtime import POSITIONS_KEY, Output
from tests.chaos.books import Books
from tests.chaos.checks import Check, Sent, any_of, fingerprint, short
from tests.chaos.compare import Pair, Scattered, compare_counts
from tests.chaos.fold import Fold
from tests.chaos.keys import RecordedKeys
from tests.chaos.log import Log
from tests.chaos.names import (
    APPLICATION,
    CHANGELOGS,
    CUSTOMERS,
    EVENTS,
    INPUTS,
    INTENTS,
    KEYS,
    REJECTED,
    REPLIES,
    REQUESTS,
    SETTLED,
    SETTLEMENTS,
    TENANTS,
    TOLD,
)
from tests.chaos.pairing import Pairing, is_wish

_OTHERS: dict[str, tuple[type[Message], ...]] = {REQUESTS: (PayoutRequest,)}
"""What another fold writes between the outputs of the one that is aligned with the topic."""
_NO_MOVEMENTS: tuple[type[Message], ...] = (ClockTick, Tenant, PayoutCommand, PayoutResult)


def verify(log: Log, sent: Sent | None = None) -> list[Check]:
    """Every check on a quiet log. `sent` None: nobody knows what the load sent, so the inputs are taken as they are."""
    return _Verifier(log, sent).run()


class _Verifier:
    def __init__(self, log: Log, sent: Sent | None) -> None:
        self._log, self._sent = log, sent
        self._made: list[Check] = []
        self._rejections: Counter[bytes] = Counter()
        self._movements = Scattered()
        self._replies = Scattered()
        self._payout_requests = Scattered()
        self._payout_replies = Scattered()
        self._customer_replies = Scattered()
        self._wishes = Scattered()
        self._commands: Counter[bytes] = Counter()
        self._books = Books(self._check)
        self._pairing = Pairing(log, sent, self._check)

    def _check(self, name: str) -> Check:
        check = Check(name)
        self._made.append(check)
        return check

    def run(self) -> list[Check]:
        """1. Transactions. 2. Intake. 3. Lifecycle. 4. Settlement, customers. 5. What has no partition of its own. 6. The books."""
        self._transactions()
        self._intake()
        self._pairing.inputs(self._intake_check, self._commands)
        self._intake_state()
        self._folds("lifecycle", INPUTS, self._lifecycle_handler(), lifecycle.reject, aligned=(EVENTS, REQUESTS))
        self._scattered("movements are those that payments made", SETTLEMENTS, self._movements, others=_NO_MOVEMENTS)
        self._scattered(
            "replies are those that commands asked for", REPLIES, self._replies, others=(PayoutReply, CustomerReply)
        )
        self._folds("settlement", SETTLEMENTS, self._settlement_handler(), settlement.reject, aligned=(SETTLED,))
        self._scattered(
            "requests of payouts are those that settlement made",
            REQUESTS,
            self._payout_requests,
            others=(ProviderRequest,),
        )
        self._scattered(
            "answers about payouts are those that commands asked for",
            REPLIES,
            self._payout_replies,
            others=(Reply, CustomerReply),
        )
        self._folds("customers", CUSTOMERS, self._customers_handler(), customers.reject, aligned=(TOLD,))
        self._scattered(
            "answers about customers are those that commands asked for",
            REPLIES,
            self._customer_replies,
            others=(Reply, PayoutReply),
        )
        self._scattered(
            "methods to save are those that payments' successes asked for", CUSTOMERS, self._wishes, only=is_wish
        )
        self._pairing.paid()
        self._pairing.commanded()
        self._rejected()
        self._books.finish()
        return self._made

    # 1

    def _transactions(self) -> None:
        check = self._check("no transaction is left open")
        for (topic, partition), ends in sorted(self._log.ends().items()):
            check.count += 1
            if ends.stable != ends.high:
                check.fault(f"{topic}[{partition}]: committed up to {ends.stable}, written up to {ends.high}")

    # 2

    def _intake(self) -> None:
        check = self._check("every intent became one command, or one rejection")
        sent = self._check("intents on the topic are those that were sent")
        left = self._check("intake has read everything")
        tenants = _Tenants(self._log)
        handler = intake.Intake(tenants=tenants, clock=_NoClock(), keys=RecordedKeys(self._log))  # type: ignore[arg-type]
        fold = Fold(handler, intake.reject)  # type: ignore[arg-type]
        found: Counter[bytes] = Counter()
        keys: Counter[bytes] = Counter()
        ends = self._log.committed(f"{APPLICATION}-intake", INTENTS)
        for partition in self._log.partitions(INTENTS):
            for record in self._log.records(INTENTS, partition):
                found[fingerprint(record.key, record.value)] += 1
                if record.offset >= ends.get(partition, 0):
                    left.fault(f"{INTENTS}[{partition}] offset {record.offset} lies behind the group's position")
                    continue
                left.count += 1
                check.count += 1
                for output in fold.take(record):
                    counter = {REJECTED: self._rejections, KEYS: keys}.get(output.topic, self._commands)
                    counter[fingerprint(output.key, output.value)] += 1
        if self._sent is not None:
            compare_counts(sent, self._sent.intents, found, "intent")
        self._intake_check = check
        self._keys(keys)

    def _keys(self, made: Counter[bytes]) -> None:
        """Every active key on the topic was made by one intent that came without one."""
        check = self._check("customers' keys are those that intents made")
        found: Counter[bytes] = Counter()
        for partition in self._log.partitions(KEYS):
            for record in self._log.records(KEYS, partition):
                message = any_of(record)
                if isinstance(message, CustomerKey) and message.status == "active":
                    found[fingerprint(record.key, record.value)] += 1
        compare_counts(check, made, found, "key")

    # 3 and 4

    def _lifecycle_handler(self) -> Callable[..., None]:
        return lifecycle.Lifecycle(
            partitions=len(self._log.partitions(INPUTS)), reply_partitions=len(self._log.partitions(REPLIES))
        )

    def _settlement_handler(self) -> Callable[..., None]:
        return settlement.Settlement(
            partitions=len(self._log.partitions(SETTLEMENTS)), reply_partitions=len(self._log.partitions(REPLIES))
        )

    def _customers_handler(self) -> Callable[..., None]:
        return customers.Customers(
            partitions=len(self._log.partitions(CUSTOMERS)),
            reply_partitions=len(self._log.partitions(REPLIES)),
            keys=None,  # which keys a worker knows of at a moment is no part of the log: erasures are not compared
        )

    def _folds(
        self,
        name: str,
        source: str,
        handler: Callable[..., None],
        reject: Callable[..., Output],
        *,
        aligned: tuple[str, ...],
    ) -> None:
        outputs = {
            topic: self._check(f"{topic} is what its inputs make, byte for byte and in order") for topic in aligned
        }
        states = self._check(f"{CHANGELOGS[name]} is the recomputed state, byte for byte")
        left = self._check(f"{name} has read everything but the last ticks")
        ends = self._log.committed(f"{APPLICATION}-{name}", source)
        for partition in self._log.partitions(source):
            fold = Fold(handler, reject)
            pairs = {
                topic: Pair(self._log, topic, partition, outputs[topic], self._books, others=_OTHERS.get(topic, ()))
                for topic in aligned
            }
            for record in self._log.records(source, partition):
                if record.offset >= ends.get(partition, 0):
                    if not isinstance(any_of(record), ClockTick):
                        left.fault(f"{source}[{partition}] offset {record.offset} lies behind the group's position")
                    continue
                left.count += 1
                for number, output in enumerate(fold.take(record)):
                    self._place(name, pairs, output, partition, (record.offset, number))
            for pair in pairs.values():
                pair.finish()
            expected = dict(fold.store.values)
            if ends.get(partition):  # what the state says of itself has to be what the group says
                expected[POSITIONS_KEY] = b'{"%s":%d}' % (source.encode(), ends[partition])
            self._compare_state(states, CHANGELOGS[name], partition, expected)

    def _place(self, name: str, pairs: dict[str, Pair], output: Output, source: int, order: tuple[int, int]) -> None:
        if output.topic in pairs:
            pairs[output.topic].expect(output)
        elif output.topic == REJECTED:
            self._rejections[fingerprint(output.key, output.value)] += 1
        else:
            scattered = {
                ("lifecycle", SETTLEMENTS): self._movements,
                ("lifecycle", REPLIES): self._replies,
                ("lifecycle", CUSTOMERS): self._wishes,
                ("settlement", REQUESTS): self._payout_requests,
                ("settlement", REPLIES): self._payout_replies,
                ("customers", REPLIES): self._customer_replies,
            }[name, output.topic]
            target = output.partition
            if target is None:
                assert output.key is not None
                target = partition_of(output.key, len(self._log.partitions(output.topic)))
            scattered.expect(target, output, source, order)

    def _intake_state(self) -> None:
        """Intake keeps nothing but how far it is."""
        check = self._check("intake.changelog is the recomputed state, byte for byte")
        for partition, end in self._log.committed(f"{APPLICATION}-intake", INTENTS).items():
            expected = {POSITIONS_KEY: b'{"%s":%d}' % (INTENTS.encode(), end)} if end else {}
            self._compare_state(check, CHANGELOGS["intake"], partition, expected)

    def _compare_state(self, check: Check, changelog: str, partition: int, expected: dict[bytes, bytes]) -> None:
        found: dict[bytes, bytes] = {}
        for record in self._log.records(changelog, partition):
            assert record.key is not None, f"{changelog}[{partition}] offset {record.offset} has no key"
            if record.value is None:
                found.pop(record.key, None)
            else:
                found[record.key] = record.value
        check.count += len(expected)
        for key in sorted(found.keys() | expected.keys()):
            if found.get(key) != expected.get(key):
                check.fault(
                    f"{changelog}[{partition}] {key!r}: {short(found.get(key))}, not {short(expected.get(key))}"
                )

    # 5

    def _scattered(
        self,
        name: str,
        topic: str,
        expected: Scattered,
        *,
        others: tuple[type[Message], ...] = (),
        only: Callable[[Message | None], bool] = lambda _: True,
    ) -> None:
        check = self._check(name)
        for partition in self._log.partitions(topic):
            for record in self._log.records(topic, partition):
                message = any_of(record)
                if isinstance(message, others) or not only(message):
                    continue
                check.count += 1
                if isinstance(message, Movement):
                    self._books.movement(message)
                expected.meet(record, check)
        for missing in expected.left():
            check.fault(f"{topic}: lost, from partition {missing[0]} offset {missing[1][0]}")

    def _rejected(self) -> None:
        check = self._check("every refused record is rejected once, with its bytes and its reason")
        found: Counter[bytes] = Counter()
        for partition in self._log.partitions(REJECTED):
            for record in self._log.records(REJECTED, partition):
                found[fingerprint(record.key, record.value)] += 1
        compare_counts(check, self._rejections, found, "rejection")


class _Tenants:
    """The tenants' topic, last value of each key, as intake's table has it."""

    def __init__(self, log: Log) -> None:
        self._values: dict[bytes, Tenant] = {}
        for partition in log.partitions(TENANTS):
            for record in log.records(TENANTS, partition):
                message = any_of(record)
                if record.key is not None and isinstance(message, Tenant):
                    self._values[record.key] = message

    def get(self, key: bytes) -> Tenant | None:
        """The tenant, or None."""
        return self._values.get(key)


class _NoClock:
    """Intake stamps its commands with the time at which it took the intent, which nobody can recompute: not compared."""

    def wall_ms(self) -> int:
        """Some time."""
        return 0
