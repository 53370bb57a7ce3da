"""One replica in the simulated world: its process, its disk, and the duties of the shell around it.

The duties are those that `paxos.Replica.take` names: records go to the disk in order, a message leaves
only when the write that it waits for is durable, a snapshot that came whole is stored before the
record that speaks of it, a compacted log begins a fresh journal.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from tasksprint import limits
from tasksprint.codec import digest, pack
from tasksprint.paxos import Output, Replica, Timing
from tasksprint.paxos.messages import AnyMessage, AnyRecord, Snapshotted
from tasksprint.sim.checkers.base import Watch
from tasksprint.sim.disk import Disk, Write
from tasksprint.sim.network import Network
from tasksprint.sim.truth import JournalModel, Truth, decode_record, encode_record
from tasksprint.sim.world import MS_US, Process, World

if TYPE_CHECKING:
    from tasksprint.sim.agreement import Agreement

encode_message = msgspec.msgpack.Encoder().encode
decode_message = msgspec.msgpack.Decoder(AnyMessage).decode


class Ledger:
    """The smallest state machine: a rolling digest of the entries applied."""

    def __init__(self, index: int = 0, state: bytes = b""):
        self.index = index
        self.digest = state

    def apply(self, index: int, data: bytes) -> None:
        assert index == self.index + 1, f"entry {index} after {self.index}"
        self.index = index
        self.digest = digest(self.digest, data)

    def snapshot(self) -> bytes:
        return pack((self.index, self.digest, b"." * 3_000))

    @classmethod
    def restore(cls, data: bytes) -> Ledger:
        index, state, _ = msgspec.msgpack.decode(data)
        return cls(index, state)


class Voter(Process):
    """What every replica's process has: a disk whose content is known to `truth`, and links to the others."""

    disk: Disk
    asked: JournalModel

    def __init__(self, world: World, voter: int, network: Network, truth: Truth, watch: Watch):
        super().__init__(world, f"coordinator {voter}")
        self.voter = voter
        self.network = network
        self.truth = truth
        self.watch = watch
        self.disk = Disk(world, self.name, self._stored)
        self.asked = JournalModel()
        self.peers: dict[int, Voter] = {}
        self._receivers: dict[int, _Receiver] = {}

    @property
    def replica(self) -> Replica:
        raise NotImplementedError

    @property
    def leads(self) -> bool:
        return self.running and self.replica.is_leader

    @property
    def applied_index(self) -> int:
        raise NotImplementedError

    def receive(self, source: int, message: AnyMessage) -> None:
        raise NotImplementedError

    def crash(self) -> None:
        super().crash()
        self.disk.crash()
        self.watch.tell("crashed", self)

    # --- the disk ------------------------------------------------------------------------------------

    def recover(self) -> list[AnyRecord]:
        """What the platter holds, as a restarted shell would read it."""
        platter = self.disk.platter
        records = [decode_record(record) for record in platter.records]
        self.remodel(records)
        if platter.snapshot:
            self.asked.apply(Snapshotted(platter.snapshot[0]))
        return records

    def remodel(self, records: list[AnyRecord]) -> None:
        """The journal begins anew with these records."""
        self.asked = JournalModel()
        for record in records:
            self.asked.apply(record)

    def _stored(self, write: Write) -> None:
        records = self.truth.stored(self.voter, write)
        self.watch.tell("stored", self, records, write.fresh)

    # --- links ---------------------------------------------------------------------------------------

    def send_peer(self, target: int, message: AnyMessage) -> None:
        self.watch.tell("sent", self, target, message)
        peer = self.peers[target]
        self.network.send(self.name, peer.name, peer.receiver(self.voter), encode_message(message))

    def receiver(self, source: int) -> _Receiver:
        found = self._receivers.get(source)
        if found is None:
            found = self._receivers[source] = _Receiver(self, source)
        return found


class _Receiver:
    """Delivers a payload from `source`, to whatever life the process has by then."""

    __slots__ = ("source", "voter", "what")

    def __init__(self, voter: Voter, source: int):
        self.voter, self.source = voter, source
        self.what = f"{source}→{voter.voter}"

    def __call__(self, payload: bytes) -> None:
        voter = self.voter
        voter.world.note(self.what, payload, lambda: repr(decode_message(payload)))
        voter.happen(voter.life, self.receive, (payload,))

    def receive(self, payload: bytes) -> None:
        self.voter.receive(self.source, decode_message(payload))


