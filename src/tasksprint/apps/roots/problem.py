"""What is searched: the equations, the box, the tolerances; and the meter that counts each evaluation.

Everything below the report works in unit coordinates: the box is [0, 1]^d, whatever its sides are. An evaluation is all
equations at one point. A value that is no finite number counts as infinitely far from zero: a pole is never a root.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasksprint.apps.roots.expression import compile_program

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

BITS = (32, 64)


@dataclass(frozen=True)
class Problem:
    """Equations in a box. `epsilon` is the paper's solution epsilon (on |f|), `closeness` its closeness epsilon."""

    expressions: tuple[str, ...]
    lo: tuple[float, ...]
    hi: tuple[float, ...]
    bits: int = 32
    epsilon: float = 3e-4
    closeness: float = 1e-2
    callable: str = ""  # an import path, module:function, instead of formulas
    equations: int = 0  # how many values the function gives; of formulas, as many as there are
    function: Function | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.equations:
            object.__setattr__(self, "equations", len(self.expressions))
        if self.equations < 1:
            raise ValueError("there is no equation: give a formula, or a function by its import path")
        if len(self.lo) != len(self.hi) or not self.lo:
            raise ValueError(
                f"the box has {len(self.lo)} lower and {len(self.hi)} upper ends: give both for each unknown"
            )
        for number, (low, high) in enumerate(zip(self.lo, self.hi, strict=True), 1):
            if not (math.isfinite(low) and math.isfinite(high)):
                raise ValueError(f"the box is infinite in x{number}: [{low:g}, {high:g}]; give finite ends")
            if not low < high:
                raise ValueError(f"the box is empty in x{number}: [{low:g}, {high:g}]; the lower end comes first")
            if not math.isfinite(high - low):
                raise ValueError(f"the box is too wide in x{number}: [{low:g}, {high:g}]")
        if self.bits not in BITS:
            raise ValueError(f"the bit resolution is 32 or 64, not {self.bits}")
        for name in ("epsilon", "closeness"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"the {name} must be above zero, not {getattr(self, name)}")

    @property
    def dimensions(self) -> int:
        return len(self.lo)

    def points(self, units: Array) -> Array:
        """Unit coordinates to the user's; the ends of the box are met exactly."""
        low, high = np.array(self.lo), np.array(self.hi)
        points: Array = np.clip(low + units * (high - low), low, high)
        return points

    def compiled(self) -> Function:
        if self.function is None and self.callable:
            raise ValueError(f"the function {self.callable} is imported by the nodes only, where that is allowed")
        return self.function or compile_program(self.expressions, self.dimensions)

    def as_arguments(self) -> dict[str, Any]:
        return {
            "expressions": list(self.expressions),
            "lo": list(self.lo),
            "hi": list(self.hi),
            "bits": self.bits,
            "epsilon": self.epsilon,
            "closeness": self.closeness,
            "callable": self.callable,
            "equations": self.equations,
        }

    @classmethod
    def from_arguments(cls, values: Mapping[str, Any], function: Function | None = None) -> Problem:
        texts: Sequence[str] = values["expressions"]
        ends = (tuple(float(end) for end in values[key]) for key in ("lo", "hi"))
        lo, hi = ends
        rest = {key: values[key] for key in ("bits", "epsilon", "closeness", "callable", "equations") if key in values}
        return cls(tuple(texts), lo, hi, function=function, **rest)


class Meter:
    """Evaluates, counts, and stops at its allowance: rows beyond it come back as infinitely far from zero."""

    def __init__(self, problem: Problem, allowance: int, function: Function | None = None) -> None:
        self.problem = problem
        self.function = function or problem.compiled()
        self.equations = problem.equations
        self.allowance, self.used = allowance, 0

    @property
    def left(self) -> int:
        return self.allowance - self.used

    def __call__(self, units: Array) -> Array:
        """One row of residuals a point, of unit coordinates; never NaN."""
        allowed = min(len(units), self.left)
        self.used += allowed
        out = np.full((len(units), self.equations), np.inf)
        if allowed:
            values = self.function(self.problem.points(units[:allowed]))
            out[:allowed] = np.where(np.isnan(values), np.inf, values)
        return out


class Cubed:
    """The same meter, with the residuals cubed: zero in the same places, and smooth where they are cube roots."""

    def __init__(self, meter: Meter) -> None:
        self.meter, self.problem, self.equations = meter, meter.problem, meter.equations

    @property
    def left(self) -> int:
        return self.meter.left

    def __call__(self, units: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(self.meter(units) ** 3)


def norms(residuals: Array) -> Array:
    """The length of each row; the fitness of a point is minus this."""
    if residuals.shape[1] == 1:
        return np.abs(residuals[:, 0])
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", residuals, residuals)))


def quiet_level(sizes: Array) -> float:
    """The residual that counts as rounding noise, from residuals seen all over the box.

    Relative to their median, and never above 1e-9: where the function is huge in most of the box, the median says
    nothing about its roots.
    """
    finite = sizes[np.isfinite(sizes)]
    median = float(np.median(finite)) if finite.size else 0.0
    return min(1e-13 * median, 1e-9)
