"""Workers that come back: by the changelog's tail, from nothing, from damage, from a full disk, and without disturbing others."""

from __future__ import annotations

import contextlib
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from infra.cli import status
from infra.cli._restores import TaskRestore, restores
from infra.supervisor import ProcessStatus, State
from infra.supervisor.ready import Kind
from streams.runtime import RocksStores, faults
from streams.runtime.seams import Marker
from tests._kafka import KafkaService
from tests.integration._runtime_kit import Engine, Pipeline, Worker, wait_until, workers
from tests.integration.test_runtime_task import exactly_once, numbers

pytestmark = pytest.mark.integration

KEYS = 12_000
FAILED = 70
# A worker that is killed and started again on a busy machine must be back well before its membership ends.
SESSION_MS = "60000"
TINY_DISK = "size=24m"
# Above what a worker says until it ends, below what RocksDB's log of a partition comes to.
FILE_BYTES_MAX = 32 * 1024


@pytest.fixture
def pipeline(kafka: KafkaService, tmp_path):
    """A fresh pipeline; fault points are disarmed at its end."""
    yield Pipeline(kafka, tmp_path)
    faults.disarm()


@pytest.fixture
def engines():
    """Engines to close at the end, however the test ends."""
    made: list[Engine] = []
    yield made
    for engine in made:
        engine.close()


def markers(pipeline: Pipeline, instance: str, task: str) -> dict[int, Marker]:
    """How far each store on disk has followed its changelog, once nobody has it open."""
    stores = RocksStores(pipeline.directory / "data" / "state" / instance / task)
    found = {}
    for number in range(pipeline.partitions):
        store = stores.open(number)
        marker = store.marker()
        store.close()
        if marker is not None:
            found[number] = marker
    return found


def behind(pipeline: Pipeline, changelog: str, marks: dict[int, Marker]) -> int:
    """Committed records of the changelog that the stores have not seen."""
    return sum(
        message.partition() not in marks or message.offset() >= marks[message.partition()].offset
        for message in pipeline.committed(changelog)
    )


class TestRestart:
    """What a restart reads of the changelog, counted."""

    def test_a_killed_worker_reads_only_what_its_store_has_not_seen(self, pipeline):
        """Killed between commit and apply with much state: the restart restores that one batch, and nothing else."""
        with workers() as running:
            first = Worker(pipeline, "a", RUNTIME_BATCH="500", CLEARLINE_FAULT="")
            running.append(first)
            first.ready()
            pipeline.feed(numbers(KEYS, keys=KEYS))
            wait_until(lambda: passed(first, "total") == KEYS, f"all are summed\n{first.tail()}")
            first.signal(signal.SIGTERM)
            assert first.wait() == 0
            doomed = Worker(pipeline, "a", RUNTIME_BATCH="500", CLEARLINE_FAULT="after_commit_before_apply:kill")
            running.append(doomed)
            doomed.ready()
            assert doomed.task("count")["counters"]["restored_records"] == 0
            pipeline.feed([(b"k%d" % number, b"%d" % (KEYS + number)) for number in range(100)])
            assert doomed.wait() == -signal.SIGKILL
            left = behind(pipeline, "count", markers(pipeline, "a", "count"))
            assert 0 < left <= 500
            second = Worker(pipeline, "a")
            running.append(second)
            second.ready()
            assert second.task("count")["counters"]["restored_records"] == left
            counted(pipeline, second)
            exactly_once(pipeline, KEYS + 100, keys=KEYS)

    def test_a_restore_shows_its_progress_and_goes_on_after_a_kill(self, pipeline, capsys):
        """On an empty disk: /health and `clearline status` say how far it is; after a kill nothing applied is read again."""
        with workers() as running:
            first = Worker(pipeline, "a")
            running.append(first)
            first.ready()
            pipeline.feed(numbers(KEYS, keys=KEYS))
            wait_until(lambda: passed(first, "total") == KEYS, f"all are summed\n{first.tail()}")
            first.kill()
            shutil.rmtree(pipeline.directory / "data" / "state")
            # Two tasks of at least three slices each: whichever passes when, one has told of a slice when both stand.
            doomed = Worker(pipeline, "a", CLEARLINE_FAULT="during_restore:hang:3,during_restore:hang:4")
            running.append(doomed)
            told = wait_until(lambda: standing(doomed), f"it stands in its restores\n{doomed.tail()}")
            assert sorted(task.task for task in told) == ["count", "total"]
            assert all(task.percent < 100 and task.running < task.partitions == 4 for task in told)
            health = doomed.health()
            assert health is not None
            assert not health["ready"]
            status.print_restores({"worker-0": told})
            assert f"worker-0: {told[0].task} restoring, {told[0].percent}%" in capsys.readouterr().out
            doomed.kill()
            left = {task: behind(pipeline, task, markers(pipeline, "a", task)) for task in ("count", "total")}
            assert 0 < sum(left.values()) < sum(len(pipeline.committed(task)) for task in left)
            second = Worker(pipeline, "a")
            running.append(second)
            second.ready()
            for task, records in left.items():
                assert second.task(task)["counters"]["restored_records"] == records
            pipeline.feed([(b"k1", b"%d" % KEYS)])
            counted(pipeline, second)
            exactly_once(pipeline, KEYS + 1, keys=KEYS)


