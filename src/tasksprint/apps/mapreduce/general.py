"""MapReduce for a user's own functions: extend `MapReduce`, import `Job` beside it, and run the file.

    from tasksprint.apps.mapreduce.general import Job, MapReduce

    class Lengths(MapReduce):
        def map(self, path, line):                  # for each line of each file
            for word in line.split():
                yield len(word), 1

        def reduce(self, key, values):              # for each key, in ascending order of its bytes
            yield key, sum(values)

        combine = reduce                            # optional: reduces what one map task has, before it travels

    tasksprint run lengths.py paths='["/data/texts"]'

Keys and values are what MessagePack carries: None, booleans, integers of 64 bits, floats, strings, bytes, lists,
dicts; tuples come back as lists.  A key's part is chosen by a checksum of its bytes, and keys meet in the order of
their bytes, so the answer does not depend on how many tasks there are.  Values of one key come in the order of the
input.

How it is done: `list_files` cuts the input into as many shares as there are map tasks (the scheduler must not look at
files, its copies have to agree); `map_files` writes a sorted run of records a part, spilling when it holds too many;
`reduce_part` merges the runs, group by group.
"""

from __future__ import annotations

import heapq
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import msgpack

from tasksprint.apps.mapreduce import command, plan
from tasksprint.apps.mapreduce.plan import Range
from tasksprint.apps.mapreduce.words import check_unchanged, decoded
from tasksprint.sdk import File, Node, Scheduler, Task, task

VALUES_HELD = 200_000  # by a map task, before they are combined or spilled
PROGRESS_BYTES = 1 << 20
MAPS, PARTS = 16, 4  # tasks, where the arguments name none

Record = tuple[bytes, Any]  # the packed key, the value


class Job(Scheduler, ordered=True):
    """The scheduler. Arguments: `paths`, and optionally `maps` and `parts`, how many tasks of either kind."""

    def init(self, args: dict[str, Any]) -> None:
        maps, parts = int(args.get("maps", MAPS)), int(args.get("parts", PARTS))
        paths = args.get("paths")
        if not isinstance(paths, list) or not paths or maps < 1 or parts < 1:
            self.fail("the arguments are paths (a list of files and folders), and maps and parts (from 1)")
            return
        listed = self.start_task("list_files", {"paths": paths, "shares": maps})
        mapped = [
            self.start_task("map_files", {"parts": parts}, prerequisites=[listed[f"share-{share}"]])
            for share in range(maps)
        ]
        self.parts = [
            self.start_task("reduce_part", {"part": part}, prerequisites=[each[f"part-{part}"] for each in mapped])
            for part in range(parts)
        ]
        counts = [each["records"] for each in self.parts]
        self.total = self.start_task("total", prerequisites=counts, keys=["records"])

    def task_done(self, task: Task, values: dict[str, Any]) -> None:
        if task == self.total:
            self.finish(values, files=[each["output"] for each in self.parts])


