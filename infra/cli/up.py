"""`clearline up`: starts the stack, shows how, and stays with it, or leaves it running in the background."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click
from rich.console import Console

from infra.cli._console import console, data_option
from infra.cli._progress import Progress, show_stopped
from infra.stack import CONFIGURATION, WORKERS_MAX, Plan, Ports
from infra.supervisor import DataDirectory, Phase, Stack, StackStatus
from infra.supervisor.spec import Limits

_POLL_S = 0.1
_BASE_MAX = 65_000


@click.command()
@data_option
@click.option("-d", "--detach", is_flag=True, help="Leave it running in the background once it is ready.")
@click.option("--workers", type=click.IntRange(1, WORKERS_MAX), default=1, show_default=True, help="How many workers.")
@click.option(
    "--port-base",
    type=click.IntRange(1024, _BASE_MAX),
    envvar="CLEARLINE_PORT_BASE",
    metavar="PORT",
    help="Use the ports from here on instead of the usual ones. (One by one: CLEARLINE_PORT_KAFKA, _WAREHOUSE, …)",
)
@click.option(
    "--configuration",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar=CONFIGURATION,
    help="Tenants and routing, TOML or YAML.",
)
@click.option("--free-mb-min", type=int, default=Limits().free_bytes_min >> 20, show_default=True, hidden=True)
@click.option(
    "--stack", "described_by", default="infra.stack:plan", hidden=True, help="Another stack: module:function."
)
@click.option("--background", is_flag=True, hidden=True, help="What --detach starts.")
def up(
    *,
    data: Path,
    detach: bool,
    workers: int,
    port_base: int | None,
    configuration: Path | None,
    free_mb_min: int,
    described_by: str,
    background: bool,
) -> None:
    """Start the stack and keep it running until Ctrl-C.

    On data of an earlier run it continues there. A process that dies is started again. Ends with status 3 where a stack
    already runs on the data directory, with 1 when it can't start or a process can't be kept running.
    """
    out = console()
    environ = dict(os.environ)
    if configuration is not None:
        environ[CONFIGURATION] = str(configuration.absolute())
    if detach:
        options: list[object] = [
            "--data",
            data,
            "--workers",
            workers,
            "--free-mb-min",
            free_mb_min,
            "--stack",
            described_by,
        ]
        options += [] if port_base is None else ["--port-base", port_base]
        _detach([str(option) for option in options], DataDirectory(data), out, environ)
        return
    module, _, function = described_by.partition(":")
    plan: Callable[..., Plan] = getattr(importlib.import_module(module), function)
    DataDirectory(data).open()
    planned = plan(data, ports=Ports.read(environ, base=port_base, workers=workers), environ=environ)
    limits = Limits(free_bytes_min=free_mb_min << 20)
    stack = Stack(planned.specs, data, planned.environment, facts=planned.facts, limits=limits)
    _run(stack, out, background=background)


def _run(stack: Stack, out: Console, *, background: bool) -> None:
    """Start, stay and stop; a signal asks to stop, a second one not to wait for deadlines."""
    asked: list[int] = []
    before = {number: signal.signal(number, lambda number, _: asked.append(number)) for number in _stopping_signals()}
    try:
        stack.start()
        try:
            with Progress(out) as progress:
                while (
                    not stack.ended and stack.failure is None and not asked and stack.status().phase is Phase.STARTING
                ):
                    progress.show(stack.status())
                    stack.wait(_POLL_S)
                progress.show(stack.status())
            if stack.status().phase is Phase.RUNNING and not background:
                _say_where(stack.status(), out)
                out.print("running; Ctrl-C stops it")
            while not asked and stack.failure is None and not stack.wait(_POLL_S):
                pass
        finally:
            if not background:
                out.print("stopping" + ("; again to kill at once" if asked == [signal.SIGINT] else ""), style="dim")
            stack.stop(hurry=lambda: len(asked) > 1)
            show_stopped(out, stack.status())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stack.failure is not None:
        raise stack.failure


def _stopping_signals() -> list[int]:
    # A terminal that closes hangs up; under nohup it doesn't reach us and stays ignored.
    return [
        signal.SIGINT,
        signal.SIGTERM,
        *([signal.SIGHUP] if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else []),
    ]


def _say_where(status: StackStatus, out: Console) -> None:
    for name, value in status.facts.items():
        out.print(f"{name}={value}", style="dim")
    out.print("see also: clearline status, clearline logs -f, clearline sql 'SELECT …', clearline down", style="dim")


def _detach(options: list[str], directory: DataDirectory, out: Console, environ: Mapping[str, str]) -> None:
    """Start the same command in the background, and follow its status file until it is ready or has failed."""
    directory.open()
    if directory.holder() is not None:
        directory.lock().close()  # raises; one that ends right now lets us go on
    # Its errors are kept, from its last start only; its log proper is logs/supervisor.log.
    errors = directory.logs / "supervisor.err"
    with errors.open("wb") as stderr:
        started = subprocess.Popen(
            [sys.executable, "-m", "infra.cli", "up", *options, "--background"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        status = _follow(started, directory, out)
    except KeyboardInterrupt:
        started.terminate()
        started.wait()
        raise
    if status is None:
        sys.stderr.write(errors.read_text(encoding="utf-8", errors="replace"))
        sys.exit(started.returncode if started.returncode > 0 else 1)
    _say_where(status, out)
    out.print(f"running in the background (supervisor pid {started.pid}); `clearline down` stops it")


def _follow(started: subprocess.Popen[bytes], directory: DataDirectory, out: Console) -> StackStatus | None:
    """Show its progress; returns the status once everything runs, None where it ended before."""
    with Progress(out) as progress:
        while True:
            over = started.poll() is not None  # asked before the status is read: the last status is shown too
            status = directory.read_status()
            if status is not None and status.supervisor_pid == started.pid:
                progress.show(status)
                if status.phase is Phase.RUNNING:
                    return status
            if over:
                return None
            time.sleep(_POLL_S)
