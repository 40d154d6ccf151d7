"""What a stack consists of: one ProcessSpec per process, with its readiness, its order and its restart policy."""

from __future__ import annotations

import graphlib
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.supervisor.errors import SpecError
from infra.supervisor.ready import Ready

RESERVED_NAMES = frozenset({"supervisor"})  # the supervisor's own log stands beside the processes' logs
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RestartPolicy:
    """When a process that died is started again, and when no more.

    A death is quick when the process had not been ready for `steady_after_s`. Quick deaths in a row are counted, the
    delay before the next start grows with them, and at `give_up_after` of them there is no next start. While something
    that it comes after is down, deaths don't count, and the next start waits for that.
    """

    first_delay_s: float = 0.5
    factor: float = 2.0
    highest_delay_s: float = 15.0
    give_up_after: int = 5
    steady_after_s: float = 5.0

    def delay_s(self, quick_deaths: int) -> float:
        """Return how long to wait before the next start, after so many quick deaths in a row."""
        # The exponent is bounded so that a float can't overflow, whatever give_up_after allows.
        exponent = min(max(quick_deaths - 1, 0), 32)
        return float(min(self.first_delay_s * self.factor**exponent, self.highest_delay_s))


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the supervisor bounds on behalf of the whole stack."""

    free_bytes_min: int = 512 * 1024 * 1024
    disk_check_interval_s: float = 5.0
    log_file_bytes_max: int = 10 * 1024 * 1024
    log_files: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessSpec:
    """One process of a stack.

    `environment` is laid over the stack's. `after` names the processes that must have been ready once before this one
    starts; it is also stopped before them. `ports` (purpose to number) must be free at the start. `required` says
    whether the stack can live without it. `remedy` is what a reader is told to do if it can't be kept running.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    directory: Path | None = None
    ready: Ready = field(default_factory=Ready.alive)
    ready_deadline_s: float = 120.0
    after: Sequence[str] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    required: bool = True
    stop_signal: signal.Signals = signal.SIGTERM
    stop_deadline_s: float = 15.0
    remedy: str = ""


def levels(specs: Sequence[ProcessSpec]) -> list[list[str]]:
    """Return the names in start order, those that may start together in one list. Raises SpecError."""
    names = [spec.name for spec in specs]
    for name in names:
        if not _NAME.fullmatch(name) or name in RESERVED_NAMES or names.count(name) > 1:
            raise SpecError(
                f"a process can't be called {name!r}",
                remedy="use each name once: small letters, digits, - and _, and not 'supervisor'",
            )
    for spec in specs:
        unknown = [name for name in spec.after if name not in names]
        if unknown or not spec.argv:
            raise SpecError(
                f"{spec.name} comes after {', '.join(unknown)}, which isn't there"
                if unknown
                else f"{spec.name} has no command",
                remedy="correct the description of the stack",
            )
    sorter = graphlib.TopologicalSorter({spec.name: spec.after for spec in specs})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise SpecError(
            f"processes wait for each other: {' → '.join(error.args[1])}", remedy="take one of them out of `after`"
        ) from None
    found: list[list[str]] = []
    while sorter.is_active():
        together = sorted(sorter.get_ready(), key=names.index)
        found.append(together)
        sorter.done(*together)
    return found


def ancestors(name: str, specs: Mapping[str, ProcessSpec]) -> set[str]:
    """Return everything that a process comes after, directly or not."""
    found: set[str] = set()
    left = [*specs[name].after]
    while left:
        other = left.pop()
        if other not in found:
            found.add(other)
            left.extend(specs[other].after)
    return found
