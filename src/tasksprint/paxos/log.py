"""The log in memory: entries without holes, their first ones dropped when a snapshot holds them.

The running total of bytes is kept beside the entries, so that the size of any range, and the place
where a message must be cut, are found without walking.
"""

from __future__ import annotations

from bisect import bisect_right


class Log:
    __slots__ = ("_ends", "_entries", "first", "length")

    def __init__(self, index: int = 0) -> None:
        """An empty log whose entries up to `index` are elsewhere."""
        self.reset(index)

    def reset(self, index: int) -> None:
        self.first = index + 1  # of the first entry kept
        self.length = index  # index of the last entry
        self._entries: list[bytes] = []
        self._ends: list[int] = [0]  # bytes up to the entry before `first`, up to `first`, ...

    def append(self, data: bytes) -> None:
        self._entries.append(data)
        self._ends.append(self._ends[-1] + len(data))
        self.length += 1

    def extend(self, entries: list[bytes]) -> None:
        for data in entries:
            self.append(data)

    def entry(self, index: int) -> bytes:
        assert self.first <= index <= self.length, f"entry {index} is not among {self.first}..{self.length}"
        return self._entries[index - self.first]

    def slice(self, start: int, end: int) -> list[bytes]:
        """Entries `start` to `end`, both included."""
        assert self.first <= start, f"entry {start} is compacted: the log begins with {self.first}"
        return self._entries[start - self.first : end + 1 - self.first]

    def size(self, start: int, end: int) -> int:
        """Bytes of the entries `start` to `end`, as far as they are here."""
        if start < self.first:
            start = self.first
        return self._ends[end + 1 - self.first] - self._ends[start - self.first] if end >= start else 0

    def cut_at(self, start: int, limit: int) -> int:
        """The last index so that `start` to it weigh at most `limit` bytes; one entry at least."""
        ends = self._ends
        place = start - self.first
        if ends[-1] - ends[place] <= limit:
            return self.length
        return max(start, self.first - 2 + bisect_right(ends, ends[place] + limit))

    def cut(self, length: int) -> None:
        """Forget what comes after `length`."""
        assert self.first - 1 <= length <= self.length, f"cannot cut {self.first}..{self.length} to {length}"
        keep = length + 1 - self.first
        del self._entries[keep:]
        del self._ends[keep + 1 :]
        self.length = length

    def drop(self, index: int) -> None:
        """Forget the entries up to `index`: a snapshot holds them.  What comes after it stays."""
        if index < self.first:
            return
        if index >= self.length:
            self.reset(index)
            return
        gone = index + 1 - self.first
        del self._entries[:gone]
        del self._ends[:gone]
        self.first = index + 1
