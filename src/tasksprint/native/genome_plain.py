"""The plain twin of the compiled genetic operators: the same output for the same keys, in vectorised numpy.

It is what runs where nothing was compiled, and what the tests hold the compiled module against.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[Any]  # uint32 or uint64, one row an individual
Counts = NDArray[np.uint32]
Draws = NDArray[np.uint64]

STEP = np.uint64(0x9E3779B97F4A7C15)
FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR = np.uint64(0x94D049BB133111EB)
HALF = np.uint64(32)
LOW_HALF = np.uint64(0xFFFFFFFF)


def _mixed(values: Draws) -> Draws:
    values = (values ^ (values >> np.uint64(30))) * FIRST_FACTOR
    values = (values ^ (values >> np.uint64(27))) * SECOND_FACTOR
    return values ^ (values >> np.uint64(31))


def mix(value: int) -> int:
    return int(_mixed(np.array([value], dtype=np.uint64))[0])


def draws(key: int, first: int, out: Draws) -> None:
    counters = np.arange(out.size, dtype=np.uint64) + np.uint64(first) + np.uint64(1)
    out[:] = _mixed(np.uint64(key) + counters * STEP)


def _drawn(key: int, first: int, count: int) -> Draws:
    out = np.empty(count, dtype=np.uint64)
    draws(key, first, out)
    return out


def select(fitness: NDArray[np.float64], key: int, parents: Counts) -> None:
    drawn, size = _drawn(key, 0, parents.size), np.uint64(fitness.size)
    one = ((drawn >> HALF) * size) >> HALF
    two = ((drawn & LOW_HALF) * size) >> HALF
    parents[:] = np.where(fitness[two] > fitness[one], two, one)


def average(genomes: Words, one: Counts, two: Counts, out: Words) -> None:
    a, b = genomes[one], genomes[two]
    out[:] = (a & b) + ((a ^ b) >> genomes.dtype.type(1))


def breed(genomes: Words, fitness: NDArray[np.float64], key: int, out: Words) -> None:
    parents = np.empty(2 * len(genomes), dtype=np.uint32)
    select(fitness, key, parents)
    average(genomes, parents[0::2], parents[1::2], out)


def _positions(end: int, key: int, thresholds: Draws) -> tuple[NDArray[np.int64], Draws]:
    """Where the flips are, in order, and the draw of each: skips are drawn in blocks until the end is passed."""
    longest, position, counter = len(thresholds) - 1, 0, 0
    found: list[NDArray[np.int64]] = []
    kept: list[Draws] = []
    while position < end:
        drawn = _drawn(key, counter, 1024)
        counter += 1024
        skips = np.searchsorted(thresholds, drawn, side="left").astype(np.int64)
        flips = skips < longest
        steps = np.cumsum(skips + flips)
        places = position + steps - 1  # of a flip: all skips before it and its own, all flips before it
        hit = flips & (places < end)
        found.append(places[hit])
        kept.append(drawn[hit])
        position += int(steps[-1])
    return np.concatenate(found), np.concatenate(kept)


def flip(
    genomes: Words, low: int, window: int, key: int, thresholds: Draws, guide: NDArray[np.uint16], carry: bool
) -> int:
    """Flips of one word go one after the other, since carries do not commute; the k-th of all words go at once."""
    places, drawn = _positions(genomes.size * window, key, thresholds)
    cells, kind, line = places // window, genomes.dtype.type, genomes.reshape(-1)
    bits = kind(1) << (low + places - cells * window).astype(genomes.dtype)
    starts = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]]) if cells.size else cells
    lengths = np.diff(np.r_[starts, cells.size])
    nth = np.arange(cells.size) - np.repeat(starts, lengths)
    for turn in range(int(lengths.max()) if cells.size else 0):
        now = nth == turn
        line[cells[now]] = _changed(line[cells[now]], bits[now], drawn[now], carry)
    return int(cells.size)


def _changed(old: Words, bits: Words, drawn: Draws, carry: bool) -> Words:
    new: Words = old ^ bits
    if not carry:
        return new
    top = np.iinfo(old.dtype).max
    added, taken = old + bits, old - bits
    added[added < old] = top
    taken[taken > old] = 0
    one, two = (drawn & np.uint64(1)).astype(bool), (drawn & np.uint64(2)).astype(bool)
    return np.where(one, np.where(two, added, taken), new)
