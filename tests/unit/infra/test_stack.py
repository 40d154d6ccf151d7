"""The description of our own stack: order, ports, secrets, and what is left out when it is pointed elsewhere."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from infra.stack import Plan, Ports, plan, reach
from infra.supervisor import ProcessSpec
from infra.supervisor.spec import levels
from schemas import environment

EMBEDDED = [
    "broker",
    "warehouse",
    "simulator",
    "registry",
    "configuration",
    "gateway",
    "landing",
    "api",
    "webhooks",
    "worker-0",
    "worker-1",
]


def described(data: Path, **environ: str) -> Plan:
    """Return the plan for two workers."""
    return plan(data, ports=Ports.read(environ, workers=2), environ=environ)


def spec(found: Plan, name: str) -> ProcessSpec:
    """One process of a plan."""
    return next(spec for spec in found.specs if spec.name == name)


def test_every_process_comes_after_what_it_needs(tmp_path: Path) -> None:
    """Topics and tenants come after the broker, agents after both, the landing after the warehouse."""
    found = described(tmp_path)
    assert [spec.name for spec in found.specs] == EMBEDDED
    assert levels(found.specs) == [
        ["broker", "warehouse", "simulator", "registry"],
        ["configuration"],
        ["gateway", "landing", "api", "webhooks", "worker-0", "worker-1"],
    ]
    assert spec(found, "landing").after == ["configuration", "warehouse"]


def test_defaults_meet_what_processes_assume_by_themselves(tmp_path: Path) -> None:
    """The ports of a stack with nothing set are those that CLEARLINE_* default to."""
    found, default = described(tmp_path), environment.read({})
    told = environment.read(found.environment)
    assert told.kafka == default.kafka
    assert (told.warehouse.host, told.warehouse.port) == (default.warehouse.host, default.warehouse.port)
    assert told.data == tmp_path


def test_the_password_is_kept_and_told_in_the_environment_only(tmp_path: Path) -> None:
    """One password per data directory, in a file for its owner, on no command line and in no published fact."""
    first, second, other = described(tmp_path / "a"), described(tmp_path / "a"), described(tmp_path / "b")
    password = environment.read(first.environment).warehouse.password
    assert len(password) >= 32
    assert environment.read(second.environment).warehouse.password == password
    assert environment.read(other.environment).warehouse.password != password
    assert stat.S_IMODE((tmp_path / "a" / "warehouse.password").stat().st_mode) == 0o600
    assert password not in str(first.facts)
    assert not any(password in str([*spec.argv, spec.environment, spec.ready]) for spec in first.specs)


def test_each_worker_has_a_name_a_directory_and_a_port_of_its_own(tmp_path: Path) -> None:
    """The name, which is the group's member id, and the directory stay the same over restarts and runs."""
    found = described(tmp_path)
    for number, port in ((0, 6066), (1, 6067)):
        worker = spec(found, f"worker-{number}")
        assert worker.environment["CLEARLINE_WORKER"] == f"worker-{number}"
        assert worker.environment["CLEARLINE_DATA"] == str(tmp_path / f"worker-{number}")
        assert worker.ports == {"web": port}


def test_your_own_kafka_clickhouse_and_providers_are_used(tmp_path: Path) -> None:
    """What a variable points elsewhere is neither started nor waited for, and every process is told of it."""
    given = {
        "CLEARLINE_KAFKA": "kafka.example:9092",
        "CLEARLINE_CLICKHOUSE": "https://finance:s3cret@ch.example/books",
        "CLEARLINE_PROVIDERS": '{"mine": {"kind": "simulated", "url": "http://psp.example/v1"}}',
    }
    found = described(tmp_path, **given)
    assert [spec.name for spec in found.specs] == [n for n in EMBEDDED if n not in ("broker", "warehouse", "simulator")]
    assert levels(found.specs)[0] == ["registry", "configuration"]
    assert {name: found.environment[name] for name in given} == given
    assert "s3cret" not in str(found.facts)
    assert not (tmp_path / "warehouse.password").exists()


def test_webhooks_go_to_this_machine_only_where_all_of_the_stack_is(tmp_path: Path) -> None:
    """Endpoints on loopback are allowed for a stack with a broker of its own; beside another broker, or where told so, they are not."""
    name = "CLEARLINE_WEBHOOKS_ALLOW_LOOPBACK"
    assert described(tmp_path).environment[name] == "1"
    assert name not in described(tmp_path, CLEARLINE_KAFKA="kafka.example:9092").environment
    assert described(tmp_path, **{name: "0"}).environment[name] == "0"


def test_a_port_base_moves_everything(tmp_path: Path) -> None:
    """With a base no default port is left, all are distinct, and one variable still moves one port."""
    environ = {"CLEARLINE_PORT_WAREHOUSE": "18123"}
    ports = Ports.read(environ, base=20_000, workers=3)
    used = [ports.kafka, ports.controller, ports.warehouse, ports.simulator, ports.registry, ports.api, *ports.workers]
    assert used == [20_000, 20_001, 18_123, 20_003, 20_004, 20_005, 20_010, 20_011, 20_012]
    found = plan(tmp_path, ports=ports, environ=environ)
    assert sorted(port for spec in found.specs for port in spec.ports.values()) == sorted(used)
    assert "127.0.0.1:20003" in found.environment["CLEARLINE_PROVIDERS"]


@pytest.mark.parametrize("value", ["0", "65536", "http", "-1"])
def test_a_bad_port_is_refused_by_its_variable(value: str) -> None:
    """The error names the variable."""
    with pytest.raises(environment.VariableError, match="CLEARLINE_PORT_REGISTRY"):
        Ports.read({"CLEARLINE_PORT_REGISTRY": value})


def test_free_ports_are_distinct() -> None:
    """A test's stack gets ports that meet neither each other nor a default stack."""
    ports = Ports.free(workers=3)
    used = [ports.kafka, ports.controller, ports.warehouse, ports.simulator, ports.registry, ports.api, *ports.workers]
    assert len(set(used)) == 9


def test_reaching_a_stack_that_does_not_run(tmp_path: Path) -> None:
    """Nothing is made up, and nothing is created: only the directory is added to what was given."""
    given = {"CLEARLINE_KAFKA": "k:1", "OTHER": "x"}
    assert reach(tmp_path / "none", given) == {**given, "CLEARLINE_DATA": str(tmp_path / "none")}
    assert not (tmp_path / "none").exists()
