"""The whole search in one process: the same state machine, the same tasks, no cluster. Fast, and the same answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from tasksprint.apps.roots.population import Population
from tasksprint.apps.roots.problem import Function, Problem
from tasksprint.apps.roots.search import Order, Search
from tasksprint.apps.roots.tasks import TASKS

DEFAULTS: dict[str, Any] = {
    "budget": 50_000,
    "seed": 0,
    "polish": True,
    "rounds": 0,
    "population": 64,
    "width": 0,
    "starts": "unsearched",
    "crossover": 1.0,
    "mutation": 1.25,
}


def search(
    problem: Problem, options: Mapping[str, Any] | None = None, watch: Callable[[Search], None] | None = None
) -> Search:
    """Run to the end; `watch` is called after each round."""
    state = Search(problem.as_arguments(), {**DEFAULTS, **(options or {})})
    function: Function = problem.compiled()
    populations: dict[int, Population] = {}
    queue: deque[Order] = deque(state.start())
    while queue:
        order = queue.popleft()
        result = TASKS[order["kind"]](order["args"], [populations[number] for number in order["inputs"]], function)
        populations[order["number"]] = result.population
        round_before = len(state.curve)
        queue.extend(state.ended(order["number"], result.findings))
        if len(state.curve) > round_before:
            needed = state.needed()
            populations = {number: kept for number, kept in populations.items() if number in needed}
            if watch is not None:
                watch(state)
    return state
