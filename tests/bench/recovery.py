"""From `kill -9` to the first committed batch with much state: store still there, and disk empty; beside Quix Streams."""

from __future__ import annotations

import random
import shutil
import string
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.engines import QUIX_COMMIT_S, QUIX_PYTHON
from tests.bench.figures import Figure, compare, lines, shown
from tests.bench.ground import SAMPLED_EVERY_S, BenchError, Ground, Side, faust, ground, python, watch

VALUE_BYTES = 200
PROBES = 1_000
NUMBER_BYTES = 16
DEADLINE_S = 1_800.0
DISKS = ("warm", "empty")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured. `payments` are keys with a state of 200 bytes each."""

    payments: int = 1_000_000
    rounds: int = 3


QUICK = Sizes(payments=20_000, rounds=1)


@dataclass(frozen=True)
class _Kind:
    """How a side is started, what its group is called, and where its state lies below its directory."""

    name: str
    command: Callable[[Path], list[str]]
    group: Callable[[str], str]
    environment: dict[str, str]
    state: tuple[str, ...]


KINDS = (
    _Kind(
        "ours",
        lambda data: faust("tests.bench.sides.recovery_ours", data / "faust"),
        lambda application: f"{application}-keep",
        {},
        ("state",),
    ),
    _Kind(
        "quix",
        lambda _: python("tests.bench.sides.recovery_quix", interpreter=str(QUIX_PYTHON)),
        str,
        {"BENCH_COMMIT_S": str(QUIX_COMMIT_S)},
        ("*",),
    ),
)


def run(quick: bool) -> list[dict[str, Any]]:
    """All figures as plain objects, on a broker of its own."""
    with ground() as there:
        return [asdict(figure) for figure in measure(there, QUICK if quick else Sizes(), Console(highlight=False))]


def measure(ground: Ground, sizes: Sizes, out: Console) -> list[Figure]:
    """Two figures in seconds: with the store on disk, and without. Raises `BenchError` when a side tells wrong state."""
    source = "recovery-source"
    ground.topics(source)
    ground.preload(source, records(sizes.payments))
    taken = sizes.payments
    times: dict[str, dict[str, list[float]]] = {disk: {kind.name: [] for kind in KINDS} for disk in DISKS}
    sides = [_Recovered(ground, kind, source) for kind in KINDS]
    for side in sides:
        took_s = side.fill(taken)
        out.print(f"  {side.kind.name} has state of {sizes.payments:,} payments after {took_s:.0f} s")
    for number in range(sizes.rounds):
        for disk in DISKS:
            # Each side is given its own turn: both read the same probes, so the one that waits is caught up afterwards.
            probes = list(probed(sizes.payments, seed=f"{number}{disk}"))
            ground.preload(source, ((key, value) for key, value, _ in probes))
            for side in sides if number % 2 == 0 else sides[::-1]:
                seconds = side.recover(taken, len(probes), empty=disk == "empty")
                times[disk][side.kind.name].append(seconds)
                out.print(f"  round {number + 1}: {side.kind.name}, {disk} disk: {shown(seconds)} s")
            taken += len(probes)
    wrong = {side.kind.name: fault for side in sides if (fault := side.fault(sizes, taken))}
    if "ours" in wrong:
        raise BenchError(f"our own engine told something wrong: {wrong['ours']}")
    return [
        compare(
            f"from kill -9 to the first committed batch, {disk} disk (less is better)",
            times[disk]["ours"],
            unit="s",
            others={"quix": times[disk]["quix"]},
            sizes={"payments": sizes.payments, "bytes of state each": VALUE_BYTES},
            wrong=wrong,
        )
        for disk in DISKS
    ]


def key_of(number: int) -> bytes:
    """A payment's key."""
    return b"tenant-%d/pi_%024x" % (number % 7, number)


def value_of(number: int, *, turn: str = "") -> bytes:
    """A payment's state: its number, then what can't be compressed well. Text, since Quix Streams' state is JSON."""
    chance = random.Random(f"{number}/{turn}")
    noise = "".join(chance.choices(string.ascii_letters + string.digits, k=VALUE_BYTES - NUMBER_BYTES))
    return b"%016d" % number + noise.encode()


