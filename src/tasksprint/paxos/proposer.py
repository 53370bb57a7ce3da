"""The proposer: from candidate to leader of one ballot, and what it knows of each follower.

First it gathers promises.  Of a quorum of them, its own included when it is durable, the longest log of
the highest accepted ballot holds everything that was ever chosen; that log becomes its own.  Then each
follower that promised gets it (AcceptSync, from the place where its log is known to agree) and, behind
it, what is proposed (Accept).  A follower that promises later is taken in the same way.

What is chosen: the length that a quorum holds *in this ballot*, on disk.  That a follower holds an entry
in an older ballot's log counts nothing, even if it is the same entry.

What is decided travels with the next Accept or heartbeat: a follower that knows it a little later does no
harm, and a message of its own for each decision would wake everybody once more.

Everything is sent once, in a pipeline; nothing is waited for.  What got lost is found at the heartbeats:
the answer says what was received, and if that is less than what was sent before the heartbeat, sending
goes back there.  A follower that sees a hole says so at once.  While everybody accepts everything there is nothing to
find, and everybody has been heard: then no heartbeat is sent (`is_whole`).
"""

from __future__ import annotations

from tasksprint.limits import SLOT_BYTES, SLOTS_IN_FLIGHT, SPARE_MS
from tasksprint.paxos.acceptor import MESSAGE_BYTES, Acceptor
from tasksprint.paxos.election import NEVER
from tasksprint.paxos.messages import (
    HOLE,
    Accept,
    Accepted,
    AcceptSync,
    AnyMessage,
    Ballot,
    Heartbeat,
    HeartbeatReply,
    Prepare,
    Promise,
    SnapshotReply,
)
from tasksprint.paxos.snapshot_transfer import Sender, Snapshot

UNANSWERED_BYTES = 8 * SLOT_BYTES  # sent to a follower, not yet answered; also: proposed, not yet chosen


class Follower:
    """What the proposer knows of one other voter, in this ballot."""

    __slots__ = (
        "begin", "heard_ms", "id", "mark_round", "mark_sent", "match", "next", "opened", "promise", "received",
        "round", "streamed_ms", "suffix", "transfer",
    )

    def __init__(self, id: int) -> None:
        self.id = id
        self.promise: Promise | None = None
        self.suffix: list[bytes] = []  # while preparing: what came of its log
        self.begin = 0  # the leader's log replaces its own from here on
        self.next = 0  # next index to send
        self.opened = False  # the first AcceptSync was sent
        self.match = 0  # durable, in this ballot
        self.received = 0  # arrived, in this ballot
        self.round = 0  # the last heartbeat that it answered
        self.heard_ms = NEVER
        self.streamed_ms = NEVER  # when entries were last sent
        self.mark_round = 0  # the heartbeat that asks whether everything up to `mark_sent` arrived
        self.mark_sent = 0
        self.transfer: Sender | None = None

    def lacks(self, length: int) -> bool:
        """Whether there is something to send, of a log of this length."""
        return self.promise is not None and (self.next <= length or not self.opened or self.transfer is not None)

    def rewind(self, received: int) -> None:
        """Send again what comes after `received`; nothing received: from the first AcceptSync on."""
        received = max(received, self.match)
        self.mark_round = 0
        if received < self.begin:
            self.next, self.opened = self.begin, False
        else:
            self.next = received + 1


