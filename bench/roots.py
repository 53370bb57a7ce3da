"""Quality of the multiple root finder on problems with known roots, in one process.

    python bench/roots.py --problems FILE [--seeds 30] [--budget 1.0] [--json] [--no-polish] [--peers]
                          [--method search|multistart|uniform] [--only id,id,...] [--tags tag,tag,...]
                          [--evaluations N] [--kinds] [--resume LINES]

FILE has the format of roots/problems.json. For each problem, over the seeds: rr (mean share of the roots found), sr
(share of the runs that found all), spurious points, evaluations, the answers. A point counts for a root when its sum of
squared residuals is at most 1e-5 and it lies within the problem's delta; near no root it is spurious.

`--budget 0.1` gives a tenth of each problem's evaluations, `--evaluations N` the same number to each. `--kinds` counts,
for each problem, how many roots of each kind were told: "33 crossing + 6 tangential: 100" is what 100 runs said.
`--tags rugged,scalar` takes the problems that have one of these tags only. `--method multistart` starts the same polish
from uniform random points, without populations; `uniform` is the whole search with uniform random samples instead of
unsearched places. `--peers` runs scipy's hybr from random starts and its differential evolution, repeated, at the same
budget.
`--resume LINES` appends each problem's result to that file as it is known, and takes up what stands there already.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasksprint.apps.roots.evolve import Keys
from tasksprint.apps.roots.findings import Work
from tasksprint.apps.roots.local import search
from tasksprint.apps.roots.problem import Problem, norms, quiet_level
from tasksprint.apps.roots.seek import polish, polish_cost
from tasksprint.native import genome

Array = NDArray[np.float64]
Kinds = list[str]  # of each point; empty where a method does not tell
Finder = Callable[
    [Problem, int, int], tuple[Array, int, str, Kinds]
]  # problem, budget, seed: points, evaluations, answer
STARTS = 71  # purpose of random streams
RUGGED = "rugged"


def searched(polished: bool, starts: str = "unsearched") -> Finder:
    def find(problem: Problem, budget: int, seed: int) -> tuple[Array, int, str, Kinds]:
        state = search(problem, {"budget": budget, "seed": seed, "polish": polished, "starts": starts})
        units = np.array([root["at"] for root in state.roots]).reshape(-1, problem.dimensions)
        return problem.points(units), state.used, state.answer(), [str(root["kind"]) for root in state.roots]

    return find


def multistart(problem: Problem, budget: int, seed: int) -> tuple[Array, int, str, Kinds]:
    """Uniform random starts, the same polish and the same verdicts, nothing else."""
    dimensions = problem.dimensions
    args = {"problem": problem.as_arguments(), "allowance": budget, "known": [], "quiet": 0.0, "polish": True}
    work = Work.begin({**args, "seed": seed, "number": 1}, problem.function)
    batch = 0
    while work.meter.left > 0 and work.continuum is None:
        batch += 1
        count = max(1, min(32, work.meter.left // polish_cost(dimensions, work.meter.equations)))
        drawn = genome.uniform(Keys(seed, 1).stream(batch, STARTS), count * dimensions).reshape(count, dimensions)
        values = work.meter(drawn)
        work.quiet = work.quiet or quiet_level(norms(values))
        polish(work, drawn, values, 0.05)
    units = np.array([root.at for root in work.roots]).reshape(-1, dimensions)
    answer = "continuum" if work.continuum is not None else "roots" if work.roots else "no root"
    return problem.points(units), work.meter.used, answer, [root.kind for root in work.roots]


class Counted:
    """One point at a time, as scipy wants it; stops at the budget."""

    class Spent(Exception):
        pass

    def __init__(self, problem: Problem, budget: int) -> None:
        self.function, self.budget, self.used = problem.compiled(), budget, 0

    def __call__(self, point: Array) -> Array:
        if self.used >= self.budget:
            raise self.Spent
        self.used += 1
        values = self.function(np.atleast_2d(np.asarray(point, dtype=float)))[0]
        return np.where(np.isfinite(values), values, 1e10)


def with_scipy(method: str) -> Finder:
    from scipy import optimize  # type: ignore[import-not-found, import-untyped, unused-ignore]

    def find(problem: Problem, budget: int, seed: int) -> tuple[Array, int, str, Kinds]:
        generator, counted = np.random.default_rng(seed), Counted(problem, budget)
        low, high, found = np.array(problem.lo), np.array(problem.hi), list[Array]()
        square = len(problem.expressions) == problem.dimensions
        try:
            while True:
                if method == "hybr" and square:
                    start = low + generator.random(len(low)) * (high - low)
                    point = optimize.root(counted, start, method="hybr").x
                elif method == "hybr":
                    raise Counted.Spent
                else:
                    bounds = list(zip(low, high, strict=True))
                    total = optimize.differential_evolution(
                        lambda point: float((counted(point) ** 2).sum()), bounds, rng=generator, popsize=10, tol=1e-8
                    )
                    point = total.x
                value = problem.compiled()(point[None])[0]
                near = any(np.abs(point - other).max() < 1e-5 for other in found)
                if (value**2).sum() <= 1e-12 and (point >= low).all() and (point <= high).all() and not near:
                    found.append(point)
        except Counted.Spent:
            pass
        return np.array(found).reshape(-1, len(low)), counted.used, "roots" if found else "no root", []

    return find


def score(row: dict[str, Any], problem: Problem, points: Array) -> tuple[float, int]:
    """The share of the roots that the points hit, and how many points hit none."""
    roots = np.array(row["roots"] or [], dtype=float).reshape(-1, problem.dimensions)
    if not len(points) or not len(roots):
        return (0.0, 0) if row["n_roots"] is None else (1.0 if not len(roots) else 0.0, len(points))
    squares = (problem.compiled()(points) ** 2).sum(axis=1)
    away = np.abs(points[:, None, :] - roots[None, :, :]).max(axis=2)
    nearest, distance = away.argmin(axis=1), away.min(axis=1)
    near = distance <= row["delta"]
    hit = set(nearest[near & (squares <= 1e-5)].tolist())
    return len(hit) / len(roots), int((~near).sum())


def assess(row: dict[str, Any], find: Finder, seeds: int, budget: int) -> dict[str, Any]:
    problem = Problem(tuple(row["expr"]), tuple(map(float, row["lo"])), tuple(map(float, row["hi"])))
    shares, spurious, used = [], 0, []
    answers, kinds = Counter[str](), Counter[str]()
    began = time.perf_counter()
    for seed in range(seeds):
        points, evaluations, answer, told = find(problem, budget, seed)
        if evaluations > budget:
            raise AssertionError(f"{row['id']}: {evaluations} evaluations are over the budget of {budget}")
        found, wrong = score(row, problem, points)
        shares.append(found)
        spurious += wrong
        used.append(evaluations)
        answers[answer] += 1
        kinds[" + ".join(f"{count} {kind}" for kind, count in sorted(Counter(told).items())) or answer] += 1
    out: dict[str, Any] = {"id": row["id"], "tags": row.get("tags", []), "n_roots": row["n_roots"], "budget": budget}
    if row["n_roots"]:
        out.update(rr=round(float(np.mean(shares)), 4), sr=round(float(np.mean(np.array(shares) == 1.0)), 4))
    seconds = (time.perf_counter() - began) / seeds
    return {
        **out,
        "spurious": spurious,
        "evaluations": int(np.mean(used)),
        "answers": dict(answers),
        "kinds": dict(kinds),
        "seconds": round(seconds, 3),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the problems with isolated roots: all of them, the smooth ones, the rugged ones."""
    out: dict[str, Any] = {"spurious": sum(row["spurious"] for row in rows if row["n_roots"] is not None)}
    counted = [row for row in rows if "rr" in row]
    groups = {
        "all": counted,
        "smooth": [row for row in counted if RUGGED not in row["tags"]],
        "rugged": [row for row in counted if RUGGED in row["tags"]],
    }
    for name, group in groups.items():
        if group:
            means = {key: round(float(np.mean([row[key] for row in group])), 4) for key in ("rr", "sr")}
            out[name] = {**means, "problems": len(group)}
    out["seconds"] = round(sum(row["seconds"] for row in rows), 2)
    return out


