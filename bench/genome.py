"""One generation of the genetic operators (selection, averaging, bit flips): ns per individual, beside its peers.

    python bench/genome.py [--size 10000] [--probability 0.01] [--seconds 0.3]

Prints one JSON line: ours on 32 and 64-bit genomes, a vectorised numpy version written for speed (sparse flips), the
same operators in DEAP when it is installed (`pip install deap`), and the ratios. All in one run on one core.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tasksprint.native import genome

WIDTHS = (1, 2, 10)
GOALS_NS = {1: 12.0, 2: 15.0, 10: 25.0}


def best_ns(step: Callable[[int], Any], individuals: int, seconds: float) -> float:
    """The fastest of many timed calls, divided by the individuals: the machine is shared, the fastest is the truth."""
    step(0)
    best, ends, number = float("inf"), time.perf_counter() + seconds, 0
    while time.perf_counter() < ends:
        number += 1
        start = time.perf_counter_ns()
        step(number)
        best = min(best, time.perf_counter_ns() - start)
    return best / individuals


def ours(size: int, width: int, probability: float, dtype: type) -> Callable[[int], Any]:
    bits = np.dtype(dtype).itemsize * 8
    words = (genome.draws(1, size * width) >> np.uint64(64 - bits)).astype(dtype).reshape(size, width)
    fitness, out = genome.uniform(2, size), np.empty_like(words)
    return lambda number: genome.generation(words, fitness, probability, 1, 1, number, out)


def with_numpy(size: int, width: int, probability: float) -> Callable[[int], Any]:
    """The best that we could do in numpy: sparse flips, int32 draws, no copies that can be avoided."""
    generator = np.random.default_rng(1)
    words = generator.integers(0, 2**32, (size, width), dtype=np.uint32)
    fitness = generator.random(size)

    def tournament() -> Any:
        one = generator.integers(0, size, size, dtype=np.int32)
        two = generator.integers(0, size, size, dtype=np.int32)
        return np.where(fitness[two] > fitness[one], two, one)

    def step(_: int) -> Any:
        a, b = words[tournament()], words[tournament()]
        children = (a & b) + ((a ^ b) >> np.uint32(1))
        cells = size * width
        count = generator.binomial(cells * 32, probability)
        places = generator.integers(0, cells * 32, count, dtype=np.int64)
        np.bitwise_xor.at(children.reshape(-1), places >> 5, np.uint32(1) << (places & 31).astype(np.uint32))
        return children

    return step


def with_deap(size: int, width: int, probability: float) -> Callable[[int], Any] | None:
    try:
        from deap import base, creator, tools  # type: ignore[import-not-found]
    except ImportError:
        return None
    if not hasattr(creator, "Fittest"):
        creator.create("Fittest", base.Fitness, weights=(1.0,))
        creator.create("Bits", list, fitness=creator.Fittest)
    population = []
    for _ in range(size):
        individual = creator.Bits(random.getrandbits(1) for _ in range(32 * width))
        individual.fitness.values = (random.random(),)
        population.append(individual)

    def number_of(bits: list[int]) -> int:
        value = 0
        for bit in bits:
            value = value << 1 | bit
        return value

    def average(one: list[int], two: list[int]) -> Any:
        child = creator.Bits()
        for at in range(0, 32 * width, 32):
            mean = (number_of(one[at : at + 32]) + number_of(two[at : at + 32])) >> 1
            child.extend(mean >> place & 1 for place in range(31, -1, -1))
        return child

    def step(_: int) -> Any:
        ones = tools.selTournament(population, size, tournsize=2)
        twos = tools.selTournament(population, size, tournsize=2)
        children = [average(one, two) for one, two in zip(ones, twos, strict=True)]
        return [tools.mutFlipBit(child, indpb=probability)[0] for child in children]

    return step


def measure(size: int, width: int, probability: float, seconds: float) -> dict[str, Any]:
    row: dict[str, Any] = {"d": width, "goal_ns": GOALS_NS[width]}
    row["ns"] = best_ns(ours(size, width, probability, np.uint32), size, seconds)
    row["ns_64_bit"] = best_ns(ours(size, width, probability, np.uint64), size, seconds)
    row["numpy_ns"] = best_ns(with_numpy(size, width, probability), size, seconds)
    row["numpy_ratio"] = row["numpy_ns"] / row["ns"]
    peer_size = 300
    peer = with_deap(peer_size, width, probability)
    if peer is not None:
        row["deap_ns"] = best_ns(peer, peer_size, seconds)
        row["deap_ratio"] = row["deap_ns"] / row["ns"]
    return {key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=10_000, help="individuals in the population")
    parser.add_argument("--probability", type=float, default=0.01, help="of a flip, for each bit")
    parser.add_argument("--seconds", type=float, default=0.3, help="of measuring, for each row and peer")
    options = parser.parse_args()
    rows = [measure(options.size, width, options.probability, options.seconds) for width in WIDTHS]
    report = {"bench": "genome", "compiled": genome.COMPILED, "size": options.size, "p": options.probability}
    print(json.dumps({**report, "rows": rows}))


if __name__ == "__main__":
    main()