class TestDamage:
    """A store that can't be trusted is never served from: it is rebuilt from the changelog, whatever happened to it."""

    @pytest.mark.parametrize(
        "damage",
        ["table truncated", "table missing", "table rotten", "manifest missing", "current missing", "current empty"],
    )
    def test_a_damaged_store_is_rebuilt(self, pipeline, engines, caplog, damage):
        """Files cut, gone or with one bit flipped, as disks and people leave them: every count is right afterwards."""
        first = Engine(pipeline).ready()
        engines.append(first)
        pipeline.feed(numbers(1_000))
        first.processed(1_000)
        first.close()
        for store in sorted(first.config.task_directory.iterdir()):
            wreck(store, damage)
        second = Engine(pipeline)
        engines.append(second)
        pipeline.feed([(b"k%d" % number, b"%d" % (1_000 + number)) for number in range(50)])
        with caplog.at_level("WARNING", logger="streams.runtime"):
            second.processed(50)
        assert second.task.counters.restored_records >= 50
        if damage != "current missing":  # without it RocksDB has no store: there is nothing to move aside
            assert "store is rebuilt" in caplog.text
            assert len(list(first.config.task_directory.glob("*.damaged-1"))) == pipeline.partitions
        exactly_once(pipeline, 1_050)

    def test_a_log_that_was_cut_is_read_up_to_the_cut(self, pipeline, engines):
        """A machine that lost power may lose the end of RocksDB's log: the marker is earlier then, and the tail is read again."""
        first = Engine(pipeline).ready()
        engines.append(first)
        pipeline.feed(numbers(500))
        first.processed(500)
        # As the disk is at this moment, the log not flushed into tables: then everything goes on without it.
        spare = pipeline.directory / "spare"
        shutil.copytree(first.config.task_directory, spare)
        first.close()
        shutil.rmtree(first.config.task_directory)
        shutil.copytree(spare, first.config.task_directory)
        cut = 0
        for log in first.config.task_directory.glob("*/*.log"):
            content = log.read_bytes()
            log.write_bytes(content[: len(content) * 2 // 3])
            cut += len(content) > 0
        assert cut
        second = Engine(pipeline).ready()
        engines.append(second)
        assert second.task.counters.restored_records > 0
        pipeline.feed([(b"k1", b"500")])
        second.processed(1)
        exactly_once(pipeline, 501)

    def test_a_store_beyond_its_changelog_is_rebuilt(self, pipeline, engines, caplog):
        """A changelog that lost its end (unclean election) can't have made this state: it is dropped, and said."""
        first = Engine(pipeline).ready()
        engines.append(first)
        pipeline.feed(numbers(200))
        first.processed(200)
        first.close()
        stores = RocksStores(first.config.task_directory)
        for number in range(pipeline.partitions):
            store = stores.open(number)
            marker = store.marker()
            assert marker is not None
            store.apply([(b"k1", b"1000000")], replace(marker, offset=marker.offset + 1_000))
            store.close()
        second = Engine(pipeline)
        engines.append(second)
        with caplog.at_level("WARNING", logger="streams.runtime"):
            second.ready()
        assert "beyond the changelog's end" in caplog.text
        pipeline.feed([(b"k1", b"200")])
        second.processed(1)
        exactly_once(pipeline, 201)


class TestDisk:
    """A store that can't be written ends the worker, which has committed nothing that the changelog doesn't hold."""

    @pytest.mark.slow  # the write error below takes the same way, for every user
    def test_a_full_disk_ends_the_worker_with_what_to_do(self, pipeline, tiny_disk):
        """ENOSPC amid the work: status 70, the directory and the remedy in the last line; with space again all is exact."""
        with workers() as running:
            first = Worker(pipeline, "a", CLEARLINE_DATA=str(tiny_disk))
            running.append(first)
            first.ready()
            fill(tiny_disk, leave=64 * 1024)
            pipeline.feed(numbers(KEYS, keys=KEYS))
            assert first.wait() == FAILED
            last = first.tail(1)
            assert last.startswith("worker ends: store ")
            assert "No space left on device" in last
            assert "check free space and permissions of the data directory, then start again" in last
            (tiny_disk / "filler").unlink()
            second = Worker(pipeline, "a", CLEARLINE_DATA=str(tiny_disk))
            running.append(second)
            second.ready()
            counted(pipeline, second)
            exactly_once(pipeline, KEYS, keys=KEYS)

    def test_a_write_error_ends_the_worker_with_what_to_do(self, pipeline):
        """RocksDB may write no more (a file size limit): the same, and the next process goes on exactly."""
        with workers() as running:
            first = Worker(pipeline, "a")
            running.append(first)
            first.ready()
            resource.prlimit(first.process.pid, resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))
            pipeline.feed(numbers(2 * KEYS, keys=KEYS))
            assert first.wait() == FAILED
            last = first.tail(1)
            assert last.startswith("worker ends: store ")
            assert "File too large" in last
            assert "then start again" in last
            second = Worker(pipeline, "a")
            running.append(second)
            second.ready()
            counted(pipeline, second)
            exactly_once(pipeline, 2 * KEYS, keys=KEYS)


def test_a_restarted_worker_gets_its_partitions_back_and_disturbs_nobody(pipeline):
    """Static membership: killed and started again, it has what it had; the other worker sees no rebalance at all."""
    with workers() as running:
        stays = Worker(pipeline, "a", RUNTIME_SESSION_MS=SESSION_MS)
        first = Worker(pipeline, "b", RUNTIME_SESSION_MS=SESSION_MS)
        running += [stays, first]
        wait_until(
            lambda: shares(stays) and shares(first) and not (shares(stays) & shares(first)),
            f"both have a share\n{stays.tail()}\n{first.tail()}",
        )
        stays.ready()
        before, had = rebalances(stays), shares(first)
        pipeline.feed(numbers(500))
        wait_until(lambda: passed(stays, "count") + passed(first, "count") == 500, "all are counted")
        first.kill()
        second = Worker(pipeline, "b", RUNTIME_SESSION_MS=SESSION_MS)
        running.append(second)
        second.ready()
        assert shares(second) == had
        pipeline.feed([(b"k%d" % number, b"%d" % (500 + number)) for number in range(50)])
        counted(pipeline, stays, second)
        assert rebalances(stays) == before
        assert second.task("count")["counters"]["restored_records"] == 0
        exactly_once(pipeline, 550)


def wreck(store: Path, damage: str) -> None:
    """Damage one partition's store."""
    what, how = damage.split()
    for path in store.glob({"table": "*.sst", "manifest": "MANIFEST-*", "current": "CURRENT"}[what]):
        content = bytearray(path.read_bytes())
        if how == "missing":
            path.unlink()
        elif how == "rotten":
            content[8] ^= 0x10
            path.write_bytes(content)
        else:
            path.write_bytes(content[: len(content) // 2] if how == "truncated" else b"")


@pytest.fixture
def tiny_disk(tmp_path) -> Iterator[Path]:
    """A file system of a few megabytes; skipped where this user can't mount one (the write error is tested all the same)."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", TINY_DISK, "tmpfs", str(place)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("this user can't mount a small file system; a failing write is tested beside this")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, *, leave: int) -> None:
    """Leave so many bytes free."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        for _ in range(shutil.disk_usage(disk).free // 4096 - leave // 4096):
            filler.write(bytes(4096))
    assert shutil.disk_usage(disk).free <= leave + 4096


def shares(worker: Worker) -> set[tuple[str, int]]:
    """Tasks and partitions that a worker has, once it is ready."""
    health = worker.health()
    if health is None or not health["ready"]:
        return set()
    return {(task["task"], part["partition"]) for task in health["tasks"] for part in task["partitions"]}


def rebalances(worker: Worker) -> dict[str, int]:
    """How often the group gave each of its tasks an assignment."""
    return {name: worker.task(name)["counters"]["rebalances"] for name in ("count", "total")}


def passed(worker: Worker, task: str) -> int:
    """Records that a task of this worker has committed."""
    return worker.task(task).get("counters", {}).get("records", 0)


def counted(pipeline: Pipeline, *running: Worker) -> None:
    """Wait until everything on the input is committed."""

    def fact() -> bool:
        for worker in running:
            worker.assert_running()
        return pipeline.lag("in", "count") == 0

    wait_until(fact, "everything is counted", pause_s=0.2)


def standing(worker: Worker) -> list[TaskRestore]:
    """What the worker tells of its restores once both of its tasks stand at their fault point."""
    worker.assert_running()
    process = ProcessStatus(
        name="worker-0",
        state=State.STARTING,
        required=True,
        ready_kind=Kind.HTTP,
        ready_target=f"http://127.0.0.1:{worker.port}/health",
    )
    told = restores(process)
    return told if any(task.percent for task in told) and worker.tail().count("trips at passage") == 2 else []
