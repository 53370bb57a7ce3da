"""The root finder on the command line: arguments from formulas, a box and options, and the answer for a person.

`described` is for programs; `arguments` takes words, as `tasksprint submit roots` has them. `tasksprint run roots` has
options of its own (`cli/roots.py`).

Everything that can be said about the input is said here, at the submitter, before anything is started: formulas are
compiled, and a few hundred points are looked at, so that a constant function, one without a finite value, or an epsilon
below what the resolution can show is an error or a warning at once.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasksprint.apps.roots import report
from tasksprint.apps.roots.expression import ExpressionError, dimensions_of
from tasksprint.apps.roots.local import DEFAULTS
from tasksprint.apps.roots.problem import Problem, norms
from tasksprint.native import genome

__all__ = ["ExpressionError", "InputError", "arguments", "described", "from_toml", "output_name", "plot", "summary"]

BUDGET_PER_DIMENSION = 25_000
PROBES = 256
OPTIONS = (
    *("budget", "seed", "polish", "population", "crossover", "mutation", "width", "rounds"),
    *("last_round", "time_s", "starts"),
)
PROBLEM = ("expressions", "box", "bits", "epsilon", "closeness", "callable", "equations", "dimensions")


class InputError(ValueError):
    """The problem cannot be searched; the text says why, and what to do."""


def described(
    expressions: Sequence[str] = (),
    box: Sequence[Any] = (),
    *,
    bits: int = 32,
    epsilon: float = 3e-4,
    closeness: float = 1e-2,
    callable: str = "",
    equations: int = 0,
    dimensions: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """The job's arguments. ExpressionError points at the character of a formula; InputError says what else is wrong.

    `box` is one pair for all unknowns, or a pair for each, flat or nested: `(-20, 20)`, `((0, 1), (-1, 1))`. Options:
    budget (evaluations), seed, polish, population, crossover, mutation, width (tasks a round), rounds, last_round,
    time_s, starts.
    """
    unknown = set(options) - set(OPTIONS)
    if unknown:
        raise InputError(f"unknown options {', '.join(sorted(unknown))}; known are {', '.join(PROBLEM + OPTIONS)}")
    if not isinstance(expressions, list | tuple) or not all(isinstance(text, str) for text in expressions):
        raise InputError(f"expressions are texts, a list of them for a system, not {expressions!r}")
    formulas = tuple(expressions)
    _no_numbers_among(formulas)
    _typed(bits=bits, epsilon=epsilon, closeness=closeness, equations=equations, dimensions=dimensions)
    if not isinstance(callable, str) or (callable and not all(callable.partition(":"))):
        raise InputError(f"a function's import path is written module:function, not {callable!r}")
    if bool(formulas) == bool(callable):
        raise InputError("give either formulas (in a file: expressions), or one function by its import path")
    if formulas and equations not in (0, len(formulas)):
        raise InputError(
            f"there are {len(formulas)} formulas, and equations says {equations}: it is for functions only"
        )
    pairs = _pairs(box, dimensions or (dimensions_of(formulas) if formulas else 0))
    lo, hi = tuple(low for low, _ in pairs), tuple(high for _, high in pairs)
    try:
        problem = Problem(formulas, lo, hi, bits, epsilon, closeness, callable, equations or (1 if callable else 0))
        warnings = [] if callable else probe(problem)
    except ExpressionError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from None
    return {"problem": problem.as_arguments(), "options": _options(options, problem), "warnings": warnings}


def from_toml(path: str | Path, **more: Any) -> dict[str, Any]:
    """The same from a file with the same names; what is given beside it wins."""
    try:
        values = tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    unknown = set(values) - {*PROBLEM, *OPTIONS}
    if unknown:
        raise InputError(
            f"{path}: unknown names {', '.join(sorted(unknown))}; known are {', '.join(PROBLEM + OPTIONS)}"
        )
    merged = {**values, **more}
    if isinstance(merged.get("expressions"), str):
        merged["expressions"] = [merged["expressions"]]
    return described(**merged)


def arguments(words: Sequence[str]) -> dict[str, Any]:
    """From words: formulas (or one FILE.toml), and name=value for everything else; box=-1,1 or box=-1,1,0,2."""
    values: dict[str, Any] = {}
    formulas: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            formulas.append(word)
        elif name not in (*PROBLEM, *OPTIONS):
            raise InputError(f"unknown name {name!r}; known are {', '.join(PROBLEM + OPTIONS)}")
        else:
            values[name] = [each.strip() for each in value.strip("[]").split(",")] if name == "box" else _value(value)
    return of_words(formulas, values)


def of_words(formulas: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Formulas or one file, and what is given beside them."""
    if len(formulas) == 1 and formulas[0].endswith(".toml"):
        return from_toml(formulas[0], **values)
    if not formulas and not values.get("callable"):
        raise InputError("give a formula, several for a system, or a file: roots 'sin(x)' and a box of -10, 10")
    return described(formulas, **values)


