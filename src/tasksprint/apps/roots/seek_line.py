"""A task on one stretch of the line, for one function of one unknown: new samples between the old ones, then brackets.

The samples of all visits are kept in order. Roots that are known stand among them as zeros with the signs of their two
sides, so that what they explain is not searched again, and what they do not explain (an odd number of changes of sign
where there should be an even one) stands out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasksprint.apps.roots import judge, line
from tasksprint.apps.roots.findings import BLURRED, SAME, Root, Work
from tasksprint.apps.roots.population import Population
from tasksprint.apps.roots.problem import Array

FLANK = 1e-10  # of the box: where the sides of a known root stand
REACH = 0.2  # of the box: farther away a known root explains nothing
AROUND = 0.01  # of the box: how far around a bracket |f| is looked at
LOCAL = 6  # samples to each side that a low place is measured against
TRIES_MAX = 16  # low places that one visit polishes at most
CROSS_COST, TRY_COST = 11, 14  # evaluations, about
END_COST = 60
ORDER_COST = 12  # at most


def sight(work: Work, positions: Array, values: Array) -> None:
    """Which known roots the new samples alone would have shown: what the coverage estimate counts."""
    if len(positions) < 4:
        return
    for number, root in enumerate(work.known):
        right = int(np.searchsorted(positions, root.at[0]))
        if not 2 <= right <= len(positions) - 2:
            continue
        if root.kind == judge.CROSSING:
            seen = values[right - 1] * values[right] < 0
        else:
            inner = min(abs(values[right - 1]), abs(values[right]))
            seen = inner < abs(values[right - 2]) and inner < abs(values[right + 1])
        if seen:
            work.sightings.append(number)


def with_roots(samples: Population, roots: list[Root]) -> tuple[Array, Array, NDArray[np.int64]]:
    """Positions and values in order, known roots among them; the third tells the sample's row, -1 for a root."""
    positions: list[Array] = [samples.points[:, 0]]
    values: list[Array] = [samples.residuals[:, 0]]
    rows: list[NDArray[np.int64]] = [np.arange(len(samples))]
    for root in roots:
        signs = root.signs or (1.0, 1.0)
        positions.append(root.at[0] + np.array([-FLANK, 0.0, FLANK]))
        values.append(np.array([signs[0], 0.0, signs[1]]) * 1e-300)
        rows.append(np.full(3, -1))
    position, value, row = np.concatenate(positions), np.concatenate(values), np.concatenate(rows)
    order = np.argsort(position, kind="stable")
    return position[order], value[order], row[order]