class Proposer:
    __slots__ = (
        "_adopted", "_config", "_needed", "_shared", "acceptor", "ballot", "first_length", "followers", "leading",
        "out", "own_write", "quorum", "reads_asked", "reads_waiting", "round",
    )

    def __init__(
        self, acceptor: Acceptor, voters: tuple[int, ...], id: int, ballot: Ballot, config: int,
        out: list[tuple[int, AnyMessage, int]],
    ) -> None:
        """`acceptor` has just promised `ballot`; it counts once that is written."""
        self.acceptor = acceptor
        self.ballot = ballot
        self.own_write = acceptor.next_write()
        self.followers = {voter: Follower(voter) for voter in voters if voter != id}
        self.quorum = len(voters) // 2 + 1
        self.leading = False
        self.first_length = 0  # of the log that was adopted
        self.round = 0
        self.out = out
        self.reads_waiting: list[tuple[int, int]] = []  # (token, index)
        self.reads_asked: list[tuple[int, int, int]] = []  # (round, token, index)
        self._adopted = ballot  # the ballot in which the adopted log was accepted
        self._config = config
        self._needed: list[Follower] | None = None  # None: it may have changed
        self._shared: Accept | None = None  # followers at the same place get the same message

    # --- candidate --------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Ask those that have not promised, or not sent all that we need of them."""
        for follower in self.followers.values():
            if follower.promise is None:
                self._ask(follower, 0)
        if not self.leading:
            self.try_to_lead()

    def _ask(self, follower: Follower, start: int) -> None:
        acceptor = self.acceptor
        message = Prepare(self._config, self.ballot, acceptor.decided, acceptor.accepted, acceptor.log.length, start)
        self.out.append((follower.id, message, self.own_write))

    def on_promise(self, source: int, message: Promise) -> bool:
        """True when it brought something new."""
        follower = self.followers[source]
        if follower.promise is None:
            follower.promise = message
            if self.leading:
                self._admit(follower, message)
                return True
            follower.suffix = list(message.suffix)
        elif not self.leading and message.suffix and message.start == follower.promise.start + len(follower.suffix):
            follower.suffix += message.suffix
        else:
            return False
        self.try_to_lead()
        return True

    def try_to_lead(self) -> None:
        """Adopt and lead, if a quorum has promised."""
        promised = [follower for follower in self.followers.values() if self._is_usable(follower)]
        if self.leading or len(promised) + self._own_promise() < self.quorum:
            return
        best = self.best(promised)
        if best is not None and not self._is_whole(best):
            return
        self._adopt(best, promised)

    def _own_promise(self) -> int:
        return 1 if self.acceptor.durable_write >= self.own_write else 0

    def best(self, promised: list[Follower]) -> Follower | None:
        """Whose log holds everything that was chosen; None: our own."""
        best, highest = None, (self.acceptor.accepted, self.acceptor.log.length)
        for follower in promised:
            assert follower.promise is not None
            there = (follower.promise.accepted, follower.promise.length)
            if there > highest:
                best, highest = follower, there
        return best

    def _is_usable(self, follower: Follower) -> bool:
        """Not when its log may have to be adopted, but what we lack of it is compacted: another quorum must do."""
        promise = follower.promise
        return promise is not None and (promise.start == 0 or promise.start == self._wanted(promise))

    def _wanted(self, promise: Promise) -> int:
        acceptor = self.acceptor
        return acceptor.log.length + 1 if promise.accepted == acceptor.accepted else acceptor.decided + 1

    def _is_whole(self, best: Follower) -> bool:
        promise = best.promise
        assert promise is not None
        end = promise.start + len(best.suffix) - 1
        if end < promise.length:
            self._ask(best, end + 1)
        return end >= promise.length

    def _adopt(self, best: Follower | None, promised: list[Follower]) -> None:
        acceptor = self.acceptor
        if best is None or best.promise is None:
            self._adopted = acceptor.accepted
            acceptor.adopt(self.ballot, acceptor.log.length + 1, [])
        else:
            self._adopted = best.promise.accepted
            acceptor.adopt(self.ballot, best.promise.start, best.suffix)
        self.first_length = acceptor.log.length
        self.leading = True
        for follower in promised:
            assert follower.promise is not None
            acceptor.decide(follower.promise.decided)
        for follower in self.followers.values():
            if follower.promise is not None:
                self._admit(follower, follower.promise)

    # --- leader: one follower ---------------------------------------------------------------------
    def _admit(self, follower: Follower, promise: Promise) -> None:
        """Its log agrees with ours as far as both are of the adopted ballot; else as far as it knows decisions."""
        same = promise.accepted == self._adopted
        follower.begin = (min(promise.length, self.first_length) if same else promise.decided) + 1
        follower.next = follower.begin
        self._matched(follower, self.first_match(promise))
        follower.suffix = []

    def first_match(self, promise: Promise) -> int:
        """What was accepted in older ballots counts nothing in ours."""
        return 0

    def on_accepted(self, source: int, message: Accepted, now_ms: int) -> None:
        follower = self.followers[source]
        follower.heard_ms = now_ms
        if message.length > follower.match:
            self._matched(follower, message.length)
            if message.length > follower.received:
                follower.received = message.length
            self.commit()

    def _matched(self, follower: Follower, length: int) -> None:
        follower.match = length
        self._needed = None

    def on_heartbeat_reply(self, source: int, message: HeartbeatReply, now_ms: int) -> None:
        follower = self.followers[source]
        follower.heard_ms = now_ms
        follower.round = max(follower.round, message.round)
        if follower.promise is None:
            return  # the heartbeats bring it a Prepare
        if message.length > follower.match:
            self._matched(follower, message.length)
            self.commit()
        follower.received = max(follower.match, message.received)
        if message.round == HOLE:
            if message.received + 1 < follower.next:
                follower.rewind(message.received)
        elif follower.mark_round and message.round >= follower.mark_round:
            follower.mark_round = 0
            if message.received < follower.mark_sent:
                follower.rewind(message.received)

    def on_snapshot_reply(self, source: int, message: SnapshotReply) -> None:
        follower = self.followers[source]
        transfer = follower.transfer
        if transfer is None or transfer.snapshot.index != message.index:
            return
        if not message.done:
            transfer.answered(message)
            return
        follower.transfer = None
        follower.begin = max(follower.begin, message.index + 1)
        follower.rewind(message.index)

    # --- leader: sending --------------------------------------------------------------------------
    def stream(self, snapshot: Snapshot | None, now_ms: int) -> None:
        """Send what is new to whom; called once at the end of a turn.

        Those followers that complete a quorum with us (the ones that are ahead) get it at once.  The others, whom
        nobody waits for, get it SPARE_MS after what they got before, many entries at a time: an idle log reaches all
        at once, a busy one wakes fewer.  A follower that falls behind becomes a spare one by that.
        """
        length = self.acceptor.log.length
        lacking = [each for each in self.followers.values() if each.lacks(length)]
        if not lacking:
            return
        self._shared = None
        needed = self.needed()
        for follower in lacking:
            if follower.transfer is not None or follower.next < self.acceptor.log.first:
                self._stream_snapshot(follower, snapshot)
            elif follower in needed or not follower.opened or now_ms - follower.streamed_ms >= SPARE_MS:
                if follower.next <= length:
                    follower.streamed_ms = now_ms
                self._stream_log(follower)

    def needed(self) -> list[Follower]:
        """The followers whose acceptances will decide, as it looks now."""
        if self._needed is None:
            ahead = sorted(self.followers.values(), key=lambda follower: (-follower.match, follower.id))
            self._needed = ahead[: self.quorum - 1]
        return self._needed

    def next_stream_ms(self) -> int:
        """When a spare follower is due that has something to get."""
        length = self.acceptor.log.length
        lacking = [each for each in self.followers.values() if each.opened and each.next <= length]
        if not lacking:
            return -NEVER
        needed = self.needed()
        return min([each.streamed_ms for each in lacking if each not in needed], default=-NEVER) + SPARE_MS

    def _stream_log(self, follower: Follower) -> None:
        log = self.acceptor.log
        while follower.next <= log.length or not follower.opened:
            unanswered = log.size(max(follower.received, follower.begin - 1) + 1, follower.next - 1)
            if unanswered > UNANSWERED_BYTES:
                return
            if follower.next <= self.first_length or not follower.opened:
                self._send_sync(follower)
            else:
                self._send_accept(follower)

    def _send_sync(self, follower: Follower) -> None:
        log = self.acceptor.log
        start = follower.next
        if start <= self.first_length:
            end = min(log.cut_at(start, MESSAGE_BYTES), self.first_length)
            entries = log.slice(start, end)
        else:
            end, entries = start - 1, []
        until = max(self.first_length, follower.begin - 1)
        message = AcceptSync(
            self._config, self.ballot, follower.begin, until, start, entries, self.acceptor.decided
        )
        follower.next, follower.opened = end + 1, True
        self.out.append((follower.id, message, 0))

    def _send_accept(self, follower: Follower) -> None:
        log = self.acceptor.log
        start = follower.next
        shared = self._shared
        if shared is None or shared.start != start:
            entries = log.slice(start, log.cut_at(start, MESSAGE_BYTES))
            shared = self._shared = Accept(self._config, self.ballot, start, entries, self.acceptor.decided)
        follower.next = start + len(shared.entries)
        self.out.append((follower.id, shared, 0))

    def _stream_snapshot(self, follower: Follower, snapshot: Snapshot | None) -> None:
        if follower.transfer is None:
            assert snapshot is not None, "the log was compacted without a snapshot"
            follower.transfer = Sender(snapshot)
        for chunk in follower.transfer.chunks(self._config, self.ballot):
            self.out.append((follower.id, chunk, 0))

    def heartbeat(self) -> None:
        """A new round: it confirms leadership, asks what arrived, and carries the reads that wait."""
        self.start_round()
        for follower in self.followers.values():
            if follower.promise is None:
                self._ask(follower, 0)
            if follower.transfer is not None:
                follower.transfer.heartbeat()

    def start_round(self) -> None:
        self.round += 1
        message = Heartbeat(self._config, self.ballot, self.acceptor.decided, self.round)
        for follower in self.followers.values():
            self.out.append((follower.id, message, 0))
            if follower.mark_round == 0:
                follower.mark_round, follower.mark_sent = self.round, follower.next - 1 if follower.opened else 0
        self.reads_asked += [(self.round, token, index) for token, index in self.reads_waiting]
        self.reads_waiting.clear()

    # --- leader: choosing -------------------------------------------------------------------------
    def own_match(self) -> int:
        """Our own log counts as far as it is on our disk, in this ballot."""
        ballot, length = self.acceptor.durable
        return length if ballot == self.ballot else 0

    def commit(self) -> None:
        """Decide what a quorum holds in this ballot."""
        matches = [follower.match for follower in self.followers.values()]
        matches.append(self.own_match())
        matches.sort(reverse=True)
        index = matches[self.quorum - 1]
        if index > self.acceptor.decided:
            self.acceptor.decide(index)

    def in_flight(self) -> int:
        return self.acceptor.log.length - self.acceptor.decided

    def has_room(self) -> bool:
        acceptor = self.acceptor
        length, decided = acceptor.log.length, acceptor.decided
        return length == decided or (
            length - decided < SLOTS_IN_FLIGHT and acceptor.log.size(decided + 1, length) < UNANSWERED_BYTES
        )

    def is_whole(self) -> bool:
        """Everybody has accepted, durably, all that we have."""
        length = self.acceptor.log.length
        return all(follower.match == length for follower in self.followers.values())

    def has_quorum(self, since_ms: int) -> bool:
        """Enough followers answered at or after that time."""
        heard = sum(follower.heard_ms >= since_ms for follower in self.followers.values())
        return heard + 1 >= self.quorum

    # --- leader: reads ----------------------------------------------------------------------------
    def read(self, token: int) -> None:
        """Whatever was chosen before is at or before this index: older ballots' in the adopted log, ours in decided."""
        self.reads_waiting.append((token, max(self.acceptor.decided, self.first_length)))

    def confirm_reads(self) -> list[tuple[int, int]]:
        """Reads whose round a quorum answered, so that nobody else could have led when they were asked."""
        if not self.reads_asked:
            if not self.reads_waiting:
                return []
            self.start_round()
        rounds = [follower.round for follower in self.followers.values()]
        rounds.append(self.round)
        rounds.sort(reverse=True)
        confirmed = rounds[self.quorum - 1]
        done = [(token, index) for round, token, index in self.reads_asked if round <= confirmed]
        if done:
            self.reads_asked = [waiting for waiting in self.reads_asked if waiting[0] > confirmed]
            if self.reads_waiting and not self.reads_asked:
                self.start_round()
        return done
