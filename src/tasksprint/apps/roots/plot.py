"""A picture of a result.

In one unknown: the curve with the roots by kind, and under it how often each root was met. In two: the zero lines of
each equation over |f|, with the roots, and the clusters that are still open. In more: the first two unknowns of the
roots. Always: the roots found over the evaluations, round by round.

matplotlib is loaded when a picture is wanted, and not before.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasksprint.apps.roots.problem import Array, Function, Problem, norms

MARKS = {"crossing": ("o", "tab:blue"), "tangential": ("^", "tab:orange"), "singular": ("s", "tab:red")}
OTHER = ("D", "tab:purple")
ZERO_LINES = ("tab:cyan", "tab:pink", "tab:olive", "tab:green")
LINE_POINTS, GRID_POINTS = 4000, 300
SHOWN_SHARE = 0.98  # of a curve: steep ends are cut off,
POLE_TIMES = 6.0  # and what is so many times higher than three quarters of it


class NoPlots(ImportError):
    """matplotlib is not installed."""


def draw(values: Mapping[str, Any], path: str | Path) -> None:
    try:
        canvas, figures = (importlib.import_module(f"matplotlib.{name}") for name in ("backends.backend_agg", "figure"))
    except ImportError:
        raise NoPlots("pictures need matplotlib: install the extra, tasksprint[plots]") from None
    dimensions = len(values["problem"]["lo"])
    size, heights = ((10, 7.5), [4, 1, 1.6]) if dimensions == 1 else ((8, 9.5), [4.6, 1])
    figure = figures.Figure(figsize=size, layout="constrained")
    canvas.FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, height_ratios=heights)
    problem = values["problem"]
    _title(figure, values, problem)
    if dimensions == 1:
        _line(axes[0], problem)
        _coverage(axes[1], values, problem)
    elif dimensions == 2:
        _plane(figure, axes[0], problem)
    else:
        _frame(axes[0], problem)
    _clusters(axes[0], values, dimensions)
    _roots(axes[0], values, dimensions)
    _progress(axes[-1], values)
    figure.savefig(path, dpi=120)


def _title(figure: Any, values: Mapping[str, Any], problem: Mapping[str, Any]) -> None:
    text = ";  ".join(problem["expressions"]) or "a function by its import path"
    text = text if len(text) <= 90 else text[:87] + "..."
    count = len(values["roots"])
    what = {"continuum": "a continuum of zeros", "no root": "no root"}.get(
        values["answer"], f"{count} root{'s' * (count != 1)}"
    )
    figure.suptitle(f"{text}\n{what}, {values['evaluations']:,} evaluations", fontsize="medium", parse_math=False)


def _function(problem: Mapping[str, Any]) -> Function | None:
    try:
        return Problem.from_arguments(problem).compiled()
    except ValueError:  # a user's own function: only nodes may import it
        return None


def _line(axis: Any, problem: Mapping[str, Any]) -> None:
    function = _function(problem)
    low, high = problem["lo"][0], problem["hi"][0]
    if function is not None:
        x = np.linspace(low, high, LINE_POINTS)
        columns = function(x[:, None])
        columns = np.where(np.isfinite(columns), columns, np.nan)
        seen = np.abs(columns[np.isfinite(columns)])
        top = _height(seen)
        columns = np.where(np.abs(columns) > 20.0 * top, np.nan, columns)  # no line across a pole
        for number, y in enumerate(columns.T):
            colour = "black" if columns.shape[1] == 1 else ZERO_LINES[number % len(ZERO_LINES)]
            axis.plot(x, y, linewidth=0.9, color=colour)
        axis.set_ylim(-(top or 1.0), top or 1.0)
    axis.axhline(0.0, linewidth=0.6, color="gray")
    axis.set_xlim(low, high)
    axis.set_ylabel("f(x)")


def _height(sizes: Array) -> float:
    """How far the curve's axis goes: poles must not press all the rest to a line."""
    if not sizes.size:
        return 1.0
    most, much = (float(value) for value in np.quantile(sizes, [SHOWN_SHARE, 0.75]))
    return 1.2 * (min(most, POLE_TIMES * much) if much else most)


