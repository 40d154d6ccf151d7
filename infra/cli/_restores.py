"""How far workers are that still restore their state, for `clearline status`."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from infra.supervisor import ProcessStatus
from infra.supervisor.ready import Kind

TIMEOUT_S = 2.0
ANSWER_BYTES_MAX = 4 * 1024 * 1024


class TaskRestore(msgspec.Struct, frozen=True, kw_only=True):
    """A task of which some partitions don't run yet. `percent` is over all its partitions, by the changelog's offsets."""

    task: str
    percent: int
    running: int
    partitions: int

    def __str__(self) -> str:
        return f"{self.task} restoring, {self.percent}% ({self.running} of {self.partitions} partitions run)"


def restores(process: ProcessStatus) -> list[TaskRestore]:
    """The tasks of a worker that still restore; empty for what is no worker, runs already, or doesn't answer."""
    if Kind(process.ready_kind) is not Kind.HTTP:
        return []
    parts = urlsplit(process.ready_target)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path or "/", headers={"Connection": "close"})
        return restores_of(json.loads(connection.getresponse().read(ANSWER_BYTES_MAX)))
    except (OSError, ValueError, http.client.HTTPException):
        return []
    finally:
        connection.close()


def restores_of(health: Any) -> list[TaskRestore]:
    """The same from a worker's /health document."""
    tasks = health.get("tasks") if isinstance(health, Mapping) else None
    found = []
    for task in tasks or ():
        partitions = task["partitions"]
        behind = [part for part in partitions if part["phase"] in ("resolving", "restoring")]
        if behind:
            done = sum(1.0 if part not in behind else part["restored_fraction"] for part in partitions)
            running = len(partitions) - len(behind)
            percent = int(100 * done / len(partitions))
            found.append(TaskRestore(task=task["task"], percent=percent, running=running, partitions=len(partitions)))
    return found
