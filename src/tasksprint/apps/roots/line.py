"""Roots of one function of one unknown, from samples in order: brackets and touching triples, all of them at once.

Two neighbours of opposite sign hold a crossing, a jump or a pole; Chandrupatla's method (inverse quadratic
interpolation, bisection where that is not safe) shrinks all brackets together, one evaluation each a turn. What happens
to |f| at the ends tells the three apart: towards a root it falls to nothing, at a jump it stays, at a pole it grows.

Three neighbours of one sign, the middle one nearest to zero, may hold a root where the curve only touches zero, or two
roots close together. A parabola (a golden section where that is not safe) looks for the point nearest to zero; as soon
as the sign changes on the way there are two brackets instead.

Positions are unit coordinates. An evaluation beyond the allowance is infinite, and ends a search without a finding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasksprint.apps.roots.problem import Array, Meter

Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

TURNS_MAX = 90
TOUCH_TURNS_MAX = 60
GOLDEN = 0.381966011250105
RESOLUTION = 2.0**-52
SMALL = 1e-3  # |f| at a root over |f| at the ends that it was found from
LEVEL = 0.95  # a share of the ends: a middle that is not lower lies over a near miss
NARROW = 1e-9  # a touching triple this narrow is as good as it gets: its values differ by rounding only


@dataclass
class Brackets:
    """Rows of intervals with the values at their ends."""

    a: Array
    fa: Array
    b: Array
    fb: Array

    def __len__(self) -> int:
        return len(self.a)

    @classmethod
    def empty(cls) -> Brackets:
        return cls(*(np.empty(0) for _ in range(4)))

    def joined(self, other: Brackets) -> Brackets:
        pairs = ((self.a, other.a), (self.fa, other.fa), (self.b, other.b), (self.fb, other.fb))
        return Brackets(*(np.concatenate(pair) for pair in pairs))


@dataclass
class Triples:
    """Rows of three points in order with values of one sign; the middle one is the nearest to zero."""

    positions: Array  # (n, 3)
    values: Array  # (n, 3), as the function gives them

    def __len__(self) -> int:
        return len(self.positions)

    def chosen(self, rows: Rows) -> Triples:
        return Triples(self.positions[rows], self.values[rows])


def sign_changes(positions: Array, values: Array) -> Brackets:
    """Neighbours of opposite sign, both finite. Points at zero exactly are roots already and bracket nothing."""
    finite = np.isfinite(values[:-1]) & np.isfinite(values[1:])
    rows = np.flatnonzero(finite & (np.sign(values[:-1]) * np.sign(values[1:]) < 0))
    return Brackets(positions[rows], values[rows], positions[rows + 1], values[rows + 1])


def touching(positions: Array, values: Array) -> Triples:
    """Neighbours of one sign, the middle one nearest to zero. The ends of the row are their own outer neighbours."""
    if len(positions) < 3:
        return Triples(np.empty((0, 3)), np.empty((0, 3)))
    size = np.abs(values)
    same = (np.sign(values[:-2]) == np.sign(values[1:-1])) & (np.sign(values[1:-1]) == np.sign(values[2:]))
    low = (size[1:-1] <= size[:-2]) & (size[1:-1] <= size[2:]) & np.isfinite(values[1:-1]) & (size[1:-1] > 0)
    rows = np.flatnonzero(same & low & ~((size[1:-1] == size[:-2]) & (size[1:-1] == size[2:])))
    columns = rows[:, None] + np.arange(3)
    return Triples(positions[columns], values[columns])


def edges(positions: Array, values: Array) -> Brackets:
    """Where the function ends: a finite value beside one that is none, and lower than the finite one behind it.

    `a` is the finite end, `b` the other one.
    """
    inside = np.isfinite(values)
    found = []
    for step in (1, -1):
        here = np.flatnonzero(inside)
        here = here[(here + step >= 0) & (here + step < len(values)) & (here - step >= 0) & (here - step < len(values))]
        here = here[~inside[here + step] & inside[here - step] & (np.abs(values[here]) > 1e-299)]
        here = here[np.abs(values[here]) < np.abs(values[here - step])]
        found.append(Brackets(positions[here], values[here], positions[here + step], values[here + step]))
    return found[0].joined(found[1])


def to_the_edge(meter: Meter, brackets: Brackets) -> tuple[Array, Array, Flags]:
    """Halve towards the ends of the function: positions, values, and where they have fallen to nothing."""
    a, fa, b = brackets.a.copy(), brackets.fa.copy(), brackets.b.copy()
    past, live = [np.abs(fa)], np.ones(len(a), dtype=bool)
    for turn in range(TURNS_MAX):
        rows = np.flatnonzero(live)[: meter.left]
        if not rows.size:
            break
        x = 0.5 * (a[rows] + b[rows])
        fx = meter(x[:, None])[:, 0]
        good = np.isfinite(fx)
        a[rows[good]], fa[rows[good]], b[rows[~good]] = x[good], fx[good], x[~good]
        past.append(np.abs(fa))
        live &= (np.abs(b - a) > 2.0 * RESOLUTION) & (fa != 0.0)
        if turn >= 12:  # at the end of a square root it falls by a factor of 64 in twelve turns
            live &= np.abs(fa) < LEVEL * past[-12]
    fallen = (np.abs(b - a) <= 1e-12) & (np.abs(fa) <= SMALL * past[0])
    return a, fa, fallen


@dataclass
class Crossing:
    """What became of brackets: a row each."""

    position: Array
    value: Array
    root: Flags
    pole: Flags  # |f| grows as the bracket shrinks
    unfinished: Brackets  # what the allowance was not enough for


def solve(meter: Meter, brackets: Brackets, quiet: float, reference: Array | None = None) -> Crossing:
    """Shrink brackets to the resolution of the numbers, or until the residual is noise.

    `reference` is how large |f| is around each bracket, for those that were shrunk before and have low ends already.
    """
    a, fa, b, fb = (column.copy() for column in (brackets.a, brackets.fa, brackets.b, brackets.fb))
    first = np.maximum(np.abs(fa), np.abs(fb))
    level = first if reference is None else np.maximum(first, reference)
    width = np.abs(b - a)
    c, fc = a.copy(), fa.copy()
    portion, live = np.full(len(a), 0.5), np.ones(len(a), dtype=bool)
    pole = np.zeros(len(a), dtype=bool)
    for _ in range(TURNS_MAX):
        rows = np.flatnonzero(live)[: meter.left]
        if not rows.size:
            break
        x = a[rows] + portion[rows] * (b[rows] - a[rows])
        fx = meter(x[:, None])[:, 0]
        same = np.sign(fx) == np.sign(fa[rows])
        c[rows], fc[rows] = np.where(same, a[rows], b[rows]), np.where(same, fa[rows], fb[rows])
        b[rows], fb[rows] = np.where(same, b[rows], a[rows]), np.where(same, fb[rows], fa[rows])
        a[rows], fa[rows] = x, fx
        least = np.minimum(np.abs(fa), np.abs(fb))
        gap = np.abs(b - a)
        pole |= (least > 4.0 * first) & (gap < width / 64) | ~np.isfinite(fa)
        tolerance = RESOLUTION * 2.0
        live &= (gap > 2.0 * tolerance) & (least > quiet) & ~pole
        portion = _portions(a, fa, b, fb, c, fc, tolerance)
    nearer = np.abs(fa) <= np.abs(fb)
    position, value = np.where(nearer, a, b), np.where(nearer, fa, fb)
    shrunk = (np.abs(value) <= quiet) | (np.abs(b - a) <= 1e-12)
    root = ~pole & shrunk & ((np.abs(value) <= SMALL * level) | (np.abs(value) <= quiet))
    rest = live & np.isfinite(fa) & np.isfinite(fb)
    return Crossing(position, value, root, pole, Brackets(a[rest], fa[rest], b[rest], fb[rest]))


def _portions(a: Array, fa: Array, b: Array, fb: Array, c: Array, fc: Array, tolerance: float) -> Array:
    """Where in the bracket to look next: inverse quadratic interpolation where Chandrupatla's criterion allows it."""
    with np.errstate(all="ignore"):
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        safe = (1.0 - np.sqrt(1.0 - xi) < phi) & (phi < np.sqrt(xi))
        part = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        edge = np.minimum(0.5, tolerance / np.abs(b - a))
    return np.where(safe & np.isfinite(part), np.clip(part, edge, 1.0 - edge), 0.5)


