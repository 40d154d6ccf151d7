"""The supervisor over real child processes: order, readiness, restarts, giving up, stopping, and no orphans."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from infra.supervisor import (
    AlreadyRunningError,
    DataDirectory,
    DiskNearlyFullError,
    Limits,
    NotReadyError,
    NotRunningError,
    PortInUseError,
    ProcessGaveUpError,
    ProcessSpec,
    Ready,
    RestartPolicy,
    SpecError,
    Stack,
    State,
    free_ports,
)

DEADLINE_S = 90.0
QUICK = RestartPolicy(first_delay_s=0.05, highest_delay_s=0.2, give_up_after=3, steady_after_s=3600)
PATIENT = RestartPolicy(first_delay_s=0.05, highest_delay_s=0.2, give_up_after=50)

SERVICE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("asked to stop", flush=True), sys.exit(0)))
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
JOURNALLED = """
import os, signal, sys, time
journal = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
say = lambda what: os.write(journal, f"{sys.argv[2]} {what}\\n".encode())
signal.signal(signal.SIGTERM, lambda *_: (say("stops"), sys.exit(0)))
say("starts")
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
print("child", child.pid, flush=True)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
WEB = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def spec(name: str, program: str = SERVICE, *arguments: str, **options: object) -> ProcessSpec:
    """Describe a small Python process."""
    settings: dict[str, object] = {"ready": Ready.log("^ready$"), "restart": PATIENT, **options}
    return ProcessSpec(name=name, argv=[sys.executable, "-c", program, *arguments], **settings)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, generously."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"still not so: {what}"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether no such process runs (one that is dead but not collected doesn't)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_start_order_and_reverse_stop_order(tmp_path: Path) -> None:
    """A process starts after those it comes after are ready, and stops before them."""
    journal = tmp_path / "journal"
    specs = [
        spec("landing", JOURNALLED, str(journal), "landing", after=["broker", "warehouse"]),
        spec("broker", JOURNALLED, str(journal), "broker"),
        spec("warehouse", JOURNALLED, str(journal), "warehouse", after=["broker"]),
    ]
    with Stack(specs, tmp_path / "data") as stack:
        stack.wait_ready(DEADLINE_S)
        assert [p.state for p in stack.status().processes] == [State.READY] * 3
    names = ["broker", "warehouse", "landing"]
    assert journal.read_text().splitlines() == [
        *(f"{name} starts" for name in names),
        *(f"{name} stops" for name in reversed(names)),
    ]
    assert stack.status().phase == "stopped"
    assert [p.last_exit for p in stack.status().processes] == ["status 0"] * 3


def test_each_kind_of_readiness(tmp_path: Path) -> None:
    """HTTP, TCP, a log line, a finished step and mere life are all recognised; a step's success lets others start."""
    http_port, tcp_port = free_ports(2)
    made = tmp_path / "made"
    specs = [
        spec(
            "web",
            WEB,
            str(http_port),
            ready=Ready.http(f"http://127.0.0.1:{http_port}/health"),
            ports={"http": http_port},
        ),
        spec("tcp", WEB, str(tcp_port), ready=Ready.tcp(tcp_port)),
        spec("step", f"import time; time.sleep(0.3); open({str(made)!r}, 'w').close()", ready=Ready.finished()),
        spec("after", f"import os; assert os.path.exists({str(made)!r})\n{SERVICE}", after=["step"]),
        spec("alive", ready=Ready.alive()),
    ]
    with Stack(specs, tmp_path / "data") as stack:
        stack.wait_ready(DEADLINE_S)
        states = {p.name: p.state for p in stack.status().processes}
        assert states == {**dict.fromkeys(["web", "tcp", "after", "alive"], State.READY), "step": State.FINISHED}
        assert stack.process("after").restarts == 0
        assert all(process.probe() for process in stack.status().processes)


def test_an_http_answer_other_than_2xx_is_not_ready(tmp_path: Path) -> None:
    """A process that answers 404 at its health address isn't ready, and the caller's deadline names it."""
    [port] = free_ports(1)
    web = spec("web", WEB, str(port), ready=Ready.http(f"http://127.0.0.1:{port}/nothing"))
    with Stack([web], tmp_path) as stack:
        wait_until(lambda: Ready.tcp(port).probe(), "it listens")
        with pytest.raises(NotReadyError, match="web"):
            stack.wait_ready(0.5)


