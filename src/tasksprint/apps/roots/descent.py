"""The polish of systems: Levenberg-Marquardt from many starts at once, with few evaluations each.

A Jacobian by differences costs d evaluations, so it is made once and then kept up by Broyden's rank-one updates; it is
made anew when a step fails on a stale one. Each start has its own damping (Nielsen's rule), its own state, and ends by
itself: `found` when the residual is rounding noise, `stuck` when a step with a fresh Jacobian no longer helps (a valley
above zero, a kink, a ripple), `spent` when its evaluations are used up. Steps end at the box; a coordinate that lies on
the border and wants to leave is held there.

Positions are unit coordinates, one row a start. All rows that still run are evaluated together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasksprint.apps.roots.problem import Array, Cubed, Meter, norms

DIFFERENCE = 1e-7
STEP_MAX = 0.5  # of the box, per step
STEP_MIN = 1e-15
SLOW, PATIENCE = 0.7, 6  # stuck: after so many accepted steps the residual is not even this share of what it was

RUNNING, FOUND, STUCK, SPENT, MET = 0, 1, 2, 3, 4


@dataclass
class Descent:
    """Where each start ended: positions, residuals, Jacobians (as last known), how, and what it cost."""

    positions: Array
    residuals: Array
    jacobians: Array
    state: NDArray[np.int64]
    cost: NDArray[np.int64]
    damping: Array
    factor: Array
    fresh: NDArray[np.bool_]
    history: Array

    def sizes(self) -> Array:
        return norms(self.residuals)


def descend(
    meter: Meter | Cubed,
    starts: Array,
    residuals: Array | None,
    quiet: float,
    cost_max: int,
    spared: Callable[[Descent], int] | None = None,
) -> Descent:
    """Polish all starts; `residuals` at the starts are not evaluated again when they are known.

    `spared` tells how many evaluations of the allowance must be left over for what is found by then.
    """
    count, dimensions = starts.shape
    known = residuals is not None
    first = residuals.copy() if residuals is not None else meter(starts)
    run = Descent(
        starts.copy(),
        first,
        np.zeros((count, meter.equations, dimensions)),
        np.zeros(count, dtype=np.int64),
        np.full(count, 0 if known else 1, dtype=np.int64),
        np.full(count, 1e-3),
        np.full(count, 2.0),
        np.zeros(count, dtype=bool),
        np.repeat(norms(first)[:, None], PATIENCE, axis=1),
    )
    run.state[~np.isfinite(run.sizes())] = STUCK
    run.state[run.sizes() <= quiet] = FOUND
    stale = run.state == RUNNING
    while True:
        _renew(meter, run, np.flatnonzero(stale & (run.state == RUNNING)))
        rows = np.flatnonzero(run.state == RUNNING)
        if not rows.size or meter.left <= (spared(run) if spared else 0):
            break
        stale = _turn(meter, run, rows, quiet)
        spent = (run.state == RUNNING) & (run.cost >= cost_max)
        run.state[spent] = SPENT
    run.state[run.state == RUNNING] = SPENT
    return run


def _renew(meter: Meter | Cubed, run: Descent, rows: NDArray[np.int64]) -> None:
    """Jacobians by differences, each step into the box."""
    if not rows.size:
        return
    dimensions = run.positions.shape[1]
    at = run.positions[rows]
    steps = np.where(at > 0.5, -DIFFERENCE, DIFFERENCE)
    shifted = np.repeat(at[:, None, :], dimensions, axis=1)
    index = np.arange(dimensions)
    shifted[:, index, index] += steps
    exact = shifted[:, index, index] - at
    values = meter(shifted.reshape(-1, dimensions)).reshape(len(rows), dimensions, -1)
    with np.errstate(invalid="ignore"):
        columns = (values - run.residuals[rows][:, None, :]) / exact[:, :, None]
    good = np.isfinite(columns).all(axis=(1, 2))
    run.jacobians[rows[good]] = columns[good].transpose(0, 2, 1)
    run.state[rows[~good]] = STUCK
    run.cost[rows] += dimensions
    run.fresh[rows] = True


def _turn(meter: Meter | Cubed, run: Descent, rows: NDArray[np.int64], quiet: float) -> NDArray[np.bool_]:
    """One step of each row; tells whose Jacobian should be made anew."""
    at, residuals, jacobians = run.positions[rows], run.residuals[rows], run.jacobians[rows]
    steps = _steps(at, residuals, jacobians, run.damping[rows])
    moved = np.clip(at + steps, 0.0, 1.0)
    steps = moved - at
    values = meter(moved)
    run.cost[rows] += 1
    before, after = norms(residuals), norms(values)
    foreseen = norms(residuals + np.einsum("nij,nj->ni", jacobians, steps))
    length = np.abs(steps).max(axis=1)
    with np.errstate(all="ignore"):
        gain = (before**2 - after**2) / np.maximum(before**2 - foreseen**2, 1e-300)
    better = after < before
    _update(run, rows, steps, values - residuals, jacobians, np.isfinite(after))
    good = rows[better]
    run.positions[good], run.residuals[good] = moved[better], values[better]
    stale = np.zeros(len(run.state), dtype=bool)
    tiny = length <= STEP_MIN
    stuck = run.fresh[rows] & ~better & ((run.damping[rows] > 1e8) | tiny)
    stale[rows[~better & ~run.fresh[rows]]] = True
    stale[rows[better & (gain < 0.1) & ~run.fresh[rows]]] = True
    _damp(run, rows, better, np.clip(gain, -1.0, 1.0), run.fresh[rows])
    run.fresh[good] = False
    run.history[good] = np.roll(run.history[good], 1, axis=1)
    run.history[good, 0] = after[better]
    slow = better & (after > SLOW * run.history[rows, -1])
    run.state[rows[stuck | slow]] = STUCK
    run.state[good[after[better] <= quiet]] = FOUND
    return stale


def _steps(at: Array, residuals: Array, jacobians: Array, damping: Array) -> Array:
    """Damped least squares by singular values; what wants to leave the box at its border is held."""
    gradient = np.einsum("nij,ni->nj", jacobians, residuals)
    held = ((at <= 0.0) & (gradient > 0)) | ((at >= 1.0) & (gradient < 0))
    u, s, vt = np.linalg.svd(jacobians * ~held[:, None, :], full_matrices=False)
    top = np.maximum(s[:, :1], 1e-300)
    weights = s / (s**2 + (damping[:, None] * top) ** 2 * 1e-2 + 1e-300)
    steps = -np.einsum("nki,nk,nk->ni", vt, weights, np.einsum("nik,ni->nk", u, residuals))
    length = np.abs(steps).max(axis=1, keepdims=True)
    return np.where(np.isfinite(steps), steps * np.minimum(1.0, STEP_MAX / np.maximum(length, 1e-300)), 0.0)


def _update(
    run: Descent, rows: NDArray[np.int64], steps: Array, change: Array, jacobians: Array, finite: NDArray[np.bool_]
) -> None:
    """Broyden: the smallest change of the Jacobian that explains what was seen; failed steps teach as well."""
    square = np.einsum("ni,ni->n", steps, steps)
    usable = finite & (square > 0)
    error = change[usable] - np.einsum("nij,nj->ni", jacobians[usable], steps[usable])
    run.jacobians[rows[usable]] += np.einsum("ni,nj->nij", error / square[usable, None], steps[usable])


def _damp(
    run: Descent, rows: NDArray[np.int64], better: NDArray[np.bool_], gain: Array, fresh: NDArray[np.bool_]
) -> None:
    good, bad = rows[better], rows[~better & fresh]
    run.damping[good] = np.maximum(run.damping[good] * np.maximum(1 / 3, 1 - (2 * gain[better] - 1) ** 3) ** 2, 1e-12)
    run.factor[good] = 2.0
    run.damping[bad] = np.maximum(run.damping[bad], 1e-3) * run.factor[bad] ** 1.5
    run.factor[bad] *= 2.0
