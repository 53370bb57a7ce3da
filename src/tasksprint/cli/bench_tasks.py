"""The measuring of `tasksprint bench tasks`.

Ours: three coordinators with their journals on the disk that is named, one client, two nodes.  Each no-op is a logged
decision, a call in a node process and a durable report, and the scheduler checks the value that comes back.  Time runs
in the scheduler, from the first decision to the last event.  The peer: a bare multiprocessing.Pool of two processes,
chunksize 1, that does the same work; time runs from the first submission to the last result.  Both are measured in
turn, `rounds` times; medians count.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import multiprocessing.pool
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import uvloop

from tasksprint.cli.asking import Asking
from tasksprint.cli.commands import Failure
from tasksprint.cli.following import follow, new_job_id, submit
from tasksprint.cli.local import LocalCluster
from tasksprint.limits import KIB, MIB
from tasksprint.transfer.fetch import Fetcher
from tasksprint.view.operations import JobSpec
from tasksprint.wire import messages as wire

SDK = ["@python", "-m", "tasksprint.sdk"]
PART_BYTES = 64 * KIB
IDLE_S = 5.0
SHAPES = {"independent": 10_000, "chain": 500, "events": 500, "fan_in": 1_000, "shuffle": 32, "round_trip": 300}


# --- the peer ---------------------------------------------------------------------------------------------


def echo(value: int) -> int:
    return value


def step(value: int) -> int:
    return value + 1


def scatter(arguments: tuple[int, int]) -> list[bytes]:
    parts, size = arguments
    return [bytes([part % 256]) * size for part in range(parts)]


def collect(pieces: list[bytes]) -> int:
    return sum(map(len, pieces))


def pool_independent(pool: multiprocessing.pool.Pool, count: int) -> list[float]:
    if sorted(pool.imap_unordered(echo, range(count), chunksize=1)) != list(range(count)):
        raise AssertionError("the pool lost a value")
    return []


def pool_chain(pool: multiprocessing.pool.Pool, count: int) -> list[float]:
    trips, value = [], 0
    for _ in range(count):
        sent = time.monotonic()
        value = pool.apply(step, (value,))
        trips.append(time.monotonic() - sent)
    if value != count:
        raise AssertionError("the pool lost a step")
    return trips


def pool_fan_in(pool: multiprocessing.pool.Pool, count: int) -> list[float]:
    parts = list(pool.imap(echo, range(count), chunksize=1))
    if pool.apply(sum, (parts,)) != count * (count - 1) // 2:
        raise AssertionError("the pool lost a part")
    return []


def pool_shuffle(pool: multiprocessing.pool.Pool, count: int) -> list[float]:
    rows = list(pool.imap(scatter, [(count, PART_BYTES)] * count, chunksize=1))
    for total in pool.imap(collect, list(map(list, zip(*rows, strict=True))), chunksize=1):
        if total != count * PART_BYTES:
            raise AssertionError("the pool lost bytes")
    return []


POOL: dict[str, Callable[[multiprocessing.pool.Pool, int], list[float]]] = {
    "independent": pool_independent,
    "chain": pool_chain,
    "events": pool_chain,
    "fan_in": pool_fan_in,
    "shuffle": pool_shuffle,
    "round_trip": pool_chain,
}


def pool_round(pool: multiprocessing.pool.Pool, shape: str, count: int) -> dict[str, Any]:
    began = time.monotonic()
    trips = POOL[shape](pool, count)
    return {"seconds": time.monotonic() - began, "trips": trips}


# --- ours -------------------------------------------------------------------------------------------------


class Quiet:
    def update(self, update: wire.JobUpdate) -> None: ...

    def note(self, text: str) -> None: ...


class Ours:
    """Jobs on one cluster, one after another."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.asking = Asking(cluster.coordinators, cluster.identity)
        self.fetcher = Fetcher(cluster.identity)

    async def job(self, shape: str, count: int) -> dict[str, Any]:
        room = "tasksprint.apps.probe"
        arguments = json.dumps({"shape": shape, "count": count, "size": PART_BYTES}).encode()
        spec = JobSpec(shape, [*SDK, f"{room}.scheduler", "scheduler"], [*SDK, f"{room}.node", "node"], arguments, 0)
        job_id = new_job_id()
        await submit(self.asking, job_id, spec)
        outcome = await follow(self.asking, job_id, Quiet(), self.cluster.folder, self.fetcher)
        if outcome.state != "done":
            raise Failure(f"the measuring job {shape} {outcome.state}: {outcome.error}")
        return await self._measured(job_id)

    async def _measured(self, job_id: str) -> dict[str, Any]:
        """What the leader's scheduler has put into its log."""
        for address in self.asking.coordinators:
            said = await self.asking.one(address, lambda request: wire.StatusRequest(request, "self"))
            if said is None or not json.loads(said)["leading"]:
                continue
            log = await self.asking.one(address, lambda request: wire.SchedulerLog(request, job_id, 0))
            for line in (log or b"").decode().splitlines():
                if line.startswith("measured "):
                    measured: dict[str, Any] = json.loads(line.removeprefix("measured "))
                    return measured
        raise Failure("the measuring scheduler has said nothing")

    def processor_s(self) -> dict[str, float]:
        """Processor time of each process of the cluster since it began, without its programs."""
        children = {name: member.child for name, member in self.cluster.members.items()}
        times = {name: psutil.Process(child.pid).cpu_times() for name, child in children.items() if child is not None}
        return {name: each.user + each.system for name, each in times.items()}

    def wake_ups(self) -> dict[str, float]:
        """How often each process of the cluster has waited and was woken since it began (its loop, not its threads)."""
        children = {name: member.child for name, member in self.cluster.members.items()}
        return {
            name: psutil.Process(child.pid).num_ctx_switches().voluntary
            for name, child in children.items()
            if child is not None
        }

    async def close(self) -> None:
        self.fetcher.close()
        await self.asking.close()