def test_a_killed_process_is_restarted(tmp_path: Path) -> None:
    """A kill -9 of each process in turn: each comes back under another pid, its restart counted, the others untouched."""
    with Stack([spec("a"), spec("b", after=["a"])], tmp_path) as stack:
        stack.wait_ready(DEADLINE_S)
        for name, other in (("a", "b"), ("b", "a"), ("a", "b")):
            untouched = stack.process(other).pid
            pid = stack.process(name).kill()
            assert stack.process(name).wait_ready(DEADLINE_S, other_than_pid=pid) != pid
            assert gone(pid)
            assert stack.process(other).pid == untouched
        assert (stack.process("a").restarts, stack.process("b").restarts) == (2, 1)
        assert stack.process("a").status.last_exit == "signal SIGKILL"


def test_a_restart_asked_for_is_not_a_death(tmp_path: Path) -> None:
    """`restart` ends the process by its stop signal and starts it again, more often than deaths would be forgiven."""
    with Stack([spec("a", restart=QUICK)], tmp_path) as stack:
        stack.wait_ready(DEADLINE_S)
        for _ in range(QUICK.give_up_after + 1):
            pid = stack.process("a").restart()
            stack.process("a").wait_ready(DEADLINE_S, other_than_pid=pid)
        assert stack.failure is None
        assert stack.process("a").tail(100).count("asked to stop") == QUICK.give_up_after + 1


def test_back_off_grows_and_is_bounded() -> None:
    """Delays double from the first to the highest and stay there, however many deaths there were."""
    policy = RestartPolicy(first_delay_s=0.5, factor=2.0, highest_delay_s=15.0)
    assert [policy.delay_s(deaths) for deaths in (0, 1, 2, 3, 6, 7, 10_000)] == [0.5, 0.5, 1.0, 2.0, 15.0, 15.0, 15.0]


def test_a_required_process_that_keeps_dying_ends_the_stack(tmp_path: Path) -> None:
    """After its quick deaths the stack stops the others and says why, with the last lines of the log and a remedy."""
    dying = spec(
        "dying",
        "print('no such jar', flush=True); raise SystemExit(3)",
        restart=QUICK,
        remedy="fetch the jar",
        after=["other"],
    )
    stack = Stack([spec("other"), dying], tmp_path)
    with stack:
        with pytest.raises(ProcessGaveUpError) as caught:
            stack.wait_ready(DEADLINE_S)
        assert stack.wait(DEADLINE_S)
    assert caught.value.name == "dying"
    assert "status 3" in str(caught.value)
    assert caught.value.last_lines == ["no such jar"] * QUICK.give_up_after
    assert "fetch the jar" in caught.value.remedy
    status = DataDirectory(tmp_path).read_status()
    assert status is not None
    assert status.phase == "failed"
    assert status.failure is not None
    assert status.failure.last_lines == caught.value.last_lines
    assert {p.name: p.state for p in status.processes} == {"other": State.STOPPED, "dying": State.GAVE_UP}
    assert [p.restarts for p in status.processes] == [0, QUICK.give_up_after - 1]


def test_a_process_is_not_given_up_while_what_it_depends_on_is_down(tmp_path: Path) -> None:
    """One that can't live without the broker waits for it, over a step between them, instead of dying too often."""
    once, down, died = tmp_path / "once", tmp_path / "down", tmp_path / "died"
    broker = f"""
import pathlib, time
once, down, died = map(pathlib.Path, {[str(once), str(down), str(died)]!r})
if once.exists():  # the second start is not ready before the agent has died of it, and for a while after
    down.touch()
    while not died.exists():
        time.sleep(0.02)
    time.sleep(1)
    down.unlink()
once.touch()
{SERVICE}
"""
    agent = f"""
import pathlib, time
print("ready", flush=True)
while not pathlib.Path({str(down)!r}).exists():
    time.sleep(0.02)
pathlib.Path({str(died)!r}).touch()
raise SystemExit(3)
"""
    one_death = RestartPolicy(first_delay_s=0.05, give_up_after=1, steady_after_s=3600)
    specs = [
        spec("broker", broker),
        spec("step", "print('done')", ready=Ready.finished(), after=["broker"]),
        spec("agent", agent, after=["step"], restart=one_death),
    ]
    with Stack(specs, tmp_path / "data") as stack:
        stack.wait_ready(DEADLINE_S)
        agent_pid, broker_pid = stack.process("agent").pid, stack.process("broker").kill()
        stack.process("broker").wait_ready(DEADLINE_S, other_than_pid=broker_pid)
        stack.process("agent").wait_ready(DEADLINE_S, other_than_pid=agent_pid)
        assert stack.failure is None
        assert stack.process("agent").restarts == 1


