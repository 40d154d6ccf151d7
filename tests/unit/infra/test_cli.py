"""The `clearline` command as people run it: a process of its own, over a little stack of real child processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.supervisor import DataDirectory

ROOT = Path(__file__).parents[3]
DEADLINE_S = 120.0
DESCRIPTION = '''
"""A little stack: a web server and a service after it; MODE=broken adds a process that can't live."""
import os, sys
from infra.stack import Plan
from infra.supervisor import ProcessSpec, Ready, RestartPolicy

WEB = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SERVICE = """
import itertools, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ready", flush=True)
for n in itertools.count():
    print("tick", n, flush=True)
    time.sleep(0.2)
"""

def plan(data, *, ports, environ):
    specs = [
        ProcessSpec(name="service", argv=[sys.executable, "-c", SERVICE], ready=Ready.log("^ready$"), after=["web"]),
        ProcessSpec(name="web", argv=[sys.executable, "-c", WEB, str(ports.kafka)], ports={"http": ports.kafka},
                    ready=Ready.http(f"http://127.0.0.1:{ports.kafka}/health")),
    ]
    if environ.get("MODE") == "broken":
        specs.append(ProcessSpec(name="broken", argv=[sys.executable, "-c", "print('no jar'); raise SystemExit(3)"],
                                 ready=Ready.log("^ready$"), remedy="fetch the jar",
                                 restart=RestartPolicy(first_delay_s=0.05, give_up_after=2)))
    return Plan(specs=specs, environment=dict(environ), facts={"CLEARLINE_KAFKA": f"127.0.0.1:{ports.kafka}"})
