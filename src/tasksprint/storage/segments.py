"""The journal's files as they grow: blocks at the end of the newest segment, a new segment, a rotation.

One at a time uses it: the loop, or a thread to which the loop has given it for a while (see journal.py).
`write_snapshot` alone may be called beside that.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tasksprint.limits import JOURNAL_SEGMENT_BYTES
from tasksprint.native.syncer import write_synced
from tasksprint.storage import disk, recovery, snapshots
from tasksprint.storage.blocks import BLOCK_HEADER_BYTES, HEADER_BYTES, SegmentHeader

RECORD_OVERHEAD = 4


class Segments:
    def __init__(self, folder: Path, cluster: str, replica: int, found: recovery.Recovered) -> None:
        self.bytes_written = found.size_before + found.end  # since the last rotation
        self.end = found.end  # where the next block goes ...
        self.descriptor = os.open(recovery.path_of(folder, found.number), os.O_RDWR)  # ... in this file
        self._folder = folder
        self._cluster = cluster
        self._replica = replica
        self._chain = found.chain
        self._number = found.number
        self._size = found.size
        self._snapshot = found.snapshot[0] if found.snapshot else 0
        self._carried: list[bytes] | None = None  # the records of the segment that will replace this one

    # --- one block: has_room, block, then it is written at `end`, then wrote ---------------------------------

    def has_room(self, records: list[bytes]) -> bool:
        return self.end + _size(records) <= self._size

    def block(self, records: list[bytes], snapshot: int = 0) -> bytes:
        """What must be written next, and nothing else: the chain goes on behind it."""
        return self._chain.block(records, snapshot)

    def wrote(self, size: int, records: list[bytes]) -> None:
        """A block of this size is durable."""
        self.end += size
        self.bytes_written += size
        if self._carried is not None:
            self._carried += records

    # --- the slow ways ------------------------------------------------------------------------------------

    def write(self, records: list[bytes], snapshot: tuple[int, bytes] | None = None) -> None:
        """Durable when this returns, in a new segment if need be, and behind the snapshot that comes with it."""
        index = 0
        if snapshot is not None:
            index, state = snapshot
            self.write_snapshot(index, state)
        if not self.has_room(records):
            self._begin_segment([], 0, begins=False, needed=_size(records))
        block = self.block(records, index)
        write_synced(self.descriptor, block, self.end)
        self.wrote(len(block), records)
        if index:
            self._snapshot = index
            if self._carried is None:
                snapshots.remove_others(self._folder, index)

    def write_snapshot(self, index: int, state: bytes) -> None:
        snapshots.write(self._folder, self._cluster, self._replica, index, state)

    def carry(self, records: list[bytes]) -> None:
        """From now on what is written is also kept, behind these, for the segment that will replace this one."""
        self._carried = list(records)

    def rotate(self, index: int) -> None:
        """The snapshot is durable: the new segment with what was carried, then away with what it replaces."""
        assert self._carried is not None
        old = self._number
        index = max(index, self._snapshot)  # a newer one may have been installed meanwhile
        self._begin_segment([self._carried], index, begins=True, needed=0)
        self._carried, self._snapshot = None, index
        for path in sorted(self._folder.glob(f"{recovery.PREFIX}*")):
            if path < recovery.path_of(self._folder, old + 1):
                path.unlink()
        snapshots.remove_others(self._folder, index)
        disk.sync_folder(self._folder)

    def finish(self) -> None:
        """An empty block: now the last records have a successor, and damage to them will show."""
        self.write([])

    def close(self) -> None:
        os.close(self.descriptor)

    def _begin_segment(
        self, blocks: Iterable[list[bytes]], snapshot: int, *, begins: bool, needed: int
    ) -> None:
        chain = self._chain
        header = SegmentHeader(
            self._cluster, self._replica, chain.salt, self._number + 1, begins, chain.group, chain.previous
        )
        parts = [header.encode(), *(chain.block(records, snapshot) for records in blocks)]
        end = sum(map(len, parts))
        size = max(JOURNAL_SEGMENT_BYTES, end + needed)
        path = recovery.path_of(self._folder, header.number)
        disk.create_synced(path, parts, size)
        descriptor = os.open(path, os.O_RDWR)
        os.close(self.descriptor)
        self.descriptor, self._number, self.end, self._size = descriptor, header.number, end, size
        if begins:
            self.bytes_written = end


def _size(records: list[bytes]) -> int:
    """Of the block that holds them."""
    return BLOCK_HEADER_BYTES + sum(map(len, records)) + RECORD_OVERHEAD * len(records)


assert HEADER_BYTES + BLOCK_HEADER_BYTES < JOURNAL_SEGMENT_BYTES
