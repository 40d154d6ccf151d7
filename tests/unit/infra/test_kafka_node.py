"""Why a broker does not start, told by type; and that none outlives its owner."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from infra.kafka import (
    Broker,
    BrokerExited,
    DataDirectoryInUse,
    DataDirectoryUnusable,
    DiskFull,
    JavaUnusable,
    KafkaError,
    PortInUse,
    _jars,
    _startup,
)
from infra.kafka._node import LAUNCHER, new_cluster_id

DEADLINE_S = 60


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Starts a broker whose Java is the given shell script, on storage that counts as formatted."""
    (tmp_path / "none.sha256").write_text("")
    monkeypatch.setattr(_jars, "MANIFEST", tmp_path / "none.sha256")
    data = tmp_path / "data dir"
    (data / "data").mkdir(parents=True)
    (data / "data" / "meta.properties").write_text("")

    def start(script: str) -> Broker:
        java = tmp_path / "java"
        java.write_text(f"#!/bin/sh\n{script}\n")
        java.chmod(0o755)
        broker = Broker(data, java=java, jars_dir=tmp_path)
        broker.start(deadline_s=DEADLINE_S)
        return broker

    return start


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Error: Could not create the Java Virtual Machine.", JavaUnusable),
        ("Unrecognized VM option 'UseSerialGC'", JavaUnusable),
        ("java.lang.UnsupportedClassVersionError: kafka/Kafka", JavaUnusable),
        ("org.apache.kafka.common.KafkaException: Failed to acquire lock on file .lock in /data", DataDirectoryInUse),
        ("java.io.IOException: No space left on device", DiskFull),
        ("java.lang.RuntimeException: Stored node id 2 doesn't match previous node id 1", DataDirectoryUnusable),
        ("java.net.BindException: Address already in use", PortInUse),
        ("something nobody foresaw", BrokerExited),
    ],
)
def test_what_java_says_becomes_a_typed_error(start, said, error):
    """A broker that ends by itself is reported by the reason it gave, with a remedy."""
    with pytest.raises(KafkaError) as caught:
        start(f"cat <<'SAID'\n{said}\nSAID\nexit 3")
    assert type(caught.value) is error
    assert caught.value.remedy in str(caught.value)


def test_an_unforeseen_end_carries_status_and_log(start):
    """Where we know no better, the error shows the status and the end of the log."""
    with pytest.raises(BrokerExited, match=r"(?s)status 3.*something nobody foresaw") as caught:
        start("echo something nobody foresaw; exit 3")
    assert caught.value.status == 3


def test_java_that_cannot_be_run_is_a_typed_error(start, tmp_path):
    """A Java that is no program is reported as Java, not as Kafka."""
    broker = Broker(tmp_path / "data dir", java=tmp_path / "no" / "java", jars_dir=tmp_path)
    with pytest.raises(JavaUnusable):
        broker.start(deadline_s=DEADLINE_S)


def test_an_unwritable_data_directory_is_a_typed_error(start, tmp_path):
    """A file where the data directory should be is reported with the directory's name."""
    (tmp_path / "file").write_text("")
    broker = Broker(tmp_path / "file" / "data", java=Path("/bin/false"), jars_dir=tmp_path)
    with pytest.raises(DataDirectoryUnusable, match="file"):
        broker.start(deadline_s=DEADLINE_S)


def test_a_locked_data_directory_is_left_alone(start, tmp_path):
    """While another process holds Kafka's lock, not even the configuration beside it is written."""
    lock = tmp_path / "data dir" / "data" / ".lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DataDirectoryInUse):
            start("exit 0")
        assert not (tmp_path / "data dir" / "server.properties").exists()
    finally:
        holder.communicate()


_HOLD = textwrap.dedent("""
    import fcntl, sys
    with open(sys.argv[1], "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        print("held", flush=True)
        sys.stdin.read()
""")


def test_a_launched_program_dies_with_its_parent(tmp_path):
    """SIGKILL of the owner takes the broker's process with it: no orphan."""
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(LAUNCHER)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    parent.kill()
    parent.communicate()
    end = time.monotonic() + DEADLINE_S
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "the child lives on"
        time.sleep(0.05)


_PARENT = textwrap.dedent("""
    import os, signal, subprocess, sys
    launcher = [sys.executable, "-I", "-S", sys.argv[1], str(int(signal.SIGKILL)), str(os.getpid())]
    child = subprocess.Popen([*launcher, "/bin/sh", "-c", "echo $$; exec sleep 600"])
    sys.stdin.read()
""")


def test_a_launcher_whose_parent_is_gone_starts_nothing():
    """The parent may die before the launcher asks the kernel to be told: then nothing starts."""
    somebody_else = os.getppid()
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(int(signal.SIGKILL)), str(somebody_else)]
    done = subprocess.run([*launcher, "/bin/echo", "started"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (143, "")


def test_cluster_ids_are_what_kafka_accepts():
    """22 characters of URL-safe base64 that do not begin like an option."""
    for _ in range(200):
        made = new_cluster_id()
        assert len(made) == 22
        assert not made.startswith("-")


def test_the_lock_probe_does_not_hold(tmp_path, start):
    """Having looked whether the directory is locked does not lock it."""
    lock = tmp_path / "data dir" / "data" / ".lock"
    lock.write_text("")
    with pytest.raises(BrokerExited):
        start("exit 1")
    with Path(lock).open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_startup_cache_is_made_once_and_only_whole(tmp_path):
    """The cache appears when its training wrote it, is not made twice, and a training that fails leaves nothing."""
    target = _startup.cache_file(tmp_path)
    assert target is not None, "the locked Java makes such caches"
    trained: list[str] = []

    def fail(directory: Path, option: str) -> None:
        trained.append(option)

    def write(directory: Path, option: str) -> None:
        trained.append(option)
        Path(option.partition("=")[2]).write_bytes(b"cache")

    _startup.ensure_cache(tmp_path, fail)
    assert not target.exists()
    _startup.ensure_cache(tmp_path, write)
    _startup.ensure_cache(tmp_path, write)
    assert target.read_bytes() == b"cache"
    assert len(trained) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["startup.lock", target.name])
