"""A task on one cell of the box: polish the niches of its population, by whatever suits the equations.

Not every sample is worth a polish. A niche is a sample that is lower than its nearest neighbours, so that each low
place is tried once, however many samples lie in it; the more samples, the finer the niches. A few others are tried all
the same: a root's basin need not be where the residual is low.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasksprint.apps.roots.descent import FOUND, MET, Descent, descend
from tasksprint.apps.roots.evolve import neighbours
from tasksprint.apps.roots.findings import Work
from tasksprint.apps.roots.population import Population
from tasksprint.apps.roots.problem import Array, Cubed, norms
from tasksprint.apps.roots.simplex import Simplexes
from tasksprint.apps.roots.valley import Valley
from tasksprint.native import genome

Rows = NDArray[np.int64]
OLD_MAX = 256  # untried samples of earlier visits that are looked at again
OTHERS = 0.2  # of the polishes go to samples that are no niche
OTHERS_MANY = 0.7  # in many unknowns, where a sample's nearest neighbours are far away: a low one tells little
MANY = 4  # unknowns
SIMPLEX_MAX = 3  # unknowns: in more, simplexes lose their way
TOGETHER = 1e-6  # of the box: what ends so near together is one root, most likely
JUDGED = 8  # evaluations, and two for each unknown, that a verdict on a root takes
WAVES, WAVE_MIN = 4, 4  # polishes are done in so many waves, of so many starts at least
PICK = 21  # purpose of random streams


def polish_cost(dimensions: int, equations: int) -> int:
    """Evaluations of a polish, about: what the number of starts is planned by."""
    if touches(dimensions, equations):
        return 50 * dimensions
    return 70 * dimensions if equations == 1 else 12 + 3 * dimensions


def polish_limit(dimensions: int, equations: int) -> int:
    return 130 * dimensions if equations == 1 else 40 + 12 * dimensions


def touches(dimensions: int, equations: int) -> bool:
    """Fewer equations than unknowns: single roots are where equations touch zero; many unknowns, no simplexes."""
    return equations < dimensions and (equations > 1 or dimensions > SIMPLEX_MAX)


def niches(samples: Population, fresh: int) -> Rows:
    """Untried rows that are lower than their nearest neighbours, the lowest first: of the last `fresh`, and of the
    lowest older ones."""
    sizes = samples.sizes
    untried = np.flatnonzero(~samples.tried & np.isfinite(sizes))
    old, new = untried[untried < len(samples) - fresh], untried[untried >= len(samples) - fresh]
    if len(old) > OLD_MAX:
        old = old[np.argsort(sizes[old], kind="stable")[:OLD_MAX]]
    rows = np.concatenate([old, new])
    if not len(rows) or len(samples) < 2:
        return rows
    near, _ = neighbours(samples.points, min(samples.points.shape[1] + 1, 4), rows=rows)
    rows = rows[sizes[rows] <= sizes[near].min(axis=1)]
    return np.asarray(rows[np.argsort(sizes[rows], kind="stable")])


def starts(work: Work, samples: Population, fresh: int, room: int) -> Rows:
    """Which samples to polish: untried niches, and some of the `fresh` last samples that are none."""
    rows = niches(samples, fresh)
    niche = rows[~work.known_at(samples.points[rows])].tolist()
    dimensions, equations = work.problem.dimensions, work.meter.equations
    share = OTHERS_MANY if dimensions >= MANY else OTHERS if equations >= dimensions else 0.0
    others = max(1, int(room * share)) if share else 0
    chosen = niche[: max(1, room - others)]
    last = np.arange(max(0, len(samples) - fresh), len(samples))
    order = last[np.argsort(genome.draws(work.keys.stream(0, PICK), len(last)), kind="stable")]
    taken = set(chosen)
    extra = [row for row in order if row not in taken and not samples.tried[row] and np.isfinite(samples.sizes[row])]
    return np.array([*chosen, *extra[: max(0, room - len(chosen))]] if others else chosen, dtype=np.int64)


def seek(work: Work, samples: Population, fresh: int) -> None:
    """Polish what is worth it; the samples are marked as tried."""
    dimensions, equations = work.problem.dimensions, work.meter.equations
    room = work.meter.left // polish_cost(dimensions, equations)
    if room < 1 or not len(samples):
        return
    rows = starts(work, samples, fresh, room)
    if not len(rows):
        return
    spread = spacing(samples, rows) if equations == 1 else 0.1
    for wave in waves(rows):
        if work.meter.left < polish_cost(dimensions, equations) or work.continuum is not None:
            return
        samples.tried[wave] = True
        polish(work, samples.points[wave], samples.residuals[wave], spread)


def waves(rows: Rows) -> list[Rows]:
    """A few at a time, each wave a fair sample of all: when the allowance ends, only those of the last wave are cut off
    on their way."""
    count = max(1, min(WAVES, len(rows) // WAVE_MIN))
    return [rows[begin::count] for begin in range(count)]


def spacing(samples: Population, rows: Rows) -> float:
    """How far these rows are from their neighbours, typically."""
    if len(samples) < 2:
        return 0.1
    _, distances = neighbours(samples.points, 1, rows=rows)
    return float(np.clip(np.median(distances), 1e-6, 0.1))


def polish(work: Work, at: Array, residuals: Array, spread: float) -> None:
    """From starts to verdicts, by least squares where there are equations enough, by simplexes or down valleys else."""
    if not len(at):
        return
    work.polished += len(at)
    if touches(work.problem.dimensions, work.meter.equations):
        for row in range(len(at)):
            if work.continuum is None and work.meter.left > 0:
                down_valley(work, at[row], residuals[row])
    elif work.meter.equations == 1 and work.problem.dimensions > 1 and not _changes_sign(residuals):
        by_simplexes(work, at, residuals, spread)
    else:
        _by_descent(work, at, residuals)


def _changes_sign(residuals: Array) -> bool:
    """One equation of both signs in a box of several dimensions: zero along a whole surface between them."""
    finite = residuals[np.isfinite(residuals)]
    return bool(finite.size and finite.min() < 0.0 < finite.max())


def _by_descent(work: Work, at: Array, residuals: Array | None) -> None:
    limit = polish_limit(work.problem.dimensions, max(2, work.meter.equations))
    run = descend(work.meter, at, residuals, work.quiet, limit, lambda run: verdicts_due(work, run))
    for row in np.argsort(run.state != FOUND, kind="stable"):
        size = float(norms(run.residuals[row : row + 1])[0])
        promising = run.state[row] == FOUND or size <= 1e4 * work.quiet
        if work.continuum is not None:
            return
        if not (promising and work.candidate(run.positions[row], run.residuals[row])):
            work.leave_open(run.positions[row], size, float(np.abs(run.positions[row] - at[row]).max()))
    twins, work.twins = work.twins, []
    if twins and work.meter.left >= polish_cost(work.problem.dimensions, 2):
        work.polished += len(twins)
        _by_descent(work, np.array(twins), None)


def down_valley(work: Work, at: Array, residuals: Array) -> None:
    """Least squares first: on to a curve or surface of zeros it is short. Where equations only touch zero it gains less
    and less; from there on the valley is followed downhill."""
    dimensions = work.problem.dimensions
    run = descend(work.meter, at[None], residuals[None], work.quiet, polish_limit(dimensions, 2))
    valley = Valley(work.meter, run.positions[0], run.residuals[0], 1e3 * work.quiet)
    if run.state[0] != FOUND:
        valley.run(min(2 * polish_cost(dimensions, work.meter.equations), work.meter.left - judged_cost(dimensions)))
    if not (valley.size <= 1e4 * work.quiet and work.candidate(valley.at, valley.residuals)):
        work.leave_open(valley.at, valley.size, float(np.abs(valley.at - at).max()))


def verdicts_due(work: Work, run: Descent) -> int:
    """Evaluations that the verdicts on roots found so far will take: a root that is found must not wait for another
    task, which may never come."""
    found = run.positions[run.state == FOUND]
    places = work.places()
    if len(found) and len(places):
        found = found[np.abs(found[:, None, :] - places[None, :, :]).max(axis=2).min(axis=1) > TOGETHER]
    if not len(found):
        return 0
    return len(np.unique(np.rint(found / TOGETHER), axis=0)) * judged_cost(work.problem.dimensions)


def judged_cost(dimensions: int) -> int:
    return JUDGED + 2 * dimensions


def by_cubes(work: Work, at: Array, residuals: Array) -> None:
    """Least squares on cubed residuals: for roots where the curve stands upright, as a cube root does."""
    meter = Cubed(work.meter)
    run = descend(meter, at, residuals**3, 1e-45, polish_limit(work.problem.dimensions, 2))
    for row in range(len(at)):
        size = float(norms(run.residuals[row : row + 1])[0])
        if size <= 1e-12 and work.continuum is None:
            work.candidate(run.positions[row], np.cbrt(run.residuals[row]), upright=True)


def by_simplexes(work: Work, at: Array, residuals: Array, spread: float) -> None:
    legs = np.full(at.shape, min(0.05, 0.5 * spread))
    run = Simplexes(work.meter, at, norms(residuals), legs, work.quiet, work.places())
    run.run(polish_limit(work.problem.dimensions, 1))
    for row in np.argsort(run.state != FOUND, kind="stable"):
        if work.continuum is not None:
            return
        size = float(run.value[row])
        if run.state[row] == MET:
            work.sight(run.best[row])
            continue
        found = run.state[row] == FOUND and work.candidate(run.best[row], run.residuals(row))
        if not found:
            work.leave_open(run.best[row], size, float(min(spread, 4.0 * run.extent()[row])))
