"""Running seeds: one after another, each in a world of its own, with what went wrong and how often the rare came up."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tasksprint.sim.agreement import Agreement
from tasksprint.sim.cluster import Cluster
from tasksprint.sim.counters import EXPECTED, Counters
from tasksprint.sim.plants import planted
from tasksprint.sim.world import Violation, World


@dataclass(slots=True)
class Outcome:
    """How one seed ended.  `failure` is empty when everything held."""

    ok: bool
    seed: int
    trace_hash: str
    failure: str
    checker: str
    counters: Counters
    virtual_ms: int
    trace: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Totals:
    """What a campaign came to.  `silent` names rare situations that never came up."""

    seeds: int = 0
    failures: list[Outcome] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    virtual_ms: int = 0
    cpu_s: float = 0.0

    @property
    def silent(self) -> list[str]:
        return self.counters.silent(EXPECTED)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.counters.update(outcome.counters)
        self.virtual_ms += outcome.virtual_ms
        if not outcome.ok:
            self.failures.append(outcome)


class Arena(Protocol):
    """A world with something going on in it."""

    def run(self) -> None:
        """Raises Violation."""


Build = Callable[[World], Arena]


def build(world: World) -> Agreement | Cluster:
    """Which of the worlds a seed means."""
    return Agreement(world) if world.seed % 4 == 0 else Cluster(world)


def run_seed(seed: int, *, plant: str | None = None, trace: bool = False, build: Build = build) -> Outcome:
    """Run one seed, with a planted bug if one is named.  The same arguments give the same outcome, for ever."""
    world = World(seed, trace=trace)
    failure = checker = ""
    with planted(plant):
        try:
            build(world).run()
        except Violation as violation:
            failure, checker = str(violation), violation.checker
        except Exception as error:  # the core's own assertions are checkers too
            checker = type(error).__name__
            failure = f"{checker}: {error}\n{traceback.format_exc(limit=-6)}"
    return Outcome(
        not failure, seed, world.trace_hash(), failure, checker, world.counters, world.now_us // 1000, world.lines or []
    )


def run_seeds(
    start: int,
    count: int,
    *,
    plant: str | None = None,
    report: Callable[[Outcome], None] | None = None,
    build: Build = build,
) -> Totals:
    """Run `count` seeds from `start` on; `report` is called after each."""
    totals = Totals()
    began = time.process_time()
    for seed in range(start, start + count):
        outcome = run_seed(seed, plant=plant, build=build)
        totals.add(outcome)
        totals.cpu_s = time.process_time() - began
        if report:
            report(outcome)
    return totals


def found_by(plant: str, start: int = 0, count: int = 1_000, step: int = 1) -> Outcome | None:
    """The first seed that finds the planted bug, or None.  With `step` 4 from 0, only the agreement world is run."""
    for seed in range(start, start + count, step):
        outcome = run_seed(seed, plant=plant)
        if not outcome.ok:
            return outcome
    return None
