"""The polish for valleys with kinks in many unknowns: quasi-Newton steps downhill on the length of the residuals.

Where equations touch zero instead of crossing it, and there are more unknowns than equations, least squares takes the
shortest step to where the equations seem to vanish, again and again, and gains less each time. Downhill with the BFGS
formula learns how the valley lies, kinks included, as long as the line search asks for a slope that has grown along the
step and not for one that is near zero (Lewis and Overton, Nonsmooth optimization via quasi-Newton methods, 2013).
"""

from __future__ import annotations

import math

import numpy as np

from tasksprint.apps.roots.problem import Array, Meter, norms

STEP, STEP_MIN = 1e-8, 1e-11  # of the box: differences; less where the last step was short, so that they see the kink
FIRST = 0.02  # of the box: the first step
TRIALS_MAX = 25  # of a line search
LOWER, SLOPE = 1e-4, 0.5  # share of the foreseen descent that is asked for; of the slope that may be left
TINY = 1e-14


class Valley:
    """One descent: `run` it, then ask for `at` and `residuals`."""

    def __init__(self, meter: Meter, at: Array, residuals: Array, quiet: float) -> None:
        self.meter, self.quiet = meter, quiet
        self.at, self.residuals = at.copy(), residuals.copy()
        self.size = float(norms(residuals[None])[0])
        self.step = STEP

    def run(self, allowance: int) -> None:
        """Until the residual is noise, nothing goes down any more, or the allowance is used."""
        end = self.meter.used + allowance
        dimensions = len(self.at)
        gradient = self._gradient()
        inverse = _first(gradient)
        fresh = True
        while self.size > self.quiet and self.meter.used + dimensions + 4 <= end:
            way = -inverse @ gradient
            slope = float(way @ gradient)
            if not (np.isfinite(way).all() and slope < 0.0):
                return
            before, start = gradient, self.at
            if not self._search(way, slope, end):
                if fresh:
                    return
                inverse, fresh = _first(gradient), True
                continue
            self.step = float(np.clip(1e-3 * np.abs(self.at - start).max(), STEP_MIN, STEP))
            gradient = self._gradient()
            inverse = _learnt(inverse, self.at - start, gradient - before, fresh)
            fresh = False

    def _gradient(self) -> Array:
        steps = np.where(self.at > 0.5, -self.step, self.step)
        points = self.at + np.diag(steps)
        sizes = norms(self.meter(points))
        gradient = (sizes - self.size) / (np.diag(points) - self.at)
        return np.where(np.isfinite(gradient), gradient, 0.0)

    def _search(self, way: Array, slope: float, end: int) -> bool:
        """A step that goes down, and whose far end is less steep: longer or shorter by halves. Tells if there is."""
        low, high, length = 0.0, math.inf, 1.0
        reach = float(np.abs(way).max())
        found = False
        for _ in range(TRIALS_MAX):
            if self.meter.used + 2 > end or length * reach < TINY:
                break
            point = np.clip(self.at + length * way, 0.0, 1.0)
            residuals = self.meter(point[None])[0]
            size = float(norms(residuals[None])[0])
            if not size < self.size + LOWER * length * slope:
                high = length
            else:
                best, found = (point, residuals, size), True
                if size <= self.quiet or self._slope_at(point, size, way / reach) * reach >= SLOPE * slope:
                    break
                low = length
            length = 0.5 * (low + high) if high < math.inf else 2.0 * low
        if found:
            self.at, self.residuals, self.size = best
        return found

    def _slope_at(self, point: Array, size: float, way: Array) -> float:
        ahead = np.clip(point + self.step * way, 0.0, 1.0)
        return (float(norms(self.meter(ahead[None]))[0]) - size) / self.step


def _first(gradient: Array) -> Array:
    """Before anything is known of the valley: straight down, a short step."""
    return np.asarray(np.eye(len(gradient)) * FIRST / max(float(np.linalg.norm(gradient)), 1e-300))


def _learnt(inverse: Array, step: Array, change: Array, fresh: bool) -> Array:
    """The BFGS update of the inverse; the first one takes its scale from the step."""
    product = float(step @ change)
    if not product > 1e-300:
        return inverse
    if fresh:
        inverse = np.eye(len(step)) * product / float(change @ change)
    moved = inverse @ change
    return np.asarray(
        inverse
        + (1.0 + float(change @ moved) / product) * np.outer(step, step) / product
        - (np.outer(moved, step) + np.outer(step, moved)) / product
    )
