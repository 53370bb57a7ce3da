"""The search as a state machine: what was found so far in, the next tasks out. No clock, no random source, no numpy.

The box is cut into cells, and the search goes in rounds. A round starts one exploration a cell (with the cell's
population as its prerequisite) and, beside them, tasks that merge the clusters which the round before left open. What is
known is frozen for the round; when its last task has ended, all findings are folded in the order of the tasks' numbers.
So the outcome depends on the seed and the budget, and on nothing else: not on how many clients there are, nor on which
task ends first.

Evaluations are handed out before they are used: the allowances of the running tasks and what is used never exceed the
budget together. What a task leaves over comes back.

All attributes are plain values, so that the state can be saved and restored as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasksprint.apps.roots.coverage import coverage

EXPLORE, MERGE = "explore", "merge"
SAME, BLURRED = 1e-7, 1e-3  # of the box, as in `findings`
SMALLEST = 16  # evaluations that are worth a task
DEAD_MAX = 256
OPEN_MAX = 64
ROUNDS = 10
CLUSTERS_A_TASK = 4

Order = dict[str, Any]
Piece = dict[str, Any]


def cells_of(dimensions: int, count: int) -> list[tuple[list[float], list[float]]]:
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
    return cells


def distance(one: list[float], two: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, two, strict=True))


class Search:
    """Call `start` once, then `ended` for each task in the order of their numbers; both give the tasks to start next."""

    def __init__(self, problem: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self.problem = dict(problem)
        self.options = dict(options)
        self.dimensions = len(self.problem["lo"])
        self.equations = len(self.problem["expressions"])
        self.budget = int(options["budget"])
        self.used = 0
        self.round = 0
        self.next_number = 1
        width = int(options.get("width") or 0) or max(2, min(8, self.budget // 5000))
        self.cells: list[Piece] = [
            {"low": low, "high": high, "chain": 0, "first": 0} for low, high in cells_of(self.dimensions, width)
        ]
        self.roots: list[Piece] = []
        self.curve: list[list[int]] = []  # evaluations, roots known: after each round
        self.open: list[Piece] = []
        self.dead: list[Piece] = []
        self.waiting: list[int] = []
        self.findings: dict[int, Piece | None] = {}
        self.orders: dict[int, Order] = {}
        self.quiet = 0.0
        self.continuum: list[float] | None = None
        self.merge_share = 0.2 if options["polish"] else 0.7
        self.success = 0.5
        self.credit = 0.0  # evaluations that merges may still claim
        self.poles = self.infinite = self.failed = 0
        self.done = False

    # what runs

    @property
    def left(self) -> int:
        return self.budget - self.used

    def start(self) -> list[Order]:
        return self._plan()

    def ended(self, number: int, findings: Piece | None) -> list[Order]:
        """A task has ended (None: it failed for good). Gives the next round when it was the last of this one."""
        self.findings[number] = findings
        self.waiting.remove(number)
        if self.waiting:
            return []
        news = self._fold()
        return [] if self.done else self._plan(news)

    def _fold(self) -> dict[str, int]:
        known, news = len(self.roots), {EXPLORE: 0, MERGE: 0, "polished": 0, "hits": 0}
        medians: list[float] = []
        for number in sorted(self.findings):
            order, findings = self.orders.pop(number), self.findings[number]
            if findings is None:
                self.failed += 1
                self.used += int(order["args"]["allowance"])
                continue
            self.used += int(findings["used"])
            news[order["kind"]] += self._take_roots(findings, known)
            news["polished"] += int(findings["polished"])
            news["hits"] += int(findings["hits"])
            self.poles += int(findings["poles"])
            self.infinite += int(findings.get("infinite", 0))
            self.continuum = self.continuum or findings["continuum"]
            self.open += [{**row, "tasks": [number]} for row in findings["open"]]
            if order["kind"] == EXPLORE:
                self.cells[order["args"]["place"]]["chain"] = number
                medians.append(float(findings["median"]))
        self.findings = {}
        if medians and not self.quiet:
            self.quiet = min(1e-13 * sorted(medians)[len(medians) // 2], 1e-9)
        self.curve.append([self.used, len(self.roots)])
        self._weigh(news)
        self.done = self.continuum is not None
        return news

    def _weigh(self, news: dict[str, int]) -> None:
        """Shift evaluations to the kind of task that finds more for what it was given."""
        if news["polished"]:
            self.success = 0.5 * self.success + 0.5 * min(1.0, news["hits"] / news["polished"])
        if not self.options["polish"]:
            return
        least = 0.05 if self.success > 0.6 else 0.15 if self.success > 0.3 else 0.3
        merged = news[MERGE] / max(self.merge_share, 0.02)
        explored = news[EXPLORE] / max(1.0 - self.merge_share, 0.02)
        if merged > explored:
            self.merge_share = min(0.6, 1.5 * self.merge_share)
        elif merged < explored or not news[MERGE]:
            self.merge_share = 0.8 * self.merge_share
        self.merge_share = max(least, self.merge_share)

    def _take_roots(self, findings: Piece, known: int) -> int:
        """New roots in; sightings are counted for the root that they turn out to be. Gives how many are new."""
        numbers, new = [], 0
        for root in findings["roots"]:
            same = self._same(root)
            if same is None:
                same, new = len(self.roots), new + 1
                self.roots.append({**root, "sightings": 0, "round": self.round})
            elif root["size"] < self.roots[same]["size"]:
                keep = {key: self.roots[same][key] for key in ("sightings", "round")}
                self.roots[same] = {**root, **keep}
            numbers.append(same)
        for sighting in findings["sightings"]:
            self.roots[sighting if sighting < known else numbers[sighting - known]]["sightings"] += 1
        return new

    def _same(self, root: Piece) -> int | None:
        for number, other in enumerate(self.roots):
            away = distance(root["at"], other["at"])
            sharp = root["kind"] == other["kind"] == "crossing" and root["multiplicity"] == 1 == other["multiplicity"]
            if root.get("signs") != other.get("signs"):  # neighbours on the line turn the sign opposite ways
                continue
            reach = self._closeness() if "unjudged" in (root["kind"], other["kind"]) else SAME if sharp else BLURRED
            if away <= reach:
                return number
        return None

    def _closeness(self) -> float:
        widest = max(high - low for low, high in zip(self.problem["lo"], self.problem["hi"], strict=True))
        return min(0.05, float(self.problem["closeness"]) / widest)

    # what comes next

    def _plan(self, news: dict[str, int] | None = None) -> list[Order]:
        rounds = self._rounds()
        share = self.left // max(1, rounds - self.round) if self.round < rounds else self.left
        if self.left < 2 * SMALLEST or self.round >= 2 * rounds:
            self.done = True
            return []
        self.round += 1
        clusters = self._clusters()
        self.credit += self.merge_share * share
        merges, spent = self._merges(clusters, min(int(self.credit), share))
        self.credit = min(self.credit - spent, 2.0 * self._cluster_cost())
        orders = [*merges, *self._explorations(share - spent)]
        for order in orders:
            self.orders[order["number"]] = order
            self.waiting.append(order["number"])
        self.done = not orders
        return orders

    def _rounds(self) -> int:
        """How many rounds the budget is planned for: as many as leave each task a few polishes to do."""
        if self.options.get("rounds"):
            return int(self.options["rounds"])
        polish = 70 * self.dimensions if self.equations == 1 < self.dimensions else 20 + 4 * self.dimensions
        return max(4, min(ROUNDS, self.budget // (5 * polish * len(self.cells))))

    def _order(self, kind: str, inputs: list[int], allowance: int, **more: Any) -> Order:
        number = self.next_number
        self.next_number += 1
        args = {
            "problem": self.problem,
            "seed": self.options["seed"],
            "number": number,
            "known": [self._known(root) for root in self.roots],
            "quiet": self.quiet,
            "polish": self.options["polish"],
            "allowance": allowance,
            **more,
        }
        return {"number": number, "kind": kind, "inputs": inputs, "args": args}

    @staticmethod
    def _known(root: Piece) -> Piece:
        return {key: root[key] for key in ("at", "size", "kind", "multiplicity", "signs", "sightings") if key in root}

    def _explorations(self, evaluations: int) -> list[Order]:
        cells, weights = self.cells, self._weights()
        allowance = evaluations // len(self.cells)
        if allowance < SMALLEST:  # the last few: only as many cells as they are enough for
            some = max(1, evaluations // SMALLEST)
            begin = self.round % len(self.cells)
            cells = [self.cells[(begin + step) % len(self.cells)] for step in range(min(some, len(self.cells)))]
            weights = [1.0] * len(cells)
        orders = []
        for cell, weight in zip(cells, weights, strict=True):
            allowance = int(evaluations * weight / sum(weights))
            fresh = self._fresh(allowance)
            orders.append(
                self._order(
                    EXPLORE,
                    [cell["chain"]] if cell["chain"] else [],
                    allowance,
                    cell={"low": cell["low"], "high": cell["high"]},
                    place=self.cells.index(cell),
                    first=cell["first"],
                    fresh=fresh,
                    generations=self._generations(),
                    population=int(self.options["population"]),
                    starts=self.options.get("starts", "unsearched"),
                )
            )
            cell["first"] += fresh
        return orders

    def _weights(self) -> list[float]:
        """How the cells share a round: those with roots that were met once only have the most left to find."""
        weights = [1.0] * len(self.cells)
        for root in self.roots:
            for number, cell in enumerate(self.cells):
                inside = zip(cell["low"], root["at"], cell["high"], strict=True)
                if root["sightings"] <= 1 and all(low <= place <= high for low, place, high in inside):
                    weights[number] += 0.5
                    break
        ceiling = 3.0 * sum(weights) / len(weights)
        return [min(weight, ceiling) for weight in weights]

    def _fresh(self, allowance: int) -> int:
        """How many of an exploration's evaluations are new samples; the rest is for generations and polishes."""
        if not self.options["polish"]:
            part = 0.4
        elif self.dimensions == 1:
            part = 0.4
        else:
            part = 0.2 if self.equations == 1 else 0.25 if self.dimensions <= 3 else 0.15
        return max(4, int(part * allowance))

    def _generations(self) -> int:
        """The genetic algorithm has more to do where polishes fail; where nearly all succeed it can rest."""
        if not self.options["polish"]:
            return 2
        return 0 if self.success > 0.6 else 1 if self.success > 0.3 else 2

    def _clusters(self) -> list[Piece]:
        """Open places that lie together become one, the lowest speaking for it; known and fruitless ones are left out."""
        closeness, clusters = self._closeness(), []
        radii = self._radii()
        for row in sorted(self.open, key=lambda row: (row["size"], row["at"])):
            if any(distance(row["at"], root["at"]) <= radius for root, radius in zip(self.roots, radii, strict=True)):
                continue
            for cluster in clusters:
                if distance(row["at"], cluster["at"]) <= max(closeness, min(0.5 * cluster["spread"], 0.05)):
                    cluster["tasks"] = sorted({*cluster["tasks"], *row["tasks"]})
                    break
            else:
                if not self._fruitless(row):
                    clusters.append(dict(row))
        return clusters

    def _radii(self) -> list[float]:
        """Around a known root nothing is searched: a third of the gap to the next one, the closeness epsilon at most."""
        closeness, radii = self._closeness(), []
        for root in self.roots:
            gaps = (distance(root["at"], other["at"]) for other in self.roots if other is not root)
            radii.append(min(closeness, min(gaps, default=1.0) / 3.0))
        return radii

    def _fruitless(self, row: Piece) -> bool:
        """A place that was closed in on before, and is not lower by half since, is given up."""
        for place in self.dead:
            if distance(row["at"], place["at"]) <= max(SAME, 0.5 * place["spread"]):
                return bool(row["size"] > 0.5 * place["size"])
        return False

    def _merges(self, clusters: list[Piece], evaluations: int) -> tuple[list[Order], int]:
        each = self._cluster_cost()
        chosen = clusters[: evaluations // each]
        orders, spent = [], 0
        for begin in range(0, len(chosen), CLUSTERS_A_TASK):
            batch = chosen[begin : begin + CLUSTERS_A_TASK]
            inputs = sorted({task for cluster in batch for task in cluster["tasks"]})[:8]
            places = [{key: cluster[key] for key in ("at", "size", "spread")} for cluster in batch]
            orders.append(self._order(MERGE, inputs, each * len(batch), clusters=places))
            spent += each * len(batch)
            self.dead = [*places, *self.dead][:DEAD_MAX]
        self.open = clusters[len(chosen) : len(chosen) + OPEN_MAX]
        return orders, spent

    def _cluster_cost(self) -> int:
        if not self.options["polish"]:
            return 200 + 150 * self.dimensions
        return 60 * self.dimensions + (60 if self.equations == 1 else 30)

    def needed(self) -> set[int]:
        """Tasks whose populations may still be asked for."""
        running = {number for order in self.orders.values() for number in order["inputs"]}
        later = {number for row in self.open for number in row["tasks"]}
        return running | later | {cell["chain"] for cell in self.cells}

    # what came out

    def answer(self) -> str:
        return "continuum" if self.continuum is not None else "roots" if self.roots else "no root"

    def estimate(self) -> dict[str, float]:
        return coverage([root["sightings"] for root in self.roots])
