"""A recording: an input log, the changelogs up to a cut in it, and the digests of all that came of it."""

from __future__ import annotations

import hashlib
import json
import lzma
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec

from streams.core import STATE_VERSION
from streams.runtime import Record
from tests.upgrade._fold import Digests, Fold
from tests.upgrade._lives import PAYMENTS, SEED, Lives

RECORDED = Path(__file__).parent / "recorded"
ACCEPTED = Path(__file__).parent / "accepted.toml"
BYTES_MAX = 300_000

Partition = tuple[str, int]
Changes = list[tuple[bytes, bytes | None]]
Told = dict[str, Digests]


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What some version of the code took and made. The cut of each partition is the offset its changelog stands before."""

    name: str
    log: list[Record]
    cuts: dict[Partition, int]
    changelogs: dict[Partition, Changes]
    replayed: Told
    resumed: Told

    @classmethod
    def make(cls, *, seed: int = SEED, payments: int = PAYMENTS) -> Self:
        """With today's code."""
        log = Lives(seed=seed, payments=payments).run().log
        cuts: dict[Partition, int] = {}
        for record in log[: len(log) // 2]:
            cuts[record.topic, record.partition] = record.offset + 1
        changelogs: dict[Partition, Changes] = {}
        for place, cut in cuts.items():
            fold = Fold(*place)
            for record in log:
                if (record.topic, record.partition) == place and record.offset < cut:
                    fold.take(record)
            changelogs[place] = fold.changes
        made = cls(name=f"state-{STATE_VERSION}", log=log, cuts=cuts, changelogs=changelogs, replayed={}, resumed={})
        return msgspec.structs.replace(made, replayed=made.replay(), resumed=made.resume())

    def replay(self) -> Told:
        """Digests of today's code on the whole log."""
        return self._run(lambda place: Fold(*place), lambda _place: 0)

    def resume(self) -> Told:
        """Digests of today's code on what follows the cuts, from the recorded state."""
        return self._run(lambda place: Fold(*place, state=self.state(place)), lambda place: self.cuts[place])

    def state(self, place: Partition) -> dict[bytes, bytes]:
        """What a partition's changelog comes to."""
        folded: dict[bytes, bytes] = {}
        for key, value in self.changelogs[place]:
            if value is None:
                folded.pop(key, None)
            else:
                folded[key] = value
        return folded

    def _run(self, begin: Callable[[Partition], Fold], first: Callable[[Partition], int]) -> Told:
        folds = {place: begin(place) for place in sorted(self.cuts)}
        for record in self.log:
            place = (record.topic, record.partition)
            if record.offset >= first(place):
                folds[place].take(record)
        return {f"{topic}/{number}": fold.digests() for (topic, number), fold in folds.items()}

    # On disk

    def save(self, directory: Path = RECORDED) -> Path:
        """One directory a recording: two compressed files and the digests to read."""
        path = directory / self.name
        path.mkdir(parents=True, exist_ok=True)
        _pack(path / "log.xz", self.log)
        _pack(
            path / "changelogs.xz", [(*place, self.cuts[place], self.changelogs[place]) for place in sorted(self.cuts)]
        )
        digests = {"replayed": msgspec.to_builtins(self.replayed), "resumed": msgspec.to_builtins(self.resumed)}
        (path / "digests.json").write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """The recording in a directory."""
        digests = msgspec.json.decode((path / "digests.json").read_bytes(), type=dict[str, Told])
        packed = _unpack(path / "changelogs.xz", list[tuple[str, int, int, Changes]])
        return cls(
            name=path.name,
            log=_unpack(path / "log.xz", list[Record]),
            cuts={(topic, number): cut for topic, number, cut, _ in packed},
            changelogs={(topic, number): changes for topic, number, _, changes in packed},
            **digests,
        )


class Accepted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of behaviour that somebody wants: why, and what today's code makes of the recording since."""

    recording: str
    reason: str
    replayed: str = ""
    resumed: str = ""


def recordings() -> list[Path]:
    """Every recording that is kept, one for each state version."""
    return sorted(path for path in RECORDED.iterdir() if path.is_dir())


def accepted(path: Path = ACCEPTED) -> dict[str, Accepted]:
    """The accepted change of each recording that has one."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("accepted", [])
    return {entry.recording: entry for entry in msgspec.convert(entries, list[Accepted])}


def whole(told: Told) -> str:
    """One digest of all."""
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()


def differences(was: Told, now: Told) -> list[str]:
    """Where two runs differ, in words."""
    found = [f"{place}: only in one of them" for place in sorted(was.keys() ^ now.keys())]
    for place in sorted(was.keys() & now.keys()):
        before, after = was[place], now[place]
        for topic in sorted(before.outputs.keys() | after.outputs.keys()):
            if before.outputs.get(topic) != after.outputs.get(topic):
                counts = f"{before.counts.get(topic, 0)} records, now {after.counts.get(topic, 0)}"
                found.append(f"{place}: other output to {topic} ({counts})")
        if before.state != after.state:
            found.append(f"{place}: other state ({before.keys} keys, now {after.keys})")
    return found


def verdict(kind: str, recording: Recording, now: Told, change: Accepted | None) -> str:
    """Empty when today's code does what was recorded, or what was accepted since; otherwise what differs and what to do."""
    found = differences(getattr(recording, kind), now)
    if not found and change is not None and getattr(change, kind):
        return f"{ACCEPTED.name} accepts a change of {recording.name} that is none any more; remove its {kind}"
    if not found or (change is not None and getattr(change, kind) == whole(now)):
        return ""
    return (
        "\n".join([f"{recording.name}, {kind}:", *found])
        + f"\nA change that is wanted is named in {ACCEPTED.name}:\n\n"
        f'[[accepted]]\nrecording = "{recording.name}"\nreason = "..."\n{kind} = "{whole(now)}"\n\n'
        "or, where nothing of this state version is in use yet, recorded anew: python -m tests.upgrade record"
    )


def _pack(path: Path, value: Any) -> None:
    path.write_bytes(lzma.compress(msgspec.msgpack.encode(value), preset=9))


def _unpack(path: Path, kind: Any) -> Any:
    return msgspec.msgpack.decode(lzma.decompress(path.read_bytes()), type=kind)