@dataclass
class Touch:
    """What became of triples, a row each; brackets that were met on the way stand apart."""

    position: Array
    value: Array
    root: Flags
    met: Flags  # the sign changed on the way
    unfinished: Flags  # the allowance was not enough
    corners: Array  # the three points that are left, and their values: (n, 6)
    brackets: Brackets


def approach(meter: Meter, triples: Triples, quiet: float, level: Array | None = None) -> Touch:
    """Look for the point nearest to zero within each triple.

    `level` is how large |f| is around each triple, for those that were looked into before and have low ends already.
    """
    left, best, right = triples.positions.T.copy()
    sign = np.sign(triples.values[:, 1])
    f_left, f_best, f_right = (sign[:, None] * triples.values).T.copy()
    reference = np.minimum(f_left, f_right) if level is None else np.maximum(np.minimum(f_left, f_right), level)
    live, met = np.ones(len(best), dtype=bool), np.zeros(len(best), dtype=bool)
    past = [f_best.copy()]
    brackets = Brackets.empty()
    for turn in range(TOUCH_TURNS_MAX):
        rows = np.flatnonzero(live)[: meter.left]
        if not rows.size:
            break
        slow = turn % 3 == 2
        x = _proposals(left[rows], f_left[rows], best[rows], f_best[rows], right[rows], f_right[rows], slow)
        fx = meter(x[:, None])[:, 0] * sign[rows]
        crossed = (fx < 0) & np.isfinite(fx)
        brackets = brackets.joined(
            _split(rows[crossed], x[crossed], fx[crossed], sign, left, f_left, best, f_best, right, f_right)
        )
        met[rows[crossed]] = True
        _update(rows, x, fx, left, f_left, best, f_best, right, f_right)
        past.append(f_best.copy())
        live &= ~met & (f_best > quiet * 1e-3) & (right - left > NARROW) & (f_best > 0)
        if turn >= 6:  # near a root the ends stay high above the middle; over a near miss all three come level
            live &= (f_best < 0.8 * past[-7]) | (f_best < 0.25 * np.maximum(f_left, f_right))
    sharp = (f_best <= SMALL * reference) & (f_best < LEVEL * np.maximum(f_left, f_right))
    root = ~met & ((f_best <= quiet) | (sharp & (right - left <= 2 * NARROW)))
    corners = np.stack([left, best, right, sign * f_left, sign * f_best, sign * f_right], axis=1)
    return Touch(best, sign * f_best, root, met, live & ~root & ~met, corners, brackets)