def _no_numbers_among(formulas: Sequence[str]) -> None:
    """A number beside other formulas is no equation; most likely it was to be an end of the box."""
    for number, text in enumerate(formulas, 1):
        try:
            float(text)
        except ValueError:
            continue
        if len(formulas) > 1:
            raise InputError(
                f"equation {number} is the number {text}, with no unknown in it; if it is an end of the box, "
                "each pair of ends has a --box of its own: --box 0 3 --box -1 1"
            )


def _typed(**numbers: Any) -> None:
    for name, number in numbers.items():
        real = name in ("epsilon", "closeness")
        if isinstance(number, bool) or not isinstance(number, int | float if real else int):
            raise InputError(f"{name} is a {'number' if real else 'whole number'}, not {number!r}")
        if not real and number < 0:
            raise InputError(f"{name} is a whole number, not below zero: {number}")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def output_name(place: int) -> str:
    """The finder has no files of its own; its answer is in its values."""
    return f"{place}"


def _pairs(box: Sequence[Any], dimensions: int) -> list[tuple[float, float]]:
    try:
        numbers = [float(number) for number in np.asarray(box, dtype=np.float64).reshape(-1)]
    except (TypeError, ValueError):
        raise InputError("the box is pairs of numbers: --box LOW HIGH, for each unknown or once for all") from None
    if not numbers or len(numbers) % 2:
        raise InputError(
            "the box needs a lower and an upper end: --box LOW HIGH, "
            "or box=LOW,HIGH as a word, or box = [LOW, HIGH] in a file"
        )
    pairs = list(zip(numbers[0::2], numbers[1::2], strict=True))
    if len(pairs) == 1:
        return pairs * max(1, dimensions)
    if dimensions and len(pairs) != dimensions:
        raise InputError(f"the formulas have {dimensions} unknowns, the box has {len(pairs)} pairs of ends")
    return pairs


def _options(options: Mapping[str, Any], problem: Problem) -> dict[str, Any]:
    values = {**DEFAULTS, "seed": None, "budget": BUDGET_PER_DIMENSION * problem.dimensions, **options}
    bounds = {"budget": (32, 2**40), "population": (4, 4096), "width": (0, 4096), "rounds": (0, 10**6)}
    for name, (least, most) in bounds.items():
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InputError(f"{name} is a whole number from {least} to {most}, not {value!r}")
    seed = values["seed"]
    if seed is not None and (not isinstance(seed, int) or not 0 <= seed < 2**53):
        raise InputError(f"the seed is a whole number from 0 to 2**53 - 1, not {seed!r}")
    for name, (least_real, most_real) in {"time_s": (1e-3, 1e9), "crossover": (0, 1), "mutation": (0, 64)}.items():
        real = values.get(name)
        if real is None:
            continue
        if isinstance(real, bool) or not isinstance(real, int | float) or not least_real <= real <= most_real:
            what = "the search time in seconds" if name == "time_s" else name
            raise InputError(f"{what} is a number from {least_real:g} to {most_real:g}, not {real!r}")
    if not isinstance(values["polish"], bool):
        raise InputError(f"polish is true or false, not {values['polish']!r}")
    if values["starts"] not in ("unsearched", "uniform"):
        raise InputError(f"starts is unsearched or uniform, not {values['starts']!r}")
    return values


def probe(problem: Problem) -> list[str]:
    """Warnings from a look at a few hundred points; ValueError where no search makes sense."""
    function, dimensions = problem.compiled(), problem.dimensions
    units = genome.uniform(genome.stream(0, 0, 0), PROBES * dimensions).reshape(PROBES, dimensions)
    values = function(problem.points(units))
    sizes = norms(np.where(np.isnan(values), np.inf, values))
    finite = np.isfinite(sizes)
    if not finite.any():
        raise ValueError("the function has no finite value anywhere in the box: look at its domain")
    warnings = []
    if not finite.all():
        share = 1.0 - finite.mean()
        warnings.append(f"the function is infinite or undefined in about {share:.0%} of the box: those are no roots")
    for number, column in enumerate(values.T, 1):
        seen = column[np.isfinite(column)]
        if seen.size and seen.min() == seen.max():
            what = "zero everywhere" if seen[0] == 0 else f"constant ({seen[0]:g}) and never zero"
            warnings.append(f"equation {number} looks {what} in the box")
    with np.errstate(invalid="ignore"):  # where both are infinite
        moved = norms(function(problem.points(np.clip(units + 2.0**-problem.bits, 0.0, 1.0))) - values)
    step = float(np.median(moved[np.isfinite(moved)])) if np.isfinite(moved).any() else 0.0
    if step > problem.epsilon:
        more = "64 bits" if problem.bits == 32 else "a smaller box"
        warnings.append(
            f"one step of {problem.bits} bits moves |f| by {step:.2g}, past the epsilon of {problem.epsilon:g}: "
            f"the operators alone cannot show such roots; use {more} or a greater epsilon"
        )
    return warnings


def summary(values: dict[str, Any]) -> list[str]:
    """The job's values for a person."""
    return report.table(values)


def plot(values: Mapping[str, Any], path: str | Path) -> None:
    """A picture of the result; needs matplotlib (the extra `plots`)."""
    from tasksprint.apps.roots.plot import draw

    draw(values, path)
