"""What a journal's folder holds when a process begins: found, checked, and made fit to be written to again.

The last segment that `begins` counts, and those behind it; what stands before it was replaced by it and is removed,
so is every snapshot that is not the one named last.  Only the tail of the last segment may be torn (see blocks.py).
Nothing is changed before the folder is known to be ours and whole.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from tasksprint.limits import JOURNAL_SEGMENT_BYTES
from tasksprint.storage import disk, snapshots
from tasksprint.storage.blocks import (
    HEADER_BYTES,
    SALT_BYTES,
    BadBytes,
    Chain,
    Damage,
    OtherVersion,
    SegmentHeader,
    SegmentRead,
    read_segment,
)
from tasksprint.storage.errors import REPLACE, Corrupt, NotOurs

PREFIX = "journal-"


@dataclass(slots=True)
class Recovered:
    chain: Chain
    number: int  # of the segment to go on with
    end: int  # where in it
    size: int  # of that segment
    records: list[bytes]
    snapshot: tuple[int, bytes] | None
    size_before: int  # of the segments before it
    torn: bool  # a write was cut off: nobody was told that it was durable


def check_place(folder: Path) -> None:
    """Raises NotOurs for a folder with somebody's files in it: a journal is made in a new or an empty one only.

    Nothing is touched.  What is made before the journal (the lock, a secret) or by the file system does not count.
    """
    try:
        names = {each.name for each in folder.iterdir() if not each.name.endswith(disk.TEMPORARY)}
    except OSError:
        return  # there is none yet, or whoever makes it says what is wrong
    if any(name.startswith(PREFIX) for name in names):
        return
    foreign = sorted(names - {"lock", "secret", "lost+found"} - ({"jobs"} if "lock" in names else set()))
    if foreign:
        raise NotOurs(
            f"{folder} is not empty ({foreign[0]}) and holds no journal of a coordinator: choose another --data-dir"
        )


def path_of(folder: Path, number: int) -> Path:
    return folder / f"{PREFIX}{number:010d}"


def recover(folder: Path, cluster: str, replica: int) -> Recovered:
    """Raises NotOurs, Corrupt."""
    segments = _segments(folder, cluster, replica)
    if not segments:
        return _fresh(folder, cluster, replica)
    live = _live(folder, segments)
    chain, records, index, last = _follow(folder, live)
    snapshot = (index, snapshots.read(folder, cluster, replica, index)) if index else None
    number = live[-1].number
    before = sum(path_of(folder, header.number).stat().st_size for header in live[:-1])
    size = _mend(path_of(folder, number), last)
    for header in segments[: -len(live)]:
        path_of(folder, header.number).unlink()
    snapshots.remove_others(folder, index)
    for path in folder.glob(f"*{disk.TEMPORARY}"):
        path.unlink()
    disk.sync_folder(folder)
    return Recovered(chain, number, last.end, size, records, snapshot, before, last.torn)


def _segments(folder: Path, cluster: str, replica: int) -> list[SegmentHeader]:
    """Every segment's header, in order."""
    headers = []
    for path in sorted(folder.glob(f"{PREFIX}*")):
        if path.name.endswith(disk.TEMPORARY):
            continue
        with path.open("rb") as file:
            page = file.read(HEADER_BYTES)
        try:
            header = SegmentHeader.decode(page)
        except OtherVersion as error:
            raise NotOurs(f"{path}: {error}: use that release, or an empty folder") from None
        except BadBytes as error:
            raise Corrupt(path, 0, str(error), REPLACE) from None
        if (header.cluster, header.replica) != (cluster, replica):
            raise NotOurs(
                f"{folder} belongs to coordinator {header.replica} of cluster {header.cluster!r}, "
                f"this is coordinator {replica} of {cluster!r}: choose another folder"
            )
        if path != path_of(folder, header.number):
            raise Corrupt(path, 0, f"this is segment {header.number} under another name", REPLACE)
        headers.append(header)
    return headers


def _live(folder: Path, segments: list[SegmentHeader]) -> list[SegmentHeader]:
    """From the last that begins; the numbers behind it must have no hole."""
    first = max((i for i, header in enumerate(segments) if header.begins), default=-1)
    if first < 0:
        raise Corrupt(path_of(folder, segments[0].number), 0, "the segments before it are gone", REPLACE)
    live = segments[first:]
    for before, header in itertools.pairwise(live):
        if header.number != before.number + 1 or header.salt != before.salt:
            raise Corrupt(path_of(folder, header.number), 0, "the segment before it is gone", REPLACE)
    return live


def _follow(folder: Path, live: list[SegmentHeader]) -> tuple[Chain, list[bytes], int, SegmentRead]:
    chain = Chain(live[0].salt, live[0].group, live[0].previous)
    records: list[bytes] = []
    index = 0
    for place, header in enumerate(live):
        path = path_of(folder, header.number)
        try:
            found = read_segment(path.read_bytes(), chain)
        except Damage as damage:
            raise Corrupt(path, damage.offset, "a block that was durable is not readable", REPLACE) from None
        if place == 0 and header.number > 1 and found.end == HEADER_BYTES:
            raise Corrupt(path, HEADER_BYTES, "the block that it was made with is not readable", REPLACE)
        if place + 1 < len(live):
            following = live[place + 1]
            if found.torn or (following.group, following.previous) != (chain.group, chain.previous):
                raise Corrupt(path, found.end, "blocks that were durable are missing", REPLACE)
        records += found.records
        index = found.snapshot or index
    return chain, records, index, found


def _mend(path: Path, last: SegmentRead) -> int:
    """Cut a torn tail off and have zeros behind the end again; what is kept is durable when this returns.

    It need not have been: a process that was killed leaves blocks that only the system's memory holds.
    """
    size = max(path.stat().st_size, JOURNAL_SEGMENT_BYTES)
    descriptor = os.open(path, os.O_RDWR)
    try:
        if last.torn:
            os.ftruncate(descriptor, last.end)
        os.posix_fallocate(descriptor, 0, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return size


def _fresh(folder: Path, cluster: str, replica: int) -> Recovered:
    if any(folder.glob(f"{snapshots.PREFIX}*")):
        raise Corrupt(folder, 0, "snapshots without a journal", REPLACE)
    chain = Chain(os.urandom(SALT_BYTES))
    header = SegmentHeader(cluster, replica, chain.salt, 1, True, 0, 0)
    disk.create_synced(path_of(folder, 1), [header.encode()], JOURNAL_SEGMENT_BYTES)
    return Recovered(chain, 1, HEADER_BYTES, JOURNAL_SEGMENT_BYTES, [], None, 0, False)