def records(count: int) -> Iterator[tuple[bytes, bytes]]:
    """One record a payment."""
    noise = value_of(0)[NUMBER_BYTES:]
    for number in range(count):
        turn = number * 31 % len(noise)
        yield key_of(number), b"%016d" % number + noise[turn:] + noise[:turn]


def probed(count: int, *, seed: str) -> Iterator[tuple[bytes, bytes, int]]:
    """Records about payments that are there already: key, value, number."""
    chance = random.Random(seed)
    for number in chance.sample(range(count), min(PROBES, count)):
        yield key_of(number), value_of(number, turn=seed), number


class _Recovered:
    """One side, its directory and its process, which is killed and started again."""

    def __init__(self, ground: Ground, kind: _Kind, source: str) -> None:
        self.kind, self._ground, self._source = kind, ground, source
        self._application = f"recovery-{kind.name}"
        self._output, changelog = f"{self._application}-output", f"{self._application}-changelog"
        ground.topics(self._output, changelog, compacted=(changelog,))
        self._data = ground.path / self._application
        self._data.mkdir()
        self._told = {
            "BENCH_KAFKA": ground.bootstrap,
            "BENCH_APPLICATION": self._application,
            "BENCH_SOURCE": source,
            "BENCH_OUTPUT": self._output,
            "BENCH_CHANGELOG": changelog,
            "BENCH_DATA": str(self._data),
            **kind.environment,
        }

    def _start(self) -> Side:
        log = self._ground.path / "logs" / f"{self._application}.log"
        return Side(self.kind.name, self.kind.command(self._data), environment=self._told, log=log)

    def _committed(self) -> int:
        return sum(self._ground.committed(self.kind.group(self._application), self._source).values())

    def fill(self, count: int) -> float:
        """Take the whole source; seconds. The process is dead afterwards, killed."""
        begun = time.perf_counter()
        with self._start() as side:
            watch(self._committed, total=count, sides=[side], deadline_s=DEADLINE_S)
            side._seen.kill()
        return time.perf_counter() - begun

    def recover(self, taken: int, probes: int, *, empty: bool) -> float:
        """
        Seconds from `kill -9` to the first commit of the next process, which finds more to do.

        The process that is killed stands idle with all before the probes committed: the time of death is that of the start.
        Afterwards the new one takes what is left and is killed.
        """
        if empty:
            for pattern in self.kind.state:
                for path in self._data.glob(pattern):
                    shutil.rmtree(path)
        begun = time.perf_counter()
        with self._start() as side:
            deadline = begun + DEADLINE_S
            while self._committed() <= taken:
                side.check()
                if time.perf_counter() > deadline:
                    raise BenchError(f"{self.kind.name} committed nothing in {DEADLINE_S:.0f} s")
                time.sleep(SAMPLED_EVERY_S)
            took_s = time.perf_counter() - begun
            watch(self._committed, total=taken + probes, sides=[side], deadline_s=DEADLINE_S)
            side._seen.kill()
        return took_s

    def fault(self, sizes: Sizes, taken: int) -> str:
        """What is wrong with what it told, in words: each record's key had the state of its own number, and each is told once."""
        told: dict[bytes, int] = {}
        strange = 0
        for message in self._ground.read(self._output):
            number = int(message.key().rpartition(b"_")[2], 16)
            before = told[message.key()] = told.get(message.key(), 0) + 1
            strange += message.value() != (b"" if before == 1 else b"%016d" % number)
        if strange or sum(told.values()) != taken or len(told) != sizes.payments:
            return f"{strange} records tell other state; {sum(told.values())} of {taken} records, {len(told)} keys"
        return ""


def main() -> int:
    """`python -m tests.bench.recovery [--quick]`: measure and print."""
    out = Console(highlight=False)
    with ground() as there:
        for figure in measure(there, QUICK if "--quick" in sys.argv[1:] else Sizes(), out):
            for line in lines(figure):
                out.print(line, markup=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
