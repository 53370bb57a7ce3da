"""The polish without derivatives: downhill simplexes, many at once, that give up where no root can be.

For one equation in several unknowns, whose isolated roots are where it touches zero, often with kinks, and for whatever
else defeats differences. Nelder and Mead's rules with the coefficients of Gao and Han, which depend on the dimension.

A simplex that closes in on a root has values in proportion to its size: the best is well below the worst however small
it gets. Over a valley that stays above zero all values come level; such a search ends as stuck, early.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasksprint.apps.roots.descent import FOUND, MET, RUNNING, SPENT, STUCK
from tasksprint.apps.roots.problem import Array, Meter, norms

Rows = NDArray[np.int64]
SMALL = 2e-3  # of the box: a simplex this small sees one root only
NARROW = 1e-8  # of the box: a simplex this small is a point
LEVEL = 0.25  # stuck when the best is not below this share of the worst, turn after turn
PATIENCE = 6
WINDOW = 12  # turns between looks at the progress of the best value, times the dimension


class Simplexes:
    """Rows of searches: corners in order of value, the best first."""

    def __init__(self, meter: Meter, starts: Array, values: Array, spread: Array, quiet: float, known: Array) -> None:
        count, dimensions = starts.shape
        self.meter, self.quiet, self.known = meter, quiet, known
        self.corners = np.repeat(starts[:, None, :], dimensions + 1, axis=1)
        index = np.arange(dimensions)
        legs = np.where(starts > 0.5, -1.0, 1.0) * spread
        self.corners[:, index + 1, index] += legs
        self.values = np.empty((count, dimensions + 1))
        self.values[:, 0] = values
        self.values[:, 1:] = norms(meter(self.corners[:, 1:].reshape(-1, dimensions))).reshape(count, dimensions)
        self.cost = np.full(count, dimensions)
        self.state = np.full(count, RUNNING)
        self.level = np.zeros(count, dtype=np.int64)
        self.mark = np.full(count, np.inf)
        self._sort(np.arange(count))

    @property
    def best(self) -> Array:
        return np.asarray(self.corners[:, 0])

    @property
    def value(self) -> Array:
        return np.asarray(self.values[:, 0])

    def residuals(self, row: int) -> Array:
        """Of the best corner: of one equation its size, of several they are evaluated once more."""
        if self.meter.equations == 1:
            return np.asarray(self.values[row, :1])
        return np.asarray(self.meter(self.best[row : row + 1])[0])

    def extent(self) -> Array:
        """How far the corners are from the best one."""
        return np.asarray(np.abs(self.corners[:, 1:] - self.corners[:, :1]).max(axis=(1, 2)))

    def run(self, cost_max: int) -> None:
        for turn in range(1, 100_000):
            self.state[(self.state == RUNNING) & (self.cost >= cost_max)] = SPENT
            rows = np.flatnonzero(self.state == RUNNING)
            if not rows.size or self.meter.left <= 0:
                break
            self._turn(rows)
            self._judge(rows, turn)
        self.state[self.state == RUNNING] = SPENT

    def _sort(self, rows: Rows) -> None:
        order = np.argsort(self.values[rows], axis=1, kind="stable")
        self.values[rows] = np.take_along_axis(self.values[rows], order, axis=1)
        self.corners[rows] = np.take_along_axis(self.corners[rows], order[:, :, None], axis=1)

    def _evaluate(self, rows: Rows, points: Array) -> Array:
        self.cost[rows] += 1
        return norms(self.meter(points))

    def _turn(self, rows: Rows) -> None:
        dimensions = self.corners.shape[2]
        expand, contract = 1.0 + 2.0 / dimensions, 0.75 - 0.5 / dimensions
        if dimensions == 1:
            expand, contract = 2.0, 0.5
        centre = self.corners[rows, :-1].mean(axis=1)
        away = centre - self.corners[rows, -1]
        point = np.clip(centre + away, 0.0, 1.0)
        value = self._evaluate(rows, point)
        best, second, worst = self.values[rows, 0], self.values[rows, -2], self.values[rows, -1]
        farther, outside = value < best, (value >= second) & (value < worst)
        inside = value >= worst
        factor = np.select([farther, outside, inside], [expand, contract, -contract], 0.0)
        again = np.flatnonzero(factor != 0.0)
        other = np.clip(centre[again] + factor[again, None] * away[again], 0.0, 1.0)
        other_value = self._evaluate(rows[again], other)
        limit = np.select([farther[again], outside[again]], [value[again], value[again]], worst[again])
        wins = other_value < limit
        shrink = np.zeros(len(rows), dtype=bool)
        shrink[again] = ~wins & ~farther[again]
        point[again[wins]], value[again[wins]] = other[wins], other_value[wins]
        kept = ~shrink
        self.corners[rows[kept], -1], self.values[rows[kept], -1] = point[kept], value[kept]
        if shrink.any():
            self._shrink(rows[shrink])
        self._sort(rows)

    def _shrink(self, rows: Rows) -> None:
        dimensions = self.corners.shape[2]
        factor = 1.0 - 1.0 / dimensions if dimensions > 2 else 0.5
        first = self.corners[rows, :1]
        self.corners[rows, 1:] = first + factor * (self.corners[rows, 1:] - first)
        points = self.corners[rows, 1:].reshape(-1, dimensions)
        self.values[rows, 1:] = norms(self.meter(points)).reshape(len(rows), dimensions)
        self.cost[rows] += dimensions

    def _judge(self, rows: Rows, turn: int) -> None:
        best, worst = self.values[rows, 0], self.values[rows, -1]
        size = self.extent()[rows]
        self.level[rows] = np.where(best > (1.0 - LEVEL) * worst, self.level[rows] + 1, 0)
        self.state[rows[self.level[rows] >= PATIENCE * self.corners.shape[2]]] = STUCK
        if turn % (WINDOW * self.corners.shape[2]) == 0:
            self.state[rows[best > 0.5 * self.mark[rows]]] = STUCK
            self.mark[rows] = best
        self.state[rows[~np.isfinite(best)]] = STUCK
        self.state[rows[size <= NARROW]] = FOUND  # a point: whether it is a root is for the judge
        self.state[rows[best <= self.quiet]] = FOUND
        self._recognise(rows, size)

    def _recognise(self, rows: Rows, size: Array) -> None:
        """A small simplex over a root that is known already need not go on."""
        if len(self.known):
            away = np.abs(self.best[rows][:, None, :] - self.known[None, :, :]).max(axis=2).min(axis=1)
            self.state[rows[(size <= SMALL) & (away <= size) & (self.state[rows] == RUNNING)]] = MET
