"""The measuring of `tasksprint bench miner`.

Everything is measured in turn, `rounds` times, because neighbours come and go; medians count.  One core: each kernel
that was asked for, and a Python loop over hashlib with a copy of the midstate.  All cores: a bare process for each,
which does nothing but search, at the priority that nodes have.  The cluster: three coordinators, a client and a node
for each core, mining on a stand-in for a Bitcoin node whose target nobody can meet; rates are what the nodes report of
their own units, the bare processes are measured before and after.  Where neighbours change what a core does in a
second, the ratio of two such rates says little, so the processor's time is compared beside it: the share of each core's
time that nodes get while the cluster works, over the share that bare processes get.  Stale work: eight nodes, a new tip
every now and then, and the time from the stand-in's notice until the last node has begun on the new block, by the
nodes' own word.  Two durable writes lie between, one after the other, so the disk's own time is taken beside it, before
each tip.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import statistics
import struct
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from tasksprint.apps.miner.command import LABEL, defaults
from tasksprint.apps.miner.rpc import VARIABLE
from tasksprint.cli.asking import Asking
from tasksprint.cli.bench_bitcoin import ADDRESS, StandIn
from tasksprint.cli.commands import Failure
from tasksprint.cli.following import new_job_id, submit
from tasksprint.cli.miner_cluster import MinerCluster, job_of
from tasksprint.limits import NODE_NICE
from tasksprint.native import nonce

NEVER = 150  # bits harder than regtest
CHUNK = 1 << 18
STALE_NODES = 8
STALE_MOVES = 100
PEER_S = 12.0  # miners print their rate every 5 s or so
MOVE_S = 0.4  # a tip that has not reached every node by then counts as this late
RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMG]?)\s*[Hh](?:ash)?(?:es)?/s")
UNITS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}


# --- bare loops -----------------------------------------------------------------------------------------------


def hashlib_rate(seconds: float) -> float:
    """What plain Python does: the first block of the header is hashed once, its state copied for each nonce."""
    midstate, rest = hashlib.sha256(nonce.GENESIS[:64]), nonce.GENESIS[64:76]
    count, began = 0, time.monotonic()
    while (taken := time.monotonic() - began) < seconds:
        for number in range(count, count + 1000):
            inner = midstate.copy()
            inner.update(rest + struct.pack("<I", number))
            hashlib.sha256(inner.digest()).digest()
        count += 1000
    return count / taken


def kernel_rate(kernel: str, seconds: float) -> float:
    """Hashes a second of one core."""
    count, began = 0, time.monotonic()
    size = CHUNK if kernel != nonce.PLAIN else 1000
    while (taken := time.monotonic() - began) < seconds:
        count += nonce.search(nonce.GENESIS, 0, size, 0, kernel=kernel).hashes
    return count / taken


def bare(kernel: str, seconds: float, begin: Any) -> tuple[float, float]:
    """One of the bare processes; all begin together.  Its rate, and its share of a core's time."""
    begin.wait()
    began, before = time.monotonic(), time.process_time()
    rate = kernel_rate(kernel, seconds)
    return rate, (time.process_time() - before) / (time.monotonic() - began)


def _prepare(begin: Any) -> None:
    """As low as a node is: see programs/child.py for sessions."""
    os.nice(NODE_NICE)
    with contextlib.suppress(OSError):
        os.setsid()
        Path("/proc/self/autogroup").write_text(str(NODE_NICE))
    globals()["_begin"] = begin


def _bare(work: tuple[str, float]) -> tuple[float, float]:
    return bare(*work, globals()["_begin"])


