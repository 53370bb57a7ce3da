"""Where the search should look: cells of the box, clusters of open places, what lies near known roots. Plain values."""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub
from typing import Any

Piece = dict[str, Any]

SAME, BLURRED = 1e-7, 1e-3  # of the box, as in `findings`
CLOSENESS_MAX = 0.05  # of the box
STEP = 0.004  # of the box: how far one more meeting makes a root's surroundings known


def cells_of(dimensions: int, count: int) -> list[Piece]:
    """The unit box, halved along one side after the other as long as there are no more cells than asked for."""
    cells = [([0.0] * dimensions, [1.0] * dimensions)]
    axis = 0
    while 2 * len(cells) <= count:
        halves = []
        for low, high in cells:
            middle = 0.5 * (low[axis] + high[axis])
            halves.append((low, [*high[:axis], middle, *high[axis + 1 :]]))
            halves.append(([*low[:axis], middle, *low[axis + 1 :]], high))
        cells, axis = halves, (axis + 1) % dimensions
    return [{"low": list(low), "high": list(high), "chain": 0, "first": 0} for low, high in cells]


def distance(one: Sequence[float], two: Sequence[float]) -> float:
    return float(max(map(abs, map(sub, one, two))))


def closeness(problem: Piece) -> float:
    """The closeness epsilon in unit coordinates, by the widest side of the box."""
    widest = max(high - low for low, high in zip(problem["lo"], problem["hi"], strict=True))
    return min(CLOSENESS_MAX, float(problem["closeness"]) / float(widest))


def same_root(root: Piece, other: Piece, close: float) -> bool:
    """Whether two tasks found one root.

    Regular crossings are known to the last digits; where the function is flat around a root it is known less well. On
    the line, neighbours turn the sign opposite ways, so that roots of different signs are never one.
    """
    if "signs" in root and "signs" in other and root["signs"] != other["signs"]:
        return root["kind"] != other["kind"] and distance(root["at"], other["at"]) <= SAME
    sharp = all(one["kind"] == "crossing" and one["multiplicity"] == 1 for one in (root, other))
    reach = SAME if sharp else BLURRED
    if "unjudged" in (root["kind"], other["kind"]):
        reach = max(root.get("blur", SAME), other.get("blur", SAME))
    return distance(root["at"], other["at"]) <= reach


def radii(roots: Sequence[Piece], close: float) -> list[float]:
    """Around a known root no cluster is followed: a third of the gap to the next one at most, and no more than the
    closeness epsilon, or than what is known of its surroundings after all the times that it was met."""
    out = []
    for root in roots:
        gaps = (distance(root["at"], other["at"]) for other in roots if other is not root)
        known = min(CLOSENESS_MAX, STEP * root.get("sightings", 0))
        out.append(min(max(close, known), min(gaps, default=1.0) / 3.0))
    return out


def merged(places: Sequence[Piece], roots: Sequence[Piece], dead: Sequence[Piece], close: float) -> list[Piece]:
    """Open places that lie together become one cluster, the lowest speaking for it.

    Left out are those near known roots, and those where a population closed in before and that are not lower by half
    since. Single linkage to the lowest member, at the closeness epsilon or half the spread.
    """
    clusters: list[Piece] = []
    around = radii(roots, close)
    for row in sorted(places, key=lambda row: (row["size"], row["at"])):
        if any(distance(row["at"], root["at"]) <= reach for root, reach in zip(roots, around, strict=True)):
            continue
        for cluster in clusters:
            if distance(row["at"], cluster["at"]) <= max(close, min(0.5 * cluster["spread"], CLOSENESS_MAX)):
                cluster["tasks"] = sorted({*cluster["tasks"], *row["tasks"]})
                break
        else:
            if not _fruitless(row, dead):
                clusters.append({**row, "at": list(row["at"]), "tasks": list(row["tasks"])})
    return clusters


def _fruitless(row: Piece, dead: Sequence[Piece]) -> bool:
    for place in dead:
        if distance(row["at"], place["at"]) <= max(SAME, 0.5 * place["spread"]):
            return bool(row["size"] > 0.5 * place["size"])
    return False


def weights(cells: Sequence[Piece], roots: Sequence[Piece]) -> list[float]:
    """How the cells share a round: those with roots that were met once only have the most left to find."""
    out = [1.0] * len(cells)
    for root in roots:
        if root["sightings"] <= 1:
            out[cell_of(cells, root["at"])] += 0.5
    ceiling = 3.0 * sum(out) / len(out)
    return [min(weight, ceiling) for weight in out]


def cell_of(cells: Sequence[Piece], at: Sequence[float]) -> int:
    for number, cell in enumerate(cells):
        if all(low <= place <= high for low, place, high in zip(cell["low"], at, cell["high"], strict=True)):
            return number
    return 0


def near_cell(cell: Piece, at: Sequence[float], margin: float) -> bool:
    inside = zip(cell["low"], at, cell["high"], strict=True)
    return all(low - margin <= place <= high + margin for low, place, high in inside)