def test_an_optional_process_that_keeps_dying_does_not(tmp_path: Path) -> None:
    """The stack is ready, and stays, without an optional process that was given up."""
    with Stack([spec("other"), spec("extra", "raise SystemExit(3)", restart=QUICK, required=False)], tmp_path) as stack:
        stack.wait_ready(DEADLINE_S)
        assert stack.process("extra").status.state is State.GAVE_UP
        assert stack.process("other").status.state is State.READY
        assert not stack.ended


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """A command that can't be started says so in its log, and ends like any other early death."""
    missing = ProcessSpec(
        name="missing", argv=[str(tmp_path / "nothing-here")], restart=QUICK, ready=Ready.log("ready")
    )
    with Stack([missing], tmp_path / "data") as stack, pytest.raises(ProcessGaveUpError) as caught:
        stack.wait_ready(DEADLINE_S)
    assert "can't start" in caught.value.last_lines[-1]
    assert "nothing-here" in caught.value.last_lines[-1]


def test_a_process_that_never_gets_ready_is_killed_and_given_up(tmp_path: Path) -> None:
    """Silence past the readiness deadline counts as a death."""
    silent = spec("silent", "import time; time.sleep(3600)", ready_deadline_s=0.3, restart=QUICK)
    with Stack([silent], tmp_path) as stack, pytest.raises(ProcessGaveUpError, match="SIGKILL"):
        stack.wait_ready(DEADLINE_S)


def test_a_step_that_fails_is_tried_again(tmp_path: Path) -> None:
    """A step of the start that ends with another status than 0 runs again, until it succeeds."""
    flag = tmp_path / "flag"
    step = f"import os, sys\nif not os.path.exists({str(flag)!r}):\n    open({str(flag)!r}, 'w').close(); sys.exit(1)"
    with Stack([spec("step", step, ready=Ready.finished())], tmp_path / "data") as stack:
        stack.wait_ready(DEADLINE_S)
        assert stack.process("step").restarts == 1
        with pytest.raises(NotRunningError):
            stack.process("step").kill()


def test_a_stop_that_hangs_is_killed_after_its_deadline(tmp_path: Path) -> None:
    """A process deaf to its stop signal is killed, said to have been, and doesn't keep the others."""
    with Stack([spec("deaf", DEAF, stop_deadline_s=0.2), spec("other", after=["deaf"])], tmp_path) as stack:
        stack.wait_ready(DEADLINE_S)
    deaf, other = stack.status().processes
    assert (deaf.killed, deaf.last_exit) == (True, "signal SIGKILL")
    assert (other.killed, other.last_exit) == (False, "status 0")


def test_hurry_ends_the_patience(tmp_path: Path) -> None:
    """A second request to stop doesn't wait for deadlines."""
    stack = Stack([spec("deaf", DEAF, stop_deadline_s=3600)], tmp_path)
    stack.start()
    stack.wait_ready(DEADLINE_S)
    stack.stop(hurry=lambda: True)
    assert stack.status().processes[0].killed


def test_stop_before_everything_started(tmp_path: Path) -> None:
    """A stack stopped while a process waits for another never starts the former."""
    silent = spec("silent", "import time; time.sleep(3600)")
    with Stack([silent, spec("waiting", after=["silent"])], tmp_path) as stack:
        wait_until(lambda: stack.process("silent").pid, "it runs")
    assert stack.status().processes[1].state is State.STOPPED
    assert stack.process("waiting").tail() == []


def test_grandchildren_end_with_their_parent(tmp_path: Path) -> None:
    """What a process started itself is killed when that process dies, and when the stack stops."""

    def child_of(stack: Stack) -> int:
        [*_, line] = [line for line in stack.process("parent").tail() if line.startswith("child ")]
        return int(line.split()[1])

    with Stack([spec("parent", PARENT)], tmp_path) as stack:
        stack.wait_ready(DEADLINE_S)
        first = child_of(stack)
        pid = stack.process("parent").kill()
        stack.process("parent").wait_ready(DEADLINE_S, other_than_pid=pid)
        wait_until(lambda: gone(first), "the first grandchild is gone")
        second = child_of(stack)
        assert not gone(second)
    wait_until(lambda: gone(second), "the second grandchild is gone")


SUPERVISOR = textwrap.dedent("""
    import sys
    from pathlib import Path
    from infra.supervisor import ProcessSpec, Ready, Stack
    specs = [ProcessSpec(name=name, argv=[sys.executable, "-c", program], ready=Ready.log("^ready$"))
             for name, program in (("deaf", sys.argv[2]), ("parent", sys.argv[3]))]
    stack = Stack(specs, Path(sys.argv[1]))
    stack.start()
    stack.wait_ready(90)
    print(stack.watchdog_pid, *(stack.process(name).pid for name in ("deaf", "parent")), stack.process("parent").tail()[0].split()[1], flush=True)
    stack.wait()
""")