def all_cores(kernel: str, seconds: float, cores: int) -> tuple[float, float]:
    """Hashes a second of all bare processes together, and their mean share of a core's time."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(cores, _prepare, (context.Barrier(cores),)) as pool:
        rates, shares = zip(*pool.map(_bare, [(kernel, seconds)] * cores, chunksize=1), strict=True)
    return sum(rates), statistics.mean(shares)


async def peer_rate(command: str, seconds: float) -> float:
    """What somebody's own miner says of itself: the largest rate among the last that it printed."""
    process = await asyncio.create_subprocess_shell(
        f"exec {command}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(max(seconds, PEER_S)):
            while data := await process.stdout.read(1 << 16):
                said += data
    except TimeoutError:
        process.terminate()
    await process.wait()
    rates = [float(number) * UNITS[unit] for number, unit in RATE.findall(said.decode("utf-8", "replace"))]
    if not rates:
        raise Failure(f"the peer has printed no rate (like 12.3 MH/s) in {max(seconds, PEER_S):g} s: {command}")
    return max(rates[-4:])


# --- the cluster ----------------------------------------------------------------------------------------------


class Field:
    """A cluster that mines for a stand-in, in a folder of its own."""

    def __init__(self, folder: Path, node: StandIn, slots: int) -> None:
        self.folder, self.node, self.slots = folder, node, slots

    async def mine(self, story: Any, log: int = 1) -> list[str]:
        """Mines while the story runs; what the scheduler wrote down."""
        self.folder.mkdir()
        path = self.folder / "bitcoin.json"
        password = self.folder / "password"
        password.write_text("none")
        path.write_text(json.dumps({"url": self.node.url, "user": "bench", "password_file": str(password)}))
        os.environ[VARIABLE] = str(path)
        options: dict[str, Any] = {"replicas": 3, "clients": 1, "slots": self.slots}
        async with MinerCluster(label=LABEL, data_dir=self.folder / "cluster", **options) as cluster:
            asking = Asking(cluster.coordinators, cluster.identity)
            job_id = new_job_id()
            job = job_of({**defaults(ADDRESS), "harder": NEVER, "log": log})
            try:
                await cluster.unless_failed(asyncio.ensure_future(submit(asking, job_id, job)))
                await story(lambda: self.said(job_id))
                return self.said(job_id)
            finally:
                await asking.close()

    def said(self, job_id: str) -> list[str]:
        logs = self.folder.glob(f"cluster/coordinator-*/jobs/{job_id}/scheduler.log")
        return max((log.read_text().splitlines() for log in logs), key=len, default=[])

    def began(self) -> list[tuple[str, str, float]]:
        """(node, tip, time) of each unit that a node has begun, where it was asked to say so."""
        lines = [line for log in self.folder.glob("cluster/client-*/jobs/*/log") for line in log.open()]
        return [tuple(json.loads(said)) for line in lines if (said := line.partition(": began ")[2]).endswith("]\n")]

    @staticmethod
    def rows(lines: list[str], word: str) -> list[Any]:
        return [json.loads(line.partition(" ")[2]) for line in lines if line.startswith(f"{word} ")]


async def everybody(names: Callable[[], set[Any]], nodes: int) -> None:
    """Until so many nodes are at work."""
    for _ in range(300):
        if len(names()) >= nodes:
            return
        await asyncio.sleep(0.1)
    raise Failure(f"the cluster does not get {nodes} nodes to work within 30 s")


class ClusterRate(NamedTuple):
    rate: float  # hashes a second of all nodes together: of each, what it did between its second unit and its last
    share: float  # of the cores' time that searching nodes got ...
    own: float  # ... that the cluster's other processes took
    idle: float  # of nodes' time, between two units


async def cluster_rate(folder: Path, cores: int, seconds: float) -> ClusterRate:
    own, share, unit = 0.0, 0.0, defaults(ADDRESS)["unit"]

    async def story(said: Any) -> None:
        nonlocal own, share
        await everybody(lambda: {row[5] for row in Field.rows(said(), "unit")}, cores)
        searching = {int(row[5]) for row in Field.rows(said(), "unit")}
        before, began = processor_s(searching), time.monotonic()
        await asyncio.sleep(seconds + 2 * unit)
        after, whole = processor_s(searching), (time.monotonic() - began) * cores
        share, own = (after[0] - before[0]) / whole, (after[1] - before[1]) / whole

    with StandIn() as node:
        lines = await Field(folder, node, cores).mine(story)
    units = defaultdict(list)
    for _, _, _, hashes, _, name, began, taken, _ in Field.rows(lines, "unit"):
        units[name].append((began, began + taken, hashes))
    total = idle = whole = 0.0
    for done in units.values():
        settled = sorted(done)[1:]
        if len(settled) < 2:
            raise Failure("the cluster did too little in the time that it had: use a larger --seconds")
        span = settled[-1][0] - settled[0][0]
        total += sum(row[2] for row in settled[:-1]) / span
        idle += span - sum(row[1] - row[0] for row in settled[:-1])
        whole += span
    return ClusterRate(total, share, own, idle / whole)


def processor_s(searching: set[int]) -> tuple[float, float]:
    """Seconds of processor time so far: of the nodes that search, of the cluster's other processes."""
    search = other = 0.0
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            taken = sum(each.cpu_times()[:2])
            search, other = (search + taken, other) if each.pid in searching else (search, other + taken)
    return search, other


def synced_s(path: Path) -> float:
    """Seconds that the disk takes for a write of 4 KiB."""
    began = time.monotonic()
    with path.open("ab", buffering=0) as file:
        file.write(bytes(4096))
        os.fsync(file.fileno())
    return time.monotonic() - began


async def stale(folder: Path, nodes: int, moves: int) -> tuple[list[float], list[float]]:
    """Seconds from the notice of each new tip until the last node had begun on it; and of a synced write before it."""
    disk: list[float] = []
    with StandIn() as node:
        field = Field(folder, node, nodes)

        async def story(said: Any) -> None:
            await everybody(lambda: {name for name, _, _ in field.began()}, nodes)
            await asyncio.sleep(2 * MOVE_S)
            for _ in range(moves):
                disk.append(await asyncio.to_thread(synced_s, folder / "synced"))
                node.move()
                await asyncio.sleep(MOVE_S)

        await field.mine(story, log=2)
        told = dict(node.moved)
    begun: dict[str, dict[str, float]] = defaultdict(dict)
    for name, tip, began in field.began():
        begun[tip][name] = min(began, begun[tip].get(name, began))
    tips = sorted(told)[1:]  # the first was there before
    late = [max(begun[tip].values()) - told[tip] if len(begun[tip]) == nodes else MOVE_S for tip in tips]
    return sorted(late), sorted(disk)


def percentile(sorted_values: list[float], percent: int) -> float:
    return sorted_values[min(len(sorted_values) - 1, len(sorted_values) * percent // 100)]


# --- putting it together ----------------------------------------------------------------------------------------


def measure(kernel: str, everything: bool, seconds: float, rounds: int, peer: str, only_bare: bool) -> dict[str, Any]:
    import uvloop

    names = nonce.kernels()
    if kernel and kernel not in names:
        raise Failure(f"no kernel {kernel!r} here; there are {', '.join(names)}", 2)
    chosen = kernel or nonce.choose().kernel
    if kernel:
        os.environ[nonce.VARIABLE] = kernel
    shown = [name for name in names if name != nonce.PLAIN] if everything else [chosen]
    place = Path(tempfile.mkdtemp(prefix=".tasksprint-bench-", dir=Path.cwd()))
    try:
        return uvloop.run(_measure(place, chosen, shown, seconds, rounds, peer, only_bare))
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def _measure(
    place: Path, chosen: str, shown: list[str], seconds: float, rounds: int, peer: str, only_bare: bool
) -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        taken["hashlib"].append(hashlib_rate(min(seconds, 1.0)))
        for name in shown:
            taken[name].append(kernel_rate(name, seconds))
        if chosen not in shown:
            taken[chosen].append(kernel_rate(chosen, seconds))
        if peer:
            taken["peer"].append(await peer_rate(peer, seconds))
        before, share = await asyncio.to_thread(all_cores, chosen, seconds, cores)
        if only_bare:
            taken["bare"].append(before)
            continue
        cluster = await cluster_rate(place / f"rate-{number}", cores, seconds)
        after, share_after = await asyncio.to_thread(all_cores, chosen, seconds, cores)
        taken["bare"].append((before + after) / 2)
        taken["bare share"].append((share + share_after) / 2)
        taken["cluster"].append(cluster.rate)
        taken["cluster share"].append(cluster.share)
        taken["own"].append(cluster.own)
        taken["idle"].append(cluster.idle)
    median = {name: statistics.median(rates) for name, rates in taken.items()}

    def ratio(one: str, other: str) -> float:
        return round(statistics.median(a / b for a, b in zip(taken[one], taken[other], strict=True)), 4)

    result: dict[str, Any] = {
        "kernel": chosen,
        "cores": cores,
        "mhs_one_core": round(median[chosen] / 1e6, 2),
        "mhs_all_cores": round(median["bare"] / 1e6, 2),
        "hashlib_mhs": round(median["hashlib"] / 1e6, 3),
        "times_hashlib": ratio(chosen, "hashlib"),
        "cores_ratio": ratio("bare", chosen),
        "kernels_mhs": {name: round(median[name] / 1e6, 2) for name in shown},
    }
    if peer:
        result |= {"peer_mhs": round(median["peer"] / 1e6, 2), "times_peer": ratio(chosen, "peer")}
    if only_bare:
        return result
    stopping, disk = await stale(place / "stale", STALE_NODES, STALE_MOVES)
    return result | {
        "mhs_cluster": round(median["cluster"] / 1e6, 2),
        "efficiency": ratio("cluster", "bare"),
        "efficiency_by_processor_time": ratio("cluster share", "bare share"),
        "overhead_percent": round(median["own"] * 100, 2),
        "between_units_percent": round(median["idle"] * 100, 2),
        "stale_nodes": STALE_NODES,
        "stale_p50_ms": round(percentile(stopping, 50) * 1e3, 1),
        "stale_p99_ms": round(percentile(stopping, 99) * 1e3, 1),
        "stale_count": len(stopping),
        "synced_p50_ms": round(percentile(disk, 50) * 1e3, 2),
        "synced_p99_ms": round(percentile(disk, 99) * 1e3, 2),
    }


def table(measured: dict[str, Any]) -> list[str]:
    """The measurement for a person."""
    lines = [f"{name:<18}{rate:>9.2f} MH/s, one core" for name, rate in measured["kernels_mhs"].items()]
    cores, hashlib_mhs = measured["cores"], measured["hashlib_mhs"]
    lines += [
        f"chosen: {measured['kernel']}, {measured['mhs_one_core']} MH/s on one core",
        f"        {measured['times_hashlib']:.1f} times a hashlib loop with a midstate copy ({hashlib_mhs} MH/s)",
        f"all {cores} cores: {measured['mhs_all_cores']} MH/s, {measured['cores_ratio']:.2f} times one",
    ]
    if "peer_mhs" in measured:
        lines.append(
            f"the peer: {measured['peer_mhs']} MH/s; we do {measured['times_peer']:.2f} times as much on a core"
        )
    if "mhs_cluster" in measured:
        lines += cluster_lines(measured)
    return lines


def cluster_lines(measured: dict[str, Any]) -> list[str]:
    return [
        f"a cluster (3 coordinators, a client, {measured['cores']} nodes): {measured['mhs_cluster']} MH/s, "
        f"{measured['efficiency'] * 100:.1f} % of the bare loops",
        f"        by processor time: {measured['efficiency_by_processor_time'] * 100:.1f} % of what bare loops get",
        f"        of the cores' time {measured['overhead_percent']} % goes to the cluster itself, and nodes spend "
        f"{measured['between_units_percent']} % of theirs between units",
        f"stale work: the last of {measured['stale_nodes']} nodes is on the new block after "
        f"{measured['stale_p50_ms']} ms (p50), {measured['stale_p99_ms']} ms (p99), of {measured['stale_count']} tips",
        f"        of which two synced writes: one takes {measured['synced_p50_ms']} ms (p50), "
        f"{measured['synced_p99_ms']} ms (p99) on this disk",
    ]
