"""The operators alone, as in the paper: small populations close in on places until they can be told from the rest.

A low |f| is no root yet: over a near miss, between two close roots and on a fading tail it is low as well. So a
population goes on, past the solution epsilon, until the residual is next to nothing beside what it is a little away,
near and far (`stands_out`); where the bits cannot show as little as epsilon, until they show no more. What is known
that well is also known apart from its neighbours: two such points are one root only where |f| does not rise between
them, and a place that |f| parts from the root just found is closed in on as well.

Children are averages of two parents, then bits flip: for half of the children in the coordinates of the box, for the
other half in those of the population's own axes. Along a narrow valley that lies askew the box's coordinates leave no
step that is both long and not uphill, and the average of parents alone only contracts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tasksprint.apps.roots import judge
from tasksprint.apps.roots.evolve import ALONE, CHOICE, MUTATION, Keys, Variation, flipped, to_units, to_words
from tasksprint.apps.roots.findings import BLURRED, Root, Work
from tasksprint.apps.roots.population import Population
from tasksprint.apps.roots.problem import Array, Meter, norms
from tasksprint.native import genome

TURNED, FILL = 15, 34  # purposes of random streams
MEMBERS = 12  # of a population that closes in, in any dimension: more only take longer
BROOD = 6  # children of a generation
REACH_MIN, REACH_MAX = 1e-3, 4.0  # flips at the scale of the population's spread times this
IDLE_MAX = 25  # generations without a better child
ENOUGH = 0.3  # of epsilon: where a population is first judged, so that what is announced is well within
DEEPER = 0.03  # of the residual: the next try, where the judgement is not clear yet
FAR_FALL, NEAR_FALL = 0.01, 0.03  # |f| at a root over |f| at `judge.FAR` and at `judge.NEAR` around it
SHARP = 2.0 * judge.NEAR  # of the box: how well such a root is known
ARCHIVE_MAX = 400  # points of a closing population that a twin is looked for among


class Closing:
    """A small population on its way into one place."""

    def __init__(self, meter: Meter, members: Population, keys: Keys, bits: int, variation: Variation) -> None:
        self.meter, self.keys, self.bits, self.variation = meter, keys, bits, variation
        self.words, self.residuals = to_words(members.points, bits), members.residuals
        self.sizes = norms(self.residuals)
        self.seen = [members.points]
        self.seen_sizes = [self.sizes]
        self.dimensions = members.points.shape[1]
        self.shape = np.eye(self.dimensions) / self.dimensions  # of the population, averaged over generations
        self.reach, self.idle, self.number = 1.0, 0, 0
        self._sort()

    def run(self, target: float, end: int) -> None:
        """Generations until the best is at the target, the evaluations are used up, or nothing more comes of them."""
        while self.sizes[0] > target and not self.stalled and min(end - self.meter.used, self.meter.left) >= BROOD:
            self._generation()

    @property
    def stalled(self) -> bool:
        return self.idle >= IDLE_MAX or self.resolved

    @property
    def resolved(self) -> bool:
        """The population is as small as the bits can show."""
        return self.spread < 2.0 ** (2 - self.bits)

    @property
    def points(self) -> Array:
        return to_units(self.words)

    @property
    def spread(self) -> float:
        return float(np.ptp(self.points, axis=0).max())

    def _generation(self) -> None:
        self.number += 1
        parents = genome.select(-self.sizes, self.keys.stream(self.number, CHOICE), 2 * BROOD).astype(np.int64)
        two = self.variation.partners(parents[0::2], parents[1::2], self.keys.stream(self.number, ALONE))
        young = genome.average(self.words, parents[0::2].astype(np.uint32), two.astype(np.uint32))
        half = BROOD // 2 if self.dimensions > 1 else 0
        flips, units = self.variation.mutation * self.dimensions, self.points
        straight = np.ascontiguousarray(young[half:])
        flipped(straight, self.reach * np.ptp(units, axis=0), self.keys.stream(self.number, MUTATION), flips)
        young[half:] = straight
        if half:
            young[:half] = self._turned(to_units(young[:half]), units, flips)
        values = self.meter(to_units(young))
        self.seen.append(to_units(young))
        self.seen_sizes.append(norms(values))
        self._select(young, values)

    def _turned(self, units: Array, parents: Array, flips: float) -> Any:
        """Flips in words that stand for coordinates along the population's own axes."""
        lengths, axes = np.linalg.eigh(self.shape)
        size = 3.5 * float(np.sqrt(np.var(parents, axis=0, ddof=1).sum()))
        scales = np.sqrt(np.maximum(lengths, 0.0)) * size
        room = 2.0 * np.sqrt(self.dimensions)  # the box, however it is turned, fits in words of this range
        words = to_words((units - 0.5) @ axes / room + 0.5, 64)
        flipped(words, self.reach * scales / room, self.keys.stream(self.number, TURNED), flips)
        return to_words(np.clip((to_units(words) - 0.5) * room @ axes.T + 0.5, 0.0, 1.0), self.bits)

    def _select(self, young: Any, values: Array) -> None:
        """The best of parents and children; the scale of the flips follows how many of the children are among them."""
        before, count = self.sizes[0], len(self.words)
        every, together = np.concatenate([self.words, young]), np.concatenate([self.residuals, values])
        kept = np.argsort(norms(together), kind="stable")[:count]
        self.words, self.residuals = every[kept], together[kept]
        self.sizes = norms(self.residuals)
        self.idle = 0 if self.sizes[0] < before else self.idle + 1
        share = float((kept >= count).mean()) * count / BROOD
        change = 1.25 if share > 0.35 else 0.8 if share < 0.2 else 1.0
        self.reach = float(np.clip(self.reach * change, REACH_MIN, REACH_MAX))
        spread = np.cov(self.points.T).reshape(self.dimensions, self.dimensions)
        whole = float(np.trace(spread))
        if whole > 0.0:
            part = 1.0 / (1.0 + self.dimensions / 2.0)
            self.shape = (1.0 - part) * self.shape + part * spread / whole

    def _sort(self) -> None:
        order = np.argsort(self.sizes, kind="stable")
        self.words, self.residuals, self.sizes = self.words[order], self.residuals[order], self.sizes[order]

    def population(self) -> Population:
        return Population.fresh(self.points, self.residuals)


