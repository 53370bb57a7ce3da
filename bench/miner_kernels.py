"""The nonce search: MH/s of each kernel, beside a hashlib loop with a copy of the midstate, in the same run.

    python bench/miner_kernels.py [--kernel NAME ...] [--seconds 1] [--cores 1]

Prints one JSON line. The kernels take turns in slices of 10 ms, so that a neighbour who comes and goes disturbs all of
them alike; `mhs` is the median slice, `best_mhs` the fastest, and ratios compare like with like. Seconds are a
thread's own processor time, unless `--wall`: what other programs take is not the kernel's. `cores` runs that many
threads at once (the search releases the interpreter's lock). `stop_ms` is how long a search ran on after its stop byte.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from tasksprint.native import nonce

SLICE_S = 0.01
HASHLIB = "hashlib"
GOALS_MHS = {"avx512_sha": 41, "avx512": 33, "sha_ni": 32, "avx2": 14}


def hashlib_loop(count: int) -> None:
    """What a careful Python programmer writes: the first 64 bytes hashed once, no bytes made that need not be."""
    copy, tail, target = sha256(nonce.GENESIS[:64]).copy, nonce.GENESIS[64:76], bytes(2)
    for number in range(count):
        first = copy()
        first.update(tail + number.to_bytes(4, "little"))
        if sha256(first.digest()).digest().endswith(target):
            pass


def run(name: str, count: int) -> None:
    if name == HASHLIB:
        hashlib_loop(count)
    else:
        nonce.search(nonce.GENESIS, 0, count, 0, kernel=name)


def rate(name: str, count: int, cores: int, clock: Callable[[], float]) -> float:
    """Hashes per second of `cores` threads that each search `count` nonces."""
    rates = []

    def work() -> None:
        begins = clock()
        run(name, count)
        rates.append(count / (clock() - begins))

    threads = [threading.Thread(target=work) for _ in range(cores - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    return sum(rates)


def measure(names: list[str], seconds: float, cores: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Hashes per second of each slice."""
    counts = {name: max(64, int(SLICE_S * max(rate(name, 1 << 14, 1, clock) for _ in range(3)))) for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    ends = time.perf_counter() + seconds * len(names)
    while time.perf_counter() < ends:
        for name in names:
            rates[name].append(rate(name, counts[name], cores, clock))
    return rates


def stop_latencies(kernel: str, times: int) -> list[float]:
    """Milliseconds from setting the stop byte to the return of a search, in another thread."""
    latencies = []
    for _ in range(times):
        stop, ended = bytearray(1), [0.0]

        def work(stop: bytearray = stop, ended: list[float] = ended) -> None:
            nonce.search(nonce.GENESIS, 0, 1 << 32, 0, kernel=kernel, stop=stop)
            ended[0] = time.perf_counter()

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.003)
        flagged = time.perf_counter()
        stop[0] = 1
        thread.join()
        latencies.append(1000 * (ended[0] - flagged))
    return sorted(latencies)


def row(kernel: str, rates: dict[str, list[float]]) -> dict[str, Any]:
    own, peer = rates[kernel], rates[HASHLIB]
    latencies = stop_latencies(kernel, 50)
    return {
        "kernel": kernel,
        "mhs": round(statistics.median(own) / 1e6, 2),
        "best_mhs": round(max(own) / 1e6, 2),
        "goal_mhs": GOALS_MHS.get(kernel),
        "hashlib_ratio": round(statistics.median(own) / statistics.median(peer), 1),
        "best_hashlib_ratio": round(max(own) / max(peer), 1),
        "stop_ms": {"p50": round(latencies[24], 3), "p99": round(latencies[-1], 3)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", action="append", choices=nonce.kernels(), help="only this one; may be repeated")
    parser.add_argument("--seconds", type=float, default=1.0, help="of measuring, for each kernel")
    parser.add_argument("--cores", type=int, default=1, help="threads that search at once")
    parser.add_argument("--wall", action="store_true", help="count all time, not the threads' own")
    options = parser.parse_args()
    clock = time.perf_counter if options.wall else time.thread_time
    chosen = options.kernel or list(nonce.kernels())
    rates = measure([*chosen, HASHLIB], options.seconds, options.cores, clock)
    peer = round(statistics.median(rates[HASHLIB]) / 1e6, 3)
    report = {"bench": "miner_kernels", "cores": options.cores, "chosen": nonce.choose().kernel, "hashlib_mhs": peer}
    print(json.dumps({**report, "rows": [row(name, rates) for name in chosen]}))


if __name__ == "__main__":
    main()
