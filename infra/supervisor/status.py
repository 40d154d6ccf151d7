"""What a supervisor tells others about its stack: stack.json in the data directory, rewritten at every change."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from infra.supervisor.ready import Kind, Ready


class State(StrEnum):
    """Where a process stands."""

    WAITING = "waiting"  # for those it comes after
    STARTING = "starting"
    READY = "ready"
    FINISHED = "finished"  # a step of the start, done
    BACKING_OFF = "backing off"  # died; will be started again
    GAVE_UP = "gave up"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Phase(StrEnum):
    """Where the stack as a whole stands."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process. Times are ms since the epoch, UTC; `restarts` counts starts after the first, since the stack's start."""

    name: str
    state: State
    required: bool
    pid: int | None = None
    ports: dict[str, int] = {}
    started_at_ms: int | None = None
    ready_at_ms: int | None = None
    restarts: int = 0
    last_exit: str | None = None
    ready_kind: Kind = Kind.ALIVE
    ready_target: str = ""
    stopped_at_ms: int | None = None
    stopped_in_ms: int | None = None
    killed: bool = False

    @property
    def is_up(self) -> bool:
        """Whether it does what it is there for, as far as its supervisor knows."""
        return self.state in (State.READY, State.FINISHED)

    def probe(self) -> bool:
        """Whether it is up and answers now, where it has anything to ask over the network."""
        return self.is_up and Ready(self.ready_kind, self.ready_target).probe()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a stack ended by itself."""

    message: str
    remedy: str
    last_lines: list[str] = []


class StackStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole stack. `facts` are what other commands need to reach it (never a secret)."""

    supervisor_pid: int
    phase: Phase
    started_at_ms: int
    facts: dict[str, str] = {}
    processes: list[ProcessStatus] = []
    failure: Failure | None = None
