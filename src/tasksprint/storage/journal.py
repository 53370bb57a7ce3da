"""A replica's memory of what it has promised and accepted: records that are on the disk when it says so.

The way of a write: `append` makes a block of it in the loop and hands that to the syncer, a thread that writes with
one synced write and needs nothing of the interpreter (native/syncer.py).  While a block is under way further appends
wait, and go together as the next one when it has ended (group commit: the load sets the size of the groups, and an
idle journal adds no wait).  The syncer's end shows as a readable descriptor; then `on_durable` is called with the
number of the last write.  A loop that is too busy to look there finds out when it appends again, so that the disk does
not wait for the loop's next turn; the telling does.  A `quiet` write goes the same way, but wakes nobody at its end:
`look` asks for that.

What is slow goes on errands (`_Errand`): a new segment, a snapshot that was received, the end of a rotation.  Each is a
thread of its own, for as long as it takes; meanwhile appends wait as behind a block.  So the loop never waits for
the disk but in `close`.  It has no path that writes in the loop itself, quick as that would be on a good day: the
heartbeats that keep a leader in office go through this loop, and a disk may take seconds.

Invariants:
- One thing is under way at a time: a block or an errand (`_under_way`).  Only its thread touches the files then.
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasksprint.limits import MIB
from tasksprint.native.syncer import Syncer
from tasksprint.storage import disk, recovery
from tasksprint.storage.errors import JournalFailed, StorageError
from tasksprint.storage.segments import Segments

GROUP_BYTES = 2 * MIB  # a group that has grown past this is written before more is taken
SYNCS_KEPT = 1_024  # durations that the median is made of


@dataclass(slots=True)
class _Write:
    number: int
    records: list[bytes]
    quiet: bool = False
    snapshot: tuple[int, bytes] | None = None


@dataclass(slots=True, eq=False)
class _Rotation:
    index: int
    records: list[bytes]
    write: int
    done: Callable[[], None] | None
    snapshot: _Errand  # writes it


@dataclass(slots=True)
class _SnapshotWritten:
    rotation: _Rotation


@dataclass(slots=True)
class _Block:
    """What the syncer has."""

    number: int  # of the last write in it
    records: list[bytes]
    size: int


class _Errand:
    """Slow work in a thread of its own; `ended` is called in the loop, unless the journal was closed meanwhile."""

    def __init__(self, work: Callable[[], None], ended: Callable[[_Errand], None]) -> None:
        self.ended = ended
        self.error: Exception | None = None
        self._work = work
        self._thread: threading.Thread | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        def run() -> None:
            try:
                self._work()
            except Exception as error:
                self.error = error
            with contextlib.suppress(RuntimeError):  # the loop has ended before us: there is nobody to tell
                loop.call_soon_threadsafe(self.ended, self)

        self._thread = threading.Thread(target=run, name="journal", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Returns when the work is done; raises what it raised."""
        assert self._thread is not None
        self._thread.join()
        if self.error is not None:
            raise self.error


_Job = _Write | _Rotation | _SnapshotWritten


