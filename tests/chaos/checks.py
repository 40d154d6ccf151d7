"""What a verifier says, and how it names records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

from schemas import catalogue, codec
from schemas.errors import DecodingError
from schemas.records import Record as Message
from streams.runtime import Record

PROBLEMS_KEPT = 5
SHOWN_CHARS = 400


@dataclass
class Check:
    """One promise: how many things were looked at, and what breaks it."""

    name: str
    count: int = 0
    broken: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing breaks it."""
        return not self.broken

    def fault(self, problem: str) -> None:
        """One thing that breaks it; the first few are kept in words."""
        self.broken += 1
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(problem)

    def __str__(self) -> str:
        shown = f"{self.name}: {self.count:,} looked at, {self.broken:,} wrong"
        return "\n    ".join([shown, *self.problems])


@dataclass
class Sent:
    """What a load sent, counted by `fingerprint`: the other end of "nothing lost, nothing twice"."""

    intents: Counter[bytes] = field(default_factory=Counter)
    commands: Counter[bytes] = field(default_factory=Counter)
    payouts: Counter[bytes] = field(default_factory=Counter)
    customers: Counter[bytes] = field(default_factory=Counter)


def fingerprint(key: bytes | None, value: bytes | None) -> bytes:
    """Short enough to keep millions of, long enough to be sure."""
    digest = blake2b(key or b"", digest_size=16)
    digest.update(b"\x00" if value is None else b"\x01" + value)
    return digest.digest()


def decoded(record: Record, topic: catalogue.Topic) -> Message | None:
    """The message on a topic, None where it holds none."""
    try:
        return codec.decode(record.value, expected=topic.records)
    except DecodingError:
        return None


_BY_NAME = {topic.name: topic for topic in catalogue.CATALOGUE}


def any_of(record: Record) -> Message | None:
    """The message, whatever its topic carries."""
    return decoded(record, _BY_NAME[record.topic])


def short(value: bytes | None) -> str:
    """A value in words."""
    if value is None:
        return "nothing"
    try:
        return repr(codec.decode(value))[:SHOWN_CHARS]
    except DecodingError:
        return f"{len(value)} bytes {value[:80].hex()}"
