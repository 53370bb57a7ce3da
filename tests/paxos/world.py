"""A small deterministic world for replicas: a network that loses, repeats, delays and cuts, disks that forget what
was not synced, pauses; and, beside each replica, an independent reading of its journal that the checks believe.

Everything follows from one seed.  `Broken` is raised at the first violation.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

import msgspec
from tests.paxos.mirror import Broken, Disk, Mirror

from tasksprint.paxos import AnyMessage, AnyRecord, Replica, Timing
from tasksprint.paxos import messages as said

FAULTS = (
    "crash", "crash", "start", "start", "start", "cut", "cut", "heal", "pause", "net", "compact", "compact", "isolate",
    "resign", "leader", "leader", "swap", "swap", "star",
)
TIMING = Timing(heartbeat_ms=40, election_ms=200)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AnyMessage).decode
_decode_record = msgspec.msgpack.Decoder(AnyRecord).decode


class Node:
    def __init__(self, world: World, id: int) -> None:
        self.world = world
        self.id = id
        self.disk = Disk()
        self.mirror = Mirror()
        self.said_promise: tuple[int, int] = (0, 0)
        self.life = 0
        self.paused_until = 0
        self.inbox: list[tuple[int, bytes]] = []
        self.replica: Replica | None = None
        self.applied: list[bytes] = []
        self.waiting: list[tuple[int, bytes, int]] = []
        self.reads: dict[int, int] = {}
        self.decided = 0
        self.was_leader = False
        self.start()

    def start(self) -> None:
        world = self.world
        self.life += 1
        if self.life > 1:
            world.note(f"{self.id} starts again")
        records = [_decode_record(record) for record in self.disk.records]
        snapshot = self.disk.snapshot
        self.disk.durable = 0
        self.applied = msgspec.msgpack.decode(snapshot[1], type=list[bytes]) if snapshot else []
        self.waiting, self.reads, self.decided, self.was_leader = [], {}, 0, False
        seed = world.random.randrange(1 << 30)
        self.replica = Replica(
            self.id, world.voters, world.timing, seed, world.now, records=records, snapshot=snapshot
        )
        if self.replica.promised < self.said_promise:
            raise Broken(f"replica {self.id} promised {self.said_promise} and knows {self.replica.promised}")
        self.turn()
        world.at(world.now + 1, self.wake, self.life)

    def crash(self) -> None:
        """What was not synced is gone, from a random record of the queue on; a rotation under way was in vain."""
        self.world.note(f"{self.id} crashes")
        dice = self.world.random
        while self.disk.queue and dice.random() < 0.3:
            self.write_one(tell=False)
        if self.disk.queue and dice.random() < 0.5:
            kind, _, records, snapshot = self.disk.queue[0]
            if kind == "append":
                if snapshot is not None:
                    self.disk.snapshot = snapshot  # stored first
                self.keep(records[: dice.randrange(len(records) + 1)])
                self.mirror.parts = []
        self.disk.queue.clear()
        self.disk.rotation = None
        self.inbox.clear()
        self.replica = None
        self.life += 1

    def paused(self) -> bool:
        return self.world.now < self.paused_until

    def wake(self, life: int) -> None:
        if life != self.life or self.replica is None:
            return
        world = self.world
        if self.paused():
            world.at(self.paused_until + world.random.randrange(15), self.wake, life)
            return
        inbox, self.inbox = self.inbox, []
        self.replica.tick(world.now)
        self.turn()
        for source, data in inbox:
            self.receive(source, data)
        world.at(max(world.now + 1, min(self.replica.next_wake(), world.now + 20)), self.wake, life)

    def receive(self, source: int, data: bytes) -> None:
        if self.replica is None:
            return
        if self.paused():
            self.inbox.append((source, data))
            return
        self.replica.step(source, _decode(data), self.world.now)
        self.turn()

    # --- the shell --------------------------------------------------------------------------------
    def turn(self) -> None:
        replica, world = self.replica, self.world
        assert replica is not None
        output = replica.take()
        if output.records:
            records = [_encode(record) for record in output.records]
            self.disk.queue.append(("append", output.write, records, output.install))
            world.at(world.now + world.disk_delay(self.id), self.write_done, self.life)
        elif output.install is not None:
            raise Broken("an installed snapshot without its record")
        if output.install is not None:
            self.install(*output.install)
        for index, data in output.committed:
            self.commit(index, data)
        for to, message, after in output.messages:
            self.waiting.append((to, _encode(message), after))
        self.flush()
        for token, index in output.reads:
            if index < self.reads.pop(token):
                raise Broken(f"read {token} of replica {self.id} is stale")
            world.counts["reads"] += 1
        self.look(replica)

    def look(self, replica: Replica) -> None:
        if replica.decided < self.decided:
            raise Broken("decided goes back")
        if not replica.first <= replica.decided + 1 <= replica.length + 1:
            raise Broken(f"first {replica.first}, decided {replica.decided}, length {replica.length}")
        self.decided = replica.decided
        if replica.is_leader and not self.was_leader:
            self.world.led(self.id, replica)
        self.was_leader = replica.is_leader

    def install(self, index: int, state: bytes) -> None:
        self.world.counts["installed"] += 1
        self.world.note(f"{self.id} installs the snapshot of {index}")
        entries = msgspec.msgpack.decode(state, type=list[bytes])
        if len(entries) != index:
            raise Broken("a snapshot of another index")
        for place in range(len(self.applied), index):
            self.world.chosen_is(place + 1, entries[place])
        self.applied = entries

    def commit(self, index: int, data: bytes) -> None:
        if index != len(self.applied) + 1:
            raise Broken(f"replica {self.id} applies {index} after {len(self.applied)}")
        self.applied.append(data)
        self.world.note(f"{self.id} commits {index} {data.decode()}")
        self.world.chosen_is(index, data)

    def flush(self) -> None:
        rest = []
        for to, data, after in self.waiting:
            if after > self.disk.durable:
                rest.append((to, data, after))
            else:
                self.check_said(_decode(data))
                self.world.send(self.id, to, data)
        self.waiting = rest

    def check_said(self, message: Any) -> None:
        """Nothing is said that the disk does not hold."""
        mirror = self.mirror
        if isinstance(message, said.AcceptSync) and message.start > message.begin:
            self.world.counts["pieces"] += 1
        if isinstance(message, said.Promise):
            self.world.counts["adopted"] += bool(message.suffix)
            self.said_promise = max(self.said_promise, message.ballot)
            if mirror.promised < message.ballot:
                raise Broken(f"promise {message.ballot} said before it was synced")
        if isinstance(message, said.Accepted | said.HeartbeatReply) and message.length:
            there = (mirror.accepted, len(mirror.log) if mirror.accepted == message.ballot else 1 << 60)
            if there < (message.ballot, message.length):
                raise Broken(f"{message} said, but on the disk is {there}")

    # --- the disk ---------------------------------------------------------------------------------
    def keep(self, records: list[bytes]) -> None:
        self.disk.records += records
        if self.disk.rotation is not None:
            self.disk.rotation += records
        state = msgspec.msgpack.decode(self.disk.snapshot[1], type=list[bytes]) if self.disk.snapshot else []
        for record in records:
            self.mirror.apply(_decode_record(record), state)

    def write_one(self, tell: bool) -> None:
        kind, write, records, snapshot = self.disk.queue.pop(0)
        if kind == "rotate":
            assert snapshot is not None
            self.disk.rotation, self.disk.rotation_snapshot = list(records), snapshot
            self.world.at(self.world.now + self.world.disk_delay(self.id), self.rotated, self.life)
            return
        if snapshot is not None:
            self.disk.snapshot = snapshot
        self.keep(records)
        self.disk.durable = write

    def rotated(self, life: int) -> None:
        """The snapshot is there: the journal is now what was to be its beginning, and what was written meanwhile."""
        disk = self.disk
        if life != self.life or disk.rotation is None:
            return
        disk.records, disk.rotation = disk.rotation, None
        if disk.snapshot is None or disk.snapshot[0] < disk.rotation_snapshot[0]:
            disk.snapshot = disk.rotation_snapshot
        state = msgspec.msgpack.decode(disk.snapshot[1], type=list[bytes])
        fresh = Mirror()
        for record in disk.records:
            fresh.apply(_decode_record(record), state)
        if (fresh.promised, fresh.accepted, fresh.log) != (self.mirror.promised, self.mirror.accepted, self.mirror.log):
            raise Broken("the new segment does not say what the journal said")
        self.mirror = fresh
        self.world.counts["rotated"] += 1

    def write_done(self, life: int) -> None:
        if life != self.life or self.replica is None:
            return
        if self.paused():
            self.world.at(self.paused_until, self.write_done, life)
            return
        while self.disk.queue and self.disk.queue[0][0] == "rotate":
            self.write_one(tell=False)
        if self.disk.queue:
            self.write_one(tell=True)
            self.replica.written(self.disk.durable, self.world.now)
            self.flush()
            self.turn()

    def compact(self) -> None:
        replica = self.replica
        if replica is None or self.paused() or not self.applied or replica.first > len(self.applied):
            return
        index = self.world.random.randrange(max(1, len(self.applied) - 3), len(self.applied) + 1)
        if self.disk.snapshot is not None and index <= self.disk.snapshot[0]:
            return
        if self.disk.rotation is not None or any(item[0] == "rotate" for item in self.disk.queue):
            return
        state = _encode(self.applied[:index])
        records = [_encode(record) for record in replica.compact(index, state)]
        self.disk.queue.append(("rotate", 0, records, (index, state)))
        self.world.at(self.world.now + self.world.disk_delay(self.id), self.write_done, self.life)
        self.world.counts["compacted"] += 1
        self.turn()


def told(message: Any) -> str:
    """A message in one line, without the configuration's number."""
    words = [type(message).__name__]
    for name in message.__struct_fields__[1:]:
        value = getattr(message, name)
        if isinstance(value, tuple):
            value = f"{value[0]}.{value[1]}"
        elif isinstance(value, list):
            value = "[" + " ".join(entry.decode() for entry in value) + "]"
        elif isinstance(value, bytes):
            value = f"({len(value)} bytes)"
        words.append(f"{name}={value}")
    return " ".join(words)


