"""A replica's memory of what it has promised and accepted: records that are on the disk when it says so.

One disk thread.  `append` hands a write to it and returns; the thread takes everything that is waiting, makes one
block of it and writes that with one synced write (group commit: while one group is written the next one gathers, so
the load sets the size of the groups, and an idle journal adds no wait).  Then it wakes the loop, once for however many
groups were finished meanwhile, and `on_durable` is called with the number of the last write.

Invariants:
- Writes reach the disk in the order of `append`; `on_durable(n)` comes only when n and all before it are durable.
- A write is in one block, so after a crash it is there whole or not at all.
- After the first failed write or sync nothing is ever called durable again: what the system holds after a failed sync
  is not known, so nothing can be repaired by trying again, and the process must end (`on_failure`).
- A write with sync=False waits for the next one that syncs (or `close`), and goes with it, before it.

Rotation replaces the log so far by a snapshot and the records that a fresh journal must begin with.  The snapshot,
which may be large, is written by a thread of its own while the old segments go on; what is appended meanwhile goes to
the old segment, and is also carried over.  When the snapshot is durable, one new segment with the given and the
carried records appears under its name in one step, and only then do the old files go.  A crash before that step
leaves the old journal whole, with what was appended meanwhile; a crash behind it the new one.  So the two must mean
the same, which is true when a replica compacts its own log.  A rotation that changes what the journal says takes a
write number: it holds up all that is appended behind it, and `on_durable` tells when it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from tasksprint.limits import JOURNAL_SEGMENT_BYTES, MIB
from tasksprint.storage import disk, recovery, snapshots
from tasksprint.storage.blocks import BLOCK_HEADER_BYTES, HEADER_BYTES, SegmentHeader
from tasksprint.storage.errors import JournalFailed, StorageError

GROUP_BYTES = 2 * MIB  # a group that has grown past this is written before more is taken
SYNCS_KEPT = 1_024  # durations that the median is made of
RECORD_OVERHEAD = 4


@dataclass(slots=True)
class _Write:
    number: int
    records: list[bytes]
    snapshot: tuple[int, bytes] | None = None


@dataclass(slots=True)
class _Rotate:
    index: int
    state: bytes
    records: list[bytes]
    write: int
    done: Callable[[], None] | None
    error: Exception | None = None  # of the thread that writes the snapshot
    thread: threading.Thread | None = None


@dataclass(slots=True)
class _SnapshotWritten:
    rotation: _Rotate


class _Stop:
    pass


_Job = _Write | _Rotate | _SnapshotWritten | _Stop


class Journal:
    """`open`, then `start` in the loop, then `append` and `rotate` from the loop only, then `close`."""

    def __init__(self, folder: Path, cluster: str, replica: int, lock: int, found: recovery.Recovered) -> None:
        self.folder = folder
        self.records = found.records
        self.snapshot = found.snapshot
        self.torn = found.torn  # a write that nobody was told of was cut off
        self._rotations = 0  # asked for and not told to be done
        self._lock = lock
        self._waiting: SimpleQueue[_Job] = SimpleQueue()
        self._held: list[_Write] = []  # sync=False: go with the next
        self._ages: deque[tuple[int, float]] = deque()
        self._last = 0
        self._durable = 0  # set by the disk thread
        self._telling = False
        self._closed = False
        self._failed: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._writer = _Writer(folder, cluster, replica, found)

    @classmethod
    def open(cls, folder: Path, *, cluster: str, replica: int) -> Journal:
        """Makes the folder if there is none.  Raises InUse, NotOurs, Corrupt, StorageError."""
        disk.make_folder(folder)
        lock = disk.lock(folder / "lock")
        try:
            return cls(folder, cluster, replica, lock, recovery.recover(folder, cluster, replica))
        except OSError as error:
            os.close(lock)
            raise StorageError(f"{folder} cannot be used: {error}; check its owner, its mode and the disk") from error
        except BaseException:
            os.close(lock)
            raise

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        on_durable: Callable[[int], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        assert self._thread is None
        self._loop = loop
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def append(
        self, write: int, records: list[bytes], sync: bool = True, snapshot: tuple[int, bytes] | None = None
    ) -> None:
        """`write` grows.  `snapshot` (index, state): durable before the records, and in force together with them."""
        assert write > self._last
        self._last = write
        job = _Write(write, records, snapshot)
        if not sync:
            self._held.append(job)
            return
        self._ages.append((write, time.monotonic()))
        self._push(job)

    def rotate(
        self,
        snapshot_index: int,
        snapshot: bytes,
        records: list[bytes],
        *,
        write: int = 0,
        done: Callable[[], None] | None = None,
    ) -> None:
        """`records`: all that a journal with this snapshot and no log before must begin with.

        Without `write` they and the snapshot must mean the same as the journal so far; with it they replace it, as
        one write of that number, and what is appended behind waits.  `done` is called in the loop when the old files
        are gone.
        """
        if write:
            assert write > self._last
            self._last = write
            self._ages.append((write, time.monotonic()))
        self._rotations += 1
        self._push(_Rotate(snapshot_index, snapshot, list(records), write, done))

    @property
    def rotating(self) -> bool:
        return self._rotations > 0

    def oldest_unsynced_ms(self) -> int:
        """How long the oldest write that is not yet durable has been waiting; 0: there is none."""
        while self._ages and self._ages[0][0] <= self._durable:
            self._ages.popleft()
        return int((time.monotonic() - self._ages[0][1]) * 1_000) if self._ages else 0

    @property
    def syncs(self) -> int:
        return self._writer.syncs

    @property
    def bytes_since_rotation(self) -> int:
        return self._writer.bytes_written

    def sync_median_ms(self) -> float:
        """Of the last synced writes."""
        durations = list(self._writer.durations)
        return statistics.median(durations) * 1_000 if durations else 0.0

    def close(self) -> None:
        """Everything appended is durable when this returns, unless the journal has failed.  No callback follows."""
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            self._push(_Stop())
            self._thread.join()
        self._writer.close()
        os.close(self._lock)

    # --- in the loop ----------------------------------------------------------------------------------

    def _push(self, job: _Job) -> None:
        for held in self._held:
            self._waiting.put(held)
        self._held.clear()
        self._waiting.put(job)

    def _tell(self) -> None:
        self._telling = False  # before `_durable` is read: a write that ends now asks for another call
        if not self._closed and self._failed is None:
            self._on_durable(self._durable)

    def _tell_failure(self) -> None:
        if not self._closed and self._failed is not None:
            self._on_failure(self._failed)

    def _tell_rotated(self, done: Callable[[], None] | None) -> None:
        self._rotations -= 1
        if done is not None and not self._closed:
            done()

    # --- in the disk thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except Exception as error:
            self._failed = _failure(self.folder, error)
            self._call(self._tell_failure)

    def _turn(self) -> bool:
        group, other = self._gather()
        if group:
            self._writer.write([r for write in group for r in write.records], group[-1].snapshot)
            self._is_durable(group[-1].number)
        match other:
            case _Stop():
                self._writer.end()
                return False
            case _Rotate():
                self._begin_rotation(other)
            case _SnapshotWritten():
                if self._writer.rotation is other.rotation:
                    self._end_rotation(other.rotation)
        return True

    def _is_durable(self, write: int) -> None:
        self._durable = write
        if not self._telling:
            self._telling = True
            self._call(self._tell)

    def _gather(self) -> tuple[list[_Write], _Job | None]:
        """All that waits, up to GROUP_BYTES, a snapshot, or a job of another kind, which is given beside the group."""
        job = self._waiting.get()
        group: list[_Write] = []
        size = 0
        while isinstance(job, _Write):
            group.append(job)
            size += sum(map(len, job.records))
            if size > GROUP_BYTES or job.snapshot is not None:
                return group, None
            try:
                job = self._waiting.get_nowait()
            except Empty:
                return group, None
        return group, job

    def _begin_rotation(self, rotation: _Rotate) -> None:
        if self._writer.rotation is not None:
            self._end_rotation(self._writer.rotation)
        self._writer.carry(rotation)

        def write_snapshot() -> None:
            try:
                self._writer.write_snapshot(rotation.index, rotation.state)
            except Exception as failure:
                rotation.error = failure
            self._waiting.put(_SnapshotWritten(rotation))

        rotation.thread = threading.Thread(target=write_snapshot, name="snapshot", daemon=True)
        rotation.thread.start()
        if rotation.write:
            self._end_rotation(rotation)

    def _end_rotation(self, rotation: _Rotate) -> None:
        assert rotation.thread is not None
        rotation.thread.join()
        if rotation.error is not None:
            raise rotation.error
        self._writer.rotate()
        if rotation.write:
            self._is_durable(rotation.write)
        self._call(lambda: self._tell_rotated(rotation.done))

    def _call(self, function: Callable[[], None]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended before us: there is nobody to tell
            self._loop.call_soon_threadsafe(function)


class _Writer:
    """The files, as the disk thread sees them."""

    def __init__(self, folder: Path, cluster: str, replica: int, found: recovery.Recovered) -> None:
        self.syncs = 0
        self.durations: deque[float] = deque(maxlen=SYNCS_KEPT)
        self.bytes_written = found.size_before + found.end
        self._folder = folder
        self._cluster = cluster
        self._replica = replica
        self._chain = found.chain
        self._number = found.number
        self._end = found.end
        self._size = found.size
        self._snapshot = found.snapshot[0] if found.snapshot else 0
        self.rotation: _Rotate | None = None  # its snapshot is being written
        self._carried: list[bytes] = []
        self._descriptor = os.open(recovery.path_of(folder, found.number), os.O_RDWR)

    def write(self, records: list[bytes], snapshot: tuple[int, bytes] | None = None) -> None:
        index = 0
        if snapshot is not None:
            index, state = snapshot
            self.write_snapshot(index, state)
        needed = BLOCK_HEADER_BYTES + sum(map(len, records)) + RECORD_OVERHEAD * len(records)
        if self._end + needed > self._size:
            self._next_segment(needed)
        block = self._chain.block(records, index)
        begun = time.perf_counter()
        disk.write_synced(self._descriptor, block, self._end)
        self.durations.append(time.perf_counter() - begun)
        self.syncs += 1
        self._end += len(block)
        self.bytes_written += len(block)
        if self.rotation is not None:
            self._carried += records
        if index:
            self._snapshot = index
            if self.rotation is None:
                snapshots.remove_others(self._folder, index)

    def write_snapshot(self, index: int, state: bytes) -> None:
        snapshots.write(self._folder, self._cluster, self._replica, index, state)

    def carry(self, rotation: _Rotate) -> None:
        """From now on what is written is also kept for the segment that will replace this one."""
        self.rotation = rotation
        self._carried = list(rotation.records)

    def rotate(self) -> None:
        """The snapshot is durable: the new segment, then away with what it replaces."""
        rotation = self.rotation
        assert rotation is not None
        old = self._number
        index = max(rotation.index, self._snapshot)  # a newer one may have been installed meanwhile
        self._begin_segment([self._carried], index, begins=True, needed=0)
        self.rotation, self._carried, self._snapshot = None, [], index
        for path in sorted(self._folder.glob(f"{recovery.PREFIX}*")):
            if path < recovery.path_of(self._folder, old + 1):
                path.unlink()
        snapshots.remove_others(self._folder, index)
        disk.sync_folder(self._folder)

    def end(self) -> None:
        """An empty block: now the last records have a successor, and damage to them will show."""
        self.write([])

    def close(self) -> None:
        os.close(self._descriptor)

    def _next_segment(self, needed: int) -> None:
        self._begin_segment([], 0, begins=False, needed=needed)

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
        os.close(self._descriptor)
        self._descriptor, self._number, self._end, self._size = descriptor, header.number, end, size
        if begins:
            self.bytes_written = end


def _failure(folder: Path, error: Exception) -> Exception:
    what = f"{error.strerror}" if isinstance(error, OSError) and error.strerror else repr(error)
    return JournalFailed(f"writing the journal in {folder} failed ({what}): free or mend the disk, then start again")


assert HEADER_BYTES + BLOCK_HEADER_BYTES < JOURNAL_SEGMENT_BYTES
