"""The committed contracts: every version of every record, by id and by subject."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from schemas.errors import ContractFault

NAMESPACE = "clearline"
_ROOT = Path(__file__).parent
_LOCK = _ROOT / "lock.json"


class LockEntry(msgspec.Struct, frozen=True):
    """One line of `lock.json`: a version of a record and the digest of its file."""

    id: int
    subject: str
    version: int
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Contract:
    """One version of one record.

    `id` is the wire-format id, `subject` the full record name (record-name strategy), `text` the `.avsc`
    as committed and `schema` the same, parsed as JSON.
    """

    id: int
    subject: str
    version: int
    text: str
    schema: dict[str, Any]

    @property
    def record(self) -> str:
        """The record's name without its namespace."""
        return self.subject.rpartition(".")[2]


def _load(entry: LockEntry) -> Contract:
    text = (_ROOT / entry.file).read_text(encoding="utf-8")
    if hashlib.sha256(text.encode()).hexdigest() != entry.sha256:
        message = f"{entry.file} differs from schemas/lock.json: a committed version never changes; add a new one"
        raise ContractFault(message)
    return Contract(entry.id, entry.subject, entry.version, text, json.loads(text))


@cache
def all_contracts() -> tuple[Contract, ...]:
    """Every committed version, ordered by id. Raises `ContractFault` when a file differs from the lock."""
    entries = msgspec.json.decode(_LOCK.read_bytes(), type=list[LockEntry])
    contracts = tuple(sorted((_load(entry) for entry in entries), key=lambda contract: contract.id))
    if len({contract.id for contract in contracts}) != len(contracts):
        message = "schemas/lock.json gives one id to two schemas"
        raise ContractFault(message)
    return contracts


@cache
def by_id() -> dict[int, Contract]:
    """Contracts by wire-format id."""
    return {contract.id: contract for contract in all_contracts()}


@cache
def by_subject() -> dict[str, tuple[Contract, ...]]:
    """Contracts by subject, versions rising."""
    subjects: dict[str, list[Contract]] = {}
    for contract in sorted(all_contracts(), key=lambda contract: contract.version):
        subjects.setdefault(contract.subject, []).append(contract)
    return {subject: tuple(versions) for subject, versions in subjects.items()}


@cache
def latest() -> dict[str, Contract]:
    """The newest version of each record, by record name without namespace."""
    return {versions[-1].record: versions[-1] for versions in by_subject().values()}