# --- putting it together ------------------------------------------------------------------------------------


def measure(folder: Path, rounds: int, scale: float) -> dict[str, Any]:
    place = Path(tempfile.mkdtemp(prefix=".tasksprint-bench-", dir=folder))
    pool = multiprocessing.get_context("spawn").Pool(2)
    try:
        pool.map(echo, range(100))
        counts = {shape: max(2, round(count * scale)) for shape, count in SHAPES.items()}
        results: dict[str, Any] = uvloop.run(_measure(place, pool, rounds, counts))
        return {"disk": disk(place), **results}
    finally:
        pool.terminate()
        pool.join()
        shutil.rmtree(place, ignore_errors=True)


async def _measure(place: Path, pool: multiprocessing.pool.Pool, rounds: int, counts: dict[str, int]) -> dict[str, Any]:
    started = time.monotonic()
    async with LocalCluster(replicas=3, clients=1, slots=2, data_dir=place / "cluster") as cluster:
        ours = Ours(cluster)
        await ours.job("independent", 1)
        start_up = time.monotonic() - started
        taken: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {shape: [] for shape in counts}
        for _ in range(rounds):
            for shape, count in counts.items():
                before, woken = ours.processor_s(), ours.wake_ups()
                mine = await ours.job(shape, count)
                mine["processor_s"] = {name: used - before[name] for name, used in ours.processor_s().items()}
                mine["wake_ups"] = {name: times - woken[name] for name, times in ours.wake_ups().items()}
                theirs = await asyncio.to_thread(pool_round, pool, shape, count)
                taken[shape].append((mine, theirs))
        idle = await _idle()
        await ours.close()
    trip = statistics.median(t for pairs in taken.values() for _, peer in pairs for t in peer["trips"])
    shapes = {shape: summary(shape, counts[shape], pairs, trip) for shape, pairs in taken.items()}
    return {"start_up_s": round(start_up, 3), "pool_round_trip_ms": round(trip * 1e3, 3), **idle, "shapes": shapes}


