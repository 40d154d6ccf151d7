"""The transaction coordinator, as transactions v1 has it: epochs, fencing, decisions, and markers that follow later."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.broker import Broker

# A participant of a transaction: a topic partition, or ("group", name).
Participant = tuple[str, int | str]


class Refused(Exception):  # the broker's answer, not a failure of ours
    """An answer with an error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Transactional:
    """What the coordinator knows of one transactional id."""

    def __init__(self, pid: int, timeout_ms: int) -> None:
        self.pid, self.epoch, self.timeout_ms = pid, 0, timeout_ms
        self.state = "empty"
        self.participants: dict[Participant, None] = {}
        self.started_ms = 0
        self.number = 0
        self.waiting_markers = 0


class TransactionCoordinator:
    """
    All transactional ids.

    Transactions v1: the epoch rises with `InitProducerId` and with time-outs, not with every transaction. So a request of
    one transaction that arrives late is taken for the next one's, if the same producer began it.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._world = broker.world
        self.ids: dict[str, Transactional] = {}
        self._pids = 0

    def _known(self, name: str, pid: int, epoch: int) -> Transactional:
        known = self.ids.get(name)
        if known is None or known.pid != pid:
            raise Refused("INVALID_PRODUCER_ID_MAPPING")
        if known.epoch != epoch:
            raise Refused("INVALID_PRODUCER_EPOCH")
        return known

    def init_producer_id(self, name: str, *, timeout_ms: int) -> tuple[int, int]:
        """A producer id and a new epoch; an open transaction of the epoch before is aborted first."""
        known = self.ids.get(name)
        if known is None:
            self._pids += 1
            known = self.ids[name] = Transactional(self._pids, timeout_ms)
            return known.pid, known.epoch
        if known.state == "ongoing":
            self._fence_and_abort(name, known)
        if known.state.startswith("prepare"):
            raise Refused("CONCURRENT_TRANSACTIONS")
        known.epoch += 1
        known.timeout_ms = timeout_ms
        known.state = "empty"
        return known.pid, known.epoch

    def add_participants(self, name: str, pid: int, epoch: int, participants: Iterable[Participant]) -> None:
        """AddPartitionsToTxn and AddOffsetsToTxn: the first one begins the transaction."""
        known = self._known(name, pid, epoch)
        if known.state.startswith("prepare"):
            raise Refused("CONCURRENT_TRANSACTIONS")
        if known.state != "ongoing":
            known.state = "ongoing"
            known.number += 1
            known.participants = {}
            known.started_ms = self._world.now_ms
            self._broker.began(name)
        known.participants.update(dict.fromkeys(participants))

    def verify(self, name: str, pid: int, epoch: int, participant: Participant) -> None:
        """What leaders ask before they take a transactional write (KIP-890, first part)."""
        known = self._known(name, pid, epoch)
        if known.state != "ongoing" or participant not in known.participants:
            raise Refused("INVALID_TXN_STATE")

    def end(self, name: str, pid: int, epoch: int, *, commit: bool) -> None:
        """EndTxn: answered when the decision is durable; the markers follow."""
        known = self._known(name, pid, epoch)
        wanted = "commit" if commit else "abort"
        if known.state == f"prepare-{wanted}":
            raise Refused("CONCURRENT_TRANSACTIONS")
        if known.state == f"complete-{wanted}":
            return
        if known.state != "ongoing":
            raise Refused("INVALID_TXN_STATE")
        self._decide(name, known, commit=commit)

    def expire(self) -> None:
        """Abort what is open for longer than its time-out; its producer is fenced."""
        for name, known in self.ids.items():
            if known.state == "ongoing" and self._world.now_ms - known.started_ms >= known.timeout_ms:
                self._world.note(f"{name} transaction timed out")
                self._broker.counted("transaction time-out")
                self._fence_and_abort(name, known)

    def _fence_and_abort(self, name: str, known: Transactional) -> None:
        known.epoch += 1
        self._decide(name, known, commit=False)

    def _decide(self, name: str, known: Transactional, *, commit: bool) -> None:
        wanted = "commit" if commit else "abort"
        known.state = f"prepare-{wanted}"
        self._world.note(f"{name}/{known.epoch} prepares to {wanted}")
        known.waiting_markers = len(known.participants)
        for participant in known.participants:
            self._world.after(
                self._broker.marker_delay_ms(participant), self._marker(known, participant, commit=commit)
            )
        if not known.participants:
            known.state = f"complete-{wanted}"

    def _marker(self, known: Transactional, participant: Participant, *, commit: bool) -> Callable[[], None]:
        epoch = known.epoch

        def write() -> None:
            if self._broker.down():
                self._world.at(self._broker.down_until_ms + self._broker.marker_delay_ms(participant), write)
                return
            self._broker.write_marker(participant, known.pid, epoch, commit=commit)
            known.waiting_markers -= 1
            if not known.waiting_markers:
                known.state = "complete-commit" if commit else "complete-abort"

        return write

    @property
    def dangling(self) -> list[str]:
        """Ids whose transaction has not ended."""
        return [
            name for name, known in self.ids.items() if known.state in ("ongoing", "prepare-commit", "prepare-abort")
        ]