def _coverage(axis: Any, values: Mapping[str, Any], problem: Mapping[str, Any]) -> None:
    for root in values["roots"]:
        axis.vlines(root["point"][0], 0, root["sightings"], linewidth=2.0, color=MARKS.get(root["kind"], OTHER)[1])
    axis.set_xlim(problem["lo"][0], problem["hi"][0])
    axis.set_ylim(bottom=0)
    axis.set_ylabel("times met")
    estimate = values["estimate"]
    text = f"coverage {estimate['coverage']:.1%}, about {estimate['missing']:.1f} roots missing"
    axis.set_title(text if estimate["draws"] else "nothing was met", fontsize="small", loc="left")


def _frame(axis: Any, problem: Mapping[str, Any]) -> None:
    axis.set_xlim(problem["lo"][0], problem["hi"][0])
    axis.set_ylim(problem["lo"][1], problem["hi"][1])
    axis.set_xlabel("x1")
    axis.set_ylabel("x2" if len(problem["lo"]) == 2 else f"x2 (the first two of {len(problem['lo'])} unknowns)")


def _plane(figure: Any, axis: Any, problem: Mapping[str, Any]) -> None:
    _frame(axis, problem)
    function = _function(problem)
    if function is None:
        return
    x, y = (np.linspace(problem["lo"][side], problem["hi"][side], GRID_POINTS) for side in (0, 1))
    fields = function(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))
    fields = np.where(np.isfinite(fields), fields, np.nan)
    logs = np.log10(np.maximum(norms(fields), 1e-300)).reshape(GRID_POINTS, GRID_POINTS)
    if np.isfinite(logs).any():
        least, most = np.nanquantile(logs, [0.005, 0.995])
        most = max(most, least + 1e-9)
        shade = axis.pcolormesh(x, y, logs, cmap="Greys_r", shading="nearest", rasterized=True, vmin=least, vmax=most)
        figure.colorbar(shade, ax=axis, label="log10 |f|", fraction=0.04, pad=0.01)
    for number, column in enumerate(fields.T):
        field = column.reshape(GRID_POINTS, GRID_POINTS)
        colour = ZERO_LINES[number % len(ZERO_LINES)]
        if np.isfinite(field).any() and np.nanmin(field) < 0.0 < np.nanmax(field):
            axis.contour(x, y, field, levels=[0.0], colors=[colour], linewidths=1.2)
            axis.plot([], [], color=colour, linewidth=1.2, label=f"equation {number + 1} is 0")


def _clusters(axis: Any, values: Mapping[str, Any], dimensions: int) -> None:
    rows = values.get("clusters") or []
    if rows:
        points = np.array([row["point"] for row in rows])
        y = points[:, 1] if dimensions > 1 else np.zeros(len(points))
        axis.plot(points[:, 0], y, "x", color="tab:red", markersize=4, alpha=0.7, label=f"open cluster ({len(rows)})")


def _roots(axis: Any, values: Mapping[str, Any], dimensions: int) -> None:
    for kind in sorted({root["kind"] for root in values["roots"]}):
        mark, colour = MARKS.get(kind, OTHER)
        points = np.array([root["point"] for root in values["roots"] if root["kind"] == kind])
        y = points[:, 1] if dimensions > 1 else np.zeros(len(points))
        style = {"markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.7, "clip_on": False, "zorder": 5}
        axis.plot(points[:, 0], y, mark, color=colour, label=f"{kind} ({len(points)})", **style)
    if values["answer"] == "continuum":
        at = values["continuum_at"]
        axis.plot(at[0], at[1] if dimensions > 1 else 0.0, "*", color="tab:red", markersize=12, label="on a continuum")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize="small", loc="upper right", framealpha=0.9)


def _progress(axis: Any, values: Mapping[str, Any]) -> None:
    curve = np.array([[0, 0], *values["curve"]])
    axis.step(curve[:, 0], curve[:, 1], where="post", color="tab:blue")
    axis.plot(curve[1:, 0], curve[1:, 1], ".", color="tab:blue", markersize=4)
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.set_xlabel("evaluations")
    axis.set_ylabel("roots found")
