"""The journal's promise on a simulated disk: pure, so that the simulator can crash it at any moment from a seed.

What was appended and not synced may be lost in a crash, from any point on (a torn tail: a write may be cut between two
of its records, which is more than the real journal allows and so a stricter test of its user).  What was synced is
always there afterwards.  A rotation is one step: a crash leaves it done or not begun.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Write:
    number: int
    records: tuple[bytes, ...]
    snapshot: tuple[int, bytes] | None


@dataclass(frozen=True, slots=True)
class _Rotation:
    snapshot: tuple[int, bytes]
    records: tuple[bytes, ...]


class MemoryJournal:
    """`records` and `snapshot` are what a restarted replica would find on the disk now."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.snapshot: tuple[int, bytes] | None = None
        self.durable = 0  # the last write that is on the disk
        self.torn = 0  # crashes that cut a write in two
        self._waiting: list[_Write | _Rotation] = []

    @property
    def unsynced(self) -> int:
        """Writes and rotations that a crash may lose."""
        return len(self._waiting)

    @property
    def last(self) -> int:
        """The number of the last write that was appended; 0: none since the last crash waits."""
        return next((w.number for w in reversed(self._waiting) if isinstance(w, _Write)), self.durable)

    def append(
        self, write: int, records: list[bytes], sync: bool = True, snapshot: tuple[int, bytes] | None = None
    ) -> None:
        """`sync` changes nothing here: the disk syncs when the simulator says so."""
        assert write > self.last
        self._waiting.append(_Write(write, tuple(records), snapshot))

    def rotate(self, snapshot_index: int, snapshot: bytes, records: list[bytes]) -> None:
        self._waiting.append(_Rotation((snapshot_index, snapshot), tuple(records)))

    def sync_to(self, write: int) -> None:
        """Everything up to this write, and the rotations before it, is on the disk."""
        count = sum(1 for each in self._waiting if isinstance(each, _Write) and each.number <= write)
        while count:
            count -= isinstance(self._waiting[0], _Write)
            self._store(self._waiting.pop(0))

    def sync(self) -> None:
        """Everything, rotations at the end too."""
        for each in self._waiting:
            self._store(each)
        self._waiting.clear()

    def crash(self, choose: Callable[[int], int]) -> None:
        """The power goes.  `choose(n)` gives 0 to n: how much of what was not synced is there after all."""
        whole = choose(len(self._waiting))
        for each in self._waiting[:whole]:
            self._store(each)
        if whole < len(self._waiting):
            self._tear(self._waiting[whole], choose)
        self._waiting.clear()
        self.durable = 0  # numbers start again with the next life

    def _tear(self, write: _Write | _Rotation, choose: Callable[[int], int]) -> None:
        if isinstance(write, _Write) and len(write.records) > 1 and write.snapshot is None:
            kept = choose(len(write.records) - 1)
            self.torn += kept > 0
            self.records += write.records[:kept]

    def _store(self, each: _Write | _Rotation) -> None:
        if isinstance(each, _Rotation):
            self._store_rotation(each)
            return
        self.records += each.records
        self.durable = each.number
        if each.snapshot is not None:
            self.snapshot = each.snapshot

    def _store_rotation(self, rotation: _Rotation) -> None:
        if self.snapshot is None or rotation.snapshot[0] > self.snapshot[0]:
            self.snapshot = rotation.snapshot
        self.records = list(rotation.records)
