"""The whole cluster's world: coordinators, clients, nodes, schedulers and commands, from submit to answer.

For a while everything that can go wrong does; then a random majority of the coordinators and at least one client
are healed, and every job must end, with the answer of the undisturbed run, within a bounded time.

The world keeps a machine of its own, the shadow.  It applies each chosen entry before any replica does, now and
then goes through a snapshot and back, and is what the checkers of the view look at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tasksprint import limits
from tasksprint.sim.checkers.acceptance import Acceptance
from tasksprint.sim.checkers.attempts import Attempts
from tasksprint.sim.checkers.base import Checker, Watch
from tasksprint.sim.checkers.bounds import Bounds
from tasksprint.sim.checkers.chosen import Chosen
from tasksprint.sim.checkers.cluster_time import ClusterTime
from tasksprint.sim.checkers.deaths import Deaths
from tasksprint.sim.checkers.decisions import Decisions
from tasksprint.sim.checkers.digests import Digests
from tasksprint.sim.checkers.feeding import Feeding
from tasksprint.sim.checkers.kills import Kills
from tasksprint.sim.checkers.leader_log import LeaderLog
from tasksprint.sim.checkers.leaders import Leaders
from tasksprint.sim.checkers.leftovers import Leftovers, leftovers
from tasksprint.sim.checkers.order import Order
from tasksprint.sim.checkers.parting import Parting
from tasksprint.sim.checkers.promises import Promises
from tasksprint.sim.checkers.quorum import Quorum
from tasksprint.sim.checkers.sessions import Sessions
from tasksprint.sim.checkers.state import State
from tasksprint.sim.checkers.synced import Synced
from tasksprint.sim.client_faults import ClientFaults
from tasksprint.sim.clients import ClientHost
from tasksprint.sim.coordinators import CoordinatorHost, address
from tasksprint.sim.faults import Faults
from tasksprint.sim.fetching import Supplier
from tasksprint.sim.network import Network, Session
from tasksprint.sim.patch import Patch
from tasksprint.sim.programs import Programs
from tasksprint.sim.scripts import SCRIPTS, Scripted
from tasksprint.sim.shrinking import shrink_cluster
from tasksprint.sim.submitters import Plan, Submitter
from tasksprint.sim.truth import Truth
from tasksprint.sim.world import MS_US, SECOND_US, Violation, World
from tasksprint.view import Event, Machine
from tasksprint.view.operations import unpack_entry
from tasksprint.view.part import Assign

if TYPE_CHECKING:
    from tasksprint.wire.messages import FromCoordinator

SAFETY_US = 12 * SECOND_US
ENDS_US = 40 * SECOND_US  # after the heal, every job has ended
HEARD_US = 15 * SECOND_US  # ... and every client that runs has found a leader and heard of it
CONVERGE_US = 10 * limits.ELECTION_MS * MS_US


def cluster_checkers() -> list[Checker]:
    return [
        Chosen(), Quorum(), Leaders(), Promises(), Acceptance(), LeaderLog(), Order(), Digests(), Bounds(), Synced(),
        ClusterTime(), Deaths(), Attempts(), Decisions(), Sessions(), Kills(), Feeding(), Parting(), State(),
        Leftovers(),
    ]  # fmt: skip


class ShadowSeat:
    """Where the shadow stands among the replicas, for the checkers that compare digests."""

    voter = 0


class Cluster:
    """One run of the cluster's world."""

    def __init__(self, world: World):
        self.world = world
        voters = tuple(range(1, self._count_coordinators() + 1))
        self.truth = Truth(voters)
        self.digests = Digests()
        self.watch = Watch([*self._checkers(), self.digests])
        self.network = Network(world)
        self.shadow = Machine()
        self.coordinators = {voter: CoordinatorHost(self, voter) for voter in voters}
        self.addresses = {address(voter): host for voter, host in self.coordinators.items()}
        for host in self.coordinators.values():
            host.peers = dict(self.coordinators)
        self.programs: Programs = Scripted()
        self.packed: dict[str, bytes] = {}  # programs as files, by their hash
        self.suppliers: dict[str, Supplier] = {}
        self.clients: list[ClientHost] = []
        self.submitters: list[Submitter] = []
        hosts = list(self.coordinators.values())
        self.faults = Faults(world, self.network, hosts, [host.name for host in hosts])
        self.client_faults = ClientFaults(self)
        # --- how programs behave in this run
        self.think_us = world.between(500, 30_000)
        self.answer_parts = world.between(0, 1000)
        self.scheduler_crash = world.between(0, 60) if world.chance(400) else 0
        self.node_crash = world.between(0, 20) if world.chance(400) else 0
        self.shadow_snapshots = world.between(0, 30)
        self._scheduler_crashes: dict[tuple[int, int], int] = {}

    # --- what differs from world to world --------------------------------------------------------------

    def _count_coordinators(self) -> int:
        return (3, 3, 3, 3, 5, 1)[self.world.between(0, 5)]

    def _checkers(self) -> list[Checker]:
        return cluster_checkers()

    def _populate(self) -> None:
        """Clients, and the jobs that are submitted."""
        world = self.world
        for _ in range((1, 2, 2, 3, 3, 4)[world.between(0, 5)]):
            self.add_client(start=False)
        for number in range(world.between(1, 3)):
            self._plan_job(number)

    def _ended(self) -> bool:
        return all(one.ended is not None for one in self.submitters)

    def _await_ends(self) -> None:
        self._until(self._ended, ENDS_US, "a job has not ended")

    # --- the run -------------------------------------------------------------------------------------

    def run(self) -> None:
        """Raises Violation."""
        with Patch() as patch:
            shrink_cluster(self.world, patch)
            self._run()

    def _run(self) -> None:
        world = self.world
        self._populate()
        self.faults.begin()
        self.client_faults.begin()
        for host in self.coordinators.values():
            host.start()
        for client in self.clients:
            world.after(world.between(0, 2 * SECOND_US), self.client_faults.restart, client)
        world.run(SAFETY_US)
        healed = self._heal()
        self._await_ends()
        self._until(lambda: self._converged(healed), CONVERGE_US, "the healed coordinators do not converge")
        self._wait(lambda: not leftovers(self), HEARD_US)
        for submitter in self.submitters:
            submitter.judge()
        self.watch.tell("finish", self)
        world.counters["entries overwritten"] += self.truth.overwritten
        world.counters["commit after two elections"] += self.truth.late
        self._count_view()

    def add_client(self, *, start: bool = True) -> None:
        number = len(self.clients)
        client = ClientHost(self, f"client {'abcdefgh'[number] if number < 8 else number + 1}")
        self.clients.append(client)
        self.faults.names.append(client.name)
        if start:
            client.start()

    def _plan_job(self, number: int) -> None:
        world = self.world
        script = list(SCRIPTS)[world.between(0, len(SCRIPTS) - 1)]
        if world.chance(250):
            script = ("shuffle", "declared_chain")[world.between(0, 1)]
        count = world.between(3, 25) if world.chance(600) else world.between(20, 70)
        args = {"n": count, "delay_ms": world.between(0, 2_000)}
        cancel_us = world.between(0, 6_000) * MS_US if world.chance(80) else 0
        seed, job_id = world.between(0, 1 << 60), f"job-{number}-{world.between(0, 1 << 60):x}"
        program: tuple[bytes, ...] = ()
        if world.chance(300):
            program = tuple(b"part %d of %s" % (part, job_id.encode()) for part in range(world.between(1, 4)))
        world.counters.hit(f"job {script}")
        self.add_submitter(Plan.of_script(script, args, seed, job_id, cancel_us, program), within_ms=8_000)

    def add_submitter(self, plan: Plan, *, within_ms: int) -> None:
        submitter = Submitter(self, f"command {len(self.submitters)}", plan)
        self.submitters.append(submitter)
        self.faults.names.append(submitter.name)
        if plan.program:
            self.packed[plan.spec.program] = b"".join(plan.program)
        self.world.after(self.world.between(0, within_ms) * MS_US, submitter.start)

    # --- the end -------------------------------------------------------------------------------------

    def _heal(self) -> list[CoordinatorHost]:
        targets = self.faults.heal()
        self.client_faults.heal()
        self.scheduler_crash = self.node_crash = 0
        for client in self.clients:
            client.mean_us = min(client.mean_us, 30 * MS_US)  # what is left to do must fit into the time to the end
        return [host for host in self.coordinators.values() if host in targets]

    def _converged(self, healed: list[CoordinatorHost]) -> bool:
        """Equal up to now; ticks go on for ever."""
        return min(host.applied_index for host in healed) >= len(self.truth.chosen) - 3

    def _until(self, done: Callable[[], bool], within_us: int, complaint: str) -> None:
        if not self._wait(done, within_us):
            raise Violation("liveness", f"{complaint}: {self._describe()}")

    def _wait(self, done: Callable[[], bool], within_us: int) -> bool:
        """Whether it was so in time."""
        deadline_us = self.world.now_us + within_us
        while not done():
            if self.world.now_us >= deadline_us:
                return False
            self.world.run(self.world.now_us + 50 * MS_US)
        return True

    def _describe(self) -> str:
        parts = [
            f"{host.name}: {'running' if host.running else 'down'} leader {host.replica.leader} ballot"
            f" {host.replica.ballot} applied {host.applied_index}/{len(self.truth.chosen)}"
            for host in self.coordinators.values()
        ]
        parts += [self._describe_job(submitter) for submitter in self.submitters if submitter.ended is None]
        return "; ".join(parts)

    def _describe_job(self, submitter: Submitter) -> str:
        number = self.shadow.job_number(submitter.plan.job_id)
        job = self.shadow.job(number) if number is not None else None
        if job is None:
            return f"{submitter.name}: not submitted"
        waits = [self.shadow.why(job.number, task) for task in list(job.open)[:3]]
        return (
            f"{submitter.name} ({submitter.plan.spec.name}): {job.state}, {job.done} of {job.started} done, event"
            f" {job.decided} of {job.last_event} decided, generation {job.generation}; {' / '.join(waits)}"
        )

    def _count_view(self) -> None:
        counters = self.world.counters
        for job in self.shadow.world.jobs.values():
            counters["task run again"] += job.reruns
            counters["job nondeterministic"] += job.nondeterministic
            counters["scheduler restarted"] += job.generation - 1

    # --- what the parts ask and tell -------------------------------------------------------------------

    def connects(self, one: str, other: str) -> bool:
        return not self.network.link(one, other).cuts and not self.network.link(other, one).cuts

    def choose(self, host: CoordinatorHost, index: int, data: bytes) -> None:
        """A replica is about to apply an entry: the shadow and the checkers come first."""
        chosen = self.truth.chosen
        if index > len(chosen):
            raise Violation("chosen", f"replica {host.voter} applies {index}, but {len(chosen)} entries are chosen")
        while self.shadow.index < index:
            entry = chosen[self.shadow.index]
            operations = unpack_entry(entry)
            self.watch.tell("before_entry", self.shadow, operations)
            self.shadow.apply(self.shadow.index + 1, entry)
            self.watch.tell("after_entry", self.shadow, operations)
            self.digests.applied(ShadowSeat, self.shadow.index, entry, self.shadow.digest)  # type: ignore[arg-type]
            self.shadow.take()
            if any(job.parked_count for job in self.shadow.world.jobs.values()):
                self.world.counters.hit("report parked")
            if self.world.chance(self.shadow_snapshots):
                self.shadow = Machine.restore(b"".join(self.shadow.snapshot()))
                self.world.counters.hit("state restored from its snapshot")

    def elected(self, host: CoordinatorHost) -> None:
        self.world.counters.hit("election")
        self.world.note(f"{host.name} leads {host.replica.ballot}")
        for job in self.shadow.world.jobs.values():
            if job.state == "running" and job.next_part:
                self.world.counters.hit("leader change within an answer")
        self.faults.elected(host)

    def fed(self, job: int, event: Event) -> None:
        self.watch.tell("fed", job, event)

    def ran(self, client: ClientHost, assign: Assign) -> None:
        self.world.counters.hit("attempt run")
        if assign.attempt >= 3:
            self.world.counters.hit("third attempt")
        self.watch.tell("ran", client.name, client.core.session.incarnation, assign)

    def told(self, host: CoordinatorHost, session: Session, message: FromCoordinator) -> None:
        self.watch.tell("told", self.shadow, session.other(host).name, message)

    def submitted(self, submitter: Submitter) -> None:
        if self.shadow.job_number(submitter.plan.job_id) is None:
            raise Violation("acknowledged", f"{submitter.name}: its submit was acknowledged, the log has no such job")

    def missed(self, submitter: Submitter) -> None:
        if self.shadow.job_number(submitter.plan.job_id) is None:
            raise Violation("acknowledged", f"{submitter.name}: the job that was acknowledged is gone")

    def left(self, client: ClientHost) -> None:
        client.crash()
        self.world.after(self.world.between(10, 3_000) * MS_US, self._come_back, client)

    def _come_back(self, client: ClientHost) -> None:
        if not client.running:
            client.start()

    def may_crash_node(self, assign: Assign) -> bool:
        return self.world.chance(self.node_crash)

    def may_crash_scheduler(self, voter: int, job: int) -> bool:
        times = self._scheduler_crashes.get((voter, job), 0)
        self._scheduler_crashes[voter, job] = times + 1
        return times < limits.SCHEDULER_CRASHES - 1
