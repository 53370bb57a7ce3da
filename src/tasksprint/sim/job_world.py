"""Worlds with one job in them, whose programs are somebody's own: undisturbed, and under everything that can go wrong.

`QuietCluster` is the undisturbed run: it says what the job answers, and how long that takes in virtual time.
`JobCluster` is the whole cluster's world with its faults and its checkers; the job must end there with the same answer.
How long a job takes is its own affair, so both wait as long as it goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasksprint import limits
from tasksprint.sim.checkers.base import Checker
from tasksprint.sim.cluster import ENDS_US, SAFETY_US, Cluster
from tasksprint.sim.network import Link
from tasksprint.sim.patch import Patch
from tasksprint.sim.scripts import Answer
from tasksprint.sim.sdk_programs import SdkPrograms
from tasksprint.sim.shrinking import shrink_cluster
from tasksprint.sim.submitters import Plan, Submitter
from tasksprint.sim.world import MS_US, SECOND_US, Violation, World
from tasksprint.view.operations import JobSpec
from tasksprint.view.part import Assign

GATHER_US = 3 * SECOND_US  # in a quiet world every client has registered by then
TASK_MAX_US = 2 * SECOND_US  # under faults, on average
LONGEST_US = 3_600 * SECOND_US  # of virtual time: a job that is not over by then never will be


@dataclass(frozen=True)
class Job:
    """What is submitted."""

    spec: JobSpec
    files: bytes = b""  # the packed program

    def plan(self, expected: Answer | None) -> Plan:
        size = limits.PROGRAM_CHUNK_BYTES
        parts = tuple(self.files[start : start + size] for start in range(0, len(self.files), size))
        return Plan(self.spec, "the-job", expected, program=parts)


@dataclass(frozen=True)
class Shape:
    """An undisturbed cluster."""

    coordinators: int = 1
    clients: int = 1
    slots: int = 1
    labels: tuple[str, ...] = ()
    delay_us: tuple[int, int] = (50, 550)  # of a message, from and to
    bytes_per_ms: int = 0  # of a link; 0: no limit
    sync_us: int = 300  # of a disk, on average
    think_us: int = 1_000  # of a scheduler's answer, at most
    task_us: int = 5 * MS_US  # on average, where the programs do not say
    longest_us: int = LONGEST_US


@dataclass
class Result:
    """How an undisturbed run ended."""

    answer: Answer
    error: str
    tasks: int
    virtual_us: int  # from the submission to the end


class OneJob(Cluster):
    """What both worlds have in common: the job, its programs, and patience."""

    def __init__(self, world: World, programs: SdkPrograms, job: Job):
        super().__init__(world)
        self.programs = self.own = programs
        self.job = job
        self.longest_us = LONGEST_US

    def _describe(self) -> str:
        """For somebody who knows the job, and nothing of the coordinators."""
        number = self.shadow.job_number(self.submitter.plan.job_id)
        job = self.shadow.job(number) if number is not None else None
        described = self._describe_job(self.submitter).rstrip("; ")
        if job is not None and job.state == "running" and not job.open and job.decided == job.last_event:
            return f"{described}; no task is open, and the scheduler has neither finished nor failed the job"
        return described

    @property
    def submitter(self) -> Submitter:
        return self.submitters[0]

    def _await_ends(self) -> None:
        deadline_us = self.world.now_us + self.longest_us
        while not self._ended():
            before = self._progress()
            patience_us = ENDS_US + 2 * self.own.longest_us
            self._until(lambda: self._ended() or self._progress() != before, patience_us, "the job does not go on")  # noqa: B023
            if self.world.now_us > deadline_us:
                hours = self.longest_us / SECOND_US / 3_600
                raise Violation("liveness", f"not over after {hours:g} h of virtual time: {self._describe()}")

    def _progress(self) -> tuple[object, ...]:
        number = self.shadow.job_number(self.submitter.plan.job_id)
        job = self.shadow.job(number) if number is not None else None
        return () if job is None else (job.state, job.started, job.done, job.failed, job.decided)


class QuietCluster(OneJob):
    """Nothing goes wrong, and nobody looks on."""

    def __init__(self, world: World, programs: SdkPrograms, job: Job, shape: Shape | None = None):
        self.shape = shape or Shape()
        world.drift = 0
        super().__init__(world, programs, job)
        self.think_us = self.shape.think_us
        self.answer_parts = self.scheduler_crash = self.node_crash = self.shadow_snapshots = 0
        self.longest_us = self.shape.longest_us
        for host in self.coordinators.values():
            host.disk.sync_us = self.shape.sync_us
        least_us, most_us = self.shape.delay_us

        def manners(link: Link) -> None:
            link.delay_us, link.jitter_us, link.bytes_per_ms = least_us, most_us - least_us, self.shape.bytes_per_ms

        self.network.manners = manners

    def _count_coordinators(self) -> int:
        return self.shape.coordinators

    def _checkers(self) -> list[Checker]:
        return []

    def _populate(self) -> None:
        for _ in range(self.shape.clients):
            self.add_client(start=False)
            client = self.clients[-1]
            client.slots, client.mean_us = self.shape.slots, self.shape.task_us
            client.labels = list(self.shape.labels)

    def run(self) -> None:
        with Patch() as patch:
            self.own.enter(self.world, patch)
            self._run()

    def _run(self) -> None:
        self._populate()
        for process in (*self.coordinators.values(), *self.clients):
            process.start()
        self.world.run(GATHER_US)
        self.add_submitter(self.job.plan(None), within_ms=0)
        self._await_ends()

    def result(self) -> Result:
        submitter, job = self.submitter, self.shadow.job(1)
        assert submitter.ended is not None and job is not None
        outputs = {name: submitter.outputs[name] for name in submitter.named}
        answer = Answer(submitter.ended.state, submitter.values, outputs, {})
        return Result(answer, submitter.ended.error, job.started, submitter.ended_us - submitter.began_us)


def undisturbed_run(programs: SdkPrograms, job: Job, shape: Shape | None = None) -> Result:
    """Raises Violation when the job does not end."""
    cluster = QuietCluster(World(0), programs, job, shape)
    cluster.run()
    return cluster.result()


@dataclass(frozen=True)
class Fleet:
    """The clients under fire, to begin with; None: the seed says."""

    clients: int | None = None
    slots: int | None = None
    labels: tuple[str, ...] = ()


class JobCluster(OneJob):
    """The job under fire, of which the undisturbed answer is known."""

    def __init__(self, world: World, programs: SdkPrograms, job: Job, expected: Result, fleet: Fleet | None = None):
        super().__init__(world, programs, job)
        self.expected, self.fleet = expected, fleet or Fleet()
        self._crashed: dict[tuple[int, int], int] = {}  # (job, task) → nodes that died on it

    def run(self) -> None:
        with Patch() as patch:
            shrink_cluster(self.world, patch)
            self.own.enter(self.world, patch)
            self._run()

    def _populate(self) -> None:
        world = self.world
        for _ in range(self.fleet.clients or (1, 2, 2, 3, 3, 4)[world.between(0, 5)]):
            self.add_client(start=False)
        slots = sum(client.slots for client in self.clients)
        share = world.between(200, 1_200)  # per mille of the time in which there are faults: so long the job takes
        mean_us = SAFETY_US * share // 1_000 * slots // max(1, self.expected.tasks)
        for client in self.clients:
            client.mean_us = max(MS_US, min(mean_us, TASK_MAX_US))
        self.add_submitter(self.job.plan(self.expected.answer), within_ms=2_000)

    def add_client(self, *, start: bool = True) -> None:
        super().add_client(start=False)
        client = self.clients[-1]
        client.slots, client.labels = self.fleet.slots or client.slots, list(self.fleet.labels)
        if start:
            client.mean_us = self.clients[0].mean_us
            client.start()

    def may_crash_node(self, assign: Assign) -> bool:
        """As often as the task's retries forgive: what comes after that would be the fault's answer, not the job's."""
        if not super().may_crash_node(assign):
            return False
        job = self.shadow.job(assign.job)
        task = job.tasks.get(assign.task) if job is not None else None
        times = self._crashed.get((assign.job, assign.task), 0)
        if task is None or times >= task.start.retries:
            return False
        self._crashed[assign.job, assign.task] = times + 1
        return True


def under_fire(
    programs: SdkPrograms, job: Job, expected: Result, fleet: Fleet | None = None
) -> Callable[[World], JobCluster]:
    """Makes the world of a seed."""
    return lambda world: JobCluster(world, programs, job, expected, fleet)