def _proposals(a: Array, fa: Array, b: Array, fb: Array, c: Array, fc: Array, golden: bool) -> Array:
    """The vertex of the parabola, kept off the known points; or the golden section of the wider side."""
    wide = np.where(c - b > b - a, b + GOLDEN * (c - b), b - GOLDEN * (b - a))
    if golden:
        return wide
    with np.errstate(all="ignore"):
        slope_left, slope_right = (b - a) * (fb - fc), (b - c) * (fb - fa)
        vertex = b - 0.5 * ((b - a) * slope_left - (b - c) * slope_right) / (slope_left - slope_right)
    usable = np.isfinite(vertex) & (vertex > a) & (vertex < c)
    apart = 0.02 * np.minimum(np.where(vertex < b, b - a, c - b), c - a) + 1e-3 * np.abs(vertex - b)
    apart = np.maximum(np.minimum(apart, 1e-2 * (c - a)), RESOLUTION)
    near = np.abs(vertex - b) < apart * 1e-2
    nudged = np.where(c - b > b - a, b + apart, b - apart)
    return np.where(usable, np.where(near, nudged, vertex), wide)


def _split(
    rows: Rows,
    x: Array,
    fx: Array,
    sign: Array,
    left: Array,
    f_left: Array,
    best: Array,
    f_best: Array,
    right: Array,
    f_right: Array,
) -> Brackets:
    """A point on the other side of zero: one bracket to each of its neighbours."""
    before = x < best[rows]
    a = np.where(before, left[rows], best[rows])
    fa = np.where(before, f_left[rows], f_best[rows]) * sign[rows]
    c = np.where(before, best[rows], right[rows])
    fc = np.where(before, f_best[rows], f_right[rows]) * sign[rows]
    return Brackets(a, fa, x, fx * sign[rows]).joined(Brackets(x, fx * sign[rows], c, fc))


def _update(
    rows: Rows,
    x: Array,
    fx: Array,
    left: Array,
    f_left: Array,
    best: Array,
    f_best: Array,
    right: Array,
    f_right: Array,
) -> None:
    better, before = fx < f_best[rows], x < best[rows]
    for where, end, f_end in ((better & before, right, f_right), (better & ~before, left, f_left)):
        end[rows[where]], f_end[rows[where]] = best[rows[where]], f_best[rows[where]]
    best[rows[better]], f_best[rows[better]] = x[better], fx[better]
    for where, end, f_end in ((~better & before, left, f_left), (~better & ~before, right, f_right)):
        end[rows[where]], f_end[rows[where]] = x[where], fx[where]
