"""The search as a state machine: what was found so far in, the next tasks out. No clock, no random source, no numpy.

The box is cut into cells, and the search goes in rounds. A round starts one exploration a cell (with the cell's last
population as its prerequisite) and, beside them, tasks that merge the clusters which earlier rounds left open. What is
known is frozen when a round starts; when its last task has ended, all its findings are folded in the order of the
tasks' numbers. So the outcome depends on the seed and the budget, and on nothing else: not on how many clients there
are, nor on which task ends first.

Where the budget is enough for many rounds, two are under way at a time: the next one starts when the one before the
last is folded. So nobody waits for the slowest task of a round; what a round learns is used by the next but one.

Evaluations are handed out before they are used: the allowances of the running tasks and what is used never exceed the
budget together. What a task leaves over comes back.

All attributes are plain values, reached once: `vars(search)` can be saved as JSON, and `Search.of` takes it up again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasksprint.apps.roots import clusters
from tasksprint.apps.roots.clusters import Piece
from tasksprint.apps.roots.coverage import coverage

EXPLORE, MERGE = "explore", "merge"
SMALLEST = 16  # evaluations that are worth a task
DEAD_MAX, OPEN_MAX = 256, 64
CLUSTERS_A_TASK = 4
VERDICT = 12  # evaluations, and three for each unknown, that a verdict on a root takes at most
INPUTS_MAX = 8
ROUNDS = 10  # that a budget is planned for, at most
ROUNDS_MIN = 4  # as long as a task can do one polish
OVERLAP_FROM = 5  # rounds: with fewer, each has more to learn from the one before
WIDTH_SMALL, WIDTH_MAX = 8, 512  # cells
CELL_SMALL, CELL_LARGE = 5000, 7500  # evaluations of the whole budget that each cell stands for
KNOWN_MAX = 100  # roots that every task is told of; when there are more, those near its cell
MARGIN = 0.05  # of the box: how near

Order = dict[str, Any]  # number, kind, inputs (numbers), args


class Search:
    """Call `start` once, then `ended` for each task, best in the order of numbers; both give the tasks to start."""

    def __init__(self, problem: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self.problem = dict(problem)
        self.options = dict(options)
        self.dimensions = len(self.problem["lo"])
        self.equations = int(self.problem.get("equations") or len(self.problem["expressions"]))
        self.close = clusters.closeness(self.problem)
        self.budget = int(options["budget"])
        self.used = 0
        self.reserved = 0
        self.round = 0
        self.next_number = 1
        self.cells = clusters.cells_of(self.dimensions, int(options.get("width") or 0) or self.default_width())
        self.roots: list[Piece] = []
        self.curve: list[list[int]] = []  # evaluations and roots known, after each round
        self.open: list[Piece] = []
        self.dead: list[Piece] = []
        self.rounds: list[list[int]] = []  # numbers of the tasks under way, the oldest round first
        self.running: dict[int, Piece] = {}  # kind, allowance, place, inputs and the roots known to each
        self.findings: dict[int, Piece | None] = {}
        self.quiet = 0.0
        self.continuum: list[float] | None = None
        self.merge_share = 0.2 if options["polish"] else 0.7
        self.success = 0.65  # share of the polishes that end in a root, of late; hopeful at first
        self.credit = 0.0  # evaluations that merges may still claim
        self.poles = self.infinite = self.failed = self.misses = 0
        self.stopped = ""

    @classmethod
    def of(cls, state: dict[str, Any]) -> Search:
        """The search whose plain attributes these are; they stay shared with it."""
        search = cls.__new__(cls)
        search.__dict__ = state
        return search

    # what runs

    @property
    def left(self) -> int:
        return self.budget - self.used - self.reserved

    @property
    def done(self) -> bool:
        return not self.rounds

    def start(self) -> list[Order]:
        orders = self._plan()
        return [*orders, *self._plan()] if self.planned_rounds() >= OVERLAP_FROM else orders

    def stop(self, reason: str) -> None:
        """No new round starts; those under way end."""
        self.stopped = self.stopped or reason

    def ended(self, number: int, findings: Piece | None) -> list[Order]:
        """A task has ended (None: it failed for good). Gives the next round when it was the last of the oldest one."""
        self.findings[number] = findings
        orders: list[Order] = []
        while self.rounds and all(each in self.findings for each in self.rounds[0]):
            self._fold(self.rounds.pop(0))
            if not self.stopped:
                orders += self._plan()
        return orders

    def _fold(self, numbers: list[int]) -> None:
        news = {EXPLORE: 0, MERGE: 0, "polished": 0, "hits": 0}
        medians: list[float] = []
        for number in sorted(numbers):
            order, findings = self.running.pop(number), self.findings.pop(number)
            self.reserved -= order["allowance"]
            if findings is None:
                self._failed(number, order)
                continue
            self.used += int(findings["used"])
            news[order["kind"]] += self._take_roots(findings, order["known"])
            for count in ("polished", "hits"):
                news[count] += int(findings[count])
            self.poles += int(findings["poles"])
            self.misses += int(findings["misses"])
            self.infinite += int(findings.get("infinite", 0))
            self.continuum = self.continuum or findings["continuum"]
            self.open += [{**row, "tasks": [number]} for row in findings["open"]]
            if order["kind"] == EXPLORE:
                medians.append(float(findings["median"]))
        if medians and not self.quiet:
            self.quiet = min(1e-13 * sorted(medians)[len(medians) // 2], 1e-9)
        self.curve.append([self.used, len(self.roots)])
        self._weigh(news)
        if self.continuum is not None:
            self.stop("continuum")

    def _failed(self, number: int, order: Piece) -> None:
        """What a failed task has used is unknown: it counts in full. Its cell begins a new chain."""
        self.failed += 1
        self.used += order["allowance"]
        for cell in self.cells:
            if cell["chain"] == number:
                cell["chain"] = 0

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
            self.merge_share *= 0.8
        self.merge_share = max(least, self.merge_share)

    def _take_roots(self, findings: Piece, known: list[int]) -> int:
        """New roots in; sightings are counted for the root that they turn out to be. Gives how many are new."""
        numbers, new = list(known), 0
        for root in findings["roots"]:
            same = next((n for n, other in enumerate(self.roots) if clusters.same_root(root, other, self.close)), None)
            if same is None:
                same, new = len(self.roots), new + 1
                self.roots.append({**root, "sightings": 0, "round": len(self.curve) + 1})
            else:
                self._better(self.roots[same], root)
            numbers.append(same)
        for sighting in findings["sightings"]:
            self.roots[numbers[sighting]]["sightings"] += 1
        return new

    @staticmethod
    def _better(root: Piece, again: Piece) -> None:
        """A root met again: what is known better now is taken over."""
        if again["size"] < root["size"]:
            root["at"], root["size"] = list(again["at"]), again["size"]
        if root["multiplicity"] is None:
            root["multiplicity"] = again["multiplicity"]

    # what comes next

    def _plan(self) -> list[Order]:
        planned = self.planned_rounds()
        if self.left < 2 * SMALLEST or self.round >= int(self.options.get("last_round") or 3 * planned):
            return []
        share = self.left // max(1, planned - self.round) if self.round < planned else self.left
        share = max(share, min(self.left, SMALLEST * len(self.cells)))
        self.round += 1
        merges, spent = self._merges(share)
        orders = [*merges, *self._explorations(share - spent)]
        self.rounds.append([order["number"] for order in orders])
        return orders

    def default_width(self) -> int:
        """How many cells: by the budget alone, since the answer must not depend on the clients that happen to be there.

        A small budget has few, as each needs enough samples to show its niches; a large one enough for many nodes.
        """
        return max(2, min(WIDTH_SMALL, self.budget // CELL_SMALL), min(WIDTH_MAX, self.budget // CELL_LARGE))

    def planned_rounds(self) -> int:
        """How many rounds the budget is planned for: as many as leave each task a few polishes to do."""
        if self.options.get("rounds"):
            return int(self.options["rounds"])
        polish = 20 + 4 * self.dimensions
        if self.equations < self.dimensions:
            polish = (50 if self.equations > 1 or self.dimensions > 3 else 70) * self.dimensions
        least = max(1, min(ROUNDS_MIN, self.budget // (polish * len(self.cells))))
        return max(least, min(ROUNDS, self.budget // (5 * polish * len(self.cells))))

    def _order(self, kind: str, inputs: list[int], allowance: int, home: int | None, **more: Any) -> Order:
        number = self.next_number
        self.next_number += 1
        known = self._known_to(home)
        self.running[number] = {
            "kind": kind,
            "allowance": allowance,
            "inputs": list(inputs),
            "known": known,
        }
        self.reserved += allowance
        keys = ("at", "size", "kind", "multiplicity", "signs", "sightings")
        args = {
            "problem": self.problem,
            "seed": self.options["seed"],
            "number": number,
            "known": [{key: self.roots[root][key] for key in keys if key in self.roots[root]} for root in known],
            "quiet": self.quiet,
            "polish": self.options["polish"],
            "allowance": allowance,
            **self.variation(),
            **more,
        }
        return {"number": number, "kind": kind, "inputs": inputs, "args": args}

    def variation(self) -> dict[str, list[float]]:
        """The genetic algorithm's probabilities, where they are not what a task takes by itself."""
        given = [float(self.options[name]) for name in ("crossover", "mutation") if name in self.options]
        return {"variation": given} if len(given) == 2 else {}

    def _known_to(self, place: int | None) -> list[int]:
        """Numbers of the roots that a task is told of: on the line those of its cell, else all while they are few."""
        every = range(len(self.roots))
        if place is None or (self.dimensions > 1 and len(self.roots) <= KNOWN_MAX):
            return list(every)
        margin = MARGIN if self.dimensions > 1 else 2.0 * clusters.BLURRED
        return [root for root in every if clusters.near_cell(self.cells[place], self.roots[root]["at"], margin)]

    def _explorations(self, evaluations: int) -> list[Order]:
        places, weights = list(range(len(self.cells))), clusters.weights(self.cells, self.roots)
        if evaluations < SMALLEST * len(self.cells):  # the last few: only as many cells as they are enough for
            some = max(1, evaluations // SMALLEST)
            places = [(self.round + step) % len(self.cells) for step in range(min(some, len(self.cells)))]
            weights = [1.0] * len(self.cells)
        total = sum(weights[place] for place in places)
        orders = []
        for place in places:
            cell, allowance = self.cells[place], int(evaluations * weights[place] / total)
            fresh = self._fresh(allowance)
            order = self._order(
                EXPLORE,
                [cell["chain"]] if cell["chain"] else [],
                allowance,
                place,
                cell={"low": cell["low"], "high": cell["high"]},
                place=place,
                first=cell["first"],
                fresh=fresh,
                generations=self._generations(),
                population=int(self.options["population"]),
                starts=self.options.get("starts", "unsearched"),
            )
            orders.append(order)
            cell["first"] += fresh
            cell["chain"] = order["number"]
        return orders

    def _fresh(self, allowance: int) -> int:
        """How many of an exploration's evaluations are new samples; the rest is for generations and polishes."""
        if not self.options["polish"] or self.dimensions == 1:
            part = 0.4
        else:
            part = 0.2 if self.equations == 1 else 0.25 if self.dimensions <= 3 else 0.15
        return max(4, int(part * allowance))

    def _generations(self) -> int:
        """The genetic algorithm has more to do where polishes fail; where nearly all succeed it can rest."""
        if not self.options["polish"]:
            return 2
        return 0 if self.success > 0.6 else 1 if self.success > 0.3 else 2

    def _merges(self, share: int) -> tuple[list[Order], int]:
        """Tasks that close in on the lowest clusters, as many as the merges' share of the round allows."""
        self.credit += self.merge_share * share
        found = clusters.merged(self.open, self.roots, self.dead, self.close)
        orders, spent = [], 0
        for batch, each in self._batches(found, int(min(self.credit, share))):
            inputs = sorted({task for cluster in batch for task in cluster["tasks"]})[:INPUTS_MAX]
            keys = ("at", "size", "spread", "going")
            places = [{key: cluster[key] for key in keys if key in cluster} for cluster in batch]
            orders.append(self._order(MERGE, inputs, each * len(batch), None, clusters=places))
            self.dead = [*({**place, "at": list(place["at"])} for place in places), *self.dead][:DEAD_MAX]
            spent += each * len(batch)
        taken = sum(len(order["args"]["clusters"]) for order in orders)
        self.open = found[taken : taken + OPEN_MAX]
        self.credit = min(self.credit - spent, 2.0 * self._cluster_cost())
        return orders, spent

    def _batches(self, found: list[Piece], evaluations: int) -> list[tuple[list[Piece], int]]:
        """The lowest clusters, a task for each few, with the cost of each; cheap are those that only want a verdict."""
        cheap, each = VERDICT + 3 * self.dimensions, self._cluster_cost()
        ready = 0
        if self.options["polish"] and self.dimensions > 1:
            ready = sum(1 for cluster in found if 0.0 < cluster["size"] <= self.quiet)
        batches: list[tuple[list[Piece], int]] = []
        for group, cost in ((found[:ready], cheap), (found[ready:], each)):
            group = group[: max(0, evaluations) // cost]
            evaluations -= cost * len(group)
            tasks = range(0, len(group), CLUSTERS_A_TASK)
            batches += [(group[begin : begin + CLUSTERS_A_TASK], cost) for begin in tasks]
            if len(group) < ready and cost == cheap:
                break
        return batches

    def _cluster_cost(self) -> int:
        if not self.options["polish"]:
            return 100 + 160 * self.dimensions + 8 * self.dimensions**2
        return 60 + 60 * self.dimensions if self.equations == 1 else 40 + 110 * self.dimensions

    def needed(self) -> set[int]:
        """Tasks whose populations may still be asked for."""
        asked = {number for order in self.running.values() for number in order["inputs"]}
        later = {number for row in self.open for number in row["tasks"]}
        return asked | later | {cell["chain"] for cell in self.cells} | set(self.running)

    # what came out

    def answer(self) -> str:
        return "continuum" if self.continuum is not None else "roots" if self.roots else "no root"

    def estimate(self) -> dict[str, float]:
        return coverage([root["sightings"] for root in self.roots])
