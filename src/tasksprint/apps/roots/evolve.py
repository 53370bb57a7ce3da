"""The genetic part: populations that settle on many low places at once, and small ones that close in on one.

Points are words of 32 or 64 bits, one a coordinate; the fitness is minus the length of the residuals. A child is the
average of two parents, then bits flip. Three things keep the niches apart, without which the population would gather in
one place and the average of distant parents would land between roots: parents mate with near neighbours only, a child
stands in for the nearer parent, and only if it is better. Half of the flips are carries (2**b added or taken away), as
a plain flip cannot cross a Hamming cliff, and the bits that flip move down as the neighbours come closer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasksprint.apps.roots.problem import Array, Meter, norms
from tasksprint.native import genome

Words = NDArray[Any]
Rows = NDArray[np.int64]

BLOCK = 32  # rows whose distances to all others are kept in the processor's cache
MATES = 3  # nearest neighbours that a parent may mate with
FLIPS = 1.25  # expected per child
REACH_MIN = 1e-3  # flips at the scale of the spread times this, at least
REACH_MAX = 1.0  # and at most
WINDOW = 8  # bits below the highest that flip
MATING, CHOICE, MUTATION, ALONE = 11, 12, 13, 14  # purposes of random streams


@dataclass(frozen=True)
class Keys:
    """What random numbers are keyed by."""

    seed: int
    task: int

    def stream(self, generation: int, purpose: int) -> int:
        return genome.stream(self.seed, self.task, generation, purpose)


@dataclass(frozen=True)
class Variation:
    """How children come about: the share that has two parents, and how many bits flip in a child, on average."""

    crossover: float = 1.0
    mutation: float = FLIPS

    def partners(self, one: Rows, two: Rows, key: int) -> Rows:
        """The second parents; the first again for children that have one only."""
        if self.crossover >= 1.0:
            return two
        return np.where(genome.uniform(key, len(one)) < self.crossover, two, one)


def to_words(units: Array, bits: int) -> Words:
    if bits == 32:
        return np.rint(np.clip(units, 0.0, 1.0) * (2**32 - 1)).astype(np.uint32)
    top = np.clip(units, 0.0, 1.0) * 2.0**64
    return np.where(top >= 2.0**64, np.uint64(2**64 - 1), np.minimum(top, 2.0**64 - 2048).astype(np.uint64))


def to_units(words: Words) -> Array:
    top = 2.0**32 - 1 if words.dtype == np.uint32 else 2.0**64
    return np.minimum(words.astype(np.float64) / top, 1.0)


def neighbours(units: Array, count: int, among: Array | None = None, rows: Rows | None = None) -> tuple[Rows, Array]:
    """The nearest others of each point, nearest first, and their distances (greatest difference of a coordinate).

    `among` are other points to look among; without it the points themselves, of which `rows` may choose whose
    neighbours are wanted. Ties go to the lower row.
    """
    others = units if among is None else among
    rows = np.arange(len(units)) if rows is None else rows
    columns = np.ascontiguousarray(others.T)
    count = max(1, min(count, len(others) - (among is None)))
    near, away = np.empty((len(rows), count), dtype=np.int64), np.empty((len(rows), count))
    for begin in range(0, len(rows), BLOCK):
        part = slice(begin, begin + BLOCK)
        wanted = units[rows[part]]
        distances = np.abs(wanted[:, :1] - columns[0])
        for axis in range(1, len(columns)):
            np.maximum(distances, np.abs(wanted[:, axis : axis + 1] - columns[axis]), out=distances)
        index = np.arange(len(wanted))
        if among is None:
            distances[index, rows[part]] = np.inf
        for place in range(count):
            nearest = np.argmin(distances, axis=1)
            near[part, place], away[part, place] = nearest, distances[index, nearest]
            distances[index, nearest] = np.inf
    return near, away


def flip_window(distance: float, bits: int) -> tuple[int, int]:
    """The lowest bit and the number of bits whose steps are about the distance and less."""
    highest = (
        bits - 1 if distance >= 1.0 else int(np.clip(bits + np.floor(np.log2(max(distance, 2.0**-bits))), 0, bits - 1))
    )
    lowest = max(0, highest - WINDOW + 1)
    return lowest, highest - lowest + 1


def flipped(young: Words, scales: Array, key: int, flips: float) -> None:
    """Flips in place, in each coordinate on its own scale."""
    bits, width = young.dtype.itemsize * 8, young.shape[1]
    for axis in range(width):
        low, window = flip_window(float(scales[axis]), bits)
        column = np.ascontiguousarray(young[:, axis : axis + 1])
        genome.flip(
            column, min(0.5, flips / (window * width)), (key + axis) % 2**64, low=low, window=window, carry=True
        )
        young[:, axis] = column[:, 0]


def children(words: Words, one: Rows, two: Rows, distance: float, key: int, flips: float) -> Words:
    """Averages of parents, with flips on the scale of the distance."""
    bits = words.dtype.itemsize * 8
    young = genome.average(words, one.astype(np.uint32), two.astype(np.uint32))
    low, window = flip_window(distance, bits)
    genome.flip(young, min(0.5, flips / (window * words.shape[1])), key, low=low, window=window, carry=True)
    return young


def niche_generation(
    meter: Meter, units: Array, residuals: Array, keys: Keys, number: int, bits: int, count: int, variation: Variation
) -> tuple[Array, Array]:
    """`count` children of a population with niches, evaluated; better ones stand in for their near parents, in place.

    Returns all children and their residuals: samples, whether they were kept or not.
    """
    sizes = norms(residuals)
    near, distances = neighbours(units, MATES)
    one = genome.select(-sizes, keys.stream(number, CHOICE), count).astype(np.int64)
    pick = (genome.uniform(keys.stream(number, MATING), count) * near.shape[1]).astype(np.int64)
    two = variation.partners(one, near[one, pick], keys.stream(number, ALONE))
    typical = float(np.median(distances[one, pick]))
    key = keys.stream(number, MUTATION)
    young = to_units(children(to_words(units, bits), one, two, typical, key, variation.mutation))
    values = meter(young)
    young_sizes = norms(values)
    to_one = np.abs(young - units[one]).max(axis=1)
    to_two = np.abs(young - units[two]).max(axis=1)
    for child, place in enumerate(np.where(to_one <= to_two, one, two)):
        if young_sizes[child] < sizes[place]:
            units[place], residuals[place], sizes[place] = young[child], values[child], young_sizes[child]
    return young, values


def close_in(
    meter: Meter,
    units: Array,
    residuals: Array,
    keys: Keys,
    bits: int,
    target: float,
    allowance: int,
    variation: Variation,
) -> tuple[Array, Array, float]:
    """A small population that evolves into one place: tournaments, averages, flips at a scale that adapts.

    The scale is a share of the population's own spread: more when many children are worth keeping, less when few are.

    Ends at the target size, at its allowance, at the resolution of the bits, or when generations bring nothing.
    Returns the last population, best first, with its residuals and its spread.
    """
    population, end = len(units), meter.used + allowance
    words, sizes = to_words(units, bits), norms(residuals)
    idle, number, spread, reach = 0, 0, _spread(units), 1.0
    brood = max(4, population // 2)
    while meter.used + brood <= end and meter.left >= brood and sizes.min() > target and idle < 25:
        number += 1
        parents = genome.select(-sizes, keys.stream(number, CHOICE), 2 * brood).astype(np.int64)
        one, two = parents[0::2], variation.partners(parents[0::2], parents[1::2], keys.stream(number, ALONE))
        flips = variation.mutation * words.shape[1]
        key = keys.stream(number, MUTATION)
        young = children(words, one, two, reach * spread, key, flips)
        values = meter(to_units(young))
        before = sizes.min()
        every, together = np.concatenate([words, young]), np.concatenate([residuals, values])
        kept = np.argsort(norms(together), kind="stable")[:population]
        words, residuals, sizes = every[kept], together[kept], norms(together)[kept]
        idle = 0 if sizes.min() < before else idle + 1
        share = float((kept >= population).mean()) * population / brood  # of the children that were worth keeping
        change = 1.25 if share > 0.35 else 0.8 if share < 0.2 else 1.0
        reach = float(np.clip(reach * change, REACH_MIN, REACH_MAX))
        spread = _spread(to_units(words))
        if spread < 2.0 ** (2 - bits):
            break
    order = np.argsort(sizes, kind="stable")
    return to_units(words[order]), residuals[order], spread


def _spread(units: Array) -> float:
    return float((units.max(axis=0) - units.min(axis=0)).max())
