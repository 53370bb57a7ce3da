"""The root finder on a simulated cluster: full clients, the same bytes with 1 of them, with 8, and when they die."""

import json
from collections.abc import Iterator

import pytest

pytest.importorskip("numpy")

from tasksprint.apps import find
from tasksprint.apps.roots import command
from tasksprint.apps.roots.node import RootNode
from tasksprint.apps.roots.scheduler import RootFinder
from tasksprint.cli.job import app_job
from tasksprint.sim.campaign import run_seed
from tasksprint.sim.job_world import Fleet, Job, JobCluster, Result, Shape, under_fire, undisturbed_run
from tasksprint.sim.sdk_programs import SdkPrograms
from tasksprint.sim.world import MS_US, World
from tasksprint.view.part import Assign
from tasksprint.wire.results import Piece

COST_US = 10_000  # of an evaluation
BUDGET = 40_000  # for eight cells of the box
QUICK = 4_000  # under faults
LINKS = {"coordinators": 3, "delay_us": (200, 1_000), "bytes_per_ms": 125_000, "sync_us": 2_000, "think_us": 5_000}


def used(pieces: dict[str, Piece]) -> int:
    return int(json.loads(pieces["findings"].read())["used"])


def takes(assign: Assign, pieces: dict[str, Piece]) -> int:
    return used(pieces) * COST_US


def search(budget: int) -> Job:
    return Job(
        app_job(find("roots"), command.described(["sin(3*x)*cos(x/2)"], (-20, 20), budget=budget, seed=1), 1).spec
    )


@pytest.fixture
def programs() -> Iterator[SdkPrograms]:
    with SdkPrograms(lambda: RootFinder, lambda: RootNode, takes) as made:
        yield made


def efficiency(result: Result, clients: int) -> float:
    evaluations = json.loads(result.answer.values)["evaluations"]
    return evaluations * COST_US / (clients * result.virtual_us)


def test_eight_clients_are_full_and_give_the_bytes_of_one(programs: SdkPrograms) -> None:
    one, eight = (
        undisturbed_run(programs, search(BUDGET), Shape(clients=count, **LINKS))  # type: ignore[arg-type]
        for count in (1, 8)
    )
    assert (one.answer.state, eight.answer.state) == ("done", "done")
    assert len(json.loads(one.answer.values)["roots"]) == 39
    assert one.answer.values == eight.answer.values
    assert 0.99 < efficiency(one, 1) <= 1
    assert 0.9 < efficiency(eight, 8) <= 1


class Shooting(JobCluster):
    """Besides what the seed brings, a leader and the clients are shot, one by one, while the job is under way."""

    shots: list[str]

    def _populate(self) -> None:
        super()._populate()
        self.shots = []
        self.world.after(2_000 * MS_US, self._shoot)

    def _shoot(self) -> None:
        job = self.shadow.job(1)
        if job is not None and job.state == "running" and job.done:
            leaders = [host for host in self.coordinators.values() if host.leads]
            if leaders and "leader" not in self.shots:
                self.faults.crash(leaders[0])
                self.shots.append("leader")
            for client in self.clients:
                if client.running and client.nodes and client.name not in self.shots:
                    self.shots.append(client.name)
                    client.crash()
                    self.world.after(700 * MS_US, self.client_faults.restart, client)
                    break
        self.world.after(300 * MS_US, self._shoot)


@pytest.mark.parametrize("seed", [1, 2, 3, 5])
def test_leader_and_clients_die_and_the_bytes_are_the_same(seed: int, programs: SdkPrograms) -> None:
    programs.takes = None  # as long as the faults last
    quiet = undisturbed_run(programs, search(QUICK))
    made: list[Shooting] = []

    def build(world: World) -> Shooting:
        made.append(Shooting(world, programs, search(QUICK), quiet, Fleet(clients=3)))
        return made[0]

    outcome = run_seed(seed, build=build)
    assert outcome.ok, outcome.failure
    (cluster,) = made
    assert "leader" in cluster.shots and len(cluster.shots) >= 3, "the faults landed amid the job"
    assert cluster.submitter.values == quiet.answer.values
    assert outcome.counters["task run again"] > 0


def test_a_search_whose_answer_hangs_on_the_copy_is_found(
    programs: SdkPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above must not miss: state that is lost when a copy takes over."""
    programs.takes = None
    quiet = undisturbed_run(programs, search(QUICK))
    calls = []
    old = RootFinder.announce

    def announce(self: RootFinder, state: object) -> None:
        calls.append(1)
        self.warnings = [f"{len(calls)} rounds"]
        old(self, state)  # type: ignore[arg-type]

    monkeypatch.setattr(RootFinder, "announce", announce)
    assert not run_seed(1, build=under_fire(programs, search(QUICK), quiet)).ok
