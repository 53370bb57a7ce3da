"""A picture of a result.

In one unknown: the curve, the roots by kind, and under it how often each root was met. In two: the zero lines of each
equation over |f|, and the roots. In more: the first two unknowns. Always: the roots found over the evaluations.

matplotlib is loaded when a picture is wanted, and not before.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasksprint.apps.roots.problem import Problem, norms

MARKS = {"crossing": ("o", "tab:blue"), "tangential": ("^", "tab:orange"), "singular": ("s", "tab:red")}
OTHER = ("x", "tab:gray")
LINE_POINTS, GRID_POINTS = 4000, 300


class NoPlots(ImportError):
    """matplotlib is not installed."""


def draw(values: Mapping[str, Any], path: str | Path) -> None:
    try:
        canvas, figures = (importlib.import_module(f"matplotlib.{name}") for name in ("backends.backend_agg", "figure"))
    except ImportError:
        raise NoPlots("pictures need matplotlib: install the extra, tasksprint[plots]") from None
    dimensions = len(values["problem"]["lo"])
    rows = 3 if dimensions == 1 else 2
    figure = figures.Figure(figsize=(9, 3 + 2.5 * rows), layout="constrained")
    canvas.FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, height_ratios=[4, 1, 2] if rows == 3 else [4, 1.5])
    problem = values["problem"]
    if dimensions == 1:
        _line(axes[0], values, problem)
        _coverage(axes[1], values, problem)
    elif dimensions == 2:
        _plane(axes[0], values, problem)
    _roots(axes[0], values, dimensions)
    _progress(axes[-1], values)
    figure.savefig(path, dpi=120)


def _function(problem: Mapping[str, Any]) -> Any:
    try:
        return Problem.from_arguments(problem).compiled()
    except ValueError:  # a user's own function: only nodes may import it
        return None


def _line(axis: Any, values: Mapping[str, Any], problem: Mapping[str, Any]) -> None:
    function = _function(problem)
    if function is not None:
        x = np.linspace(problem["lo"][0], problem["hi"][0], LINE_POINTS)
        y = function(x[:, None])
        y = np.where(np.isfinite(y), y, np.nan)
        axis.plot(x, y, linewidth=0.8, color="black")
        seen = np.abs(y[np.isfinite(y)])
        if seen.size:
            top = 1.2 * float(np.quantile(seen, 0.98)) or 1.0
            axis.set_ylim(-top, top)
    axis.axhline(0.0, linewidth=0.5, color="gray")
    axis.set_title("; ".join(problem["expressions"])[:100])


def _coverage(axis: Any, values: Mapping[str, Any], problem: Mapping[str, Any]) -> None:
    for root in values["roots"]:
        axis.vlines(root["point"][0], 0, root["sightings"], linewidth=1.5, color="tab:green")
    axis.set_xlim(problem["lo"][0], problem["hi"][0])
    axis.set_ylabel("times met")
    axis.set_title(f"coverage {values['estimate']['coverage']:.1%}", fontsize="small")


def _plane(axis: Any, values: Mapping[str, Any], problem: Mapping[str, Any]) -> None:
    function = _function(problem)
    if function is None:
        return
    x, y = (np.linspace(problem["lo"][axis], problem["hi"][axis], GRID_POINTS) for axis in (0, 1))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    fields = function(grid)
    sizes = norms(np.where(np.isfinite(fields), fields, np.nan)).reshape(GRID_POINTS, GRID_POINTS)
    axis.pcolormesh(x, y, np.log10(sizes + 1e-12), cmap="Greys_r", shading="nearest", rasterized=True)
    colours = ("tab:cyan", "tab:pink", "tab:olive", "tab:purple")
    for number, column in enumerate(fields.T):
        field = np.where(np.isfinite(column), column, np.nan).reshape(GRID_POINTS, GRID_POINTS)
        if np.nanmin(field) < 0.0 < np.nanmax(field):
            axis.contour(x, y, field, levels=[0.0], colors=[colours[number % len(colours)]], linewidths=0.8)
    axis.set_title("; ".join(problem["expressions"])[:100])


def _roots(axis: Any, values: Mapping[str, Any], dimensions: int) -> None:
    for kind in sorted({root["kind"] for root in values["roots"]}):
        mark, colour = MARKS.get(kind, OTHER)
        points = np.array([root["point"] for root in values["roots"] if root["kind"] == kind])
        y = points[:, 1] if dimensions > 1 else np.zeros(len(points))
        axis.plot(points[:, 0], y, mark, color=colour, markersize=5, label=f"{kind} ({len(points)})")
    if values["roots"]:
        axis.legend(fontsize="small", loc="upper right")


def _progress(axis: Any, values: Mapping[str, Any]) -> None:
    curve = np.array([[0, 0], *values["curve"]])
    axis.step(curve[:, 0], curve[:, 1], where="post")
    axis.set_xlabel("evaluations")
    axis.set_ylabel("roots found")