'''


class Command:
    """Runs `clearline` for one data directory, with the little stack, and ends what it left running."""

    def __init__(self, directory: Path) -> None:
        from infra.supervisor import free_ports

        (directory / "little.py").write_text(DESCRIPTION)
        self.data = directory / "data"
        self.port = free_ports(1)[0]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CLEARLINE_")},
            "PYTHONPATH": f"{ROOT}{os.pathsep}{directory}",
            "PYTHONUNBUFFERED": "1",
            "CLEARLINE_PORT_KAFKA": str(self.port),
            "CLEARLINE_DATA": str(self.data),
        }

    def argv(self, *arguments: str) -> list[str]:
        """Return the command line; `up` gets the little stack."""
        extra = ["--stack", "little:plan"] if arguments[0] == "up" else []
        return [sys.executable, "-m", "infra.cli", *arguments, *extra]

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.argv(*arguments),
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it and leave it running."""
        return subprocess.Popen(self.argv(*arguments), env=self.environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def clearline(tmp_path: Path) -> Iterator[Command]:
    """Run `clearline` on a data directory of this test's own."""
    command = Command(tmp_path)
    yield command
    holder = DataDirectory(command.data).holder()
    if holder is not None:  # only after a failed test
        os.kill(holder, signal.SIGKILL)


def read_until(process: subprocess.Popen[str], pattern: str) -> list[str]:
    """Read its output up to the first line that matches; a process that doesn't get there is ended."""
    assert process.stdout is not None
    timer = threading.Timer(DEADLINE_S, process.kill)
    timer.start()
    lines = []
    try:
        for line in process.stdout:
            lines.append(line.rstrip())
            if re.search(pattern, line):
                return lines
    finally:
        timer.cancel()
    raise AssertionError(f"no line like {pattern!r} in:\n" + "\n".join(lines))


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, generously."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"still not so: {what}"
        time.sleep(0.05)


def test_up_stays_until_ctrl_c(clearline: Command) -> None:
    """In the foreground it says a line per change, in order, and Ctrl-C stops everything with status 0."""
    with clearline.start("up") as process:
        started = read_until(process, "running; Ctrl-C")
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        stopped = process.stdout.read().splitlines()
    assert process.returncode == 0
    seen = "\n".join(started)
    assert re.search(rf"web +ready in [\d.]+ s, pid \d+, http port {clearline.port}", seen)
    assert seen.index("web            ready") < seen.index("service        ready")
    assert [line.split()[0] for line in stopped if "stopped in" in line] == ["service", "web"]
    assert clearline("status").returncode == 2


def test_a_whole_life_in_the_background(clearline: Command) -> None:
    """Up, a second up, status, logs, down, down again, and up on the same data: statuses and words as documented."""
    up = clearline("up", "--detach")
    assert (up.returncode, up.stderr) == (0, "")
    assert "running in the background" in up.stdout

    for arguments in (["up"], ["up", "-d"]):
        second = clearline(*arguments)
        assert second.returncode == 3
        assert "already running" in second.stderr
        assert "clearline down" in second.stderr

    status = clearline("status")
    assert status.returncode == 0
    assert re.search(rf"web +ready +\d+ +{clearline.port}", status.stdout)
    told = json.loads(clearline("status", "--json").stdout)
    assert told["running"]
    assert {process["name"]: process["well"] for process in told["processes"]} == {"service": True, "web": True}

    logs = clearline("logs", "service", "-n", "3")
    assert all(line.startswith("service") and "tick" in line for line in logs.stdout.splitlines()[-2:])
    assert "web: ready" in clearline("logs", "supervisor", "-n", "50").stdout

    down = clearline("down")
    assert down.returncode == 0
    assert [line.split()[0] for line in down.stdout.splitlines() if "stopped in" in line] == ["service", "web"]
    again = clearline("down")
    assert (again.returncode, "nothing runs" in again.stdout) == (0, True)
    for process in told["processes"]:
        with pytest.raises(ProcessLookupError):
            os.kill(process["pid"], 0)

    assert clearline("up", "-d").returncode == 0
    assert clearline("down").returncode == 0


@pytest.mark.parametrize("detached", [[], ["-d"]])
def test_a_process_that_cannot_live_ends_up_with_its_last_words(clearline: Command, detached: list[str]) -> None:
    """`up` ends with 1, the last lines of that log, what to do, and nothing left running; `status` remembers."""
    up = clearline("up", *detached, MODE="broken")
    assert up.returncode == 1
    assert "error: broken ended 2 times shortly after its start, the last time with status 3" in up.stderr
    assert "  | no jar" in up.stderr
    assert "what to do: fetch the jar" in up.stderr
    assert "Traceback" not in up.stderr
    status = clearline("status")
    assert status.returncode == 2
    assert "fetch the jar" in status.stderr


def test_a_supervisor_that_was_killed(clearline: Command) -> None:
    """After kill -9 nothing runs, `status` says what happened, and the next `up` works at once."""
    assert clearline("up", "-d").returncode == 0
    told = json.loads(clearline("status", "--json").stdout)
    os.kill(told["supervisor_pid"], signal.SIGKILL)
    up = clearline("up", "-d")
    assert (up.returncode, up.stderr) == (0, "")
    now = json.loads(clearline("status", "--json").stdout)
    os.kill(now["supervisor_pid"], signal.SIGKILL)
    wait_until(lambda: clearline("status").returncode == 2, "not running")
    assert "was killed" in clearline("status").stdout


def test_status_of_a_process_that_does_not_answer(clearline: Command) -> None:
    """A process that runs but doesn't answer its health address is shown, and `status` ends with 1."""
    assert clearline("up", "-d").returncode == 0
    told = json.loads(clearline("status", "--json").stdout)
    [web] = [process["pid"] for process in told["processes"] if process["name"] == "web"]
    os.kill(web, signal.SIGSTOP)
    status = clearline("status")
    assert status.returncode == 1
    assert re.search("web +does not answer", status.stdout)
    os.kill(web, signal.SIGCONT)
    assert clearline("down").returncode == 0


def test_logs_follow(clearline: Command) -> None:
    """`logs -f` shows what comes, across processes, until Ctrl-C."""
    assert clearline("up", "-d").returncode == 0
    with clearline.start("logs", "-f", "-n", "0") as follower:
        first = read_until(follower, r"^service +\| tick \d+")
        later = read_until(follower, r"^service +\| tick \d+")
        follower.send_signal(signal.SIGINT)
    assert follower.returncode == 130
    assert int(later[-1].split()[-1]) > int(first[-1].split()[-1])
    assert clearline("down").returncode == 0


def test_errors_are_two_lines_and_debug_shows_more(clearline: Command) -> None:
    """An error of ours says what happened and what to do, without a traceback unless asked for."""
    clearline.data.mkdir()
    (clearline.data / "thesis.tex").write_text("")
    up = clearline("up")
    assert up.returncode == 1
    assert up.stderr.splitlines()[0].startswith("error: ")
    assert up.stderr.splitlines()[1].startswith("  what to do: ")
    assert len(up.stderr.splitlines()) == 2
    debug = subprocess.run(
        [sys.executable, "-m", "infra.cli", "--debug", "up", "--stack", "little:plan"],
        env=clearline.environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert "Traceback" in debug.stderr


def test_a_port_in_use_names_its_owner(clearline: Command, tmp_path: Path) -> None:
    """A second stack on the same ports, with other data, is told which pid has the port and how to move."""
    assert clearline("up", "-d").returncode == 0
    told = json.loads(clearline("status", "--json").stdout)
    [web] = [process["pid"] for process in told["processes"] if process["name"] == "web"]
    other = clearline("up", "--data", str(tmp_path / "other"))
    assert other.returncode == 1
    assert f"port {clearline.port}" in other.stderr
    assert f"pid {web}" in other.stderr
    assert "--port-base" in other.stderr
    assert clearline("down").returncode == 0


def test_a_disk_nearly_full_is_refused(clearline: Command) -> None:
    """With a limit beyond any disk, `up` says how much is missing and starts nothing."""
    up = clearline("up", "--free-mb-min", str(2**40))
    assert up.returncode == 1
    assert "nearly full" in up.stderr
    assert clearline("status").returncode == 2


def test_a_bad_variable_is_named(clearline: Command) -> None:
    """A variable that can't be used is refused by name before anything starts."""
    up = clearline("up", CLEARLINE_PORT_KAFKA="ninety")
    assert up.returncode == 1
    assert "CLEARLINE_PORT_KAFKA='ninety'" in up.stderr


def test_commands_beside_no_stack(clearline: Command) -> None:
    """Without a stack, `status` ends with 2, `down` with 0, `logs` and `sql` say what to do; no directory appears."""
    assert clearline("status").returncode == 2
    assert json.loads(clearline("status", "--json").stdout) == {"running": False, "last": None}
    assert clearline("down").returncode == 0
    assert "clearline up" in clearline("logs").stderr
    asked = clearline("sql", "SELECT 1", CLEARLINE_CLICKHOUSE=f"http://clearline:s3cret@127.0.0.1:{clearline.port}/x")
    assert asked.returncode == 1
    assert f"nothing answers at 127.0.0.1:{clearline.port}" in asked.stderr
    assert "s3cret" not in asked.stderr
    assert not clearline.data.exists()


def test_help_lists_every_command_without_loading_it() -> None:
    """`clearline --help` names the whole table and stays light; every command of the table exists and has help."""
    light = "import sys; from infra.cli import main; main(['--help'], standalone_mode=False); print('infra.cli.sql' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", light], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    from infra.cli import COMMANDS, main

    assert shown.stdout.splitlines()[-1] == "False"
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", shown.stdout, re.MULTILINE)
        with main.make_context("clearline", [name]) as context:
            command = main.get_command(context, name)
        assert command is not None
        assert command.help


def test_an_unknown_command_names_those_there_are(clearline: Command) -> None:
    """A typing error is answered with the list."""
    asked = clearline("dwon")
    assert asked.returncode == 2
    assert "up, down, status" in asked.stderr
