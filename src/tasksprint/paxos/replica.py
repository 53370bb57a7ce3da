"""One replica of the log: it gives the messages, the clock and the disk to the roles, and their effects to the shell.

The shell's duties, in the order in which they matter:

*   after each turn call `take()` and do what it says; a message with `after` leaves only when that write
    is durable; records are written in the order given; the state machine applies `committed` in order;
*   call `written(write)` when a write, and everything before it, is durable;
*   call `tick` at `next_wake()`, or every 20 ms.

Nothing here reads a clock or a random source; the same calls give the same outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tasksprint.limits import SLOT_BYTES
from tasksprint.paxos.acceptor import MESSAGE_BYTES, Acceptor
from tasksprint.paxos.election import Election, Timing
from tasksprint.paxos.messages import (
    HOLE,
    ZERO,
    Accept,
    Accepted,
    AcceptSync,
    AnyMessage,
    AnyRecord,
    Ballot,
    Heartbeat,
    HeartbeatReply,
    Prepare,
    PreVote,
    PreVoteReply,
    Promise,
    Reject,
    Resigned,
    SnapshotChunk,
    SnapshotReply,
)
from tasksprint.paxos.output import NOTHING, Output
from tasksprint.paxos.proposer import Proposer
from tasksprint.paxos.snapshot_transfer import Receiver, Snapshot

FOLLOWER, ASKING, PREPARING, LEADER = "follower", "asking", "preparing", "leader"
KEPT_ENTRIES = 1_024  # before a snapshot's index, for followers that lag a little
KEPT_BYTES = 8 * SLOT_BYTES


class Replica:
    """See the module; `voters` contains `id`.  `records` and `snapshot` are what the disk gave back."""

    def __init__(
        self, id: int, voters: tuple[int, ...], timing: Timing, seed: int, now_ms: int, *, config: int = 1,
        records: Iterable[AnyRecord] = (), snapshot: tuple[int, bytes] | None = None,
    ) -> None:
        assert id in voters, f"replica {id} is not among the voters {voters}"
        self.id = id
        self.voters = voters
        self.config = config
        self.leader = 0
        self.role = FOLLOWER
        self.timing = timing
        self.acceptor = Acceptor(records, snapshot[0] if snapshot else 0)
        self.election = Election(id, timing, seed, now_ms)
        self.proposer: Proposer | None = None
        self.ballot: Ballot = self.acceptor.promised
        self._snapshot = Snapshot(*snapshot) if snapshot else None
        self._receiver = Receiver()
        self._install: tuple[int, bytes] | None = None
        self._emitted = snapshot[0] if snapshot else 0
        assert self._emitted + 1 >= self.acceptor.log.first, "the journal begins after the snapshot"
        self._messages: list[tuple[int, AnyMessage, int]] = []
        self._owed = 0  # to whom an Accepted is due at the end of the turn
        self._hole_told = False
        self._reads: list[tuple[int, int]] = []
        self._heartbeat_ms = 0
        self._now_ms = now_ms
        self._prepare_deadline_ms = 0
        self._resend_ms = 0
        self._told_role = (False, 0)
        self._handlers: dict[type, Callable[[int, Any, int], None]] = {
            PreVote: self._on_prevote, PreVoteReply: self._on_prevote_reply, Prepare: self._on_prepare,
            Promise: self._on_promise, Reject: self._on_reject, AcceptSync: self._on_accept_sync,
            Accept: self._on_accept, Accepted: self._on_accepted, Heartbeat: self._on_heartbeat,
            HeartbeatReply: self._on_heartbeat_reply, Resigned: self._on_resigned, SnapshotChunk: self._on_chunk,
            SnapshotReply: self._on_snapshot_reply,
        }
        if self.acceptor.promised == ZERO:
            self.election.hurry(now_ms)  # a new cluster need not wait for a leader's silence
        if len(voters) == 1:
            self._stand(now_ms)

    # --- what others may see ----------------------------------------------------------------------
    @property
    def is_leader(self) -> bool:
        return self.role is LEADER

    @property
    def decided(self) -> int:
        return self.acceptor.decided

    @property
    def length(self) -> int:
        return self.acceptor.log.length

    @property
    def first(self) -> int:
        """Index of the first entry kept."""
        return self.acceptor.log.first

    @property
    def promised(self) -> Ballot:
        return self.acceptor.promised

    @property
    def in_flight(self) -> int:
        """Entries of this leader's log that are not yet decided."""
        return self.proposer.in_flight() if self.proposer is not None and self.role is LEADER else 0

    @property
    def can_propose(self) -> bool:
        return self.role is LEADER and self.proposer is not None and self.proposer.has_room()

    # --- what the shell does ----------------------------------------------------------------------
    def step(self, source: int, message: AnyMessage, now_ms: int) -> None:
        self._now_ms = now_ms
        if message.config == self.config and source in self.voters and source != self.id:
            self._handlers[type(message)](source, message, now_ms)

    def propose(self, data: bytes) -> int | None:
        """The index at which `data` stands in this leader's log; None: not leading, or too much in flight."""
        if self.role is not LEADER or self.proposer is None or not self.proposer.has_room():
            return None
        log = self.acceptor.log
        log.append(data)
        return log.length

    def read(self, token: int) -> bool:
        if self.role is not LEADER or self.proposer is None:
            return False
        self.proposer.read(token)
        return True

    def written(self, write: int, now_ms: int) -> None:
        self._now_ms = now_ms
        self.acceptor.written(write)
        if self.role is LEADER and self.proposer is not None:
            self.proposer.commit()
        elif self.role is PREPARING:
            self._try_to_lead(now_ms)
        else:
            self.acceptor.follow_decided()

    def compact(self, index: int, snapshot: bytes) -> list[AnyRecord]:
        """`snapshot` is the state after `index`.  What a new segment of the journal begins with.

        The records mean the same as the journal so far, no more and no less: so it does not matter when, or whether,
        they replace it, and writes that are made meanwhile fit behind both.
        """
        assert index <= self._emitted, f"a snapshot of {index}, but only {self._emitted} was given out"
        assert self._install is None and not self.acceptor.has_records, "something waits to be written: take() first"
        self._snapshot = Snapshot(index, snapshot)
        return self.acceptor.compact(index, self._first_kept(index))

    def _first_kept(self, index: int) -> int:
        log = self.acceptor.log
        first = max(log.first, index + 1 - KEPT_ENTRIES)
        while first <= index and log.size(first, index) > KEPT_BYTES:
            first = (first + index) // 2 + 1
        return first

    def resign(self, now_ms: int) -> None:
        """Lead no more, and let others stand first: our disk is slow, say."""
        if self.role is LEADER:
            self._step_down(now_ms, 2 * self.timing.election_ms)

    def next_wake(self) -> int:
        if self.role is LEADER and self.proposer is not None:
            return min(self._heartbeat_ms, self.proposer.next_stream_ms())
        if self.role is PREPARING:
            return min(self._resend_ms, self._prepare_deadline_ms)
        return self.election.deadline_ms

    def tick(self, now_ms: int) -> None:
        self._now_ms = now_ms
        if self.role is LEADER:
            self._tick_leader(now_ms)
        elif self.role is PREPARING:
            self._tick_preparing(now_ms)
        elif now_ms >= self.election.deadline_ms:
            self._stand(now_ms)

    def take(self) -> Output:
        """Everything to do since the last call; see the module.  NOTHING itself when there is nothing."""
        proposer = self.proposer
        if self.role is LEADER and proposer is not None:
            self._reads += proposer.confirm_reads()
            proposer.stream(self._snapshot, self._now_ms)
        acceptor = self.acceptor
        role = (self.role is LEADER, self.leader)
        if not (self._messages or self._owed or acceptor.has_records or self._emitted < acceptor.decided) and not (
            self._install or self._reads or role != self._told_role
        ):
            return NOTHING
        records = acceptor.take_records()
        if self._owed:
            self._say_accepted()
        output = Output(records, acceptor.write if records else 0, self._messages, self._take_committed())
        output.install, output.reads = self._install, self._reads
        output.role_changed = role != self._told_role
        self._told_role = role
        self._messages = []
        if proposer is not None:
            proposer.out = self._messages
        self._reads = []
        self._install = None
        return output

    def _say_accepted(self) -> None:
        """One answer for all that was accepted in this turn."""
        acceptor = self.acceptor
        message = Accepted(self.config, acceptor.accepted, acceptor.log.length)
        self._messages.append((self._owed, message, self.durable_after()))
        self._owed = 0

    def durable_after(self) -> int:
        """The write before which nothing may be said of what was promised or accepted until now."""
        return self.acceptor.next_write()

    def _take_committed(self) -> list[tuple[int, bytes]]:
        start, end = self._emitted + 1, self.acceptor.decided
        if end < start:
            return []
        self._emitted = end
        return list(zip(range(start, end + 1), self.acceptor.log.slice(start, end), strict=True))

    # --- standing ---------------------------------------------------------------------------------
    def _stand(self, now_ms: int) -> None:
        """Ask whether an election would succeed."""
        self.role = ASKING
        self._set_leader(0)
        acceptor = self.acceptor
        ballot = self.election.ask(acceptor.promised, now_ms)
        message = PreVote(self.config, ballot, acceptor.accepted, acceptor.log.length, acceptor.decided)
        self._tell_others(message)
        self._count_prevotes(now_ms)

    def _on_prevote(self, source: int, message: PreVote, now_ms: int) -> None:
        granted = self._would_promise(message, now_ms)
        self.election.saw(message.ballot)
        self._send(source, PreVoteReply(self.config, message.ballot, granted, self.acceptor.promised))

    def _would_promise(self, message: PreVote, now_ms: int) -> bool:
        acceptor = self.acceptor
        if self.role is LEADER or self.election.hears(now_ms) or message.ballot <= acceptor.promised:
            return False
        start = acceptor.suffix_start(message.accepted, message.length, message.decided)
        return start == 0 or start >= acceptor.log.first  # it could adopt our log, if it had to

    def _on_prevote_reply(self, source: int, message: PreVoteReply, now_ms: int) -> None:
        self.election.saw(message.promised)
        if self.role is ASKING and message.granted and message.ballot == self.election.asked:
            self.election.granted.add(source)
            self._count_prevotes(now_ms)

    def _count_prevotes(self, now_ms: int) -> None:
        if len(self.election.granted) > len(self.voters) // 2 and self.election.asked > self.acceptor.promised:
            self._prepare(now_ms)

    def _prepare(self, now_ms: int) -> None:
        """Promise our own ballot, durably, and then ask the others for it."""
        self.role = PREPARING
        self.ballot = self.election.asked
        self.acceptor.promise(self.ballot)
        self.proposer = Proposer(self.acceptor, self.voters, self.id, self.ballot, self.config, self._messages)
        self._prepare_deadline_ms = now_ms + self.timing.election_ms
        self._resend_ms = now_ms + self.timing.heartbeat_ms
        self.proposer.prepare()

    def _tick_preparing(self, now_ms: int) -> None:
        if now_ms >= self._prepare_deadline_ms:
            self._follow(now_ms)
        elif now_ms >= self._resend_ms and self.proposer is not None:
            self._resend_ms = now_ms + self.timing.heartbeat_ms
            self.proposer.prepare()
            self._become_leader(now_ms)

    def _on_promise(self, source: int, message: Promise, now_ms: int) -> None:
        proposer = self.proposer
        if proposer is None or message.ballot != proposer.ballot:
            return
        if proposer.on_promise(source, message):
            self._prepare_deadline_ms = now_ms + self.timing.election_ms
        self._become_leader(now_ms)

    def _try_to_lead(self, now_ms: int) -> None:
        assert self.proposer is not None
        self.proposer.try_to_lead()
        self._become_leader(now_ms)

    def _become_leader(self, now_ms: int) -> None:
        """The log is adopted: lead."""
        if self.role is not PREPARING or self.proposer is None or not self.proposer.leading:
            return
        self.role = LEADER
        self._set_leader(self.id)
        for follower in self.proposer.followers.values():
            follower.heard_ms = now_ms
        self._heartbeat_ms = now_ms + self.timing.heartbeat_ms
        self.proposer.heartbeat()
        self.proposer.commit()

    # --- leading ----------------------------------------------------------------------------------
    def _tick_leader(self, now_ms: int) -> None:
        assert self.proposer is not None
        if not self.proposer.has_quorum(now_ms - self.timing.election_ms):
            self._step_down(now_ms, 0)
        elif now_ms >= self._heartbeat_ms:
            self._heartbeat_ms = now_ms + self.timing.heartbeat_ms
            self.proposer.heartbeat()

    def _step_down(self, now_ms: int, extra_ms: int) -> None:
        self._tell_others(Resigned(self.config, self.ballot))
        self._follow(now_ms)
        self.election.wait(now_ms, extra_ms)

    def _follow(self, now_ms: int) -> None:
        """No candidate and no leader any more."""
        self.role = FOLLOWER
        self.proposer = None
        self._set_leader(0)
        self.election.wait(now_ms)

    def _on_reject(self, source: int, message: Reject, now_ms: int) -> None:
        self.election.saw(message.promised)
        if message.promised <= self.ballot:
            return
        if self.role is LEADER:
            self._step_down(now_ms, 0)
        elif self.role is PREPARING:
            self._follow(now_ms)

    def _on_accepted(self, source: int, message: Accepted, now_ms: int) -> None:
        if self.role is LEADER and self.proposer is not None and message.ballot == self.ballot:
            self.proposer.on_accepted(source, message, now_ms)
            if self.proposer.is_whole():  # as good as a heartbeat that all have answered
                self._heartbeat_ms = now_ms + self.timing.heartbeat_ms * 5 // 4

    def _on_heartbeat_reply(self, source: int, message: HeartbeatReply, now_ms: int) -> None:
        if self.role is LEADER and self.proposer is not None and message.ballot == self.ballot:
            self.proposer.on_heartbeat_reply(source, message, now_ms)

    def _on_snapshot_reply(self, source: int, message: SnapshotReply, now_ms: int) -> None:
        if self.role is LEADER and self.proposer is not None and message.ballot == self.ballot:
            self.proposer.on_snapshot_reply(source, message)

    # --- following --------------------------------------------------------------------------------
    def _on_prepare(self, source: int, message: Prepare, now_ms: int) -> None:
        acceptor = self.acceptor
        self.election.saw(message.ballot)
        if acceptor.refuses(message.ballot):
            self._send(source, Reject(self.config, acceptor.promised))
            return
        if message.ballot > acceptor.promised:
            if self.role is not FOLLOWER:
                self._follow(now_ms)
            self._set_leader(0)
            acceptor.promise(message.ballot)
            self.ballot = message.ballot
        elif self.role in (PREPARING, LEADER):
            return
        self.election.heard(now_ms)
        self._send_promise(source, message)

    def _send_promise(self, source: int, message: Prepare) -> None:
        acceptor = self.acceptor
        log = acceptor.log
        start = acceptor.suffix_start(message.accepted, message.length, message.decided)
        suffix: list[bytes] = []
        if start:
            start = max(start, message.start, log.first)
            if start <= log.length:
                suffix = log.slice(start, log.cut_at(start, MESSAGE_BYTES))
        promise = Promise(self.config, message.ballot, acceptor.accepted, log.length, acceptor.decided, start, suffix)
        self._messages.append((source, promise, self.durable_after()))

    def _hear(self, source: int, ballot: Ballot, now_ms: int) -> bool:
        """A leader's message: True when we promised its ballot."""
        acceptor = self.acceptor
        if acceptor.refuses(ballot):
            self._send(source, Reject(self.config, acceptor.promised))
            return False
        if self.role is not FOLLOWER:
            if ballot == self.ballot and self.role is not ASKING:
                return False  # nobody else has our ballot
            self._follow(now_ms)
        self.election.heard(now_ms)
        self._set_leader(source)
        return ballot <= acceptor.promised

    def _on_heartbeat(self, source: int, message: Heartbeat, now_ms: int) -> None:
        if self._hear(source, message.ballot, now_ms):
            self._be_told(message.decided)
            self._hole_told = False
            self._reply(source, message.ballot, message.round)
        elif message.ballot > self.acceptor.promised:
            self._send(source, HeartbeatReply(self.config, message.ballot, message.round, 0, 0))

    def _reply(self, source: int, ballot: Ballot, round: int) -> None:
        """How far we are in that ballot.  What it calls durable is durable now: it need not wait."""
        acceptor = self.acceptor
        accepted, length = acceptor.durable
        durable = length if accepted == ballot else 0
        received = 0
        if acceptor.is_synced(ballot):
            received = acceptor.log.length
        elif acceptor.sync is not None:
            received = acceptor.sync.end
        self._send(source, HeartbeatReply(self.config, ballot, round, durable, received))

    def _on_accept(self, source: int, message: Accept, now_ms: int) -> None:
        if not self._hear(source, message.ballot, now_ms):
            return
        if self.acceptor.is_synced(message.ballot) and self.acceptor.accept(message.start, message.entries):
            self._owed = source
            self._hole_told = False
            self._be_told(message.decided)
        else:
            self._tell_hole(source, message.ballot)

    def _on_accept_sync(self, source: int, message: AcceptSync, now_ms: int) -> None:
        if not self._hear(source, message.ballot, now_ms):
            return
        acceptor = self.acceptor
        if acceptor.is_synced(message.ballot):
            taken = acceptor.accept(message.start, message.entries)
        else:
            taken = acceptor.accept_sync(message.ballot, message.begin, message.until, message.start, message.entries)
        if not taken:
            self._tell_hole(source, message.ballot)
            return
        self._hole_told = False
        self._be_told(message.decided)
        if acceptor.is_synced(message.ballot):
            self._owed = source
        else:
            self._reply(source, message.ballot, 0)

    def _tell_hole(self, source: int, ballot: Ballot) -> None:
        """Once, until something fits or a heartbeat comes: the rest of the pipeline will not fit either."""
        if not self._hole_told:
            self._hole_told = True
            self._reply(source, ballot, HOLE)

    def _be_told(self, decided: int) -> None:
        acceptor = self.acceptor
        if decided > acceptor.told:
            acceptor.told = decided
            acceptor.follow_decided()

    def _on_resigned(self, source: int, message: Resigned, now_ms: int) -> None:
        if self.role is FOLLOWER and message.ballot == self.acceptor.promised and self.leader in (0, source):
            self._set_leader(0)
            self.election.hurry(now_ms)

    def _on_chunk(self, source: int, message: SnapshotChunk, now_ms: int) -> None:
        if not self._hear(source, message.ballot, now_ms):
            return
        offset, whole, done = 0, None, message.index <= self.acceptor.decided
        if not done:
            offset, whole = self._receiver.take(message)
        if whole is not None:
            self._load(message.index, whole)
            done = True
        reply = SnapshotReply(self.config, message.ballot, message.index, offset, done)
        self._messages.append((source, reply, self.durable_after() if done else 0))

    def _load(self, index: int, state: bytes) -> None:
        self.acceptor.install(index)
        self._snapshot = Snapshot(index, state)
        self._install = (index, state)
        self._emitted = index

    # --- small things -----------------------------------------------------------------------------
    def _send(self, to: int, message: AnyMessage) -> None:
        self._messages.append((to, message, 0))

    def _tell_others(self, message: AnyMessage) -> None:
        for voter in self.voters:
            if voter != self.id:
                self._messages.append((voter, message, 0))

    def _set_leader(self, leader: int) -> None:
        self.leader = leader