def storm(seed: int, duration_ms: int = 3_000) -> World:
    """A cluster of a size that the seed says, in bad weather; then healed."""
    world = World(seed, voters=2 if seed % 10 == 0 else (3, 3, 5, 3, 1)[seed % 5])
    world.storm(duration_ms)
    return world


class World:
    def __init__(self, seed: int, voters: int = 3, timing: Timing = TIMING) -> None:
        self.random = random.Random(seed)
        self.voters = tuple(range(1, voters + 1))
        self.timing = timing
        self.now = 1_000
        self.events: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self.order = 0
        self.loss = self.double = 0.0
        self.delay_ms = 3
        self.disk_ms = 3
        self.cuts: set[tuple[int, int]] = set()
        self.chosen: dict[int, bytes] = {}
        self.chosen_by: dict[int, tuple[int, int]] = {}  # it was chosen in this ballot, or a lower one
        self.leaders: dict[tuple[int, int], tuple[int, int]] = {}
        self.counts: dict[str, int] = dict.fromkeys(
            (
                "reads", "installed", "compacted", "rotated", "elections", "adopted", "crashes", "proposed", "sent",
                "pieces",
            ),
            0,
        )
        self.trace: list[str] | None = None
        self.value = 0
        self.nodes: dict[int, Node] = {}
        for id in self.voters:
            self.nodes[id] = Node(self, id)

    # --- time and network -------------------------------------------------------------------------
    def at(self, when: int, what: Callable[..., None], *arguments: Any) -> None:
        self.order += 1
        heapq.heappush(self.events, (when, self.order, what, arguments))

    def run(self, until: int) -> None:
        events = self.events
        while events and events[0][0] <= until:
            self.now, _, what, arguments = heapq.heappop(events)
            what(*arguments)
        self.now = max(self.now, until)

    def send(self, source: int, to: int, data: bytes) -> None:
        self.counts["sent"] += 1
        lost = (source, to) in self.cuts or self.random.random() < self.loss
        if self.trace is not None:
            self.note(f"{source} {'-x' if lost else '->'} {to}  {told(_decode(data))}")
        if lost:
            return
        for _ in range(2 if self.random.random() < self.double else 1):
            slow = self.random.random() < 0.02 and self.loss > 0
            delay = self.random.randrange(1, self.delay_ms + 1) * (30 if slow else 1)
            self.at(self.now + delay, self.nodes[to].receive, source, data)

    def disk_delay(self, id: int) -> int:
        stalls = self.disk_ms > 3 and self.random.random() < 0.1
        return self.random.randrange(1, self.disk_ms + 1) * (20 if stalls else 1)

    def note(self, line: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.now - 1_000:5} {line}")

    # --- what clients do --------------------------------------------------------------------------
    def propose(self) -> None:
        for node in self.nodes.values():
            if node.replica is not None and not node.paused() and node.replica.is_leader:
                for _ in range(self.random.choice((1, 1, 2, 5))):
                    self.value += 1
                    data = b"%d-%d " % (self.value, node.id) + b"x" * self.random.choice((0, 0, 20, 60))
                    if node.replica.propose(data) is not None:
                        self.counts["proposed"] += 1
                if self.random.random() < 0.3:
                    self.value += 1
                    if node.replica.read(self.value):
                        node.reads[self.value] = len(self.chosen)
                node.turn()

    # --- checks -----------------------------------------------------------------------------------
    def quorum(self) -> int:
        return len(self.voters) // 2 + 1

    def chosen_is(self, index: int, data: bytes) -> None:
        known = self.chosen.get(index)
        if known is not None:
            if known != data:
                raise Broken(f"at {index} both {known!r} and {data!r} are chosen")
            return
        holders = [node.id for node in self.nodes.values() if node.mirror.log[index - 1 : index] == [data]]
        if len(holders) < self.quorum():
            raise Broken(f"{index} is chosen, but only on the disks of {holders}")
        self.chosen[index] = data
        self.chosen_by[index] = max(node.mirror.accepted for node in self.nodes.values())

    def led(self, id: int, replica: Replica) -> None:
        self.counts["elections"] += 1
        self.note(f"{id} leads in {replica.ballot[0]}.{replica.ballot[1]}")
        other = self.leaders.setdefault(replica.ballot, (id, self.nodes[id].life))
        if other != (id, self.nodes[id].life):
            raise Broken(f"{other} and {id} lead in {replica.ballot}")
        log = replica.acceptor.log
        for index, data in self.chosen.items():
            if index < log.first or self.chosen_by[index] >= replica.ballot:
                continue
            if index > log.length or log.entry(index) != data:
                raise Broken(f"leader {id} of {replica.ballot} lacks {index}")

    # --- faults -----------------------------------------------------------------------------------
    def fault(self) -> None:
        """One step of a random life: things break and heal."""
        dice = self.random
        node = self.nodes[dice.choice(self.voters)]
        kind = dice.choice(FAULTS)
        if kind == "leader":
            leaders = [node for node in self.nodes.values() if node.replica is not None and node.replica.is_leader]
            node, kind = (dice.choice(leaders) if leaders else node), dice.choice(("crash", "isolate", "pause"))
        elif kind == "swap":  # the leader goes in the moment in which the others come back
            self.cuts.clear()
            for other in self.nodes.values():
                other.paused_until = 0
                if other.replica is not None and other.replica.is_leader:
                    node, kind = other, dice.choice(("crash", "isolate"))
                elif other.replica is None:
                    other.start()
        elif kind == "star":  # only one pair can talk
            friend = dice.choice(self.voters)
            everybody = {(a, b) for a in self.voters for b in self.voters}
            self.cuts = everybody - {(node.id, friend), (friend, node.id)}
        if kind == "crash" and node.replica is not None:
            self.counts["crashes"] += 1
            node.crash()
        elif kind == "start" and node.replica is None:
            node.start()
        elif kind == "cut":
            self.cuts.add((dice.choice(self.voters), dice.choice(self.voters)))
        elif kind == "isolate":
            both = dice.random() < 0.5
            for id in self.voters:
                self.cuts |= {(node.id, id), (id, node.id)} if both else {(node.id, id)}
        elif kind == "heal":
            self.cuts.clear()
        elif kind == "pause":
            node.paused_until = self.now + dice.randrange(600)
        elif kind == "net":
            self.loss, self.double = dice.choice((0, 0.05, 0.3)), dice.choice((0, 0.1, 0.4))
            self.delay_ms, self.disk_ms = dice.choice((2, 10, 60)), dice.choice((2, 5, 30))
        elif kind == "compact":
            node.compact()
        elif kind == "resign" and node.replica is not None and not node.paused():
            node.replica.resign(self.now)
            node.turn()

    def storm(self, duration_ms: int) -> None:
        """Faults and proposals for a while, then everything heals and must converge."""
        dice = self.random
        end = self.now + duration_ms
        next_fault = self.now + dice.randrange(300, 600)
        while self.now < end:
            self.run(self.now + dice.randrange(2, 25))
            self.propose()
            if self.now >= next_fault:
                self.fault()
                next_fault = self.now + dice.choice((5, 40, 120, 300))
        self.heal()

    def heal(self) -> None:
        self.cuts.clear()
        self.loss = self.double = 0.0
        self.delay_ms = self.disk_ms = 3
        for node in self.nodes.values():
            node.paused_until = 0
            if node.replica is None:
                node.start()
        before = len(self.chosen)
        deadline = self.now + 10 * self.timing.election_ms
        while self.now < deadline:
            self.run(self.now + 10)
            if len(self.chosen) <= before:
                self.propose()
        self.run(self.now + 5 * self.timing.heartbeat_ms)
        if len(self.chosen) <= before:
            raise Broken("no new commit after everything healed")
        states = {id: len(node.applied) for id, node in self.nodes.items()}
        if set(states.values()) != {len(self.chosen)}:
            raise Broken(f"not converged: {states}, chosen {len(self.chosen)}")