def finders(options: argparse.Namespace) -> dict[str, Finder]:
    methods: dict[str, Finder] = {
        "search": searched(not options.no_polish),
        "uniform": searched(not options.no_polish, "uniform"),
        "multistart": multistart,
    }
    chosen = {options.method: methods[options.method]}
    if options.peers:
        chosen.update({"scipy hybr": with_scipy("hybr"), "scipy de": with_scipy("de")})
    return chosen


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=Path, required=True, help="a file in the format of roots/problems.json")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--budget", type=float, default=1.0, help="share of each problem's evaluations")
    parser.add_argument("--json", action="store_true", help="one JSON object, rows and summaries")
    parser.add_argument("--no-polish", action="store_true", help="the paper's operators only")
    parser.add_argument("--method", choices=["search", "multistart", "uniform"], default="search")
    parser.add_argument("--peers", action="store_true", help="scipy beside it, at the same budget")
    parser.add_argument("--resume", type=Path, help="a file of results so far, a line each: kept, and added to")
    parser.add_argument("--only", default="", help="ids of problems, with commas")
    parser.add_argument("--tags", default="", help="problems with one of these tags, with commas")
    parser.add_argument("--evaluations", type=int, default=0, help="for each problem, instead of a share of its own")
    parser.add_argument("--kinds", action="store_true", help="count the kinds of the roots that were told")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    problems = json.loads(options.problems.read_text())
    wanted = {name for name in options.only.split(",") if name}
    tags = {tag for tag in options.tags.split(",") if tag}
    report: dict[str, Any] = {
        "bench": "roots",
        "seeds": options.seeds,
        "budget": options.evaluations or options.budget,
        "polish": not options.no_polish,
        "methods": {},
    }
    past = Past(options.resume, {key: report[key] for key in ("seeds", "budget", "polish")})
    for name, find in finders(options).items():
        rows = []
        for row in problems:
            if (wanted and row["id"] not in wanted) or (tags and not tags & set(row.get("tags", []))):
                continue
            budget = options.evaluations or int(row["max_nfe"] * options.budget)
            rows.append(past.of(name, row) or assess(row, find, options.seeds, budget))
            past.keep(name, rows[-1])
            if not options.json:
                show(name, rows[-1], options.kinds)
        report["methods"][name] = {"summary": summary(rows), "problems": rows}
        if not options.json:
            print(name, json.dumps(report["methods"][name]["summary"]), flush=True)
    if options.json:
        print(json.dumps(report))


class Past:
    """Results of an earlier run that was broken off, a line each; of this very kind of run only."""

    def __init__(self, place: Path | None, kind: dict[str, Any]) -> None:
        self.place, self.kind = place, kind
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}
        for line in place.read_text().splitlines() if place and place.exists() else ():
            kept = json.loads(line)
            if kept["kind"] == kind:
                self.rows[kept["method"], kept["row"]["id"]] = kept["row"]

    def of(self, method: str, row: dict[str, Any]) -> dict[str, Any] | None:
        return self.rows.get((method, row["id"]))

    def keep(self, method: str, row: dict[str, Any]) -> None:
        if self.place and (method, row["id"]) not in self.rows:
            with self.place.open("a") as lines:
                lines.write(json.dumps({"method": method, "kind": self.kind, "row": row}) + "\n")


def show(name: str, row: dict[str, Any], kinds: bool) -> None:
    share = f"rr {row['rr']:.3f} sr {row['sr']:.3f}" if "rr" in row else " " * 17
    print(
        f"{name:10} {row['id']:8} {share} spurious {row['spurious']:3} evaluations {row['evaluations']:6} "
        f"of {row['budget']:6}  {row.get('kinds', {}) if kinds else row['answers']}  {row['seconds']:.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