@pytest.mark.parametrize("watchdog_too", [False, True])
def test_no_orphans_after_kill_9_of_the_supervisor(tmp_path: Path, watchdog_too: bool) -> None:
    """A kill -9 of the supervisor leaves no process of the stack behind, and its directory can be taken at once."""
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path), DEAF, PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        watchdog, *pids = map(int, supervisor.stdout.readline().split())
        *children, grandchild = pids
        assert not any(gone(pid) for pid in (watchdog, *pids))
        if watchdog_too:
            if sys.platform != "linux":
                pytest.skip("only Linux can kill children with their parent without help")
            os.kill(supervisor.pid, signal.SIGSTOP)  # so that it can't start another
            os.kill(watchdog, signal.SIGKILL)
        supervisor.kill()
    with Stack([spec("next")], tmp_path) as stack:
        if not watchdog_too:  # the watchdog gives the directory free when it is done, so: already
            assert gone(grandchild)
            assert all(gone(pid) for pid in children)
        stack.wait_ready(DEADLINE_S)
    wait_until(lambda: all(gone(pid) for pid in children), "the children are gone")
    if watchdog_too:
        os.kill(grandchild, signal.SIGKILL)  # nothing else is left that would: both guardians were killed


def test_the_directory_is_not_free_before_everything_is_gone(tmp_path: Path) -> None:
    """While the watchdog of a killed supervisor still has to clear up, nobody else gets the directory; then they do."""
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path), DEAF, PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        watchdog, *_, grandchild = map(int, supervisor.stdout.readline().split())
        os.kill(watchdog, signal.SIGSTOP)
        supervisor.kill()
    directory = DataDirectory(tmp_path)
    try:
        with (tmp_path / "stack.lock").open() as lock_file, pytest.raises(BlockingIOError):
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert directory.holder() is None
        assert not gone(grandchild)
    finally:
        os.kill(watchdog, signal.SIGCONT)
    directory.lock().close()
    assert gone(grandchild)


def test_the_watchdog_is_replaced(tmp_path: Path) -> None:
    """A watchdog that dies is started again and told what runs."""
    with Stack([spec("a")], tmp_path, limits=Limits(disk_check_interval_s=0.05)) as stack:
        stack.wait_ready(DEADLINE_S)
        first = stack.watchdog_pid
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: stack.watchdog_pid != first, "another watchdog")
        assert not gone(stack.watchdog_pid)
        assert stack.process("a").restarts == 0


def test_a_second_stack_on_the_directory_is_refused(tmp_path: Path) -> None:
    """The running stack is named by its pid; after it has stopped, the directory is free and used on."""
    with Stack([spec("a")], tmp_path):
        with pytest.raises(AlreadyRunningError) as caught:
            Stack([spec("a")], tmp_path).start()
        assert caught.value.pid == os.getpid()
        assert DataDirectory(tmp_path).holder() == os.getpid()
    assert DataDirectory(tmp_path).holder() is None
    with Stack([spec("a")], tmp_path) as again:
        again.wait_ready(DEADLINE_S)


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """The error names port, process, purpose, the owner's pid and the remedy; nothing has been started."""
    [port] = free_ports(1)
    web = [sys.executable, "-c", WEB, str(port)]
    with subprocess.Popen(web) as owner:
        try:
            wait_until(lambda: Ready.tcp(port).probe(), "the other program listens")
            stack = Stack([spec("a"), spec("broker", ports={"kafka": port})], tmp_path)
            with pytest.raises(PortInUseError) as caught:
                stack.start()
        finally:
            owner.kill()
    assert (caught.value.port, caught.value.owner_pid) == (port, owner.pid)
    assert all(part in str(caught.value) for part in (str(port), "broker", "kafka", str(owner.pid)))
    assert "--port-base" in caught.value.remedy
    assert not DataDirectory(tmp_path).log_file("a").exists()
    with Stack([spec("a")], tmp_path) as free_again:
        free_again.wait_ready(DEADLINE_S)


def test_two_processes_on_one_port_are_refused(tmp_path: Path) -> None:
    """A description in which two processes want the same port is refused, naming both."""
    [port] = free_ports(1)
    stack = Stack([spec("a", ports={"x": port}), spec("b", ports={"y": port})], tmp_path)
    with pytest.raises(PortInUseError, match="b and a"):
        stack.start()


