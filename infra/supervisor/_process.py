"""One supervised process: a thread that starts it, waits until it is ready, waits for its end, and starts it again."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.supervisor._children import Watchdog, _Popen, await_exit, describe_exit, has_exited, kill_group
from infra.supervisor._logfile import LINE_BYTES_MAX, RotatingLog, last_lines
from infra.supervisor.errors import NotReadyError, NotRunningError, ProcessGaveUpError, SupervisorError
from infra.supervisor.ready import Kind
from infra.supervisor.spec import ProcessSpec
from infra.supervisor.status import ProcessStatus, State

_READY_POLL_S = 0.1
_PUMP_DEADLINE_S = 5.0  # for output still in the pipe after the end; a stray grandchild may hold the pipe open
LAST_LINES = 15  # of a log, repeated where its process is given up
OVER = (State.STOPPED, State.GAVE_UP, State.FINISHED)


@dataclass(kw_only=True)
class Shared:
    """What all processes of one stack share. `changed` guards every state and is notified at each change."""

    changed: threading.Condition
    environment: Mapping[str, str]
    watchdog: Watchdog
    note: Callable[[str, str], None]  # (process, event) → the supervisor's own log
    publish: Callable[[], None]
    fail: Callable[[SupervisorError], None]
    stopping: bool = False


class Process:
    """The handle on one process of a stack. Its methods may be called from any thread."""

    def __init__(self, spec: ProcessSpec, shared: Shared, log: RotatingLog, log_path: Path) -> None:
        self.spec = spec
        self.log_path = log_path
        self._shared = shared
        self._log = log
        self._child: _Popen | None = None
        self._status = ProcessStatus(
            name=spec.name,
            state=State.WAITING,
            required=spec.required,
            ports=dict(spec.ports),
            ready_kind=spec.ready.kind,
            ready_target=spec.ready.target,
        )
        self._was_ready = False
        self._quick_deaths = 0
        self._restart_asked = False
        self._matched = threading.Event()
        self._dependencies: list[Process] = []
        self._keeper = threading.Thread(target=self._keep, name=f"keep-{spec.name}", daemon=True)

    @property
    def status(self) -> ProcessStatus:
        """Where it stands now."""
        return self._status

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._status.pid

    @property
    def restarts(self) -> int:
        """How often it was started again since the stack started."""
        return self._status.restarts

    def start(self, dependencies: list[Process]) -> None:
        """Start it once each of the dependencies, direct or not, has been ready."""
        self._dependencies = dependencies
        self._keeper.start()

    def kill(self, signal_number: int = signal.SIGKILL) -> int:
        """Send it a signal as an outsider would (the supervisor then restarts it); returns the pid that got it."""
        with self._shared.changed:
            if self._child is None:
                raise NotRunningError(
                    f"{self.spec.name} does not run now", remedy="wait until it is ready, then try again"
                )
            os.kill(self._child.pid, signal_number)
            return self._child.pid

    def restart(self) -> int:
        """End it with its stop signal, to be started again at once; returns the pid that was ended."""
        with self._shared.changed:
            pid = self.kill(self.spec.stop_signal)
            self._restart_asked = True
            return pid

    def wait_ready(self, timeout_s: float = 60.0, *, other_than_pid: int | None = None) -> int:
        """Block until it is ready, as a process other than `other_than_pid` where that is given; returns its pid.

        (A finished step has no pid: 0.) Raises NotReadyError.
        """

        def ready() -> bool:
            fresh = self._status.pid is None or self._status.pid != other_than_pid
            return (self._status.is_up and fresh) or self._status.state in (State.GAVE_UP, State.STOPPED)

        with self._shared.changed:
            if not self._shared.changed.wait_for(ready, timeout_s) or not self._status.is_up:
                raise NotReadyError(
                    f"{self.spec.name} is not ready after {timeout_s:g} s but {self._status.state}",
                    remedy=f"read its log, {self.log_path}",
                )
            return self._status.pid or 0

    def tail(self, count: int = LAST_LINES) -> list[str]:
        """Return the last lines of its log."""
        return last_lines(self.log_path, count)

    def stop(self, *, hurry: Callable[[], bool]) -> None:
        """End it and what it started: its stop signal, then SIGKILL after its deadline or as soon as `hurry` says so.

        The stack must be stopping already, so that nothing starts it again.
        """
        began = time.monotonic()
        with self._shared.changed:
            if self._status.state in OVER:
                return
            if self._child is not None:
                self._set(state=State.STOPPING)
                os.kill(self._child.pid, self.spec.stop_signal)
            killed = False
            while self._status.state not in OVER:
                late = time.monotonic() - began >= self.spec.stop_deadline_s or hurry()
                if late and not killed and self._child is not None:
                    kill_group(self._child.pid)
                    killed = True
                self._shared.changed.wait(0.1)
            took_ms = round((time.monotonic() - began) * 1000)
            self._set(stopped_at_ms=_now_ms(), stopped_in_ms=took_ms, killed=killed)
        self._shared.note(
            self.spec.name, f"stopped in {took_ms} ms{' (killed: its deadline had passed)' if killed else ''}"
        )

    def join(self) -> None:
        """Wait for its thread, which ends after the process does."""
        self._keeper.join()
        self._log.close()

    # Below: the keeper thread only.

    def _keep(self) -> None:
        try:
            self._await_dependencies()
            while self._spawn():
                self._await_ready()
                child = self._child
                assert child is not None
                await_exit(child)
                self._drain(child)
                if not self._again(child):
                    break
        except BaseException as error:  # whatever it is, the stack must hear of it
            self._shared.fail(
                SupervisorError(f"internal error keeping {self.spec.name}: {error!r}", remedy="report this")
            )
            raise
        finally:
            # If this thread ends, its child must have ended: nobody else would collect it.
            if self._child is not None:
                kill_group(self._child.pid)
                self._drain(self._child)
            with self._shared.changed:
                if self._child is not None:
                    self._set(state=State.STOPPED, pid=None, last_exit=describe_exit(self._reap(self._child)))
                elif self._status.state not in OVER:
                    self._set(state=State.STOPPED)

    def _await_dependencies(self) -> None:
        with self._shared.changed:
            self._shared.changed.wait_for(
                lambda: self._shared.stopping or all(other._was_ready for other in self._dependencies)  # noqa: SLF001 - same class
            )

    def _spawn(self) -> bool:
        with self._shared.changed:
            if self._shared.stopping:
                return False
            self._matched.clear()
            child = self._shared.watchdog.spawn(
                self.spec.argv,
                environment={**self._shared.environment, **self.spec.environment},
                directory=self.spec.directory,
            )
            self._child = child
            self._pump = threading.Thread(target=self._pour, args=(child,), name=f"log-{self.spec.name}", daemon=True)
            self._pump.start()
            self._set(state=State.STARTING, pid=child.pid, started_at_ms=_now_ms(), ready_at_ms=None)
        self._shared.note(self.spec.name, f"started as pid {child.pid}")
        return True

    def _await_ready(self) -> None:
        child, ready = self._child, self.spec.ready
        assert child is not None
        if ready.kind is Kind.FINISHED:
            return self._await_end(child)
        deadline = time.monotonic() + self.spec.ready_deadline_s
        while not has_exited(child):
            if ready.kind is Kind.LOG and not self._matched.wait(_READY_POLL_S):
                pass
            elif ready.kind is Kind.LOG or ready.probe():
                self._ready_at = time.monotonic()
                return self._mark_ready()
            else:
                time.sleep(_READY_POLL_S)
            if time.monotonic() >= deadline:
                return self._end_late(child)
        return None

    def _await_end(self, child: _Popen) -> None:
        deadline = time.monotonic() + self.spec.ready_deadline_s
        while not has_exited(child):
            if time.monotonic() >= deadline:
                return self._end_late(child)
            time.sleep(_READY_POLL_S)
        return None

    def _end_late(self, child: _Popen) -> None:
        self._shared.note(self.spec.name, f"not ready within {self.spec.ready_deadline_s:g} s: killed")
        kill_group(child.pid)

    def _mark_ready(self) -> None:
        with self._shared.changed:
            if self._status.state is not State.STARTING:
                return  # being stopped meanwhile
            self._was_ready = True
            self._set(state=State.READY, ready_at_ms=_now_ms())
        self._shared.note(self.spec.name, "ready")

    def _drain(self, child: _Popen) -> None:
        """Clear up around a child that has ended: end what is left of its group, and take in its last output."""
        kill_group(child.pid)  # while the child isn't collected, the number can't belong to another group
        self._pump.join(_PUMP_DEADLINE_S)

    def _reap(self, child: _Popen) -> int:
        """Collect a child that has ended, after which its number may be used again; the caller says so in the status."""
        self._shared.watchdog.forget(child.pid)
        self._child = None
        return child.wait()

    def _again(self, child: _Popen) -> bool:
        """Collect a child and decide what its end means; True when it is to be started (again), after its delay."""
        policy, name = self.spec.restart, self.spec.name
        with self._shared.changed:
            # The number and what follows from the end change in one step: nobody sees a ready process without one.
            status = self._reap(child)
            ended = {"pid": None, "last_exit": describe_exit(status)}
            if self._shared.stopping:
                self._set(state=State.STOPPED, **ended)
                return False
            if self.spec.ready.kind is Kind.FINISHED and status == 0:
                self._was_ready = True
                self._set(state=State.FINISHED, ready_at_ms=_now_ms(), **ended)
                return False
            steady = self._status.ready_at_ms is not None and (
                time.monotonic() - self._ready_at >= policy.steady_after_s or self._restart_asked
            )
            if steady:
                self._quick_deaths = 0
            elif self._dependencies_up():  # else it may well have died of what it depends on
                self._quick_deaths += 1
            if self._quick_deaths >= policy.give_up_after:
                self._set(state=State.GAVE_UP, **ended)
                self._give_up(status)
                return False
            delay_s = 0.0 if self._restart_asked else policy.delay_s(self._quick_deaths)
            self._restart_asked = False
            self._set(state=State.BACKING_OFF, restarts=self._status.restarts + 1, ready_at_ms=None, **ended)
            self._shared.note(name, f"ended with {describe_exit(status)}; started again in {delay_s:g} s")
            if self._shared.changed.wait_for(lambda: self._shared.stopping, delay_s):
                return False
            self._shared.changed.wait_for(lambda: self._shared.stopping or self._dependencies_up())
            return True

    def _dependencies_up(self) -> bool:
        # One that was given up and that the stack lives without isn't waited for.
        return all(other.status.is_up or other.status.state is State.GAVE_UP for other in self._dependencies)

    def _give_up(self, status: int) -> None:
        text = f"{self.spec.name} ended {self._quick_deaths} times shortly after its start, the last time with {describe_exit(status)}"
        self._shared.note(self.spec.name, f"given up: {text}")
        if self.spec.required:
            remedy = self.spec.remedy or "read the lines above and the whole log"
            self._shared.fail(
                ProcessGaveUpError(
                    text, remedy=f"{remedy} ({self.log_path})", name=self.spec.name, last_lines=self.tail()
                )
            )

    def _pour(self, child: _Popen) -> None:
        """Carry the child's output to its log, line by line, until the last holder of the pipe closes it."""
        output = child.stdout
        assert output is not None
        pattern = re.compile(self.spec.ready.target) if self.spec.ready.kind is Kind.LOG else None
        with output:
            while line := output.readline(LINE_BYTES_MAX):
                self._log.write(line)
                if pattern is not None and pattern.search(line.decode(errors="replace")):
                    self._matched.set()
                    pattern = None

    def _set(self, **changes: object) -> None:
        import msgspec

        self._status = msgspec.structs.replace(self._status, **changes)
        self._shared.publish()
        self._shared.changed.notify_all()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
