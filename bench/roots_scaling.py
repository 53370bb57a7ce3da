"""How much faster two nodes find the roots of a costly function than one: the same job, the same bytes, in turn.

    python bench/roots_scaling.py [--cost-ms 10] [--budget 1000] [--rounds 3] [--nodes 1,2] [--json]
    python bench/roots_scaling.py --virtual [--budget 1000000] [--nodes 64] [--overhead 1]

The function waits as long as `--cost-ms` says for each point, as one would for a simulation on another machine, so that
the cores of this machine are not what is measured. Medians of the rounds count; beside them stands what the plan alone
allows (the same search in virtual time, without any overhead).

With `--virtual` nothing is timed: the default search runs on as many nodes as asked for in virtual time, where an
evaluation is the unit and each task costs an overhead of so many evaluations besides; a line for the example in one
unknown and for a system of two equations.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from tasksprint.apps import find
from tasksprint.apps.roots import command
from tasksprint.apps.roots.problem import Problem
from tasksprint.apps.roots.virtual import Nodes, efficiency
from tasksprint.cli.asking import Asking
from tasksprint.cli.following import follow, new_job_id, submit
from tasksprint.cli.job import app_job
from tasksprint.cli.local import LocalCluster
from tasksprint.transfer.fetch import Fetcher
from tasksprint.wire import messages as wire

MODULE = """import time
import numpy as np

def demo(points):
    time.sleep({cost_s} * len(points))
    return np.sin(3 * points) * np.cos(points / 2)
"""


class Quiet:
    def update(self, update: wire.JobUpdate) -> None: ...

    def note(self, text: str) -> None: ...


async def timed(nodes: int, job: Any, folder: Path) -> tuple[float, bytes]:
    """Seconds from the job's submission to its end, on a cluster whose nodes have done something before."""
    async with LocalCluster(replicas=1, clients=1, slots=nodes, data_dir=folder, note=print) as cluster:
        asking, fetcher = Asking(cluster.coordinators, cluster.identity), Fetcher(cluster.identity)
        try:
            small = app_job(find("roots"), command.described(["x - 1"], (0, 3), budget=200), 0)
            seconds, values = 0.0, b""
            for each in (small, job):
                began, job_id = time.monotonic(), new_job_id()
                await submit(asking, job_id, each.spec, each.program)
                outcome = await follow(asking, job_id, Quiet(), folder, fetcher)
                if outcome.state != "done":
                    raise SystemExit(f"the job {outcome.state}: {outcome.error}")
                seconds, values = time.monotonic() - began, outcome.values
            return seconds, values
        finally:
            fetcher.close()
            await asking.close()


SYSTEM = Problem(("x1**2 + x2**2 - 2", "sin(3*x1*x2) - x2**2/4"), (-2.0, -2.0), (2.0, 2.0))


def virtual(problem: Problem, budget: int, count: int, overhead: float) -> dict[str, Any]:
    nodes = Nodes(problem, {"budget": budget, "seed": 1}, count, overhead)
    seconds = nodes.run()
    share = nodes.search.used / (count * seconds)
    cells, roots = len(nodes.search.cells), len(nodes.search.roots)
    return {"nodes": count, "budget": budget, "cells": cells, "roots": roots, "efficiency": round(share, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cost-ms", type=float, default=10.0, help="of one evaluation")
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", default="1,2")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--virtual", action="store_true", help="in virtual time, nothing is timed")
    parser.add_argument("--overhead", type=float, default=1.0, help="of a task in virtual time, in evaluations")
    options = parser.parse_args()
    counts = [int(word) for word in options.nodes.split(",")]
    demo = Problem(("sin(3*x)*cos(x/2)",), (-20.0,), (20.0,))
    if options.virtual:
        for problem in (demo, SYSTEM):
            for count in counts:
                print(json.dumps(virtual(problem, options.budget, count, options.overhead)), flush=True)
        return
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    answers = set()
    with tempfile.TemporaryDirectory() as place:
        module = Path(place, "costly_roots.py")
        module.write_text(MODULE.format(cost_s=options.cost_ms / 1000))
        os.environ["TASKSPRINT_ROOTS_MODULES"] = str(module)
        arguments = command.described(callable="costly_roots:demo", box=(-20, 20), budget=options.budget, seed=1)
        job = app_job(find("roots"), arguments, 1)
        for number in range(options.rounds):
            for count in counts:
                taken, values = uvloop.run(timed(count, job, Path(place, f"{number}-{count}")))
                seconds[count].append(taken)
                answers.add(values)
    if len(answers) != 1:
        raise AssertionError("the answers differ")
    medians = {count: statistics.median(each) for count, each in seconds.items()}
    base = counts[0]
    rows = [
        {
            "nodes": count,
            "seconds": round(medians[count], 2),
            "times_faster": round(medians[base] / medians[count], 3),
            "plan": round(efficiency(demo, {"budget": options.budget, "seed": 1}, count), 3),
        }
        for count in counts
    ]
    report = {"bench": "roots_scaling", "cost_ms": options.cost_ms, "budget": options.budget, "rows": rows}
    print(json.dumps(report) if options.json else "\n".join(map(str, rows)))


if __name__ == "__main__":
    main()