def seek(work: Work, samples: Population, tries: int = TRIES_MAX) -> Population:
    """Solve what the samples show; returns them, and the bottoms of the dips that held nothing as tried samples."""
    low, high = work.cell_low[0] - FLANK * 4, work.cell_high[0] + FLANK * 4
    _complete(work)
    samples, zeros = _apart(work, samples)
    for at, value in zeros:
        _keep_zero(work, at, value)
        if work.continuum is not None:
            return samples
    _ends(work, samples)
    near = [root for root in work.all_roots() if low <= root.at[0] <= high]
    positions, values, rows = with_roots(samples, near)
    found = line.sign_changes(positions, values)
    real = np.minimum(np.abs(found.fa), np.abs(found.fb)) > 1e-299
    room = max(1, work.meter.left // CROSS_COST)  # those left over stand in the samples of the next visit
    rows_kept = np.flatnonzero(real)[:room]
    chosen = line.Brackets(*(column[rows_kept] for column in (found.a, found.fa, found.b, found.fb)))
    samples = Population.joined([samples, _cross(work, chosen, _level(chosen.a, chosen.b, positions, values))])
    return _touch(work, samples, positions, values, rows, tries)


def _apart(work: Work, samples: Population) -> tuple[Population, list[tuple[float, float]]]:
    """Samples that are zero already are roots (or a continuum), not samples."""
    nothing = np.abs(samples.residuals[:, 0]) <= work.quiet
    zeros = zip(samples.points[nothing, 0].tolist(), samples.residuals[nothing, 0].tolist(), strict=True)
    return samples.chosen(~nothing), sorted(zeros)


def _keep_zero(work: Work, at: float, value: float) -> None:
    place = np.array([at])
    if any(abs(root.at[0] - at) <= SAME for root in work.all_roots()):
        return
    if judge.is_plateau(work.meter, place, work.quiet):
        work.continuum = [at]
        return
    far = work.meter(judge.around(place, np.array([[1.0], [-1.0]]), judge.FAR))[:, 0]
    if value != 0.0 and not abs(value) <= judge.FAR_RATIO * np.abs(far).max():
        return  # a tail that fades away, not a root
    sides = np.zeros(2)
    for step in (1e-7, 1e-5, 1e-3):  # a flat root is nothing over some distance: its sides are farther away
        sides = work.meter(np.clip(place + np.array([[-step], [step]]), 0.0, 1.0))[:, 0]
        if np.abs(sides[np.isfinite(sides)]).max(initial=0.0) > 10.0 * work.quiet:
            break
    ends = np.array([at <= 0.0, at >= 1.0]) | ~np.isfinite(sides)  # of the box, or of where the function is defined
    signs = np.where(ends, sides[::-1], sides)
    if not np.isfinite(signs).all():
        return
    kind = judge.CROSSING if at <= 0.0 or at >= 1.0 or signs[0] * signs[1] < 0 else judge.TANGENTIAL
    _keep(work, at, 0.0, kind, (float(np.sign(signs[0])), float(np.sign(signs[1]))))


def _ends(work: Work, samples: Population) -> None:
    """Roots where the function ends, as a square root does at zero: beyond it there is no sign that could change."""
    positions, values, _ = with_roots(samples, work.all_roots())
    found = line.edges(positions, values)
    room = work.meter.left // END_COST
    if not len(found) or not room:
        return
    chosen = line.Brackets(found.a[:room], found.fa[:room], found.b[:room], found.fb[:room])
    places, left, fallen = line.to_the_edge(work.meter, chosen)
    for row in np.flatnonzero(fallen):
        sign = float(np.sign(chosen.fa[row]))
        _keep(work, float(places[row]), float(left[row]), judge.TANGENTIAL, (sign, sign))


def _explained(work: Work, at: float, kind: str, signs: tuple[float, float]) -> bool:
    """Whether a root that we have is this one. Neighbouring crossings turn the sign opposite ways: never one root."""
    for root in work.all_roots():
        away = abs(root.at[0] - at)
        if away <= SAME and (root.signs == signs or judge.TANGENTIAL in (kind, root.kind)):
            return True
        if away <= BLURRED and root.signs == signs and root.multiplicity != 1:
            return True
    return False


def _keep(work: Work, at: float, value: float, kind: str, signs: tuple[float, float]) -> None:
    if _explained(work, at, kind, signs):
        return
    place = np.array([at])
    multiplicity = _multiplicity(work, place, kind)
    work.sightings.append(len(work.known) + len(work.roots))
    work.roots.append(Root(place, abs(value), kind, multiplicity, signs))
    work.hits += 1


def _level(low: Array, high: Array, positions: Array, values: Array) -> Array:
    """How large |f| is around each stretch, among the samples there."""
    size = np.where(np.isfinite(values), np.abs(values), 0.0)
    begins = np.searchsorted(positions, low - AROUND) - LOCAL
    ends = np.searchsorted(positions, high + AROUND) + LOCAL
    return np.array([size[max(0, begin) : end].max() for begin, end in zip(begins, ends, strict=True)])


def _multiplicity(work: Work, place: Array, kind: str) -> int | None:
    """The order of the root, which must be odd where the sign changes and even where it does not; 0 when it is unclear,
    None when there are no evaluations left to look."""
    if work.meter.left < ORDER_COST:
        return None
    order = judge.order_on_line(work.meter, place, work.quiet)
    odd = kind == judge.CROSSING
    return order if order % 2 == odd or not 0.0 < place[0] < 1.0 else 0


def _complete(work: Work) -> None:
    """Multiplicities that an earlier visit had no evaluations left for."""
    for root in work.known:
        if root.multiplicity is None and work.meter.left >= ORDER_COST:
            order = root.multiplicity = _multiplicity(work, root.at, root.kind)
            work.roots.append(Root(root.at, root.size, root.kind, order, root.signs))


def _cross(work: Work, brackets: line.Brackets, level: Array | None = None) -> Population:
    """Shrink brackets to roots. What could not be finished comes back as samples, for the next visit to go on from."""
    if not len(brackets):
        return Population.empty(1, 1)
    work.polished += len(brackets)
    done = line.solve(work.meter, brackets, work.quiet, level)
    work.poles += int(done.pole.sum())
    for row in np.flatnonzero(done.root):
        left = np.sign(brackets.fa[row] if brackets.a[row] < brackets.b[row] else brackets.fb[row])
        _keep(work, float(done.position[row]), float(done.value[row]), judge.CROSSING, (float(left), float(-left)))
    rest = done.unfinished
    ends = np.concatenate([rest.a, rest.b])
    values = np.concatenate([rest.fa, rest.fb])
    good = np.isfinite(values)
    return Population.fresh(ends[good, None], values[good, None])


def _touch(
    work: Work, samples: Population, positions: Array, values: Array, rows: NDArray[np.int64], tries: int
) -> Population:
    triples = line.touching(positions, values)
    if not len(triples):
        return samples
    middle = rows[np.searchsorted(positions, triples.positions[:, 1])]
    fresh = (middle >= 0) & ~samples.tried[middle]
    depth = _depths(work, triples, positions, values)
    order = [row for row in np.argsort(depth, kind="stable") if fresh[row]]
    order = order[: max(1, min(tries, work.meter.left // TRY_COST))]
    if not order:
        return samples
    chosen = triples.chosen(np.array(order))
    samples.tried[middle[order]] = True
    work.polished += len(order)
    around = _level(chosen.positions[:, 0], chosen.positions[:, 2], positions, values)
    done = line.approach(work.meter, chosen, work.quiet, around)
    for row in np.flatnonzero(done.root):
        sign = float(np.sign(chosen.values[row, 1]))
        if work.meter.left >= 6 and judge.is_plateau(work.meter, done.position[row : row + 1], work.quiet):
            work.continuum = [float(done.position[row])]
            return samples
        _keep(work, float(done.position[row]), float(done.value[row]), judge.TANGENTIAL, (sign, sign))
    unfinished = _cross(work, done.brackets)
    missed = np.flatnonzero(~done.root & ~done.met & ~done.unfinished & np.isfinite(done.value))
    work.misses += len(missed)
    for row in missed:
        spread = float(chosen.positions[row, 2] - chosen.positions[row, 0])
        work.leave_open(done.position[row : row + 1], abs(float(done.value[row])), spread)
    bottoms = Population.fresh(done.position[missed, None], done.value[missed, None])
    bottoms.tried[:] = True
    corners = done.corners[done.unfinished]
    places, heights = corners[:, :3].reshape(-1), corners[:, 3:].reshape(-1)
    finite = np.isfinite(heights)
    corner = Population.fresh(places[finite, None], heights[finite, None])  # for the next visit to go on from
    return Population.joined([samples, bottoms, unfinished, corner])


def _depths(work: Work, triples: line.Triples, positions: Array, values: Array) -> Array:
    """How low the middle of each triple lies, beside the highest samples around it.

    Next to a known root every sample is low. So the values are divided by the distances to the known roots on both
    sides, once for a crossing and twice for a touch: only what they do not explain remains.
    """
    known = sorted((root.at[0], 1 if root.kind == judge.CROSSING else 2) for root in work.all_roots())
    size = np.where(np.isfinite(values), np.abs(values), 0.0)
    if known:
        places, powers = np.array([place for place, _ in known]), np.array([power for _, power in known])
        right = np.searchsorted(places, positions)
        for side in (right - 1, right):
            real = (side >= 0) & (side < len(places))
            nearest = np.clip(side, 0, len(places) - 1)
            away = np.minimum(np.abs(positions - places[nearest]), REACH)
            size = size / np.where(real, np.maximum(away, FLANK), REACH) ** powers[nearest]
    at = np.searchsorted(positions, triples.positions[:, 1])
    windows = np.clip(at[:, None] + np.arange(-LOCAL, LOCAL + 1), 0, len(size) - 1)
    highest = np.where(np.abs(values[windows]) > 1e-299, size[windows], 0.0).max(axis=1)
    return np.asarray(size[at] / np.maximum(highest, 1e-300))
