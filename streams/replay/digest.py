"""Digests of a tenant's days: RFC 6962 hash trees over the events as they stand on their topics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from hashlib import sha256

import msgspec

ALGORITHM = "rfc6962-sha256/1"
"""Names the tree, what its leaves are and their order; any change of these is another name."""

DAY_MS = 86_400_000
_LEAF = b"\x00"
_NODE = b"\x01"
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DAYS_MAX = date.max.toordinal() - _EPOCH_ORDINAL


class Digest(msgspec.Struct, frozen=True, order=True):
    """The root over a tenant's events of one UTC day."""

    tenant: str
    day: str
    events: int
    root_sha256: str


def leaf_hash(value: bytes) -> bytes:
    """RFC 6962: MTH({d}) = SHA-256(0x00 || d)."""
    return sha256(_LEAF + value).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962: SHA-256(0x01 || left || right), so that no node can pass for a leaf."""
    return sha256(_NODE + left + right).digest()


class Tree:
    """RFC 6962's tree as leaves come: keeps the roots of the complete subtrees only, at most one a level."""

    __slots__ = ("_roots", "leaves")

    def __init__(self) -> None:
        self.leaves = 0
        self._roots: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """One more leaf, by its hash."""
        # Each trailing one bit of the count is a complete subtree as large as what has just been completed.
        count, node = self.leaves, leaf
        while count & 1:
            node = node_hash(self._roots.pop(), node)
            count >>= 1
        self._roots.append(node)
        self.leaves += 1

    def root(self) -> bytes:
        """MTH of the leaves so far; of none: SHA-256 of nothing."""
        if not self._roots:
            return sha256(b"").digest()
        *others, root = self._roots
        for left in reversed(others):
            root = node_hash(left, root)
        return root


def day_of(timestamp_ms: int) -> str:
    """The UTC day of a record's timestamp, YYYY-MM-DD; days outside of the calendar count from the epoch."""
    number = timestamp_ms // DAY_MS
    if -_EPOCH_ORDINAL < number <= _DAYS_MAX:
        return date.fromordinal(_EPOCH_ORDINAL + number).isoformat()
    return f"epoch{number:+d}"


def tenant_of(key: bytes | None) -> str:
    """The tenant of an event: its record's key up to the first slash."""
    return (key or b"").partition(b"/")[0].decode(errors="backslashreplace")


def digests(leaves: Iterable[tuple[tuple[str, str], bytes]]) -> Iterator[Digest]:
    """The digests, sorted, over ((tenant, day), leaf hash) in topic, partition, offset order."""
    trees: dict[tuple[str, str], Tree] = {}
    for name, leaf in leaves:
        tree = trees.get(name)
        if tree is None:
            tree = trees[name] = Tree()
        tree.add(leaf)
    for (tenant, day), tree in sorted(trees.items(), key=lambda item: item[0]):
        yield Digest(tenant, day, tree.leaves, tree.root().hex())
