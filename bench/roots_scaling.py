"""How much faster two nodes find the roots of a costly function than one: the same job, the same bytes, in turn.

    python bench/roots_scaling.py [--cost-ms 10] [--budget 1000] [--rounds 3] [--nodes 1,2] [--json]
    python bench/roots_scaling.py --virtual [--budget 1000000] [--nodes 64] [--overhead 1]
    python bench/roots_scaling.py --simulated [--cost-ms 10] [--budget 1000000] [--nodes 1,2,4,8,16,32,64]

The function waits as long as `--cost-ms` says for each point, as one would for a simulation on another machine, so that
the cores of this machine are not what is measured. Medians of the rounds count; beside them stands what the plan alone
allows (the same search in virtual time, without any overhead).

With `--virtual` nothing is timed: the default search runs on as many nodes as asked for in virtual time, where an
evaluation is the unit and each task costs an overhead of so many evaluations besides; a line for the example in one
unknown and for a system of two equations.

With `--simulated` nothing is timed either, but a whole cluster runs, in the simulator (`tasksprint.sim`): three
coordinators agree on a log, N clients with one node each poll, fetch and report, over links of 0.2 to 1 ms and
1 Gbit/s, with disks that sync in about 2 ms. The real scheduler decides (within 5 ms), the real node computes each
task, which takes `--cost-ms` of virtual time for each evaluation. Efficiency is all that time over N times the time
from the submission to the end.
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
from tasksprint.apps.roots.node import RootNode
from tasksprint.apps.roots.problem import Problem
from tasksprint.apps.roots.scheduler import RootFinder
from tasksprint.apps.roots.virtual import Nodes, efficiency
from tasksprint.cli.asking import Asking
from tasksprint.cli.following import follow, new_job_id, submit
from tasksprint.cli.job import app_job
from tasksprint.cli.local import LocalCluster
from tasksprint.sim.job_world import Job, Shape, undisturbed_run
from tasksprint.sim.sdk_programs import SdkPrograms
from tasksprint.transfer.fetch import Fetcher
from tasksprint.view.part import Assign
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece

SYSTEM_FORMULAS = ("x1**2 + x2**2 - 2", "sin(3*x1*x2) - x2**2/4")
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


COORDINATORS, DELAY_US, SYNC_US, THINK_US, GIGABIT = 3, (200, 1_000), 2_000, 5_000, 125_000
SIMULATED_BUDGET, SIMULATED_NODES = 1_000_000, "1,2,4,8,16,32,64"
EXAMPLES = {"one unknown": (["sin(3*x)*cos(x/2)"], (-20, 20)), "a system of two": (list(SYSTEM_FORMULAS), (-2, 2))}


def simulated(formulas: list[str], box: tuple[int, int], budget: int, count: int, cost_ms: float) -> tuple[Any, bytes]:
    """(a row, the answer) of the search on `count` clients of one node each."""

    def takes(assign: Assign, pieces: dict[str, Piece]) -> int:
        return round(json.loads(pieces["findings"].read())["used"] * cost_ms * 1_000)

    spec = app_job(find("roots"), command.described(formulas, box, budget=budget, seed=1), 1).spec
    shape = Shape(
        coordinators=COORDINATORS,
        clients=count,
        delay_us=DELAY_US,
        bytes_per_ms=GIGABIT,
        sync_us=SYNC_US,
        think_us=THINK_US,
        longest_us=round(4_000 * budget * cost_ms),
    )
    with SdkPrograms(lambda: RootFinder, lambda: RootNode, takes) as programs:
        result = undisturbed_run(programs, Job(spec), shape)
    if result.answer.state != "done":
        raise SystemExit(f"the job {result.answer.state}: {result.error}")
    used, seconds = json.loads(result.answer.values)["evaluations"], result.virtual_us / 1e6
    share = used * cost_ms / 1_000 / (count * seconds)
    row = {"nodes": count, "tasks": result.tasks, "seconds": round(seconds, 2), "efficiency": round(share, 3)}
    return row, result.answer.values


def simulate(budget: int, counts: list[int], cost_ms: float) -> None:
    for name, (formulas, box) in EXAMPLES.items():
        answers = set()
        for count in counts:
            row, answer = simulated(formulas, box, budget, count, cost_ms)
            answers.add(answer)
            print(json.dumps({"search": name, "budget": budget, **row}), flush=True)
        if len(answers) != 1:
            raise AssertionError(f"{name}: the answers differ")
        print(json.dumps({"search": name, "answers": "the same bytes", "bytes": len(answers.pop())}), flush=True)


SYSTEM = Problem(SYSTEM_FORMULAS, (-2.0, -2.0), (2.0, 2.0))


def virtual(problem: Problem, budget: int, count: int, overhead: float) -> dict[str, Any]:
    nodes = Nodes(problem, {"budget": budget, "seed": 1}, count, overhead)
    seconds = nodes.run()
    share = nodes.search.used / (count * seconds)
    cells, roots = len(nodes.search.cells), len(nodes.search.roots)
    return {"nodes": count, "budget": budget, "cells": cells, "roots": roots, "efficiency": round(share, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cost-ms", type=float, default=10.0, help="of one evaluation")
    parser.add_argument("--budget", type=int, help="evaluations (1000; simulated: a million)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", help="how many, with commas (1,2; simulated: 1 to 64)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--virtual", action="store_true", help="in virtual time, nothing is timed")
    parser.add_argument("--overhead", type=float, default=1.0, help="of a task in virtual time, in evaluations")
    parser.add_argument("--simulated", action="store_true", help="a whole cluster in the simulator's time")
    options = parser.parse_args()
    options.budget = options.budget or (SIMULATED_BUDGET if options.simulated else 1000)
    nodes = options.nodes or (SIMULATED_NODES if options.simulated else "1,2")
    counts = [int(word) for word in nodes.split(",")]
    if options.simulated:
        simulate(options.budget, counts, options.cost_ms)
        return
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