class Journal:
    """`open`, then `start` in the loop, then `append` and `rotate` from the loop only, then `close`."""

    def __init__(self, folder: Path, cluster: str, replica: int, lock: int, found: recovery.Recovered) -> None:
        self.folder = folder
        self.records = found.records
        self.snapshot = found.snapshot
        self.torn = found.torn  # a write that nobody was told of was cut off
        self.syncs = 0
        self._lock = lock
        self._rotations = 0  # asked for and not told to be done
        self._waiting: deque[_Job] = deque()
        self._held: list[_Write] = []  # sync=False: go with the next
        self._ages: deque[tuple[int, float]] = deque()
        self._last = 0  # the last write that was appended ...
        self._durable = 0  # ... that is on the disk ...
        self._told = 0  # ... that `on_durable` was called with
        self._durations: deque[float] = deque(maxlen=SYNCS_KEPT)
        self._under_way: _Block | _Errand | None = None
        self._quiet = False  # the end of the block that is under way will not show
        self._rotation: _Rotation | None = None  # its snapshot is being written
        self._failed: Exception | None = None
        self._failure_told = False
        self._closed = False
        self._segments = Segments(folder, cluster, replica, found)
        self._loop: asyncio.AbstractEventLoop
        self._syncer: Syncer | None = None

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
        assert self._syncer is None
        self._loop = loop
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._syncer = Syncer()
        loop.add_reader(self._syncer.fileno(), self._synced)

    def append(
        self,
        write: int,
        records: list[bytes],
        sync: bool = True,
        snapshot: tuple[int, bytes] | None = None,
        quiet: bool = False,
    ) -> None:
        """`write` grows.  `snapshot` (index, state): durable before the records, and in force together with them.

        `quiet`: `on_durable` may be called for it as late as for a later write that is not, or at the next `look`.
        """
        assert write > self._last
        self._last = write
        job = _Write(write, records, quiet, snapshot)
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
        errand = _Errand(lambda: self._segments.write_snapshot(snapshot_index, snapshot), self._snapshot_written)
        self._push(_Rotation(snapshot_index, list(records), write, done, errand))

    def look(self) -> None:
        """Somebody waits for what was appended quietly: `on_durable` is called now, or as soon as it is durable."""
        self._show()
        self._tell()

    @property
    def rotating(self) -> bool:
        return self._rotations > 0

    def oldest_unsynced_ms(self) -> int:
        """How long the oldest write that is not yet durable has been waiting; 0: there is none."""
        self._collect()
        while self._ages and self._ages[0][0] <= self._durable:
            self._ages.popleft()
        return int((time.monotonic() - self._ages[0][1]) * 1_000) if self._ages else 0

    @property
    def bytes_since_rotation(self) -> int:
        return self._segments.bytes_written

    def sync_median_ms(self) -> float:
        """Of the last synced writes."""
        return statistics.median(self._durations) * 1_000 if self._durations else 0.0

    def close(self) -> None:
        """Everything appended is durable when this returns, unless the journal has failed.  No callback follows."""
        if self._closed:
            return
        self._closed = True
        if self._syncer is not None:
            self._waiting += self._held
            self._finish(self._syncer)
            self._loop.remove_reader(self._syncer.fileno())
            self._syncer.close()
        self._segments.close()
        os.close(self._lock)

    def _finish(self, syncer: Syncer) -> None:
        self._go_on()
        while (what := self._under_way) is not None:
            if isinstance(what, _Errand):
                with contextlib.suppress(Exception):
                    what.wait()
                what.ended(what)
            else:
                syncer.wait()
                self._collect()
        if self._failed is None:
            try:
                self._segments.finish()
            except OSError as error:
                self._fail(error)

    # --- what happened, told in the loop ----------------------------------------------------------------

    def _synced(self) -> None:
        """The syncer's descriptor is readable."""
        assert self._syncer is not None
        self._syncer.clear()
        self._collect()
        self._tell()

    def _tell(self) -> None:
        if self._closed:
            return
        if self._failed is not None:
            if not self._failure_told:
                self._failure_told = True
                self._on_failure(self._failed)
        elif self._told < self._durable:
            self._told = self._durable
            self._on_durable(self._durable)

    def _fail(self, error: Exception) -> None:
        what = f"{error.strerror}" if isinstance(error, OSError) and error.strerror else repr(error)
        self._failed = JournalFailed(
            f"writing the journal in {self.folder} failed ({what}): free or mend the disk, then start again"
        )

    # --- one thing after the other -----------------------------------------------------------------------

    def _push(self, job: _Job) -> None:
        if self._held:
            self._waiting += self._held
            self._held.clear()
        self._waiting.append(job)
        self._show()
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and self._under_way is None and self._failed is None:
            job = self._waiting.popleft()
            if isinstance(job, _Write):
                self._begin_group(job)
            elif isinstance(job, _Rotation):
                self._begin_rotation(job)
            elif self._rotation is job.rotation:
                self._end_rotation(job.rotation)

    def _show(self) -> None:
        """From now on the end of what is under way shows; what has ended counts."""
        if self._quiet and self._syncer is not None:
            self._quiet = False
            self._syncer.show(True)
        self._collect()

    def _begin_group(self, last: _Write) -> None:
        """With all that waits behind it, up to GROUP_BYTES, a snapshot, or a job of another kind."""
        records, quiet = last.records, last.quiet and self._told == self._durable
        if self._waiting and last.snapshot is None:
            records = list(records)
            size = sum(map(len, records))
            while size <= GROUP_BYTES and last.snapshot is None and self._waiting:
                job = self._waiting[0]
                if not isinstance(job, _Write):
                    break
                last = job
                quiet = quiet and job.quiet
                self._waiting.popleft()
                records += last.records
                size += sum(map(len, last.records))
        if last.snapshot is None and self._segments.has_room(records):
            block = self._segments.block(records)
            self._under_way = _Block(last.number, records, len(block))
            assert self._syncer is not None
            if quiet != self._quiet:
                self._quiet = quiet
                self._syncer.show(not quiet)
            self._syncer.begin(self._segments.descriptor, self._segments.end, block)
        else:
            snapshot, number = last.snapshot, last.number
            self._send_errand(lambda: self._segments.write(records, snapshot), lambda: self._count_sync(number))

    def _collect(self) -> None:
        """If a block has ended, it counts, and the next one goes."""
        block = self._under_way
        if not isinstance(block, _Block):
            return
        assert self._syncer is not None
        result = self._syncer.result()
        if result is None:
            return
        self._under_way = None
        number, seconds = result
        if number:
            self._fail(OSError(number, os.strerror(number)))
            return
        self._durations.append(seconds)
        self._segments.wrote(block.size, block.records)
        self._count_sync(block.number)
        self._go_on()

    def _count_sync(self, number: int) -> None:
        self.syncs += 1
        self._durable = number

    # --- errands -------------------------------------------------------------------------------------------

    def _send_errand(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        def ended(errand: _Errand) -> None:
            if self._under_way is not errand:
                return  # `close` was faster
            self._under_way = None
            if errand.error is not None:
                self._fail(errand.error)
            else:
                done()
                self._go_on()
            self._tell()

        errand = _Errand(work, ended)
        self._under_way = errand
        errand.start(self._loop)

    def _begin_rotation(self, rotation: _Rotation) -> None:
        if self._rotation is not None:
            self._waiting.appendleft(rotation)
            self._end_rotation(self._rotation)
            return
        self._rotation = rotation
        self._segments.carry(rotation.records)
        rotation.snapshot.start(self._loop)
        if rotation.write:
            self._end_rotation(rotation)

    def _snapshot_written(self, errand: _Errand) -> None:
        rotation = self._rotation
        if rotation is not None and rotation.snapshot is errand and not self._closed:
            self._waiting.append(_SnapshotWritten(rotation))
            self._go_on()

    def _end_rotation(self, rotation: _Rotation) -> None:
        def work() -> None:
            rotation.snapshot.wait()
            self._segments.rotate(rotation.index)

        def done() -> None:
            self._rotation = None
            self._rotations -= 1
            if rotation.write:
                self._durable = rotation.write
            if rotation.done is not None and not self._closed:
                rotation.done()

        self._send_errand(work, done)