class MapReduce(Node):
    """The node: define `map` and `reduce`, and `combine` where a part of the values can be reduced on its own."""

    combine: Callable[..., Iterable[tuple[Any, Any]]] | None = None

    def map(self, key: Any, value: Any) -> Iterable[tuple[Any, Any]]:
        """Pairs made of one line: `key` is the file's path, `value` the line without its end."""
        raise NotImplementedError(f"{type(self).__name__} defines no map(self, path, line)")

    def reduce(self, key: Any, values: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
        """Pairs made of all values of one key."""
        raise NotImplementedError(f"{type(self).__name__} defines no reduce(self, key, values)")

    def line(self, key: Any, value: Any) -> str:
        """A pair as a line of the output."""
        return f"{key}\t{value}"

    @task
    def list_files(self, paths: list[str], shares: int) -> dict[str, Any]:
        """Cut the input into shares of about equal size."""
        listing = command.grouped(entry for path in paths for entry in command.listed(path))
        total = max(1, sum(size for _, entries in listing for _, size, _ in entries))
        cut: list[list[Range]] = [[] for _ in range(shares)]
        before = 0
        for each in plan.ranges(listing, -(-total // shares)):
            cut[before * shares // total].append(each)
            before += each.end - each.begin
        return {f"share-{share}": ranges for share, ranges in enumerate(cut)}

    @task
    def map_files(self, ranges: list[Any], parts: int) -> dict[str, File]:
        """Map the lines of a share; one sorted run of records a part."""
        runs = Runs(self.folder, parts, self._combined)
        for each in ranges:
            for path, line in self._lines(Range(*each)):
                for key, value in self.map(path, line):
                    runs.add(key, value)
        return {f"part-{part}": File(run) for part, run in enumerate(runs.finish())}

    @task
    def reduce_part(self, *runs: File, part: int) -> dict[str, Any]:
        """Merge one part of every map task."""
        name, count = plan.output_name(part), 0
        with (self.folder / name).open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as output:
            for packed, group in groupby(merged(run.open() for run in runs), key=itemgetter(0)):
                for key, value in self.reduce(unpacked(packed), map(itemgetter(1), group)):
                    output.write(self.line(key, value) + "\n")
                    count += 1
        return {"output": File(name), "records": count}

    @task
    def total(self, *counts: int) -> dict[str, int]:
        """How many pairs there are in all outputs."""
        return {"records": sum(counts)}

    def _combined(self, key: Any, values: list[Any]) -> Iterable[tuple[Any, Any]]:
        if self.combine is None:
            return [(key, value) for value in values]
        return self.combine(key, values)

    def _lines(self, listed: Range) -> Iterator[tuple[str, str]]:
        """(path, line) of each line that starts in the range."""
        where = decoded(listed.path)
        path = os.fsdecode(where)
        reported = listed.begin
        with open(where, "rb") as file:
            check_unchanged(file.fileno(), listed)
            position = line_start(file, listed.begin)
            while position < listed.end:
                line = file.readline()
                position += len(line)
                yield path, line.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
                if position - reported >= PROGRESS_BYTES:
                    self.progress(read=position - reported)
                    reported = position
            check_unchanged(file.fileno(), listed)
        self.progress(read=max(0, listed.end - reported))


class Runs:
    """Records of a map task: held until there are too many, then combined, then spilled as sorted runs."""

    def __init__(
        self, folder: Path, parts: int, combine: Callable[[Any, list[Any]], Iterable[tuple[Any, Any]]]
    ) -> None:
        self.folder, self.parts, self.combine = folder, parts, combine
        self.held: dict[bytes, list[Any]] = {}
        self.count = 0
        self.spilled = 0

    def add(self, key: Any, value: Any) -> None:
        packed = msgpack.packb(key)
        self.held.setdefault(packed, []).append(value)
        self.count += 1
        if self.count >= VALUES_HELD:
            self.combine_held()
            if self.count > VALUES_HELD // 2:
                self.spill()

    def combine_held(self) -> None:
        held, self.held, self.count = self.held, {}, 0
        for packed, values in held.items():
            for key, value in self.combine(unpacked(packed), values):
                self.held.setdefault(msgpack.packb(key), []).append(value)
                self.count += 1

    def spill(self) -> None:
        files = [self.run_path(self.spilled, part).open("wb") for part in range(self.parts)]
        for packed in sorted(self.held):
            file = files[part_of(packed, self.parts)]
            for value in self.held[packed]:
                file.write(msgpack.packb((packed, value)))
        for file in files:
            file.close()
        self.held, self.count = {}, 0
        self.spilled += 1

    def run_path(self, run: int, part: int) -> Path:
        return self.folder / f"run-{run}-{part}"

    def finish(self) -> list[str]:
        """The names of the files with everything, one a part."""
        self.combine_held()
        self.spill()
        names = []
        for part in range(self.parts):
            names.append(f"part-{part}.msgpack")
            runs = [self.run_path(run, part) for run in range(self.spilled)]
            if len(runs) == 1:
                runs[0].rename(self.folder / names[-1])
                continue
            with (self.folder / names[-1]).open("wb") as file:
                for record in merged(run.open("rb") for run in runs):
                    file.write(msgpack.packb(record))
            for run in runs:
                run.unlink()
        return names


def line_start(file: IO[bytes], begin: int) -> int:
    """Moves the file to the first line that starts at `begin` or later; returns where that is."""
    if begin == 0:
        return 0
    file.seek(begin - 1)
    return begin - 1 + len(file.readline())


def part_of(packed: bytes, parts: int) -> int:
    return zlib.crc32(packed) * parts >> 32


def unpacked(packed: bytes) -> Any:
    return msgpack.unpackb(packed, strict_map_key=False)


def merged(runs: Iterable[IO[bytes]]) -> Iterator[Record]:
    """The records of sorted runs in ascending order of their keys; equal ones in the order of the runs."""
    return heapq.merge(*(records(run) for run in runs), key=itemgetter(0))


def records(run: IO[bytes]) -> Iterator[Record]:
    with run:
        yield from msgpack.Unpacker(run, strict_map_key=False, max_buffer_size=1 << 31)
