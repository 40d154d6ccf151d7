"""A bounded map of recently used values, cheap enough to sit in front of RocksDB."""

from __future__ import annotations

# What a dictionary entry costs beside its key and value: slot, two object headers.
ENTRY_OVERHEAD_BYTES = 160


class RecentValues:
    """
    Two generations: what is used moves to the young one; when that is full, the old one is dropped whole.

    It approximates least-recently-used without touching an order on every hit. It holds between half of the limit and
    the limit once it is warm.
    """

    __slots__ = ("_half_bytes", "_old", "_young", "_young_bytes")

    def __init__(self, *, bytes_max: int) -> None:
        self._half_bytes = bytes_max // 2
        self._young: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}
        self._young_bytes = 0

    def get(self, key: bytes, default: object) -> object:
        """The value (None is one: known to be absent), or the default if the key isn't here."""
        value = self._young.get(key, default)
        if value is not default:
            return value
        value = self._old.get(key, default)
        if value is not default:
            self.put(key, value)  # type: ignore[arg-type]
        return value

    def put(self, key: bytes, value: bytes | None) -> None:
        """Remember the key's value."""
        young = self._young
        if key not in young:
            self._young_bytes += len(key) + ENTRY_OVERHEAD_BYTES
        # A replaced value is counted again rather than looked up: the bound errs on the small side.
        self._young_bytes += len(value) if value is not None else 0
        young[key] = value
        if self._young_bytes > self._half_bytes:
            self._old, self._young, self._young_bytes = young, {}, 0

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
