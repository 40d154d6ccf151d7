"""`clearline status`: the processes of a stack, and whether each is well right now."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import msgspec

from infra.cli._console import console, data_option, duration, print_error, processes_table
from infra.cli._lag import lag_by_group
from infra.cli._restores import TaskRestore, restores
from infra.stack import reach
from infra.supervisor import DataDirectory, Phase, StackStatus
from schemas import environment

NOT_RUNNING_STATUS = 2
UNWELL_STATUS = 1


@click.command()
@data_option
@click.option("--lag", "with_lag", is_flag=True, help="Also ask Kafka how far each consumer group is behind.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def status(*, data: Path, with_lag: bool, as_json: bool) -> None:
    """Show the processes with pid, port, uptime and restarts, asking each whether it answers.

    Ends with 0 when all are well, with 1 when one isn't (or isn't ready yet), with 2 where no stack runs.
    """
    directory = DataDirectory(data)
    holder = directory.holder()
    found = directory.read_status()
    if holder is None or found is None or found.supervisor_pid != holder:
        _not_running(data, found, as_json=as_json)
        sys.exit(NOT_RUNNING_STATUS)
    with ThreadPoolExecutor(len(found.processes) or 1) as pool:
        names = [process.name for process in found.processes]
        well = dict(zip(names, pool.map(lambda process: process.probe(), found.processes), strict=True))
        behind = [process for process in found.processes if not well[process.name]]
        restoring = {
            process.name: told for process, told in zip(behind, pool.map(restores, behind), strict=True) if told
        }
    lag = _lag(data) if with_lag else None
    if as_json:
        described = _described(found, well, restoring) | ({"lag": lag} if with_lag else {})
        print(msgspec.json.format(msgspec.json.encode(described), indent=2).decode())
    else:
        _print(found, well, data)
        print_restores(restoring)
        if with_lag:
            _print_lag(lag)
    unwell = [process.name for process in found.processes if not well[process.name] and process.required]
    sys.exit(UNWELL_STATUS if unwell or found.phase is not Phase.RUNNING else 0)


def _described(found: StackStatus, well: dict[str, bool], restoring: dict[str, list[TaskRestore]]) -> dict[str, Any]:
    described: dict[str, Any] = msgspec.to_builtins(found)
    for process in described["processes"]:
        process["well"] = well[process["name"]]
        if process["name"] in restoring:
            process["restoring"] = msgspec.to_builtins(restoring[process["name"]])
    return {"running": True, **described}


def _print(found: StackStatus, well: dict[str, bool], data: Path) -> None:
    out, now_ms = console(), time.time_ns() // 1_000_000
    out.print(processes_table(found, well=well, now_ms=now_ms))
    for name, value in found.facts.items():
        out.print(f"{name}={value}", style="dim")
    up = duration(now_ms - found.started_at_ms)
    out.print(f"{found.phase} on {data} for {up} (supervisor pid {found.supervisor_pid})")


def print_restores(restoring: dict[str, list[TaskRestore]]) -> None:
    """One line for each task that still restores."""
    for name, told in restoring.items():
        for task in told:
            console().print(f"{name}: {task}")


def _lag(data: Path) -> dict[str, int] | None:
    read = environment.read(reach(data, os.environ))
    return lag_by_group(read.kafka, read.kafka_config)


def _print_lag(lag: dict[str, int] | None) -> None:
    if lag is None:
        console().print("lag unknown: Kafka does not answer")
    for group, offsets in (lag or {}).items():
        console().print(f"group {group}: {offsets} offsets behind")


def _not_running(data: Path, last: StackStatus | None, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode({"running": False, "last": last}).decode())
        return
    out = console()
    out.print(f"nothing runs on {data}; `clearline up` starts it")
    if last is None:
        return
    if last.failure is not None:
        out.print("the last run ended by itself:")
        print_error(last.failure.message, remedy=last.failure.remedy, details=last.failure.last_lines)
    elif last.phase is not Phase.STOPPED:
        out.print("the last run was killed; its processes were ended with it, and what was committed is kept")