def close(work: Work, samples: Population, cluster: Mapping[str, Any], number: int, share: int) -> Population:
    """One cluster: members, generations, a verdict; then the place that |f| parts from the root, if there is one."""
    end = work.meter.used + share
    at, spread = np.array(cluster["at"]), float(np.clip(cluster["spread"], 1e-9, 0.25))
    away = np.abs(samples.points - at).max(axis=1)
    usable = (away <= 2.0 * spread) & np.isfinite(samples.sizes)
    most = MEMBERS if cluster.get("going") else MEMBERS // 2
    rows = np.flatnonzero(usable)[np.argsort(away[usable], kind="stable")[:most]]
    closing = _begun(work, samples.chosen(rows), at, spread, number)
    if not _settled(work, closing, end):
        going = not closing.stalled
        moved = float(np.abs(closing.points[0] - at).max())  # as far, it may have to go again
        wide = closing.spread if going else max(4.0 * closing.spread, moved)
        work.leave_open(closing.points[0], float(closing.sizes[0]), max(wide, 1e-9), going)
        return closing.population()
    twin = _parted(work, closing)
    if twin is None or end - work.meter.used < 4 * MEMBERS:
        return closing.population()
    place, reach = twin
    beside = _begun(work, Population.empty(len(at), work.meter.equations), place, reach, number + FILL)
    if not _settled(work, beside, end):
        work.leave_open(beside.points[0], float(beside.sizes[0]), max(beside.spread, 1e-9), not beside.stalled)
    return Population.joined([closing.population(), beside.population()])


def _begun(work: Work, members: Population, at: Array, spread: float, number: int) -> Closing:
    """A population of the members that are there, and of new ones around the place."""
    missing, dimensions = MEMBERS - len(members), len(at)
    if missing:
        drawn = genome.uniform(work.keys.stream(number, FILL), missing * dimensions).reshape(missing, dimensions)
        filled = np.clip(at + (2.0 * drawn - 1.0) * spread, 0.0, 1.0)
        filled[0] = at
        members = Population.joined([members, Population.fresh(filled, work.meter(filled))])
    keys = Keys(work.keys.seed, genome.stream(work.keys.seed, work.keys.task, number, FILL))
    return Closing(work.meter, members, keys, work.problem.bits, work.variation)


def _settled(work: Work, closing: Closing, end: int) -> bool:
    """Run it until it is a root, clearly; tells whether it is."""
    target = ENOUGH * work.problem.epsilon
    while True:
        closing.run(target, end)
        at, size = closing.points[0], float(closing.sizes[0])
        if size > target and not closing.resolved:
            return announce(work, at, size)
        if announce(work, at, size, closing.resolved):
            return True
        if closing.stalled or size == 0.0:
            return False
        target = DEEPER * size


def announce(work: Work, at: Array, size: float, resolved: bool = False) -> bool:
    """A root by the operators alone, new or met again? It is within the solution epsilon, or as near as the bits go."""
    if size > ENOUGH * work.problem.epsilon and not resolved:
        return False
    number = work.meet(at, size)
    if number is not None:
        work.sightings.append(number)
        return True
    if not stands_out(work, at, size):
        return False
    work.sightings.append(len(work.known) + len(work.roots))
    work.roots.append(Root(at, size, "unjudged", blur=BLURRED if size <= 100.0 * work.quiet else SHARP))
    return True


def stands_out(work: Work, at: Array, size: float) -> bool:
    """Whether the residual is next to nothing beside what it is around: over near misses and tails it is not."""
    ways = judge.directions(work.keys, work.judged, min(3, len(at) + 1), len(at))
    if len(at) == 1:
        ways = np.array([[1.0], [-1.0]])
    work.judged += 1
    if work.meter.left < 2 * len(ways):
        return False
    near = float(np.median(norms(work.meter(judge.around(at, ways, judge.NEAR)))))
    if size > max(NEAR_FALL * near, 100.0 * work.quiet):
        return False
    return size <= FAR_FALL * float(np.median(norms(work.meter(judge.around(at, ways, judge.FAR)))))


def _parted(work: Work, closing: Closing) -> tuple[Array, float] | None:
    """The place that |f| parts from the root just found, and how far around it to look.

    Around a lone root |f| grows with the distance. The point that is lowest for its distance is looked at: where |f|
    is higher halfway to the root than there, something else lies beyond.
    """
    points, sizes = np.concatenate(closing.seen)[-ARCHIVE_MAX:], np.concatenate(closing.seen_sizes)[-ARCHIVE_MAX:]
    root = closing.points[0]
    away = np.abs(points - root).max(axis=1)
    rows = np.flatnonzero((away > SHARP) & np.isfinite(sizes))
    if not len(rows):
        return None
    row = rows[np.argmin(sizes[rows] / away[rows])]
    middle = 0.5 * (root + points[row])
    if work.meter.left < 1 or float(norms(work.meter(middle[None]))[0]) <= sizes[row]:
        return None
    return points[row], float(away[row]) / 3.0
