"""An independent reading of a replica's journal, which the checks believe, and the disk that holds both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tasksprint.paxos import messages as said


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Mirror:
    """What a journal says, read by other code than the replica's own."""

    promised: tuple[int, int] = (0, 0)
    accepted: tuple[int, int] = (0, 0)
    log: list[bytes] = field(default_factory=list)  # from index 1 on, also what a snapshot covers
    parts: list[bytes] = field(default_factory=list)

    def apply(self, record: Any, state: list[bytes]) -> None:
        if isinstance(record, said.Promised):
            if record.ballot < self.promised:
                raise Broken(f"promise goes back from {self.promised} to {record.ballot}")
            self.promised = record.ballot
        elif isinstance(record, said.Snapshotted):
            if len(self.log) < record.index:
                self.log = list(state[: record.index])
            self.log[: record.index] = state[: record.index]
        elif isinstance(record, said.Appended):
            self.append(record)

    def append(self, record: said.Appended) -> None:
        if record.ballot < self.promised:
            raise Broken(f"accepted in {record.ballot} below the promise {self.promised}")
        self.parts += record.entries
        end = record.start + len(record.entries) - 1
        if end < record.until:
            return
        begin = end - len(self.parts) + 1
        if begin > len(self.log) + 1:
            raise Broken(f"a hole in the journal: {begin} after {len(self.log)}")
        self.log[begin - 1 :] = self.parts
        self.parts = []
        self.promised = self.accepted = record.ballot


@dataclass
class Disk:
    """The journal's promise: writes in order, and only what was synced survives."""

    records: list[bytes] = field(default_factory=list)
    snapshot: tuple[int, bytes] | None = None
    queue: list[tuple[str, int, list[bytes], tuple[int, bytes] | None]] = field(default_factory=list)
    durable: int = 0
    rotation: list[bytes] | None = None  # what the next segment will hold: its snapshot is being written
    rotation_snapshot: tuple[int, bytes] = (0, b"")
