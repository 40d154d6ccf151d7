from __future__ import annotations

import socket
import subprocess
import sys
import threading

import msgspec
import pytest
from confluent_kafka import Producer

from infra import configure
from infra.configure import DEFAULTS, apply
from infra.errors import FileFault, KafkaUnreachable
from schemas import codec
from schemas.clients import transactional_config
from schemas.records import RoutingPolicy, RoutingUpdate, Tenant
from tests.integration.topics._kafka import DEADLINE_S, read_all
from tests.integration.topics.conftest import PARTITIONS

pytestmark = pytest.mark.integration


def records(bootstrap, topic, kind):
    """(partition, key, record) of every committed record of a kind on a topic."""
    decoded = [
        (message.partition(), message.key(), codec.decode(message.value())) for message in read_all(bootstrap, topic)
    ]
    return [entry for entry in decoded if isinstance(entry[2], kind)]


def newest(bootstrap, topic, kind):
    """The newest record of each key of a compacted topic."""
    return {key.decode(): record for _, key, record in records(bootstrap, topic, kind)}


def broadcast(bootstrap, topic, kind):
    """What each partition of a topic was told, in order."""
    told = {number: [] for number in range(PARTITIONS)}
    for partition, key, record in records(bootstrap, topic, kind):
        assert key == record.tenant.encode()
        told[partition].append(record)
    return told


def write_file(tmp_path, text, name="tenants.toml"):
    """A configuration file."""
    path = tmp_path / name
    path.write_text(text)
    return path


def tenant(identity, **fields):
    """A tenant's TOML."""
    values = {"tenant": identity, "name": identity.title(), "timezone": "UTC", "settlement_cutoff": "00:00", **fields}
    lines = "\n".join(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items())
    return f"[[tenants]]\n{lines}\n"


def test_the_shipped_configuration_reaches_every_partition(bootstrap) -> None:
    """Tenants and policies are on the compacted topics, and every partition of the input topics was told the same."""
    apply(bootstrap, DEFAULTS)
    tenants = newest(bootstrap, "tenants", Tenant)
    policies = newest(bootstrap, "routing.policies", RoutingPolicy)
    assert {"acme", "globex", "initech", "petrogulf", "tiny"} <= set(tenants)
    assert policies[""].providers == ("northpay", "southpay")
    assert policies["globex"].providers == ("southpay", "northpay")
    for topic in ("payments.inputs", "settlement.inputs"):
        for told in broadcast(bootstrap, topic, Tenant).values():
            assert {record.tenant: record for record in told} == tenants
    for told in broadcast(bootstrap, "payments.inputs", RoutingUpdate).values():
        last = {update.tenant: (update.kind, update.policy_version, update.providers) for update in told}
        assert last == {name: ("policy", policy.policy_version, policy.providers) for name, policy in policies.items()}
    assert not records(bootstrap, "settlement.inputs", RoutingUpdate)


def test_unchanged_configuration_appends_nothing(bootstrap) -> None:
    """Applying twice writes once: no record, not even a transaction marker, is added the second time."""
    apply(bootstrap, DEFAULTS)
    before = {
        topic: len(read_all(bootstrap, topic))
        for topic in ("tenants", "routing.policies", "payments.inputs", "settlement.inputs")
    }
    report = apply(bootstrap, DEFAULTS)
    assert (report.records, report.tenants_written, report.policies_written) == (0, (), ())
    assert set(report.unchanged) == {"acme", "globex", "initech", "petrogulf", "tiny"}
    assert before == {topic: len(read_all(bootstrap, topic)) for topic in before}


def test_only_what_changed_is_written_with_the_next_version(bootstrap, tmp_path) -> None:
    """A changed tenant rises by one version on every topic; its neighbour and the policy stay; the one not named is left alone."""
    first = write_file(
        tmp_path, tenant("one") + tenant("two") + '[[policies]]\ntenant = "one"\nproviders = ["southpay"]\n'
    )
    assert apply(bootstrap, first).records == 2 * (2 + 2 * PARTITIONS) + 2 + PARTITIONS  # once to the history
    second = write_file(
        tmp_path,
        tenant("one") + tenant("two", status="suspended") + '[[policies]]\ntenant = "one"\nproviders = ["southpay"]\n',
    )
    report = apply(bootstrap, second)
    assert (report.tenants_written, report.policies_written, report.unchanged) == (("two",), (), ("one",))
    assert report.records == 2 + 2 * PARTITIONS
    held = newest(bootstrap, "tenants", Tenant)
    assert (held["one"].version, held["two"].version, held["two"].status) == (1, 2, "suspended")
    assert held["two"].attribution.request_id.startswith("cfg_")
    third = write_file(tmp_path, tenant("one") + '[[policies]]\ntenant = "one"\nproviders = ["northpay", "southpay"]\n')
    report = apply(bootstrap, third)
    assert "two" in report.left_alone
    assert report.policies_written == ("one",)
    assert newest(bootstrap, "routing.policies", RoutingPolicy)["one"].policy_version == 2
    assert newest(bootstrap, "tenants", Tenant)["two"].status == "suspended"


