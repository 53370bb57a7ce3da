"""The same search on any number of nodes in virtual time, where one evaluation is the unit: how full are the nodes?

Nothing here is measured, so that it can be tested: tasks are run when all their inputs are there, the lowest number
first, each takes as long as it has evaluations (and an overhead), and the search is told of ends in the order of
numbers, as the scheduler of a cluster is.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

from tasksprint.apps.roots.local import DEFAULTS
from tasksprint.apps.roots.population import Population
from tasksprint.apps.roots.problem import Problem
from tasksprint.apps.roots.search import Order, Search
from tasksprint.apps.roots.tasks import TASKS


class Nodes:
    def __init__(self, problem: Problem, options: Mapping[str, Any], count: int, overhead: float) -> None:
        self.search = Search(problem.as_arguments(), {**DEFAULTS, **options})
        self.function = problem.compiled()
        self.free, self.overhead, self.now = count, overhead, 0.0
        self.waiting: dict[int, Order] = {}
        self.running: list[tuple[float, int]] = []  # (when it ends, number)
        self.populations: dict[int, Population] = {}
        self.findings: dict[int, dict[str, Any]] = {}
        self.next_told = 1

    def run(self) -> float:
        """The time at which the search is over."""
        self._add(self.search.start())
        while self.running:
            self.now, _ = heapq.heappop(self.running)
            self.free += 1
            orders = []
            while self.next_told in self.findings and not self._is_running(self.next_told):
                orders += self.search.ended(self.next_told, self.findings.pop(self.next_told))
                self.next_told += 1
            self._add(orders)
        return self.now

    def _is_running(self, number: int) -> bool:
        return any(other == number for _, other in self.running)

    def _add(self, orders: list[Order]) -> None:
        self.waiting.update((order["number"], order) for order in orders)
        for number in sorted(self.waiting):
            done = all(
                each in self.populations and not self._is_running(each) for each in self.waiting[number]["inputs"]
            )
            if self.free and done:
                self._begin(self.waiting.pop(number))

    def _begin(self, order: Order) -> None:
        inputs = [self.populations[each] for each in order["inputs"]]
        result = TASKS[order["kind"]](order["args"], inputs, self.function)
        self.populations[order["number"]], self.findings[order["number"]] = result.population, result.findings
        self.free -= 1
        heapq.heappush(self.running, (self.now + result.findings["used"] + self.overhead, order["number"]))


def efficiency(problem: Problem, options: Mapping[str, Any], count: int, overhead: float = 0.0) -> float:
    """The share of `count` nodes' time that is spent on evaluations."""
    nodes = Nodes(problem, options, count, overhead)
    seconds = nodes.run()
    return nodes.search.used / (seconds * count)
