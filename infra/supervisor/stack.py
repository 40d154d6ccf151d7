"""A stack of processes: started in order, kept running, stopped in reverse, and leaving nothing behind."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.supervisor import checks
from infra.supervisor._children import Watchdog
from infra.supervisor._logfile import RotatingLog
from infra.supervisor._process import Process, Shared
from infra.supervisor.directory import DataDirectory
from infra.supervisor.errors import NotReadyError, NotRunningError, ProcessGaveUpError, SupervisorError
from infra.supervisor.spec import Limits, ProcessSpec, ancestors, levels
from infra.supervisor.status import Failure, Phase, StackStatus, State

_logger = logging.getLogger(__name__)
PORTS_REMEDY = "move the stack with `--port-base` or its CLEARLINE_PORT_* variables"


class Stack:
    """The processes described by `specs`, kept in `data_dir`, each started with `environment` (the whole of it).

    `facts` are published with the status for other commands to reach the stack; never put a secret there. `free_bytes` tells the free space under
    a directory. Use it as a
    context manager, or call `start` and `stop` in pairs. The supervisor lives in this process: if it is killed, its
    processes are killed with it.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        data_dir: Path,
        environment: Mapping[str, str] | None = None,
        *,
        facts: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        free_bytes: Callable[[Path], int] = checks.free_bytes,
    ) -> None:
        self._levels = levels(specs)
        by_name = {spec.name: spec for spec in specs}
        self._specs = {name: by_name[name] for level in self._levels for name in level}
        self._environment = dict(os.environ if environment is None else environment)
        self._facts = dict(facts or {})
        self._limits = limits or Limits()
        self._free_bytes = free_bytes
        self.directory = DataDirectory(data_dir)
        self._changed = threading.Condition()
        self._processes: dict[str, Process] = {}
        self._phase = Phase.STOPPED
        self._failure: SupervisorError | None = None
        self._ended = threading.Event()
        self._stop_claimed = False
        self._hurried = False
        self._started_at_ms = 0

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    @property
    def failure(self) -> SupervisorError | None:
        """Why the stack ended, or is ending, by itself."""
        return self._failure

    @property
    def ended(self) -> bool:
        """Whether every process has been stopped."""
        return self._ended.is_set()

    @property
    def watchdog_pid(self) -> int:
        """The process that clears up should this one be killed."""
        return self._watchdog.pid

    def start(self) -> None:
        """Check directory, lock, disk and ports, then start everything in the background.

        Raises StartRefusedError, having started nothing. A stack starts once; make another to start again.
        """
        assert not self._processes, "a stack starts once"
        self.directory.open()
        self._lock = self.directory.lock()
        try:
            self._check_disk()
            checks.check_ports(list(self._specs.values()), remedy=PORTS_REMEDY)
            self._own_log = self._open_log("supervisor")
            logs = {name: self._open_log(name) for name in self._specs}
            self._watchdog = Watchdog(lock_fd=self._lock.fd)
        except BaseException:
            self._lock.close()
            raise
        self._started_at_ms = time.time_ns() // 1_000_000
        self._shared = Shared(
            changed=self._changed,
            environment=self._environment,
            watchdog=self._watchdog,
            note=self._note,
            publish=self._publish,
            fail=self._fail,
        )
        with self._changed:
            self._phase = Phase.STARTING
            for name, spec in self._specs.items():
                self._processes[name] = Process(spec, self._shared, logs[name], self.directory.log_file(name))
            for name, process in self._processes.items():
                process.start([self._processes[other] for other in ancestors(name, self._specs)])
            self._publish()
        self._watcher = threading.Thread(target=self._watch, name="watch-stack", daemon=True)
        self._watcher.start()

    def process(self, name: str) -> Process:
        """Return the handle on one process. Raises NotRunningError where the stack has none of that name."""
        try:
            return self._processes[name]
        except KeyError:
            there = ", ".join(self._processes) or "none, it is not started"
            raise NotRunningError(f"this stack has no process {name!r}", remedy=f"use one of: {there}") from None

    def status(self) -> StackStatus:
        """Return where everything stands now."""
        with self._changed:
            failure = None
            if self._failure is not None:
                lines = self._failure.last_lines if isinstance(self._failure, ProcessGaveUpError) else []
                failure = Failure(message=str(self._failure), remedy=self._failure.remedy, last_lines=lines)
            return StackStatus(
                supervisor_pid=os.getpid(),
                phase=self._phase,
                started_at_ms=self._started_at_ms,
                facts=self._facts,
                processes=[process.status for process in self._processes.values()],
                failure=failure,
            )

    def wait_ready(self, timeout_s: float = 300.0) -> None:
        """Block until every process is ready (an optional one may have been given up).

        Raises what the stack failed with, or NotReadyError when the time is over.
        """

        def settled() -> bool:
            return self._failure is not None or self._ended.is_set() or self._all_ready()

        with self._changed:
            in_time = self._changed.wait_for(settled, timeout_s)
            if self._failure is not None:
                raise self._failure
            if not in_time or self._ended.is_set():
                waiting = [p.spec.name for p in self._processes.values() if not p.status.is_up]
                raise NotReadyError(
                    f"not ready after {timeout_s:g} s: {', '.join(waiting)}",
                    remedy=f"read the logs in {self.directory.logs}",
                )

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the stack has been stopped, by `stop` or after a failure; returns whether it has."""
        return self._ended.wait(timeout_s)

    def stop(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop every process, each after those that came after it, and give the directory free.

        Each gets its stop signal and until its deadline; `hurry` is asked again and again, and ends the patience. May be
        called twice, by whomever: the later caller waits for the former.
        """
        if self._claim_stop():
            self._stop_all(lambda: self._hurried or hurry())
        while self._processes and not self._ended.wait(0.1):
            self._hurried = self._hurried or hurry()

    def _claim_stop(self) -> bool:
        """Whether the caller is the first, and only, to have to stop a stack that was started."""
        with self._changed:
            mine = bool(self._processes) and not self._stop_claimed
            self._stop_claimed = self._stop_claimed or mine
            return mine

    def _stop_all(self, hurry: Callable[[], bool]) -> None:
        with self._changed:
            self._shared.stopping = True
            self._phase = Phase.STOPPING
            self._publish()
            self._changed.notify_all()
        self._note("supervisor", "stopping")
        for level in reversed(self._levels):
            self._stop_together([self._processes[name] for name in level], hurry)
        for process in self._processes.values():
            process.join()
        if threading.current_thread() is not self._watcher:
            self._watcher.join()
        self._watchdog.close()
        with self._changed:
            self._phase = Phase.STOPPED if self._failure is None else Phase.FAILED
            self._publish()
        self._note("supervisor", "stopped")
        self._own_log.close()
        self._lock.close()
        with self._changed:
            self._ended.set()
            self._changed.notify_all()

    @staticmethod
    def _stop_together(processes: list[Process], hurry: Callable[[], bool]) -> None:
        stopping = [threading.Thread(target=process.stop, kwargs={"hurry": hurry}) for process in processes]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()

    def _watch(self) -> None:
        """Look after what no process's own thread does: the disk, the watchdog, and ending a stack that failed."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._failure is not None or self._shared.stopping, self._limits.disk_check_interval_s
                )
                if self._shared.stopping:
                    return
            if self._failure is not None:
                if self._claim_stop():
                    self._stop_all(lambda: self._hurried)
                return
            if self._watchdog.revive():
                self._note("supervisor", "the watchdog had died; started another")
            try:
                self._check_disk()
            except SupervisorError as error:
                self._fail(error)
            except OSError as error:
                self._note("supervisor", f"can't read the free space of {self.directory.path}: {error}")

    def _check_disk(self) -> None:
        free = self._free_bytes(self.directory.path)
        checks.check_disk(self.directory.path, free=free, free_bytes_min=self._limits.free_bytes_min)

    def _fail(self, error: SupervisorError) -> None:
        with self._changed:
            if self._failure is None and not self._shared.stopping:
                self._failure = error
                self._note("supervisor", f"failed: {error}")
                self._changed.notify_all()

    def _all_ready(self) -> bool:
        return all(
            process.status.is_up or (process.status.state is State.GAVE_UP and not process.spec.required)
            for process in self._processes.values()
        )

    def _publish(self) -> None:
        with self._changed:
            if self._phase is Phase.STARTING and self._all_ready():
                self._phase = Phase.RUNNING
            self.directory.write_status(self.status())

    def _open_log(self, name: str) -> RotatingLog:
        return RotatingLog(
            self.directory.log_file(name), file_bytes_max=self._limits.log_file_bytes_max, files=self._limits.log_files
        )

    def _note(self, name: str, event: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._own_log.write(f"{now} INFO supervisor {name}: {event}".encode())
        _logger.info("%s: %s", name, event)
