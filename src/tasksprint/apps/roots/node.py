"""The root finder's node: the pure tasks, with populations as pieces.

A user's own Python function is imported by its path, where the owner of the client allows its module (`external`).
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a node has one core; numpy reads this when it is imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tasksprint.apps.roots.external import imported
from tasksprint.apps.roots.population import Population
from tasksprint.apps.roots.problem import Function, Problem
from tasksprint.apps.roots.tasks import TASKS
from tasksprint.sdk import Node, task


class RootNode(Node):
    _compiled: tuple[str, Function] | None = None

    def function(self, problem: dict[str, Any]) -> Function:
        """Compiled once for the tasks of one job."""
        key = repr((problem.get("callable"), problem["expressions"], problem["lo"]))
        if self._compiled is None or self._compiled[0] != key:
            path = problem.get("callable")
            made = imported(path, problem["equations"]) if path else Problem.from_arguments(problem).compiled()
            self._compiled = (key, made)
        return self._compiled[1]

    def run(self, kind: str, args: dict[str, Any], pieces: tuple[dict[str, Any], ...]) -> dict[str, Any]:
        inputs = [Population.from_piece(piece) for piece in pieces]
        done = TASKS[kind](args, inputs, self.function(args["problem"]))
        for root in done.findings["roots"]:
            self.log(f"possible root at {root['at']} of the unit box, |f| = {root['size']:.3g}, {root['kind']}")
        return {"population": done.population.as_piece(), "findings": done.findings}

    @task
    def explore(self, *pieces: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
        return self.run("explore", args, pieces)

    @task
    def merge(self, *pieces: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
        return self.run("merge", args, pieces)
