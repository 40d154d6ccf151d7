"""The stack's own processes, one by one, as the supervisor would start them, on a broker of the test's."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from infra.stack import Ports, plan
from infra.supervisor import ProcessSpec

DEADLINE_S = 150.0
ROOT = Path(__file__).resolve().parents[2]


def wait_until(fact: Callable[[], Any], what: Callable[[], str] | str, *, deadline_s: float = DEADLINE_S) -> Any:
    """The first true value of the fact; fails when the deadline passes."""
    end = time.monotonic() + deadline_s
    while not (value := fact()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_s:.0f} s in vain: {what if isinstance(what, str) else what()}")
        time.sleep(0.05)
    return value


class Running:
    """One process and its log."""

    def __init__(self, spec: ProcessSpec, environment: dict[str, str], log: Path) -> None:
        self.spec, self.log = spec, log
        self._seen = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                spec.argv, stdout=out, stderr=subprocess.STDOUT, env={**environment, **spec.environment}, cwd=ROOT
            )

    def text(self) -> str:
        """What this run of it said."""
        return self.log.read_bytes()[self._seen :].decode(errors="replace")

    def last_line(self) -> str:
        """The last thing it said."""
        return next((line for line in reversed(self.text().splitlines()) if line.strip()), "")

    def ready(self) -> Running:
        """Wait until it is, as its spec says."""
        check = self.spec.ready

        def fact() -> bool:
            assert self.process.poll() is None, f"{self.spec.name} ended {self.process.returncode}:\n{self.text()}"
            if check.probes:
                return check.probe()
            return re.search(check.target, self.text()) is not None

        wait_until(fact, lambda: f"{self.spec.name} is ready; it says\n{self.text()[-3000:]}")
        return self

    def says(self, words: str) -> None:
        """Wait until it has said this."""
        wait_until(
            lambda: words in self.text(), lambda: f"{self.spec.name} says {words!r}; it says\n{self.text()[-3000:]}"
        )

    def health(self) -> dict[str, Any]:
        """What its /health answers, whatever the status; empty while nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", next(iter(self.spec.ports.values())), timeout=10)
        try:
            connection.request("GET", "/health")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            return {}
        else:
            return found
        finally:
            connection.close()

    def wait(self) -> int:
        """Its status, once it ends by itself."""
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        """`kill -9` with everything it started."""
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        for child in family:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue


class House:
    """A data directory, ports, and what the processes on it are told. Everything started is dead afterwards."""

    def __init__(self, bootstrap: str, directory: Path, *, workers: int = 1, **environ: str) -> None:
        self.bootstrap, self.directory = bootstrap, directory
        self.ports = Ports.free(workers=workers)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CLEARLINE_")}
        planned = plan(
            directory / "data",
            ports=self.ports,
            environ={**clean, "CLEARLINE_KAFKA": bootstrap, "PYTHONPATH": str(ROOT), **environ},
        )
        self.environment = planned.environment
        self.specs = {spec.name: spec for spec in planned.specs}
        self._running: list[Running] = []

    def start(self, name: str, **environment: str) -> Running:
        """Start one of the stack's processes."""
        running = Running(self.specs[name], {**self.environment, **environment}, self.directory / f"{name}.log")
        self._running.append(running)
        return running

    def running(self, name: str) -> Running:
        """The newest run of one of them."""
        return next(one for one in reversed(self._running) if one.spec.name == name)

    def clearline(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "infra.cli", *arguments],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            cwd=ROOT,
        )

    def configure(self) -> House:
        """Topics, tenants and routing, by the stack's own step."""
        step = self.start("configuration")
        assert step.wait() == 0, step.text()
        return self

    def close(self) -> None:
        """Kill what still runs."""
        for running in self._running:
            running.kill()

    # Topics

    def alter(self, topic: str, setting: str, value: str) -> None:
        """Set one setting of a topic and wait until the broker has it."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin.incremental_alter_configs([resource])[resource].result(DEADLINE_S)
        asked = ConfigResource(ResourceType.TOPIC, topic)
        wait_until(
            lambda: admin.describe_configs([asked])[asked].result(DEADLINE_S)[setting].value == value,
            f"{topic} has {setting}={value}",
        )

    @contextmanager
    def altered(self, topic: str, setting: str, value: str) -> Iterator[None]:
        """The topic set up otherwise for a while."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        asked = ConfigResource(ResourceType.TOPIC, topic)
        before = admin.describe_configs([asked])[asked].result(DEADLINE_S)[setting].value
        self.alter(topic, setting, value)
        try:
            yield
        finally:
            self.alter(topic, setting, str(before))

    def remake(self, topic: str, *, partitions: int, config: dict[str, str]) -> None:
        """Delete a topic and make it anew, with so many partitions."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.delete_topics([topic], operation_timeout=60)[topic].result(DEADLINE_S)

        def known() -> int:
            found = admin.list_topics(timeout=30).topics.get(topic)
            return 0 if found is None or found.error else sum(part.leader >= 0 for part in found.partitions.values())

        wait_until(lambda: not known(), f"{topic} is gone")

        def made() -> bool:
            # Refused while the deletion goes on; refused, too, when it is there already.
            new = NewTopic(topic, partitions, 1, config=config)
            admin.create_topics([new], operation_timeout=60)[topic].exception(DEADLINE_S)
            return known() == partitions

        wait_until(made, f"{topic} is made anew")
