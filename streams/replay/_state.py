"""The fold's state beside the changelog's: equal at some moment between two looks at the group's offset, or which keys differ."""

from __future__ import annotations

from collections.abc import Iterator

from streams.replay._store import Scratch
from streams.replay.difference import Difference, Place, between, of_state
from streams.replay.errors import TooMuch
from streams.runtime import POSITIONS_KEY, Record

KEYS_DIFFERING_MAX = 1_000_000
"""Held in memory while the moment is looked for: 150 MB or so. A busy partition changes some thousand keys between the looks."""

_APPLY_RECORDS = 5_000
_OFFSET_BYTES = 8


def load(recorded: Scratch, changelog: Iterator[Record]) -> int:
    """Bring a store to the changelog's end; each value has its offset in front. Returns how many records were read."""
    changes: dict[bytes, bytes | None] = {}
    count = 0
    for record in changelog:
        count += 1
        if record.key == POSITIONS_KEY:
            continue  # the runtime's own; the fold is cut at the group's offsets
        assert record.key, "a state key is never empty"
        changes[record.key] = (
            None if record.value is None else record.offset.to_bytes(_OFFSET_BYTES, "big") + record.value
        )
        if len(changes) >= _APPLY_RECORDS:
            recorded.apply(changes)
            changes = {}
    recorded.apply(changes)
    return count


class StateComparison:
    """
    Which keys differ, kept up to date while the fold goes on.

    The changelog was read to a point where transactions end, so it is the state after some input between `cut` (committed
    before the changelog's end was asked for) and `end` (committed after). Start it when the fold stands at the cut, tell
    it each further input's changes: if no key differs at one of these moments, state is equal.
    """

    def __init__(self, folded: Scratch, recorded: Scratch, *, at: int) -> None:
        self._folded, self._recorded = folded, recorded
        self.keys = 0
        self.position = at
        self._differing = self._scan()
        self.equal = not self._differing
        self._certain = set(self._differing)
        """Differing ones that no input since the cut has written: no moment can make these equal."""

    def _scan(self) -> set[bytes]:
        """Merge both stores in key order."""
        differing: set[bytes] = set()
        left, right = iter(self._folded.range(b"")), iter(self._recorded.range(b""))
        one, other = next(left, None), next(right, None)
        while one is not None or other is not None:
            if other is None or (one is not None and one[0] < other[0]):
                assert one is not None
                differing.add(one[0])
                self.keys += 1
                one = next(left, None)
            elif one is None or other[0] < one[0]:
                differing.add(other[0])
                other = next(right, None)
            else:
                self.keys += 1
                if one[1] != other[1][_OFFSET_BYTES:]:
                    differing.add(one[0])
                one, other = next(left, None), next(right, None)
            if len(differing) > KEYS_DIFFERING_MAX:
                message = f"more than {KEYS_DIFFERING_MAX:,} keys of state differ"
                raise TooMuch(message, remedy="Compare again when fewer payments are under way, or look at the events")
        return differing

    def advance(self, written: dict[bytes, bytes | None], *, position: int) -> None:
        """One more input was folded, and its changes are in the store."""
        if self.equal:
            return
        for key, value in written.items():
            self._certain.discard(key)
            kept = self._recorded.get(key)
            if value == (None if kept is None else kept[_OFFSET_BYTES:]):
                self._differing.discard(key)
            else:
                self._differing.add(key)
        self.position = position
        self.equal = not self._differing

    def differences(self, changelog: str, partition: int, *, shown_max: int) -> tuple[int, list[Difference]]:
        """How many keys differ, and the first ones by their place in the changelog."""
        if self.equal:
            return 0, []
        keys = self._certain or self._differing
        placed = sorted((self._offset(key), key) for key in keys)
        return len(keys), [self._described(key, changelog, partition) for _, key in placed[:shown_max]]

    def _offset(self, key: bytes) -> int:
        kept = self._recorded.get(key)
        return -1 if kept is None else int.from_bytes(kept[:_OFFSET_BYTES], "big")

    def _described(self, key: bytes, changelog: str, partition: int) -> Difference:
        kept = self._recorded.get(key)
        offset = self._offset(key)
        return Difference(
            kind="state",
            topic=changelog,
            what=f"state {key.decode(errors='backslashreplace')}",
            recorded=None if kept is None else Place(changelog, partition, offset),
            fields=between(
                of_state(key, self._folded.get(key)), of_state(key, None if kept is None else kept[_OFFSET_BYTES:])
            ),
            note=f"state as folded up to input offset {self.position}",
        )
