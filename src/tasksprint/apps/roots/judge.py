"""Is it a root, and of which kind? Neither a small |f| nor a change of sign is enough alone.

A root is a point around which the residual falls to nothing. So the candidate's residual is held against those at a
hundredth and at a hundred-thousandth of the box away: over a near miss the close ones are no greater than the
candidate's, over a flat tail the far ones are hardly greater, along a continuum both are nothing.

Kinds: `crossing` (the sign changes; for systems, the Jacobian is regular: the roots that a small change of the
equations moves but does not remove), `tangential` (one equation that touches zero), `singular` (a system whose
Jacobian loses rank there). A multiplicity is told where it is known: 1 for a crossing of systems; in one unknown the
order to which the function vanishes; else none.

A continuum is found by walking: from a root along a direction in which the equations do not change, a polish either
falls back to where it came from or stays. If it stays at several distances, roots are not isolated there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasksprint.apps.roots.descent import descend
from tasksprint.apps.roots.evolve import Keys
from tasksprint.apps.roots.problem import Array, Meter, norms
from tasksprint.native import genome

CROSSING, TANGENTIAL, SINGULAR = "crossing", "tangential", "singular"

FAR, NEAR = 1e-2, 1e-5  # of the box
FAR_RATIO, NEAR_RATIO = 1e-3, 1e-2
UPRIGHT = 1e-2  # residual near over far: a thousandth for a slope, a tenth for a cube root
RANK = 1e-4  # a singular value below this share of the greatest: a rank is lost
WALK = (1e-3, 2e-3, 4e-3)  # of the box
SAME = 1e-6
FORM, FORM_MAX = 1e-4, 3  # of the box: how far around; unknowns
POWERS = (0.25, 8.0)
FLAT = 1e-2  # of the greatest growth
TWIN_STEP, TWIN_FAR = 1e-3, 0.1  # of the box
DIRECTIONS = 51  # purpose of random streams


@dataclass
class Verdict:
    root: bool
    plateau: bool = False  # the residual is nothing all around: no isolated root
    kind: str = CROSSING
    multiplicity: int | None = None


def directions(keys: Keys, number: int, count: int, dimensions: int) -> Array:
    """Random directions of length 1 in the greatest coordinate."""
    raw = genome.uniform(keys.stream(number, DIRECTIONS), count * dimensions).reshape(count, dimensions) - 0.5
    return np.asarray(raw / np.abs(raw).max(axis=1, keepdims=True))


def around(at: Array, ways: Array, distance: float) -> Array:
    """Points at a distance from one point, along the ways, kept in the box by going the other way."""
    moved = at + distance * ways
    return np.where((moved < 0.0) | (moved > 1.0), at - distance * ways, moved)


def is_root(
    meter: Meter, at: Array, size: float, quiet: float, keys: Keys, number: int, upright: bool = False
) -> Verdict:
    """The test of the residual's fall; costs a few evaluations.

    Of a curve that stands upright, as a cube root does, rounding leaves much more than noise. But a large residual is
    none of a root if the equations fall as slowly as a slope does: that is a place beside a root.
    """
    dimensions = len(at)
    ways = directions(keys, number, min(3, dimensions + 1), dimensions)
    if dimensions == 1:
        ways = np.array([[1.0], [-1.0]])
    ways = np.concatenate([ways, -ways[:1]]) if dimensions > 1 else ways
    near = norms(meter(around(at, ways, NEAR)))
    far = norms(meter(around(at, ways, FAR)))
    close, distant = float(np.median(near)), float(np.median(far))
    if close <= quiet and distant <= quiet:
        return Verdict(False, plateau=size <= quiet and is_plateau(meter, at, quiet, ways))
    if upright and size > 100.0 * quiet and close < UPRIGHT * distant:
        return Verdict(False)
    if not size <= FAR_RATIO * distant:
        return Verdict(False)
    return Verdict(size <= 100.0 * quiet or size <= NEAR_RATIO * close)


def jacobian_at(meter: Meter, at: Array, residuals: Array, step: float = 1e-6) -> Array:
    dimensions = len(at)
    steps = np.where(at > 0.5, -step, step)
    points = at + np.diag(steps)
    values = meter(points)
    with np.errstate(invalid="ignore"):
        jacobian = ((values - residuals) / np.diag(points - at)[:, None]).T
    return jacobian if np.isfinite(jacobian).all() else np.zeros((len(residuals), dimensions))


def kind_of(meter: Meter, at: Array, residuals: Array) -> tuple[str, int | None, Array, tuple[Array, Array]]:
    """Of a root of a system or a scalar: kind, multiplicity, and the directions (rows) in which nothing changes.

    Last comes the weakest direction: of the unknowns, and of the equations.
    """
    jacobian = jacobian_at(meter, at, residuals)
    lengths = np.linalg.norm(jacobian, axis=1, keepdims=True)
    top = lengths.max()
    rows = np.where(lengths > 1e-12 * max(top, 1e-300), jacobian / np.maximum(lengths, 1e-300), 0.0)
    u, s, vt = np.linalg.svd(rows)
    weak = (vt[-1], u[:, len(s) - 1] / np.maximum(lengths[:, 0], 1e-300))
    strong = np.zeros(len(at))
    strong[: len(s)] = s
    free = vt[strong <= RANK * max(1.0, strong.max())]
    if len(residuals) == 1 and len(at) > 1:
        return TANGENTIAL, None, flat_ways(meter, at) if len(at) <= FORM_MAX else vt[1:], weak
    if len(free) == 0:
        return CROSSING, 1, free, weak
    return SINGULAR, None, free, weak


def flat_ways(meter: Meter, at: Array) -> Array:
    """Directions (rows) in which one equation hardly grows from a zero in few unknowns, if there are any.

    Where it touches zero the slope tells nothing. So what it grows like is found, h^p, and a quadratic form is laid
    through |f|^(2/p) around: exact for slopes (p = 1), for smooth touches (p = 2) and for powers of either.
    """
    dimensions = len(at)
    axes, pairs = np.eye(dimensions), np.triu_indices(dimensions, 1)
    sums, differences = axes[pairs[0]] + axes[pairs[1]], axes[pairs[0]] - axes[pairs[1]]
    inward = np.where(at > 0.5, -1.0, 1.0)
    ways = np.concatenate([axes, -axes, sums, differences, 2.0 * axes])
    sizes = norms(meter(at + FORM * inward * ways))
    if not np.isfinite(sizes).all() or not sizes[:dimensions].sum() > 0.0:
        return np.empty((0, dimensions))
    power = float(np.log2(max(sizes[-dimensions:].sum() / sizes[:dimensions].sum(), 1e-300)))
    grown = (sizes / sizes.max()) ** (2.0 / np.clip(power, *POWERS))
    once, back, plus, minus = np.split(grown[:-dimensions], np.cumsum([dimensions, dimensions, len(sums)]))
    form = np.diag(0.5 * (once + back))
    form[pairs] = 0.25 * (plus - minus)
    values, vectors = np.linalg.eigh(form, UPLO="U")
    return np.asarray((vectors.T * inward)[values <= FLAT * values[-1]])


def twin_of(meter: Meter, at: Array, residuals: Array, weak: tuple[Array, Array]) -> Array | None:
    """Where a second root is to be expected: roots come in pairs where the equations bend back.

    Along the direction in which the equations change least they are a slope and a bend, s t + c t^2 / 2, and zero again
    at t = -2 s / c. If that is near, it is worth a polish.
    """
    way, equation = weak
    step = TWIN_STEP * (1.0 if (np.abs(at - 0.5) < 0.5 - TWIN_STEP).all() else 0.1)
    values = meter(np.clip(at + step * np.array([[1.0], [-1.0]]) * way, 0.0, 1.0))
    if not np.isfinite(values).all():
        return None
    ahead, behind = (values - residuals) @ equation
    bend = (ahead + behind) / step**2
    if bend == 0.0:
        return None
    away = -(ahead - behind) / step / bend
    twin = np.clip(at + away * way, 0.0, 1.0)
    return twin if SAME < abs(away) < TWIN_FAR else None


def order_on_line(meter: Meter, at: Array, quiet: float) -> int:
    """To which order one function of one unknown vanishes: how fast it grows away; 0 when it is not clear."""
    for step in (1e-6, 1e-4, 1e-2):
        points = around(at, np.array([[1.0], [-1.0]]), step)
        points = np.concatenate([points, around(at, np.array([[1.0], [-1.0]]), 2 * step)])
        sizes = norms(meter(points))
        once, twice = sizes[:2].sum(), sizes[2:].sum()
        if not np.isfinite(twice):
            return 0
        if once <= 3.0 * quiet:  # rounding noise: look from farther away
            continue
        order = float(np.log2(twice / once))
        if abs(order - round(order)) < 0.15 and round(order) >= 1:
            return round(order)
        if order < 1.0:
            return 1
    return 0


def is_continuum(meter: Meter, at: Array, free: Array, quiet: float) -> bool:
    """Walk from a root along directions in which nothing changes, polish, and see whether the points stay apart."""
    for way in free[:2]:
        way = way / np.abs(way).max()
        for sign in (1.0, -1.0):
            starts = np.clip(at + sign * np.array(WALK)[:, None] * way, 0.0, 1.0)
            if np.abs(starts - at).max(axis=1).min() < 0.9 * WALK[0]:
                continue
            run = descend(meter, starts, None, 1e-30, 40 + 6 * len(at))
            sizes = run.sizes()
            apart = np.abs(run.positions - at).max(axis=1)
            stays = (sizes <= quiet) & (apart > 0.3 * np.array(WALK)) & (apart < 3.0 * np.array(WALK))
            if stays.all() and apart[1] > 1.2 * apart[0] and apart[2] > 1.2 * apart[1]:
                return True
    return False


def is_plateau(meter: Meter, at: Array, quiet: float, ways: Array | None = None) -> bool:
    """Zero to one side at least, over a visible length: nothing but rounding noise.

    A tail that fades away, or a high power, is as small as noise but not as irregular: there the residual goes one way
    only, and is never exactly zero.
    """
    for way in np.array([[1.0], [-1.0]]) if ways is None else ways:
        points = at + np.array(WALK)[:, None] * way
        if points.min() < 0.0 or points.max() > 1.0:
            continue
        sizes = norms(meter(np.concatenate([at[None], points])))
        steps = np.diff(np.minimum(sizes, 1e300))
        regular = sizes.min() > 0.0 and ((steps > 0).all() or (steps < 0).all())
        power = sizes[1] > 0.0 and (steps[1:] > 0).all() and sizes[3] > 16.0 * sizes[1]
        if (sizes <= quiet).all() and not regular and not power:
            return True
    return False
