"""How long an append takes to be durable, beside a bare loop of synced writes to the same disk in the same run.

Three loads: one append at a time on an idle loop; the same while the loop is kept busy with Python; and as many as the
journal takes, 64 waiting.  The rounds are interleaved, because a disk's speed changes from minute to minute; only the
ratios mean anything.  `compiled` and `plain` are the twins of native/syncer.py.  Prints one JSON line.

    python bench/journal.py [folder on the disk to be measured]
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from tasksprint.native import syncer, syncer_plain
from tasksprint.storage import Journal, journal

RECORD = os.urandom(256)
ROUNDS = 30
APPENDS = 40  # a round
WAITING = 64
GROUPED = 1_000  # a round
BUSY_S = 0.0005  # of Python in each turn of a busy loop


class Bench:
    """A journal whose appends can be awaited."""

    def __init__(self, folder: Path, twin: Any) -> None:
        journal.Syncer = twin
        self.loop = asyncio.get_running_loop()
        self.journal = Journal.open(folder, cluster="bench", replica=1)
        self.journal.start(self.loop, self.durable, self.failed)
        self.write = 0
        self.told: asyncio.Future[None] = self.loop.create_future()
        self.upto = 0

    def durable(self, write: int) -> None:
        if write >= self.upto and not self.told.done():
            self.told.set_result(None)

    def failed(self, error: Exception) -> None:
        self.told.set_exception(error)

    async def append(self, count: int = 1) -> None:
        for _ in range(count):
            self.write += 1
            self.journal.append(self.write, [RECORD])
        await self.until(self.write)

    async def until(self, write: int) -> None:
        self.upto = write
        self.told = self.loop.create_future()
        await self.told

    async def latencies(self) -> list[float]:
        found = []
        for _ in range(APPENDS):
            begun = time.perf_counter()
            await self.append()
            found.append(time.perf_counter() - begun)
        return found

    async def busy(self) -> list[float]:
        """Work in every turn, as of a coordinator with much to do; the append is made in one of them."""
        stop = False

        def work() -> None:
            end = time.perf_counter() + BUSY_S
            while time.perf_counter() < end:
                pass
            if not stop:
                self.loop.call_soon(work)

        work()
        found = await self.latencies()
        stop = True
        return found

    async def grouped(self) -> float:
        """Seconds a record."""
        begun = time.perf_counter()
        await self.append(1)
        for _ in range(GROUPED // WAITING):
            await self.append(WAITING)
        return (time.perf_counter() - begun) / (GROUPED // WAITING * WAITING + 1)


class Bare:
    """The least that any journal can do: a synced write, again and again, into a preallocated file."""

    def __init__(self, folder: Path) -> None:
        self.file = os.open(folder / "bare", os.O_RDWR | os.O_CREAT)
        os.posix_fallocate(self.file, 0, ROUNDS * APPENDS * len(RECORD))
        os.fsync(self.file)
        self.end = 0

    def latencies(self) -> list[float]:
        found = []
        for _ in range(APPENDS):
            begun = time.perf_counter()
            syncer.write_synced(self.file, RECORD, self.end)
            found.append(time.perf_counter() - begun)
            self.end += len(RECORD)
        return found


def percentile(values: list[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100]


async def run(folder: Path) -> dict[str, Any]:
    twins = {"compiled": syncer.Syncer, "plain": syncer_plain.Syncer}
    benches = {name: Bench(folder / name, twin) for name, twin in twins.items()}
    found: dict[str, dict[str, list[float]]] = {name: {"idle": [], "busy": [], "grouped": []} for name in twins}
    bare, bare_found = Bare(folder), []
    for _ in range(ROUNDS):
        bare_found += bare.latencies()
        for name, bench in benches.items():
            found[name]["idle"] += await bench.latencies()
            found[name]["busy"] += await bench.busy()
            found[name]["grouped"].append(await bench.grouped())
    base = percentile(bare_found, 50)
    result: dict[str, Any] = {"bare_p50_us": round(base * 1e6), "bare_p99_us": round(percentile(bare_found, 99) * 1e6)}
    for name, loads in found.items():
        benches[name].journal.close()
        seen: dict[str, Any] = {}
        for load in ("idle", "busy"):
            for percent in (50, 99):
                seen[f"{load}_p{percent}_us"] = round(percentile(loads[load], percent) * 1e6)
            seen[f"{load}_p50_ratio"] = round(percentile(loads[load], 50) / base, 2)
        each = percentile(loads["grouped"], 50)
        seen["grouped_records_per_s"] = round(1 / each)
        seen["grouped_ratio"] = round(base / each, 1)  # records in the time of one bare synced write
        result[name] = seen
    return result


def main() -> None:
    place = sys.argv[1] if len(sys.argv) > 1 else "."
    with tempfile.TemporaryDirectory(dir=place) as folder:
        print(json.dumps({"benchmark": "journal", **uvloop.run(run(Path(folder)))}))


if __name__ == "__main__":
    main()
