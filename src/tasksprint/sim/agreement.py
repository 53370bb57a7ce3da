"""The agreement world: replicas, disks, a network and nothing else.

Random proposals and reads at whoever believes to lead, random faults, then a heal of a random
majority, which must elect, commit something new and converge within ten election timeouts.  It is small, so
that Paxos itself is searched deeper than the whole cluster's world could.
"""

from __future__ import annotations

from tasksprint import limits
from tasksprint.sim.checkers.acceptance import Acceptance
from tasksprint.sim.checkers.acknowledged import Acknowledged
from tasksprint.sim.checkers.base import Checker, Watch
from tasksprint.sim.checkers.bounds import Bounds
from tasksprint.sim.checkers.chosen import Chosen
from tasksprint.sim.checkers.digests import Digests
from tasksprint.sim.checkers.leader_log import LeaderLog
from tasksprint.sim.checkers.leaders import Leaders
from tasksprint.sim.checkers.order import Order
from tasksprint.sim.checkers.promises import Promises
from tasksprint.sim.checkers.quorum import Quorum
from tasksprint.sim.checkers.reads import Reads
from tasksprint.sim.checkers.synced import Synced
from tasksprint.sim.faults import Faults
from tasksprint.sim.network import Network
from tasksprint.sim.patch import Patch
from tasksprint.sim.seat import Seat
from tasksprint.sim.shrinking import shrink_agreement
from tasksprint.sim.truth import Truth
from tasksprint.sim.world import MS_US, SECOND_US, Violation, World

SAFETY_US = 20 * SECOND_US
LIVENESS_US = 10 * limits.ELECTION_MS * MS_US  # to the first new commit, and again to convergence


def agreement_checkers() -> list[Checker]:
    """Fresh checkers of invariants 1 to 12, 17 and 18; 20 is the end of the run itself."""
    return [
        Chosen(), Quorum(), Leaders(), Promises(), Acceptance(), LeaderLog(),
        Order(), Digests(), Acknowledged(), Reads(), Bounds(), Synced(),
    ]  # fmt: skip


class Agreement:
    """One run of the agreement world."""

    def __init__(self, world: World):
        self.world = world
        count = (3, 3, 3, 5, 5, 1)[world.between(0, 5)]
        self.voters = tuple(range(1, count + 1))
        self.truth = Truth(self.voters)
        self.watch = Watch(agreement_checkers())
        self.network = Network(world)
        self.compact_every = world.between(10, 150) if world.chance(600) else 1 << 40
        self.compact_anytime = world.between(1, 10) if world.chance(300) else 0  # per mille of turns
        self.seats = {voter: Seat(self, voter) for voter in self.voters}
        for seat in self.seats.values():
            seat.peers = dict(self.seats)
        seats = list(self.seats.values())
        self.faults = Faults(world, self.network, seats, [seat.name for seat in seats])
        self._proposed = 0
        self._token = 0
        self._mean_us = world.between(5, 100) * MS_US
        self._elections = 0
        self._leader_since: dict[int, int] = {}

    def run(self) -> None:
        """Raises Violation."""
        with Patch() as patch:
            shrink_agreement(self.world, patch)
            self._run()

    def _run(self) -> None:
        world = self.world
        self.faults.begin()
        for seat in self.seats.values():
            seat.start()
        self._propose()
        self._read()
        world.run(SAFETY_US)
        self._converge()
        self.watch.tell("finish", self)
        world.counters["entries overwritten"] += self.truth.overwritten
        world.counters["commit after two elections"] += self.truth.late

    # --- load ----------------------------------------------------------------------------------------

    def _leaders(self) -> list[Seat]:
        return [seat for seat in self.seats.values() if seat.running and not seat.paused and seat.replica.is_leader]

    def _propose(self) -> None:
        world = self.world
        leaders = self._leaders()
        if len({seat.replica.ballot for seat in leaders}) > 1:
            world.counters.hit("two leaders")
        if leaders:
            seat = leaders[world.between(0, len(leaders) - 1)]
            seat.happen(seat.life, self._propose_at, (seat, world.between(1, 3) if world.chance(900) else 40))
        world.after(world.exponential(self._mean_us), self._propose)

    def _propose_at(self, seat: Seat, count: int) -> None:
        for _ in range(count):
            if not seat.replica.can_propose:
                self.world.counters.hit("slots full")
                return
            self._proposed += 1
            data = b"operation %d" % self._proposed
            if self.world.chance(2):
                data += bytes(400_000)
            index = seat.replica.propose(data)
            if index is not None:
                seat.pending[index] = data

    def _read(self) -> None:
        leaders = [seat for seat in self.seats.values() if seat.leads]  # one that is paused answers when it wakes
        if leaders:
            seat = leaders[self.world.between(0, len(leaders) - 1)]
            self._token += 1
            self.watch.tell("read_asked", seat, self._token)
            seat.happen(seat.life, self._read_at, (seat, self._token))
        self.world.after(self.world.exponential(60 * MS_US), self._read)

    def _read_at(self, seat: Seat, token: int) -> None:
        seat.replica.read(token)

    def read_served(self, seat: Seat, token: int, index: int) -> None:
        self.world.counters.hit("read served")
        self.watch.tell("read_served", seat, token, index)

    def elected(self, seat: Seat) -> None:
        self.world.counters.hit("election")
        self.faults.elected(seat)
        self.world.note(f"leader {seat.voter} {seat.replica.ballot}")

    # --- liveness: invariant 20 ----------------------------------------------------------------------

    def _converge(self) -> None:
        world = self.world
        targets = self.faults.heal()
        healed = [seat for seat in self.seats.values() if seat in targets]
        chosen = len(self.truth.chosen)
        self._until(lambda: any(seat.applied_index > chosen for seat in healed), "no new commit after the heal")
        self._mean_us = 1 << 50  # no more proposals: what there is must reach everybody
        self._until(
            lambda: all(seat.applied_index == len(self.truth.chosen) and not seat.replica.in_flight for seat in healed),
            "the healed replicas do not converge",
        )
        world.note("converged")

    def _until(self, done: object, complaint: str) -> None:
        assert callable(done)
        deadline_us = self.world.now_us + LIVENESS_US
        while not done():
            if self.world.now_us >= deadline_us:
                states = [
                    f"{seat.voter}: {'running' if seat.running else 'down'} leader {seat.replica.leader} ballot"
                    f" {seat.replica.ballot} applied {seat.applied_index}/{seat.replica.decided}/{seat.replica.length}"
                    for seat in self.seats.values()
                ]
                raise Violation("liveness", f"{complaint} ({len(self.truth.chosen)} chosen; {'; '.join(states)})")
            self.world.run(self.world.now_us + 20 * MS_US)
