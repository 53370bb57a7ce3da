"""A coordinator, pure: Paxos, the view, the schedulers' answers → effects.

The shell calls the methods with what happened and the time, then `take()` and performs the effects in order.
Nothing in here waits, reads a clock or touches a socket, so the simulator runs the very same object.

The shell's duties:
- `advance(now_ms)` at the latest at `next_wake()`; `take()` after every turn in which anything was called, again and
  again until it gives nothing: what others wait for comes first, what it brings about in here afterwards.
- `written(write, now_ms)` when the Write or Rotate of that number, and all before, is durable (outbox.py).  Messages
  that depend on a write stay inside until then.
- links are numbers that the shell makes up; `link_closed` when one is gone.

How an operation goes through: `_offer` puts it among the pending; `take` proposes them as one slot, at once when
nothing is in flight, otherwise when the slot before is chosen or GATHER_MS have passed.  A reply that waits for its
operation hangs on the slot's index (`_after`): while we lead the ballot in which we proposed it, what is chosen
there is what we proposed; when we lose the lead, whoever waits is told to ask the next coordinator.

Only a leader whose own Begin is applied serves anybody: by then it has applied all that was acknowledged before.

A follower applies what is decided a little later, many entries at a time (`_behind`), when something else wakes it:
nobody waits for it, while the leader does wait for the next acceptance.  Whoever leads applies at once, and first
what it is behind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from tasksprint import limits
from tasksprint.coordinator import effects
from tasksprint.coordinator.copies import Copies
from tasksprint.coordinator.effects import Effect
from tasksprint.coordinator.outbox import Outbox, encoded
from tasksprint.coordinator.pending import Pending
from tasksprint.coordinator.progress import Progress
from tasksprint.coordinator.reads import Reads
from tasksprint.coordinator.requests import HeldWatch, Waiting, no_such_job, status_answer
from tasksprint.coordinator.ticks import Ticks
from tasksprint.paxos import NOTHING, Output, Replica, Timing
from tasksprint.paxos.messages import AnyMessage, AnyRecord
from tasksprint.view import Changed, Diverged, Machine
from tasksprint.view.operations import (
    AnyAction,
    AnyOperation,
    Begin,
    CancelJob,
    Collected,
    Leave,
    ProgramChunk,
    Register,
    Reports,
    Submit,
    pack_entry,
)
from tasksprint.wire import messages as wire

BEHIND_MAX = 256  # entries: a follower that is behind by more applies them at once


class Coordinator:
    """One replica of the replicated state machine, with its copies of the schedulers."""

    def __init__(
        self,
        id: int,
        voters: tuple[int, ...],
        addresses: dict[int, str],
        seed: int,
        now_ms: int,
        *,
        timing: Timing | None = None,
        records: Iterable[AnyRecord] = (),
        snapshot: tuple[int, bytes] | None = None,
        tick_ms: int = limits.TICK_MS,
    ) -> None:
        self.id = id
        self.addresses = addresses
        self.machine = Machine() if snapshot is None else Machine.restore(snapshot[1])
        timing = timing or Timing(limits.HEARTBEAT_MS, limits.ELECTION_MS)
        self.replica = Replica(id, voters, timing, seed, now_ms, records=records, snapshot=snapshot)
        self.copies = Copies(self.machine)
        self.waiting = Waiting(self._send)
        self.progress = Progress()
        self.now_ms = now_ms
        self.leading = False  # our Begin is applied
        self.elections = 0  # how often we began to lead
        self._begin_index = 0
        self._begun_ballot = (0, 0)
        self._pending = Pending()
        self._after: dict[int, list[Callable[[], None]]] = {}
        self._ticks = Ticks(tick_ms, now_ms)
        self._unfed: dict[int, None] = {}  # jobs whose warm copy here has events to come
        self._feed_at = 0
        self._offered: dict[tuple[str, int], int] = {}  # session → last sequence of reports offered under our ballot
        self._reads = Reads()
        self._outbox = Outbox()
        self._log_bytes = 0
        self._behind: list[tuple[int, bytes]] = []  # decided, not yet applied: only while we follow
        self._apply_at = 0
        self._moved = True  # something happened since the last turn
        self._effects: list[Effect] = []
        for state in self.machine.running_jobs():
            self.copies.start(state.number)

    # --- what happened --------------------------------------------------------------------------

    def _now(self, now_ms: int) -> None:
        """Something happens."""
        self.now_ms = now_ms
        self._moved = True

    def peer(self, source: int, messages: Iterable[AnyMessage], now_ms: int) -> None:
        self._now(now_ms)
        for message in messages:
            self.replica.step(source, message, now_ms)
        self._effects += self._outbox.wanted()  # it may have been the word that was missing beside our own

    def written(self, write: int, now_ms: int) -> None:
        self._now(now_ms)
        self.replica.written(write, now_ms)
        self._effects += self._outbox.written(write)

    def advance(self, now_ms: int) -> None:
        """Time has passed."""
        self._now(now_ms)
        self.replica.tick(now_ms)
        if self.leading and now_ms >= self._ticks.next_ms:
            self._tick()
            self.waiting.expire(self.machine, now_ms)
            self.waiting.acknowledge(self.machine)
        if self._unfed and now_ms >= self._feed_at:
            self._feed_copies()

    def _feed_copies(self) -> None:
        unfed, self._unfed = self._unfed, {}
        for job in unfed:
            self.copies.feed(job)

    def next_wake(self) -> int:
        wake = self.replica.next_wake()
        if self.leading:
            wake = min(wake, self._ticks.next_ms)
        if self._pending.waiting:
            wake = min(wake, self._pending.since_ms + limits.GATHER_MS)
        if self._behind:
            wake = min(wake, self._apply_at + limits.FOLLOW_WAIT_MS)
        if self._unfed:
            wake = min(wake, self._feed_at)
        return wake

    def link_closed(self, link: int) -> None:
        self.waiting.drop_link(link)

    def slow_disk(self, now_ms: int) -> None:
        """The oldest unsynced write is older than half the election timeout."""
        self._now(now_ms)
        if self.replica.is_leader:
            self.replica.resign(now_ms)

    # --- schedulers -------------------------------------------------------------------------------

    def scheduler_ready(self, job: int, copy: int, *, ordered: bool, can_save: bool, now_ms: int) -> None:
        self._now(now_ms)
        self.copies.ready(job, copy, ordered=ordered, can_save=can_save)

    def scheduler_answered(
        self, job: int, copy: int, answers: Iterable[tuple[int, list[AnyAction]]], seq: int, more: bool, now_ms: int
    ) -> None:
        self._now(now_ms)
        self.copies.answered(job, copy, answers, seq, more)
        if self.leading:
            self.copies.propose(job, self.replica.ballot, idle=False)

    def scheduler_saved(self, job: int, copy: int, state: bytes | None, now_ms: int) -> None:
        self._now(now_ms)
        self.copies.saved(job, copy, state, self.replica.ballot)
        if not self.leading:
            self.copies.operations.clear()

    def scheduler_failed(self, job: int, copy: int, error: str, *, nonsense: bool, now_ms: int) -> None:
        self._now(now_ms)
        self.copies.failed(job, copy, error, nonsense=nonsense, leading=self.leading, ballot=self.replica.ballot)

    # --- links: clients and commands ----------------------------------------------------------------

    def message(self, link: int, message: wire.ToCoordinator, now_ms: int) -> None:
        self._now(now_ms)
        if isinstance(message, wire.StatusRequest) and message.what == "self":
            self._answer(link, message, "", json.dumps(self.status()).encode())
        elif isinstance(message, wire.GetProgram):
            self._program_part(link, message)
        elif not self.leading:
            self._not_leader(link)
        else:
            self._HANDLERS[type(message)](self, link, message)

    def _not_leader(self, link: int) -> None:
        leader = self.replica.leader if self.replica.leader != self.id else 0
        self._send(link, wire.NotLeader(leader, self.addresses.get(leader, "")))

    def _register(self, link: int, message: wire.RegisterClient) -> None:
        state = self.machine.client(message.client)
        if state is not None and state.alive and state.nonce == message.nonce:
            self._send(link, wire.Registered(state.nonce, state.incarnation))
            return
        known = self.waiting.registering.get(message.client)
        self.waiting.registering[message.client] = (link, message.nonce)
        if known is None or known[1] != message.nonce:
            self._offer(
                Register(message.client, message.nonce, message.address, message.slots, message.labels, message.held)
            )

    def _known(self, link: int, client: str, incarnation: int) -> bool:
        """Whether the client's session lives; a dead one is told to register anew."""
        state = self.machine.client(client)
        if state is not None and state.alive and state.incarnation == incarnation:
            self._ticks.heard[client] = None
            return True
        self._send(link, wire.Unregistered(client))
        return False

    def _poll(self, link: int, message: wire.Poll) -> None:
        if self._known(link, message.client, message.incarnation):
            self.waiting.poll(self.machine, message.client, link, message.known, self.now_ms)

    def _alive(self, link: int, message: wire.Alive) -> None:
        if self._known(link, message.client, message.incarnation):
            self.progress.hear(message.client, message.progress)

    def _reports(self, link: int, message: wire.SendReports) -> None:
        if not self._known(link, message.client, message.incarnation):
            return
        state = self.machine.client(message.client)
        assert state is not None
        session = (message.client, message.incarnation)
        offered = max(self._offered.get(session, 0), state.acked)
        if message.sequence != offered + 1:
            return  # a retry of what is in flight or done, or from beyond a gap: the acknowledgement will tell
        self._offered[session] = message.sequence
        self._offer(Reports(message.client, message.incarnation, message.sequence, message.reports))

    def _leave(self, link: int, message: wire.LeaveCluster) -> None:
        if self._known(link, message.client, message.incarnation):
            self._offer(
                Leave(message.client, message.incarnation), lambda: self._send(link, wire.Unregistered(message.client))
            )

    def _program_part(self, link: int, message: wire.GetProgram) -> None:
        program = self.machine.program(message.hash) or b""
        data = program[message.offset : message.offset + limits.PROGRAM_CHUNK_BYTES]
        self._send(link, wire.ProgramPart(message.hash, message.offset, len(program), data))

    def _put_program(self, link: int, message: wire.PutProgram) -> None:
        operation = ProgramChunk(message.hash, message.part, message.parts, message.data)
        self._offer(
            operation, lambda: self._answer(link, message, self.machine.why_refused(message.hash, message.part))
        )

    def _submit(self, link: int, message: wire.SubmitJob) -> None:
        if self.machine.job_number(message.job_id) is not None:
            self._answer(link, message)
        else:
            self._offer(Submit(message.job_id, message.spec), lambda: self._answer(link, message))

    def _watch(self, link: int, message: wire.WatchJob) -> None:
        deadline = self.now_ms + limits.POLL_HELD_MS
        self.waiting.watch(self.machine, HeldWatch(link, message.request, message.job_id, message.known, deadline))

    def _job_request(self, link: int, message: wire.CancelRequest | wire.CollectedRequest) -> None:
        """Logged even for a job that we do not know: we may have lost the lead, and the others know it."""
        operation = CancelJob if isinstance(message, wire.CancelRequest) else Collected
        self._offer(
            operation(message.job_id), lambda: self._answer(link, message, no_such_job(self.machine, message.job_id))
        )

    def _status(self, link: int, message: wire.StatusRequest) -> None:
        if not self._reads.ask(link, message, self.replica.read):
            self._not_leader(link)

    _HANDLERS: dict[type, Callable[..., None]] = {
        wire.RegisterClient: _register,
        wire.Poll: _poll,
        wire.Alive: _alive,
        wire.SendReports: _reports,
        wire.LeaveCluster: _leave,
        wire.PutProgram: _put_program,
        wire.SubmitJob: _submit,
        wire.WatchJob: _watch,
        wire.CancelRequest: _job_request,
        wire.CollectedRequest: _job_request,
        wire.StatusRequest: _status,
    }

    def status(self) -> dict[str, object]:
        """What this coordinator knows of itself."""
        return {
            "id": self.id,
            "leading": self.leading,
            "leader": self.replica.leader,
            "ballot": list(self.replica.ballot),
            "applied": self.machine.index,
            "elections": self.elections,
            "copies": self.copies.status(),
        }

    # --- proposing ----------------------------------------------------------------------------------

    def _offer(self, operation: AnyOperation, after: Callable[[], None] | None = None) -> None:
        """Put the operation into the next slot; `after` is called when it is applied while we still lead."""
        self._pending.add(operation, after, self.now_ms)

    def _tick(self) -> None:
        tick = self._ticks.due(self.replica.ballot, self.machine, self.now_ms)
        if tick is not None:
            self._offer(tick, self._ticked)

    def _ticked(self) -> None:
        self._ticks.applied(self.machine)
        self.waiting.tell_moved(self.machine)
        for job in list(self.copies.copies):
            self.copies.propose(job, self.replica.ballot, idle=True)

    def _propose(self) -> None:
        if not self.leading or not self._pending.is_due(self.replica.in_flight, self.now_ms):
            return
        while self._pending.waiting and self.replica.can_propose:
            operations, callbacks = self._pending.slot(self.now_ms)
            index = self.replica.propose(pack_entry(operations))
            assert index is not None, "can_propose said yes"
            if callbacks:
                self._after[index] = callbacks

    def _follow_role(self) -> None:
        """Begin to lead, or stop."""
        ballot = self.replica.ballot
        if self.replica.is_leader:
            if self._begun_ballot != ballot:
                if self.leading:
                    self._stop_leading()
                index = self.replica.propose(pack_entry([Begin(ballot)]))
                if index is not None:
                    self._begin_index, self._begun_ballot = index, ballot
        elif self.leading or self._begun_ballot != (0, 0):
            self._stop_leading()
            self._begun_ballot = (0, 0)

    def _start_leading(self) -> None:
        self.leading = True
        self.elections += 1
        self._ticks.lead(self.now_ms)
        self._feed_copies()
        self.copies.leadership(True)
        for job in list(self.copies.copies):
            self.copies.propose(job, self.replica.ballot, idle=False)

    def _stop_leading(self) -> None:
        self.leading = False
        self._pending.clear()
        self._after.clear()
        self._offered.clear()
        self._ticks.heard.clear()
        self.copies.leadership(False)
        self.copies.operations.clear()
        links = self.waiting.drop_all() + self._reads.drop_all()
        for link in dict.fromkeys(links):
            self._not_leader(link)

    # --- applying -----------------------------------------------------------------------------------

    def _is_late(self) -> bool:
        """A follower may be behind for so long, and so far."""
        return self.now_ms >= self._apply_at or len(self._behind) >= BEHIND_MAX

    def _catch_up(self) -> None:
        behind, self._behind = self._behind, []
        self._apply(behind)
        self._look_around()
        self._moved = True

    def _apply(self, committed: list[tuple[int, bytes]]) -> None:
        for index, data in committed:
            self.machine.apply(index, data)
            self._log_bytes += len(data)
            callbacks = self._after.pop(index, None)
            if index == self._begin_index and self.replica.is_leader and self._begun_ballot == self.replica.ballot:
                self._start_leading()
            if callbacks:
                for callback in callbacks:
                    callback()
        if self.leading:
            self._ticks.look(self.machine, self.now_ms)
        self._react(self.machine.take())

    def _react(self, changed: Changed) -> None:
        for job in changed.started:
            self.copies.start(job)
        for job in changed.restarted:
            self.copies.restarted(job)
        for job in changed.ended:
            self.copies.stop(job, ended=True)
        for job in dict.fromkeys(job for job, _ in changed.decided):
            self.copies.decided(job)
            if self.leading:
                self.copies.propose(job, self.replica.ballot, idle=False)
        if not self.leading:
            if changed.events and not self._unfed:
                self._feed_at = self.now_ms + limits.WARM_FEED_MS
            self._unfed.update(dict.fromkeys(sorted(changed.events)))
            return
        for job in sorted(changed.events):
            self.copies.feed(job)
        for client in sorted(changed.clients):
            self.waiting.client_changed(self.machine, client)
        for job in sorted(changed.jobs):
            state = self.machine.job(job)
            if state is not None:
                self.waiting.job_changed(self.machine, state)

    # --- effects ------------------------------------------------------------------------------------

    def take(self) -> list[Effect]:
        """What has to be done now, in order; the shell calls again until there is nothing."""
        try:
            while not self._effects:
                if self._behind and self.replica.is_leader:
                    self._catch_up()
                elif self._moved:
                    self._moved = self._turn()
                elif self._behind and self._is_late():
                    self._catch_up()
                else:
                    self.machine.seal()  # all that somebody waits for has left
                    break
        except Diverged as error:
            self._effects.append(effects.Halt(str(error)))
        result, self._effects = self._effects, []
        return result

    def _turn(self) -> bool:
        """One round of: propose, take what Paxos says.  True when another one may bring more."""
        self._follow_role()
        for operation in self.copies.operations:
            self._offer(operation)
        self.copies.operations.clear()
        if self._pending.waiting:
            self._propose()
        out = self.replica.take()
        if out is not NOTHING:
            self._follow(out)
        self._look_around()
        if self._log_bytes >= limits.SNAPSHOT_EVERY_BYTES:
            self._compact()
        return bool(out.role_changed or self.copies.operations or (out.committed and self._pending.waiting))

    def _follow(self, out: Output) -> None:
        """What Paxos wants."""
        whole = None
        if out.install is not None:
            self._install(*out.install)
            whole = self.replica.compact(*out.install)  # the new segment must say again what was promised and accepted
        if out.records or out.messages or whole:
            others_decide = self.replica.is_leader and len(self.replica.voters) > 1
            self._effects += self._outbox.put(out, whole, others_decide=others_decide)
        if out.committed:
            if not self._behind:
                self._apply_at = self.now_ms + limits.FOLLOW_MS
            self._behind += out.committed
        if out.reads:
            self._reads.confirmed(out.reads)

    def _look_around(self) -> None:
        """What may be done since the last entry, or the last word of Paxos."""
        for link, message in self._reads.due(self.machine.index):
            told = status_answer(self.machine, self.status(), message.what, self.progress)
            self._answer(link, message, *told)
        if self.copies.effects:
            self._effects += self.copies.effects
            self.copies.effects.clear()

    def _install(self, index: int, snapshot: bytes) -> None:
        self.machine = Machine.restore(snapshot)
        self._behind.clear()  # the snapshot holds it
        self._after.clear()
        self.copies.replace_machine(self.machine)
        self._log_bytes = 0

    def _compact(self) -> None:
        """Cut the log at what is applied."""
        self._log_bytes = 0
        snapshot = b"".join(self.machine.snapshot())
        records = self.replica.compact(self.machine.index, snapshot)
        if records:
            self._effects.append(effects.Rotate(0, self.machine.index, snapshot, encoded(records)))

    def _answer(self, link: int, message: wire.Request, error: str = "", data: bytes = b"") -> None:
        self._send(link, wire.Answer(message.request, error, data))

    def _send(self, link: int, message: wire.FromCoordinator) -> None:
        self._effects.append(effects.Send(link, message))
