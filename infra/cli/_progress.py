"""Showing how a stack starts or stops: a table that is redrawn on a terminal, one line per change elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from infra.cli._console import duration, processes_table
from infra.supervisor import ProcessStatus, StackStatus, State

_SAID = (State.STARTING, State.READY, State.FINISHED, State.BACKING_OFF, State.GAVE_UP)


class Progress:
    """Fed with one status after another; shows what changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last: dict[str, tuple[State, int | None]] = {}

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last picture standing."""
        if self._live is not None:
            self._live.stop()

    def show(self, status: StackStatus) -> None:
        """Show where everything stands."""
        if self._live is not None:
            self._live.update(processes_table(status, now_ms=time.time_ns() // 1_000_000), refresh=True)
            return
        for process in status.processes:
            now = (process.state, process.pid)
            if now != self._last.get(process.name) and process.state in _SAID:
                self._console.print(Text(f"{process.name:<14} {_sentence(process)}"))
            self._last[process.name] = now


def _sentence(process: ProcessStatus) -> str:
    ports = "".join(f", {purpose} port {port}" for purpose, port in process.ports.items())
    match process.state:
        case State.STARTING:
            return f"starting, pid {process.pid}"
        case State.READY:
            return f"ready in {_took_s(process):.1f} s, pid {process.pid}{ports}"
        case State.FINISHED:
            return f"done in {_took_s(process):.1f} s"
        case State.BACKING_OFF:
            return f"ended with {process.last_exit}; will be started again"
        case _:
            return f"{process.state} ({process.last_exit})"


def show_stopped(console: Console, status: StackStatus) -> None:
    """Print how each process was stopped, in the order in which that happened."""
    stopped = [process for process in status.processes if process.stopped_in_ms is not None]
    for process in sorted(stopped, key=lambda process: process.stopped_at_ms or 0):
        console.print(Text(f"{process.name:<14} {_stopped(process, process.stopped_in_ms or 0)}"))


def _stopped(process: ProcessStatus, took_ms: int) -> str:
    after = f"{took_ms / 1000:.1f} s" if took_ms < 60_000 else duration(took_ms)
    return f"stopped in {after}" if not process.killed else f"killed after {after}: it did not stop by itself"


def _took_s(process: ProcessStatus) -> float:
    return ((process.ready_at_ms or 0) - (process.started_at_ms or 0)) / 1000
