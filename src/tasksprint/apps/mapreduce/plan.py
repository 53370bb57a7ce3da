"""From files to map tasks, pure: every copy of the scheduler must come to the same plan.

A file is cut into ranges of at most `split_bytes`, nearly equal; small files are gathered into one task.  A word
belongs to the range in which it starts, so cuts may fall anywhere (`words` has the rule).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

RANGES_PER_TASK = 500  # a task's arguments stay small, whatever is listed
NAMES_PER_TASK = 64 << 10  # ... in characters of their paths


class Range(NamedTuple):
    """The bytes from `begin` to `end` of a file that has `size` bytes and was last written at `mtime`."""

    path: Any  # see `command.encoded`
    begin: int
    end: int
    size: int
    mtime: str  # nanoseconds; "" for any


def files(listing: Sequence[Any]) -> Iterator[tuple[Any, int, str]]:
    """(path, size, mtime) of a listing `[[folder, [[name, size, mtime], ...]], ...]` (see `command.arguments`)."""
    for folder, entries in listing:
        for name, size, mtime in entries:
            yield joined(folder, name), size, mtime


def joined(folder: Any, name: Any) -> Any:
    """The path of `name` in `folder`: text, or `{"hex": ...}` where one of them is no UTF-8."""
    if isinstance(folder, str) and isinstance(name, str):
        return f"{folder}/{name}" if folder else name
    separator = "2f" if folder else ""
    return {"hex": _hex(folder) + separator + _hex(name)}


def _hex(path: Any) -> str:
    return path.encode().hex() if isinstance(path, str) else str(path["hex"])


def tasks(listing: Sequence[Any], split_bytes: int) -> Iterator[list[Range]]:
    """The ranges of each map task, in the order of the listing; empty files are left out."""
    task: list[Range] = []
    task_bytes = names = 0
    for each in ranges(listing, split_bytes):
        name = len(str(each.path))
        whole = task_bytes + each.end - each.begin > split_bytes
        if task and (whole or len(task) >= RANGES_PER_TASK or names + name > NAMES_PER_TASK):
            yield task
            task, task_bytes, names = [], 0, 0
        task.append(each)
        task_bytes += each.end - each.begin
        names += name
    if task:
        yield task


def ranges(listing: Sequence[Any], split_bytes: int) -> Iterator[Range]:
    """Each file in as few ranges as `split_bytes` allows."""
    for path, size, mtime in files(listing):
        pieces = -(-size // split_bytes)
        for piece in range(pieces):
            yield Range(path, size * piece // pieces, size * (piece + 1) // pieces, size, mtime)


def output_name(place: int) -> str:
    """The name of the job's output number `place`."""
    return f"part-{place:05d}.txt"
