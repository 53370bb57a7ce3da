"""What the search tells: lines as roots are found, the result as plain JSON values, and a table for a person.

The result holds nothing that depends on who computed it or how long it took: the same seed and budget give the same
bytes. Roots are in the order of their points.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasksprint.apps.roots.search import Search

SHARP, BLURRED = 12, 7  # digits that are shown: where the function is flat around a root, it is known less well
NOISE = 1e-12  # residuals below are rounding errors: their digits mean nothing
CONTINUUM_TEXT = "the zeros are a continuum: they fill a curve, a surface or an interval, and cannot be listed"
FEW_PER_UNKNOWN = 1_000  # evaluations: with fewer, "no root" needs a warning


def point_of(at: Sequence[float], problem: Mapping[str, Any]) -> list[float]:
    """Unit coordinates to the user's, as `Problem.points` does."""
    out = []
    for unit, low, high in zip(at, problem["lo"], problem["hi"], strict=True):
        out.append(float(min(max(low + unit * (high - low), low), high)))
    return out


def announcement(search: Search, told: int) -> list[str]:
    """A line for each root that is new since `told` were known."""
    lines = []
    for number, root in enumerate(search.roots[told:], told + 1):
        digits = SHARP if root["kind"] == "crossing" else BLURRED
        point = ", ".join(f"{value:.{digits}g}" for value in point_of(root["at"], search.problem))
        lines.append(f"root {number}: ({point})  |f| = {root['size']:.2g}  {kind_text(root)}")
    return lines


def kind_text(root: Mapping[str, Any]) -> str:
    multiplicity = root.get("multiplicity")
    return str(root["kind"]) + (f", multiplicity {multiplicity}" if multiplicity and multiplicity > 1 else "")


def result(search: Search, warnings: Sequence[str] = ()) -> dict[str, Any]:
    roots = []
    for root in search.roots:
        row = {"point": point_of(root["at"], search.problem), "residual": root["size"], "kind": root["kind"]}
        roots.append({**row, "multiplicity": root["multiplicity"] or None, "sightings": root["sightings"]})
    roots.sort(key=lambda row: row["point"])
    options = search.options
    return {
        "answer": search.answer(),
        "roots": roots,
        "continuum_at": None if search.continuum is None else point_of(search.continuum, search.problem),
        "clusters": [{"point": point_of(row["at"], search.problem), "residual": row["size"]} for row in search.open],
        "estimate": search.estimate(),
        "evaluations": search.used,
        "budget": search.budget,
        "rounds": len(search.curve),
        "stopped": search.stopped or "budget",
        "seed": options["seed"],
        "polish": bool(options["polish"]),
        "poles": search.poles,
        "lost_tasks": search.failed,
        "curve": [list(row) for row in search.curve],
        "problem": {key: search.problem[key] for key in ("expressions", "lo", "hi", "bits", "epsilon", "closeness")},
        "warnings": [*warnings, *_warnings(search)],
    }


def _warnings(search: Search) -> list[str]:
    out = []
    if search.answer() == "no root" and search.budget < FEW_PER_UNKNOWN * search.dimensions:
        unknowns = "1 unknown" if search.dimensions == 1 else f"{search.dimensions} unknowns"
        out.append(f"{search.budget:,} evaluations are few for {unknowns}: that no root was found says little")
    if search.infinite:
        out.append(f"the function was infinite or undefined at {search.infinite} of the samples: those are no roots")
    if search.poles:
        out.append(f"{search.poles} changes of sign are poles, not roots")
    if search.failed:
        out.append(f"{search.failed} tasks failed for good; what they would have found is missing")
    return out


def as_json(values: Mapping[str, Any]) -> bytes:
    """The result as bytes, always the same for the same values."""
    return json.dumps(values, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def table(values: Mapping[str, Any]) -> list[str]:
    """The result for a person: the roots, then what to think of them."""
    lines = []
    if values["answer"] == "continuum":
        at = ", ".join(f"{value:.9g}" for value in values["continuum_at"])
        lines.append(f"{CONTINUUM_TEXT}; one of them is ({at})")
    if values["roots"]:
        lines += _rows(values)
    elif values["answer"] == "no root":
        lines.append("no root in the box")
    estimate = values["estimate"]
    count = "1 root" if len(values["roots"]) == 1 else f"{len(values['roots'])} roots"
    share = f"{values['evaluations']:,} of {values['budget']:,} evaluations, {values['rounds']} rounds"
    lines.append(f"{count} after {share} (seed {values['seed']}, ended by {values['stopped']})")
    if estimate["draws"]:
        text = f"coverage {estimate['coverage']:.1%}: {estimate['once']} of the roots were met only once"
        lines.append(f"{text}; about {estimate['missing']:.1f} more may be missing")
    return lines + [f"warning: {warning}" for warning in values["warnings"]]


def _rows(values: Mapping[str, Any]) -> list[str]:
    dimensions = len(values["problem"]["lo"])
    head = [*(["x"] if dimensions == 1 else [f"x{number + 1}" for number in range(dimensions)]), "|f|", "kind", "met"]
    rows = [head]
    for root in values["roots"]:
        digits = SHARP if root["kind"] == "crossing" else BLURRED
        numbers = [f"{value:.{digits}g}" for value in root["point"]]
        size = f"{root['residual']:.1e}" if root["residual"] >= NOISE else f"<{NOISE:.0e}"
        rows.append([*numbers, size, kind_text(root), str(root["sightings"])])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
