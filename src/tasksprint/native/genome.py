"""Genetic operators on fixed-point genomes, compiled where possible.

A population is a C-contiguous numpy table of `uint32` or `uint64`, one row an individual, one column a coordinate; a
word w stands for lo + w * (hi - lo) / (2**bits - 1). Random numbers are counted: each is a hash of a stream's key and a
counter, and the key is a hash of (seed, task, generation, purpose). So a generation is the same whatever ran before it,
and on whatever machine; there is no generator whose state could be in the wrong place.

    key = stream(seed, task, generation, SELECTION)
    children = generation(genomes, fitness, 0.01, seed, task, number)    # selection, averaging, flips

The plain twin, `genome_plain`, gives the same output bit for bit; `COMPILED` tells which one is at work.
"""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasksprint.native import genome_plain

_kernel: ModuleType
try:
    from tasksprint.native import _genome

    _kernel = _genome
except ImportError:
    _kernel = genome_plain

COMPILED = _kernel is not genome_plain
SELECTION, FLIPS = 1, 2  # purposes; any other number is free for callers
MASK = 2**64 - 1
TABLE_MIN, TABLE_MAX, GUIDE_BITS = 64, 4096, 12

Words = NDArray[Any]
Fitness = NDArray[np.float64]
Parents = NDArray[np.uint32]


def stream(seed: int, task: int, generation: int, purpose: int = 0) -> int:
    """The key of one stream of random numbers: 64 bits, a hash of all four."""
    key = 0
    for part in (seed, task, generation, purpose):
        key = genome_mix(key ^ genome_mix((part + 0x9E3779B97F4A7C15) & MASK))
    return key


def genome_mix(value: int) -> int:
    """The finaliser that makes the random numbers, for one value."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def draws(key: int, count: int, first: int = 0) -> NDArray[np.uint64]:
    """Random 64-bit numbers number `first` to `first + count - 1` of a stream."""
    out = np.empty(count, dtype=np.uint64)
    _kernel.draws(key, first, out)
    return out


def uniform(key: int, count: int, first: int = 0) -> Fitness:
    """The same numbers as floats in [0, 1), by their upper 53 bits."""
    return (draws(key, count, first) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def select(fitness: Fitness, key: int, count: int) -> Parents:
    """The winners of `count` tournaments of two, as row numbers; the greater fitness wins, a NaN never does."""
    fitness = np.ascontiguousarray(fitness, dtype=np.float64)
    if not 0 < fitness.size < 2**32:
        raise ValueError(f"a population has 1 to 2**32 - 1 individuals, not {fitness.size}")
    parents = np.empty(count, dtype=np.uint32)
    _kernel.select(fitness, key, parents)
    return parents


def average(genomes: Words, one: Parents, two: Parents) -> Words:
    """Children halfway between the parents named by row, rounded down."""
    genomes = _checked(genomes)
    one, two = (np.ascontiguousarray(rows, dtype=np.uint32) for rows in (one, two))
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError("each child needs two parents: two lists of rows, of one length")
    if one.size and max(int(one.max()), int(two.max())) >= len(genomes):
        raise ValueError(f"a parent's row is beyond the {len(genomes)} individuals")
    out = np.empty((one.size, genomes.shape[1]), dtype=genomes.dtype)
    _kernel.average(genomes, one, two, out)
    return out


def flip(
    genomes: Words, probability: float, key: int, *, low: int = 0, window: int | None = None, carry: bool = False
) -> int:
    """Flip each bit with the given probability, in place; returns how many.

    Only the `window` bits from bit `low` on are touched (all by default). With `carry`, half of the changes add or take
    away 2**bit instead, held at the ends of the range, so that no step is barred by a Hamming cliff.
    """
    bits = _checked(genomes).dtype.itemsize * 8
    window = bits - low if window is None else window
    if not (genomes.flags.writeable and genomes.flags.c_contiguous):
        raise ValueError("genomes are flipped in place: a writeable, C-contiguous table is needed")
    if low < 0 or window < 1 or low + window > bits:
        raise ValueError(f"bits {low} to {low + window - 1} are not all among the {bits} of a word")
    if probability == 0.0 or genomes.size == 0:
        return 0
    thresholds, guide = skip_table(probability)
    return int(_kernel.flip(genomes, low, window, key, thresholds, guide, carry))


def generation(
    genomes: Words, fitness: Fitness, probability: float, seed: int, task: int, number: int, out: Words | None = None
) -> Words:
    """One whole generation: tournaments of two choose both parents of each child, their average, bit flips."""
    genomes = _checked(genomes)
    fitness = np.ascontiguousarray(fitness, dtype=np.float64)
    if fitness.shape != (len(genomes),) or not 0 < len(genomes) < 2**32:
        raise ValueError(f"{len(genomes)} individuals need as many fitnesses, and at least one; got {fitness.shape}")
    children = np.empty_like(genomes) if out is None else _checked(out)
    if children.shape != genomes.shape or children.dtype != genomes.dtype or np.shares_memory(children, genomes):
        raise ValueError("the children need a table of their own, shaped like the parents'")
    _kernel.breed(genomes, fitness, stream(seed, task, number, SELECTION), children)
    flip(children, probability, stream(seed, task, number, FLIPS))
    return children


@lru_cache(maxsize=64)
def skip_table(probability: float) -> tuple[NDArray[np.uint64], NDArray[np.uint16]]:
    """Thresholds of the geometric distribution and the guide into them.

    The distance to the next flip is the number of thresholds below a 64-bit draw. A distance as long as the table means
    that many bits without a flip; the distribution has no memory, so the next draw simply goes on from there. Made in
    whole numbers: the same on every machine.
    """
    if not 0.0 < probability <= 0.5:
        raise ValueError(f"a flip's probability is between 0 and 0.5, not {probability}")
    size = max(TABLE_MIN, min(TABLE_MAX, int(4 / probability)))
    stay = round((1.0 - probability) * 2**64)
    left, thresholds = 2**64, []
    for _ in range(size):
        left = left * stay >> 64
        thresholds.append(2**64 - left - 1)
    table = np.array([*thresholds, MASK], dtype=np.uint64)
    starts = np.arange(2**GUIDE_BITS, dtype=np.uint64) << np.uint64(64 - GUIDE_BITS)
    guide = np.searchsorted(table, starts, side="left").astype(np.uint16)
    table.setflags(write=False)
    guide.setflags(write=False)
    return table, guide


def _checked(genomes: Words) -> Words:
    if not isinstance(genomes, np.ndarray) or genomes.ndim != 2 or genomes.dtype not in (np.uint32, np.uint64):
        raise TypeError("genomes are a two-dimensional table of uint32 or uint64")
    if genomes.shape[1] == 0:
        raise ValueError("a genome has at least one coordinate")
    return genomes if genomes.flags.c_contiguous else np.ascontiguousarray(genomes)
