"""One generation of the genetic operators (selection, averaging, bit flips): ns per individual, beside its peers.

Ours on 32 and 64-bit genomes, a vectorised numpy version written for speed (sparse flips), and the same operators in
DEAP when it is installed. They take turns on one core; the fastest call of each counts, as the machine is shared.
"""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tasksprint.native import genome

WIDTHS = (1, 2, 10)
GOALS_NS = {1: 12.0, 2: 15.0, 10: 25.0}
PEER_SIZE = 300  # individuals of DEAP's: objects are slow enough to measure with few


def fastest_ns(step: Callable[[int], Any], individuals: int, seconds: float) -> float:
    """The fastest of many timed calls, divided by the individuals."""
    step(0)
    best, ends, number = float("inf"), time.perf_counter() + seconds, 0
    while time.perf_counter() < ends or number < 3:
        number += 1
        start = time.perf_counter_ns()
        step(number)
        best = min(best, time.perf_counter_ns() - start)
    return best / individuals


def ours(size: int, width: int, probability: float, dtype: type[Any]) -> Callable[[int], Any]:
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
        base, creator, tools = (importlib.import_module(f"deap.{name}") for name in ("base", "creator", "tools"))
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


def measure(size: int, probability: float, seconds: float, rounds: int) -> dict[str, Any]:
    """All rows; `seconds` for each contender of a row, spread over the rounds."""
    rows = [row_of(size, width, probability, seconds / rounds, rounds) for width in WIDTHS]
    return {"bench": "genome", "compiled": genome.COMPILED, "size": size, "p": probability, "rows": rows}


def row_of(size: int, width: int, probability: float, seconds: float, rounds: int) -> dict[str, Any]:
    contenders: dict[str, tuple[Callable[[int], Any], int]] = {
        "ns": (ours(size, width, probability, np.uint32), size),
        "ns_64_bit": (ours(size, width, probability, np.uint64), size),
        "numpy_ns": (with_numpy(size, width, probability), size),
    }
    peer = with_deap(PEER_SIZE, width, probability)
    if peer is not None:
        contenders["deap_ns"] = (peer, PEER_SIZE)
    fastest = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, (step, individuals) in contenders.items():
            fastest[name] = min(fastest[name], fastest_ns(step, individuals, seconds))
    row: dict[str, Any] = {"d": width, "goal_ns": GOALS_NS[width]}
    row |= {name: round(value, 2) for name, value in fastest.items()}
    for name in ("numpy", "deap"):
        if f"{name}_ns" in fastest:
            row[f"{name}_ratio"] = round(fastest[f"{name}_ns"] / fastest["ns"], 1)
    return row


def table(measured: dict[str, Any]) -> list[str]:
    """For a person."""
    what = "compiled" if measured["compiled"] else "plain Python: build the extension"
    lines = [f"ns per individual and generation, {measured['size']} individuals, p = {measured['p']:g} ({what})"]
    lines.append("    d     goal  32 bits  64 bits     numpy            DEAP")
    for row in measured["rows"]:
        text = f"{row['d']:5} {row['goal_ns']:8.0f} {row['ns']:8.1f} {row['ns_64_bit']:8.1f}"
        text += f" {row['numpy_ns']:9.1f} ({row['numpy_ratio']:.1f}x)"
        deap = f" {row['deap_ns']:9.0f} ({row['deap_ratio']:.0f}x)" if "deap_ns" in row else "  not installed"
        lines.append(text + deap)
    return lines
