"""A whole coordinator in the simulated world: its core, its disk, its links, its scheduler processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasksprint import limits
from tasksprint.coordinator import effects
from tasksprint.coordinator.core import Coordinator
from tasksprint.paxos import Replica
from tasksprint.paxos.messages import AnyMessage
from tasksprint.sim.network import Session
from tasksprint.sim.schedulers import SchedulerHost
from tasksprint.sim.seat import Voter
from tasksprint.sim.truth import decode_record
from tasksprint.sim.world import MS_US, SECOND_US, Violation
from tasksprint.wire import messages as wire

if TYPE_CHECKING:
    from tasksprint.sim.cluster import Cluster


class WatchedCoordinator(Coordinator):
    """The core as it is, with the checkers looking on as entries are applied."""

    host: CoordinatorHost

    def _apply(self, committed: list[tuple[int, bytes]]) -> None:
        for index, data in committed:  # what was chosen must be seen before what it brings about
            self.host.cluster.choose(self.host, index, data)
        super()._apply(committed)
        for index, data in committed:
            self.host.watch.tell("applied", self.host, index, data, self.machine.digest_at(index))

    def _install(self, index: int, snapshot: bytes) -> None:
        super()._install(index, snapshot)
        self.host.world.counters.hit("snapshot installed")
        self.host.watch.tell("restored", self.host, index, self.machine.digest)


class CoordinatorHost(Voter):
    """The shell's part, in virtual time."""

    def __init__(self, cluster: Cluster, voter: int):
        super().__init__(cluster.world, voter, cluster.network, cluster.truth, cluster.watch)
        self.cluster = cluster
        self.core: WatchedCoordinator
        self.schedulers = SchedulerHost(self)
        self._links: dict[int, Session] = {}
        self._numbers: dict[Session, int] = {}
        self._next_link = 0
        self._elections = 0
        self._asked = 0  # the last write ...
        self._wanted = 0  # ... that the core must be told of when it, or a later one, is durable ...
        self._durable = 0  # ... how far the disk is ...
        self._told = 0  # ... and what the core knows of that

    @property
    def replica(self) -> Replica:
        return self.core.replica

    @property
    def applied_index(self) -> int:
        return self.core.machine.index

    # --- life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        super().start()
        records = self.recover()
        snapshot = self.disk.platter.snapshot
        life = self.life
        self.disk.start(lambda number: self.happen(life, self._written, (number,)))
        self.schedulers = SchedulerHost(self)
        self._links.clear()
        self._numbers.clear()
        self._elections = 0
        self._asked = self._wanted = self._durable = self._told = 0
        addresses = {voter: address(voter) for voter in self.truth.voters}
        seed = self.world.between(0, 1 << 40)
        self.core = WatchedCoordinator(
            self.voter, self.truth.voters, addresses, seed, self.now_ms(), records=records, snapshot=snapshot
        )
        self.core.host = self
        if snapshot:
            self.watch.tell("restored", self, self.core.machine.index, self.core.machine.digest)
        self.watch.tell("started", self)
        self.turn()

    def crash(self) -> None:
        super().crash()
        within_us = 20 * MS_US if self.world.chance(700) else 3 * SECOND_US
        for session in self._links.values():
            session.close(self, within_us=within_us)
        self._links.clear()
        self._numbers.clear()

    def wake(self) -> None:
        self.core.advance(self.now_ms())

    def receive(self, source: int, message: AnyMessage) -> None:
        self.core.peer(source, (message,), self.now_ms())

    def _written(self, number: int) -> None:
        self._durable = number
        self._tell_durable()

    def _tell_durable(self) -> None:
        """As late as the core allows."""
        if self._told < min(self._wanted, self._durable):
            self._told = self._durable
            self.core.written(self._durable, self.now_ms())

    def _ask(self, write: int, *, quiet: bool) -> None:
        if write:
            self._asked = write
            self._wanted = self._wanted if quiet else write

    # --- effects -------------------------------------------------------------------------------------

    def turn(self) -> None:
        if self.core.replica.is_leader and self.disk.oldest_unsynced_us() > limits.ELECTION_MS * MS_US // 2:
            self.world.counters.hit("leader resigned")
            self.core.slow_disk(self.now_ms())
        while todo := self.core.take():
            for effect in todo:
                self._perform(effect)
        if self.core.elections > self._elections:
            self._elections = self.core.elections
            self.cluster.elected(self)
        self.watch.tell("turn", self)
        self.wake_at(self.core.next_wake())

    def _perform(self, effect: effects.Effect) -> None:
        match effect:
            case effects.SendPeer():
                self.send_peer(effect.to, effect.message)
            case effects.Write():
                for record in effect.records:
                    self.asked.apply(decode_record(record))
                self._ask(effect.write, quiet=effect.quiet)
                self.disk.append(effect.write, effect.records)
            case effects.Await():
                self._wanted = self._asked
                self._tell_durable()
            case effects.Rotate():
                self.world.counters.hit("snapshot taken")
                self.remodel([decode_record(record) for record in effect.records])
                self._ask(effect.write, quiet=False)
                self.disk.rotate(effect.index, effect.snapshot, effect.records, effect.write)
            case effects.Send():
                session = self._links.get(effect.link)
                if session is not None:
                    self.cluster.told(self, session, effect.message)
                    session.send(self, wire.encode(effect.message))
            case effects.Halt():
                raise Violation("halt", f"coordinator {self.voter}: {effect.reason}")
            case _:
                self.schedulers.perform(effect)

    # --- links of clients and commands ---------------------------------------------------------------

    def accept(self, session: Session) -> None:
        self._next_link += 1
        self._links[self._next_link] = session
        self._numbers[session] = self._next_link

    def session_message(self, session: Session, payload: bytes) -> None:
        self.happen(self.life, self._message, (session, payload))

    def _message(self, session: Session, payload: bytes) -> None:
        link = self._numbers.get(session)
        if link is None:
            return
        message = wire.decode_to_coordinator(payload)
        self.world.note(f"→{self.voter}", payload, lambda: f"from {session.other(self).name} {message!r}")
        self.core.message(link, message, self.now_ms())

    def session_closed(self, session: Session) -> None:
        self.happen(self.life, self._closed, (session,))

    def _closed(self, session: Session) -> None:
        link = self._numbers.pop(session, None)
        if link is not None:
            del self._links[link]
            self.core.link_closed(link)


def address(voter: int) -> str:
    return f"coordinator-{voter}:1"