def test_intervals_and_grace_can_be_set_for_all(bootstrap, tmp_path) -> None:
    """For demos the settlement interval and grace of every tenant of the file are replaced."""
    path = write_file(tmp_path, tenant("short", settlement_grace_ms=5) + tenant("shorter"))
    apply(bootstrap, path, settlement_interval_ms=10_000, settlement_grace_ms=0)
    held = newest(bootstrap, "tenants", Tenant)
    for name in ("short", "shorter"):
        assert (held[name].settlement_interval_ms, held[name].settlement_grace_ms) == (10_000, 0)
    with pytest.raises(FileFault, match=r"tenants\[0\].settlement_interval_ms: 5 is out of range"):
        apply(bootstrap, path, settlement_interval_ms=5)


def test_yaml_says_the_same_as_toml(bootstrap, tmp_path) -> None:
    """The same configuration in YAML is no change."""
    apply(bootstrap, write_file(tmp_path, tenant("bilingual")))
    text = "tenants:\n- {tenant: bilingual, name: Bilingual, timezone: UTC, settlement_cutoff: '00:00'}\n"
    assert apply(bootstrap, write_file(tmp_path, text, "tenants.yaml")).records == 0


def test_many_at_once_take_turns(bootstrap, tmp_path) -> None:
    """Of several who apply different things at once each succeeds; versions rise without gap, and all partitions agree."""
    reports = []

    def run(number):
        path = write_file(tmp_path, tenant("contended", name=f"Name {number}"), f"{number}.toml")
        reports.append(apply(bootstrap, path))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert [report.tenants_written for report in reports] == [("contended",)] * 3
    expected = [record for _, _, record in records(bootstrap, "tenants", Tenant) if record.tenant == "contended"]
    assert [record.version for record in expected] == [1, 2, 3]
    for topic in ("payments.inputs", "settlement.inputs"):
        for told in broadcast(bootstrap, topic, Tenant).values():
            assert [record for record in told if record.tenant == "contended"] == expected


def test_what_a_dead_one_left_open_is_undone(bootstrap, tmp_path) -> None:
    """A transaction that somebody left open in the middle of applying is aborted, and none of it is ever seen."""
    left = Producer(transactional_config(bootstrap, configure.TRANSACTIONAL_ID, timeout_ms=60_000))
    left.init_transactions(DEADLINE_S)
    left.begin_transaction()
    half = codec.encode(Tenant(tenant="half", version=1))
    left.produce("tenants", half, b"half")
    left.produce("payments.inputs", half, b"half", 0)
    left.flush(DEADLINE_S)
    assert apply(bootstrap, write_file(tmp_path, tenant("whole"))).tenants_written == ("whole",)
    held = newest(bootstrap, "tenants", Tenant)
    assert "whole" in held
    assert "half" not in held


def test_nobody_there(monkeypatch) -> None:
    """Where no broker listens, the error names the address."""
    monkeypatch.setattr(configure, "_REQUEST_TIMEOUT_S", 2.0)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unheard.getsockname()[1]}"
        with pytest.raises(KafkaUnreachable, match=address):
            apply(address, DEFAULTS)


def test_the_command_applies_and_refuses(bootstrap, tmp_path) -> None:
    """`clearline configure FILE` says what it wrote; a wrong file ends with status 1, its place and what to do."""

    def run(path):
        command = [sys.executable, "-m", "infra.cli", "configure", str(path), "--data", str(tmp_path / "data")]
        environ = {"CLEARLINE_KAFKA": bootstrap, "PATH": ""}
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    right = run(write_file(tmp_path, tenant("commanded")))
    assert right.returncode == 0, right.stderr
    assert "tenants written: commanded" in right.stdout
    wrong = run(write_file(tmp_path, tenant("commanded", timezone="Europe/Atlantis")))
    assert wrong.returncode == 1
    assert "tenants[0].timezone: 'Europe/Atlantis' is no time zone" in wrong.stderr
    assert "what to do: Use an IANA name such as Europe/Berlin" in wrong.stderr