def summary(shape: str, count: int, pairs: list[tuple[dict[str, Any], dict[str, Any]]], trip: float) -> dict[str, Any]:
    """Medians; the ratio is of the medians of pairs that were measured one after the other."""
    mine = statistics.median(m["seconds"] for m, _ in pairs)
    theirs = statistics.median(t["seconds"] for _, t in pairs)
    row: dict[str, Any] = {"count": count, "seconds": round(mine, 4), "pool_seconds": round(theirs, 4)}
    row["ratio"] = round(statistics.median(m["seconds"] / t["seconds"] for m, t in pairs), 2)
    row["tasks_per_s"] = round(count / mine)
    row["pool_tasks_per_s"] = round(count / theirs)
    if shape in ("chain", "events"):
        row["step_ms"] = round(mine / count * 1e3, 3)
        row["pool_round_trips_a_step"] = round(mine / count / trip, 2)
    for field, source, scale, digits in (("processor_us", "processor_s", 1e6, 0), ("wake_ups", "wake_ups", 1.0, 1)):
        spent = [m[source] for m, _ in pairs if source in m]
        if spent:  # a task, coordinators from the busiest (the leader) down, then the client
            row[field] = by_process(spent, scale / count, digits)
    trips = sorted(t for m, _ in pairs for t in m["trips"])
    if trips:
        row["p50_ms"] = round(trips[len(trips) // 2] * 1e3, 3)
        row["p99_ms"] = round(trips[min(len(trips) - 1, len(trips) * 99 // 100)] * 1e3, 3)
    return row


def by_process(spent: list[dict[str, float]], scale: float, digits: int) -> dict[str, Any]:
    """Medians, scaled; coordinators from the busiest down: who leads differs from run to run."""
    used = {name: round(statistics.median(one[name] for one in spent) * scale, digits or None) for name in spent[0]}
    coordinators = sorted((each for name, each in used.items() if name.startswith("coordinator")), reverse=True)
    return {"coordinators": coordinators, "client": used["client-1"]}


async def _idle() -> dict[str, Any]:
    """Memory (PSS) and CPU of every process of the cluster while nothing happens."""
    family = psutil.Process().children(recursive=True)
    ours = [each for each in family if "tasksprint" in " ".join(each.cmdline())]
    before = sum(sum(each.cpu_times()[:2]) for each in ours)
    await asyncio.sleep(IDLE_S)
    after = sum(sum(each.cpu_times()[:2]) for each in ours)
    memory = sum(each.memory_full_info().pss for each in ours)
    return {"idle_pss_mib": round(memory / MIB, 1), "idle_cpu_percent": round((after - before) / IDLE_S * 100, 2)}


def disk(folder: Path) -> dict[str, Any]:
    """The file system that holds the journals, and what an fdatasync of 4 KiB costs on it."""
    times = []
    path = folder / "fdatasync"
    with open(path, "wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, MIB)
        for number in range(100):
            began = time.monotonic()
            os.pwrite(file.fileno(), bytes(4 * KIB), number * 4 * KIB)
            os.fdatasync(file.fileno())
            times.append(time.monotonic() - began)
    path.unlink()
    mounts = [each for each in psutil.disk_partitions(all=True) if str(folder.resolve()).startswith(each.mountpoint)]
    mount = max(mounts, key=lambda each: len(each.mountpoint))
    return {"file_system": mount.fstype, "fdatasync_ms": round(statistics.median(times) * 1e3, 3)}


def table(measured: dict[str, Any]) -> list[str]:
    """The measurement for a person."""
    where = measured["disk"]
    lines = [
        f"journals on {where['file_system']}, an fdatasync takes {where['fdatasync_ms']} ms",
        f"{'':<14}{'count':>8}{'ours':>12}{'pool':>12}{'ours/pool':>11}   ",
    ]
    for shape, row in measured["shapes"].items():
        notes = []
        if "pool_round_trips_a_step" in row:
            notes.append(f"{row['step_ms']} ms a step = {row['pool_round_trips_a_step']} pool round trips")
        elif shape == "independent":
            notes.append(f"{row['tasks_per_s']} tasks/s, the pool {row['pool_tasks_per_s']}")
        if "processor_us" in row:
            coordinators = ", ".join(map(str, row["processor_us"]["coordinators"]))
            notes.append(f"processor µs a task: coordinators {coordinators}, client {row['processor_us']['client']}")
        if "wake_ups" in row and "p50_ms" in row:
            coordinators = ", ".join(map(str, row["wake_ups"]["coordinators"]))
            notes.append(f"wake-ups a task: coordinators {coordinators}, client {row['wake_ups']['client']}")
        if "p50_ms" in row:
            notes.append(f"p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms")
        times = f"{row['count']:>8}{row['seconds']:>11.3f}s{row['pool_seconds']:>11.3f}s{row['ratio']:>11}"
        lines.append(f"{shape:<14}{times}   {'; '.join(notes)}")
    lines.append(f"a round trip through the pool: {measured['pool_round_trip_ms']} ms")
    lines.append(f"from nothing to the first task's result: {measured['start_up_s']} s")
    lines.append(f"idle: {measured['idle_pss_mib']} MiB (PSS), {measured['idle_cpu_percent']} % of a core")
    return lines