class Seat(Voter):
    """A coordinator with nothing but agreement."""

    def __init__(self, arena: Agreement, voter: int):
        super().__init__(arena.world, voter, arena.network, arena.truth, arena.watch)
        self.arena = arena
        self._replica: Replica
        self.ledger = Ledger()
        self.pending: dict[int, bytes] = {}
        self._held: deque[tuple[int, int, AnyMessage]] = deque()
        self._durable = 0
        self._compacted = 0

    @property
    def replica(self) -> Replica:
        return self._replica

    @property
    def applied_index(self) -> int:
        return self.ledger.index

    # --- life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        super().start()
        platter = self.disk.platter
        records = self.recover()
        self._held.clear()
        self.pending.clear()
        self._durable = 0
        life = self.life
        self.disk.start(lambda number: self.happen(life, self._written, (number,)))
        self.ledger = Ledger.restore(platter.snapshot[1]) if platter.snapshot else Ledger()
        self._compacted = self.ledger.index
        self._replica = Replica(
            self.voter,
            self.arena.voters,
            Timing(limits.HEARTBEAT_MS, limits.ELECTION_MS),
            self.world.between(0, 1 << 40),
            self.now_ms(),
            records=records,
            snapshot=platter.snapshot,
        )
        if platter.snapshot:
            self.watch.tell("restored", self, self.ledger.index, self.ledger.digest)
        self.watch.tell("started", self)
        self.turn()

    def wake(self) -> None:
        self.replica.tick(self.now_ms())

    # --- what the replica asks for -------------------------------------------------------------------

    def turn(self) -> None:
        if self.replica.is_leader and self.disk.oldest_unsynced_us() > limits.ELECTION_MS * MS_US // 2:
            self.world.counters.hit("leader resigned")
            self.replica.resign(self.now_ms())
        self._perform(self.replica.take())
        age = self.ledger.index - self._compacted
        if age >= self.arena.compact_every or (age and self.world.chance(self.arena.compact_anytime)):
            self._compact()
        self.watch.tell("turn", self)
        self.wake_at(self.replica.next_wake())

    def _perform(self, output: Output) -> None:
        if output.install:
            index, state = output.install
            self.world.counters.hit("snapshot installed")
            self.ledger = Ledger.restore(state)
            self._compacted = index
            self.watch.tell("restored", self, index, self.ledger.digest)
            self.disk.install(index, state)
        if output.records:
            for record in output.records:
                self.asked.apply(record)
            self.disk.append(output.write, [encode_record(record) for record in output.records])
        for target, message, after in output.messages:
            if after <= self._durable:
                self.send_peer(target, message)
            else:
                self._held.append((after, target, message))
        for index, data in output.committed:
            self._apply(index, data)
        for token, index in output.reads:
            self.arena.read_served(self, token, index)
        if output.role_changed and self.replica.is_leader:
            self.arena.elected(self)

    def _apply(self, index: int, data: bytes) -> None:
        self.ledger.apply(index, data)
        self.watch.tell("applied", self, index, data, self.ledger.digest)
        if self.pending.pop(index, None) == data:
            self.watch.tell("acknowledged", index, data)

    def _compact(self) -> None:
        self.world.counters.hit("snapshot taken")
        index, state = self.ledger.index, self.ledger.snapshot()
        records = self.replica.compact(index, state)
        self._compacted = index
        self.remodel(records)
        self.disk.rotate(index, state, [encode_record(record) for record in records])

    # --- disk and links ------------------------------------------------------------------------------

    def _written(self, number: int) -> None:
        self._durable = number
        self.replica.written(number, self.now_ms())
        waiting, self._held = self._held, deque()
        for after, target, message in waiting:
            if after <= number:
                self.send_peer(target, message)
            else:
                self._held.append((after, target, message))

    def receive(self, source: int, message: AnyMessage) -> None:
        self.replica.step(source, message, self.now_ms())