def test_a_disk_nearly_full_is_refused(tmp_path: Path) -> None:
    """With less free space than the limit nothing starts, and the error says how much is missing."""
    with pytest.raises(DiskNearlyFullError, match="MiB") as caught:
        Stack([spec("a")], tmp_path, limits=Limits(free_bytes_min=2**62)).start()
    assert "free at least" in caught.value.remedy
    assert not DataDirectory(tmp_path).log_file("a").exists()


def test_a_disk_that_fills_up_stops_the_stack_cleanly(tmp_path: Path) -> None:
    """When space runs short while it runs, processes get their stop signal, and the stack says why."""
    free = [2**40]
    limits = Limits(disk_check_interval_s=0.05)
    stack = Stack([spec("a")], tmp_path, limits=limits, free_bytes=lambda _: free[0])
    with stack:
        stack.wait_ready(DEADLINE_S)
        free[0] = limits.free_bytes_min - 1
        assert stack.wait(DEADLINE_S)
    assert isinstance(stack.failure, DiskNearlyFullError)
    assert stack.status().processes[0].last_exit == "status 0"
    assert stack.process("a").tail()[-1] == "asked to stop"


def test_logs_are_kept_and_rotated(tmp_path: Path) -> None:
    """A process that writes much keeps its last output in a bounded number of bounded files."""
    program = f"for n in range(20000): print('line', n)\n{SERVICE}"
    with Stack([spec("chatty", program)], tmp_path, limits=Limits(log_file_bytes_max=20_000, log_files=3)) as stack:
        stack.wait_ready(DEADLINE_S)
    files = sorted(stack.directory.logs.glob("chatty.log*"))
    assert [file.name for file in files] == ["chatty.log", "chatty.log.1", "chatty.log.2"]
    assert all(file.stat().st_size <= 20_000 for file in files)
    assert stack.process("chatty").tail(3) == ["line 19999", "ready", "asked to stop"]


def test_environment_reaches_the_process_and_no_file(tmp_path: Path) -> None:
    """A process sees the stack's environment under its own; what the supervisor writes about it holds neither."""
    program = "import os; print('seen', len(os.environ['SECRET']), os.environ['NAME'], flush=True)\n" + SERVICE
    environment = {**os.environ, "SECRET": "s3cret-value", "NAME": "stack"}
    with Stack([spec("a", program, environment={"NAME": "own"})], tmp_path, environment) as stack:
        stack.wait_ready(DEADLINE_S)
        assert stack.process("a").tail()[0] == "seen 12 own"
        written = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert not any(b"s3cret" in file.read_bytes() for file in written)


def test_the_status_file_tells_others(tmp_path: Path) -> None:
    """stack.json is JSON with pids, ports, states and facts, and says that all is stopped afterwards."""
    [port] = free_ports(1)
    with Stack([spec("a", ports={"http": port})], tmp_path, facts={"CLEARLINE_KAFKA": "k:1"}) as stack:
        stack.wait_ready(DEADLINE_S)
        told = json.loads((tmp_path / "stack.json").read_text())
        assert told["phase"] == "running"
        assert told["facts"] == {"CLEARLINE_KAFKA": "k:1"}
        assert told["processes"][0]["pid"] == stack.process("a").pid
        assert told["processes"][0]["ports"] == {"http": port}
    told = json.loads((tmp_path / "stack.json").read_text())
    assert (told["phase"], told["processes"][0]["state"], told["processes"][0]["pid"]) == ("stopped", "stopped", None)


@pytest.mark.parametrize(
    "specs",
    [
        [spec("a"), spec("a")],
        [spec("a", after=["b"])],
        [spec("a", after=["b"]), spec("b", after=["a"])],
        [spec("supervisor")],
        [spec("../a")],
        [ProcessSpec(name="a", argv=[])],
    ],
)
def test_a_description_that_contradicts_itself_is_refused(specs: list[ProcessSpec], tmp_path: Path) -> None:
    """Names twice or unusable, unknown dependencies, circles and missing commands are found before anything starts."""
    with pytest.raises(SpecError) as caught:
        Stack(specs, tmp_path)
    assert caught.value.remedy


def test_an_unknown_process_is_named(tmp_path: Path) -> None:
    """Asking for a process that isn't there lists those that are."""
    with Stack([spec("a"), spec("b")], tmp_path) as stack, pytest.raises(NotRunningError) as caught:
        stack.process("c")
    assert "a, b" in caught.value.remedy
