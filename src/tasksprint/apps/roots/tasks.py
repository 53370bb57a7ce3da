"""The two kinds of tasks, as pure functions of (arguments, inputs, seed in the arguments): `explore` and `merge`.

`explore` searches one cell of the box: new samples where there are none yet, a few generations of the genetic algorithm
with niches, then a polish of what looks worth it. `merge` takes clusters that explorations left open, with the
populations around them, closes in on each with a small population, and polishes again. Without the polish (the paper's
operators alone) the generations do all the work, and a root is a point whose residual is within the solution epsilon.

Both return their population, for the next task on the same place, and findings, for the scheduler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasksprint.apps.roots import alone, judge, seek, seek_line
from tasksprint.apps.roots.evolve import close_in, niche_generation
from tasksprint.apps.roots.findings import Work
from tasksprint.apps.roots.population import Population
from tasksprint.apps.roots.problem import Array, Function, norms, quiet_level
from tasksprint.native import genome

SHIFT, FILL, RESEED = 31, 32, 33  # purposes of random streams
TURN_AWAY_TRIES = 4
MEMBERS = 12  # of a population that closes in, in any dimension: more only take longer
KEPT_MAX = 1500  # samples that a cell of several dimensions hands on: enough to tell a niche


@dataclass
class Result:
    population: Population
    findings: dict[str, Any]


def explore(args: Mapping[str, Any], inputs: Sequence[Population], function: Function | None = None) -> Result:
    work = Work.begin(args, function)
    old = Population.joined(inputs) if inputs else Population.empty(work.problem.dimensions, work.meter.equations)
    points = turned_away(work, new_points(work, args))[: work.meter.left]
    fresh = Population.fresh(points, work.meter(points))
    if not work.quiet:
        work.quiet = quiet_level(fresh.sizes)
    on_line = work.meter.equations == 1 and work.problem.dimensions == 1
    if on_line:
        order = np.argsort(points[:, 0], kind="stable")
        seek_line.sight(work, points[order, 0], fresh.residuals[order, 0])
    samples = Population.joined([old, fresh])
    if on_line and work.polish:  # what the samples show already comes first
        samples = seek_line.seek(work, samples)
    born = evolve(work, samples, args)
    samples = Population.joined([samples, born])
    if not work.polish:
        leave_niches(work, samples, len(fresh) + len(born))
    elif on_line:
        samples = seek_line.seek(work, samples)
    else:
        seek.seek(work, samples, len(fresh) + len(born))
    if not (on_line and work.polish):
        samples = samples.chosen(slice(-KEPT_MAX, None))
    findings = work.report()
    finite = fresh.sizes[np.isfinite(fresh.sizes)]
    findings["median"] = float(np.median(finite)) if len(finite) else 0.0
    findings["infinite"] = len(fresh) - len(finite)
    return Result(samples, findings)


def new_points(work: Work, args: Mapping[str, Any]) -> Array:
    """The next points of the cell's own sequence: each falls where the earlier ones left the widest gaps.

    Kronecker's sequence by the generalised golden ratio, shifted at random; the ends of a stretch and the corners of
    the box, where border roots are, come with the first visit.
    """
    dimensions, first, count = work.problem.dimensions, int(args["first"]), int(args["fresh"])
    ratio = 2.0
    for _ in range(64):
        ratio = (1.0 + ratio) ** (1.0 / (dimensions + 1))
    steps = ratio ** -np.arange(1.0, dimensions + 1)
    shift = genome.uniform(genome.stream(work.keys.seed, int(args["place"]), 0, SHIFT), dimensions)
    index = np.arange(first, first + count, dtype=np.float64)[:, None]
    if str(args.get("starts", "unsearched")) == "uniform":
        unit = genome.uniform(work.keys.stream(0, SHIFT), count * dimensions).reshape(count, dimensions)
    else:
        unit = (shift + index * steps) % 1.0
    if first == 0 and dimensions == 1 and count > 2:
        unit = np.concatenate([[[0.0], [1.0]], unit[2:]])
    return np.asarray(work.cell_low + unit * (work.cell_high - work.cell_low))


def turned_away(work: Work, points: Array) -> Array:
    """Points near known roots are drawn anew: what is known is not searched again. (On the line they are brackets.)"""
    dimensions = work.problem.dimensions
    if not work.known or dimensions == 1 or not len(points):
        return points
    for attempt in range(TURN_AWAY_TRIES):
        bad = np.flatnonzero(work.known_at(points))
        if not len(bad):
            break
        drawn = genome.uniform(work.keys.stream(attempt, RESEED), len(bad) * dimensions).reshape(-1, dimensions)
        points[bad] = work.cell_low + drawn * (work.cell_high - work.cell_low)
    return points


def evolve(work: Work, samples: Population, args: Mapping[str, Any]) -> Population:
    """Generations with niches, away from known roots; the best of the old stand among the parents."""
    born = [Population.empty(work.problem.dimensions, work.meter.equations)]
    if not int(args["generations"]):
        return born[0]
    active = np.flatnonzero(np.isfinite(samples.sizes))
    active = active[~work.known_at(samples.points[active])]
    keep = int(args["population"])
    if len(active) > keep:
        active = np.sort(active[np.argsort(samples.sizes[active], kind="stable")[:keep]])
    if len(active) < 4:
        return born[0]
    units, residuals = samples.points[active].copy(), samples.residuals[active].copy()
    for number in range(int(args["generations"])):
        count = min(max(4, len(active) // 2), work.meter.left)
        if count < 1:
            break
        young = niche_generation(
            work.meter, units, residuals, work.keys, number, work.problem.bits, count, work.variation
        )
        born.append(Population.fresh(*young))
    return Population.joined(born)


def leave_niches(work: Work, samples: Population, fresh: int) -> None:
    """Without the polish: roots that stand out already are announced, the other low places are left open."""
    rows = seek.niches(samples, fresh)
    if not len(rows):
        return
    samples.tried[rows] = True
    spread = 2.0 * seek.spacing(samples, rows)
    known = work.known_at(samples.points[rows])
    for row, explained in zip(rows, known, strict=True):
        at, size = samples.points[row], float(samples.sizes[row])
        if not alone.announce(work, at, size) and not explained:
            work.leave_open(at, size, spread)


def merge(args: Mapping[str, Any], inputs: Sequence[Population], function: Function | None = None) -> Result:
    work = Work.begin(args, function)
    samples = Population.joined(inputs) if inputs else Population.empty(work.problem.dimensions, work.meter.equations)
    made = [Population.empty(work.problem.dimensions, work.meter.equations)]
    clusters = list(args["clusters"])
    for number, cluster in enumerate(clusters):
        share = work.meter.left // (len(clusters) - number)
        if work.continuum is not None or share < 12:
            break
        made.append((close if work.polish else alone.close)(work, samples, cluster, number, share))
    return Result(Population.joined(made), work.report())


def close(work: Work, samples: Population, cluster: Mapping[str, Any], number: int, share: int) -> Population:
    """One cluster: members, new ones around it, generations, and a polish of where they went."""
    dimensions, end = work.problem.dimensions, work.meter.used + share
    if seek.touches(dimensions, work.meter.equations):
        return follow(work, cluster)
    if dimensions > 1 and 0.0 < cluster["size"] <= work.quiet:  # a root, but for the verdict
        here = np.array(cluster["at"])[None]
        there = Population.fresh(here, work.meter(here))
        if there.sizes[0] <= work.quiet and work.candidate(here[0], there.residuals[0]):
            return there
    at, spread = np.array(cluster["at"]), float(np.clip(cluster["spread"], 1e-9, 0.25))
    size = MEMBERS
    away = np.abs(samples.points - at).max(axis=1)
    usable = (away <= 2.0 * spread) & np.isfinite(samples.sizes)
    rows = np.flatnonzero(usable)[np.argsort(away[usable], kind="stable")[: size // 2]]
    drawn = genome.uniform(work.keys.stream(number, FILL), (size - len(rows)) * dimensions).reshape(-1, dimensions)
    filled = np.clip(at + (2.0 * drawn - 1.0) * spread, 0.0, 1.0)
    filled[0] = at
    members = Population.joined([samples.chosen(rows), Population.fresh(filled, work.meter(filled))])
    keys = type(work.keys)(work.keys.seed, genome.stream(work.keys.seed, work.keys.task, number, FILL))
    room = (share - len(filled)) // 2
    points, residuals, left = close_in(
        work.meter,
        members.points,
        members.residuals,
        keys,
        work.problem.bits,
        work.quiet,
        room,
        work.variation,
    )
    before = len(work.roots) + len(work.sightings)
    last = Population.fresh(points, residuals)
    settle(work, last, spread, left, end)
    if len(work.roots) + len(work.sightings) == before:
        work.leave_open(points[0], float(last.sizes[0]), max(4.0 * left, 1e-9))
    return last


def follow(work: Work, cluster: Mapping[str, Any]) -> Population:
    """In many unknowns, where equations touch zero: on down the valley from where the last descent ended."""
    at = np.array(cluster["at"])[None]
    here = Population.fresh(at, work.meter(at))
    seek.polish(work, here.points, here.residuals, 0.1)
    return here


def settle(work: Work, last: Population, spread: float, left: float, end: int) -> None:
    if end - work.meter.used < 8:
        return
    if work.meter.equations == 1 and work.problem.dimensions == 1:
        order = np.argsort(last.points[:, 0], kind="stable")
        seek_line.seek(work, last.chosen(order), tries=4)
        return
    found, before = len(work.open), work.hits
    seek.polish(work, last.points[:1], last.residuals[:1], max(left, 1e-7))
    if work.hits == before and work.meter.equations > 1 and work.continuum is None:
        seek.by_cubes(work, last.points[:1], last.residuals[:1])
    if work.hits == before and work.meter.equations > 1 and work.continuum is None:
        seek.by_simplexes(work, last.points[:1], last.residuals[:1], max(left, 1e-7))
    del work.open[found:]


TASKS = {"explore": explore, "merge": merge}

__all__ = ["TASKS", "Result", "explore", "judge", "merge", "norms"]
