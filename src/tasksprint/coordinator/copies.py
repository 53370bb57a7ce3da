"""The copies of the users' schedulers on this coordinator: feeding, comparing, deciding.  Pure.

The log holds events and decisions.  Every coordinator feeds the ordered events to its own copy of a job's
scheduler; the leader proposes what its copy answers, and the others compare.  The intuition is a stream: a copy
turns events 1, 2, 3 ... into chunks of actions, and the log, too, holds a stream of chunks.  A copy is good as
long as its stream begins with the log's.

Complications:

- An answer to one event may be a million actions long.  It is cut into chunks at places that depend on that
  answer alone (`PART_ACTIONS`, `SCHEDULER_PART_BYTES`), so that a new leader's copy can go on in the middle
  of an answer that the old leader's copy began: chunk k of event s is the same bytes on every good copy.
- A copy may be ahead of the log (its chunks wait in `chunks`, to be proposed if we lead) or behind it (its digest
  is then compared with the one that the view recorded).
- A copy that crashed starts again from the job's last save and is fed the events since; what it answers to events
  that are decided already is compared, never proposed again.
- After a Restart the decisions of the old generation stand, whatever the new copy thinks of them: it is compared
  only from there on (`trusted`).  Where they end in the middle of an answer that the new copy ends sooner, an empty
  last part closes it.
- The view may be ahead of what we were told of it (entries are applied in batches, and a tick's reply or the begin of
  a lead comes in the midst of one): nothing is proposed before our stream is compared with the log as it stands, nor
  by a copy of another generation.

Invariant: chunks are proposed in order, one Decide of a job in flight at a time, and only by a leader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from tasksprint import limits
from tasksprint.coordinator.effects import (
    Effect,
    FeedScheduler,
    LogScheduler,
    ResumeScheduler,
    SaveScheduler,
    StartScheduler,
    StopScheduler,
)
from tasksprint.view import JobState, Machine, is_idle, rolling
from tasksprint.view.operations import (
    AnyAction,
    AnyOperation,
    Ballot,
    Decide,
    FailJob,
    Restart,
    Save,
    StartTask,
    pack_actions,
)

NEVER_FINISHED = (
    "the scheduler has not finished the job, and nothing can happen to it any more: every task has ended, and an "
    "ordered scheduler hears of nothing else; call finish or fail"
)
UNSAVED_WARNING = 0.2  # of what a scheduler that cannot be saved may see
FEED_EVENTS = 1_000
FEED_BYTES = 4 * limits.MIB


@dataclass(slots=True)
class Chunk:
    """Part `part` of the answer to event `seq`; `last` when no part follows."""

    seq: int
    part: int
    last: bool
    actions: bytes  # packed; b"" for an answer without actions
    digest: bytes  # of the stream up to here


@dataclass(slots=True)
class Copy:
    """One run of one job's scheduler on this coordinator."""

    job: int
    copy: int
    generation: int
    state: str  # starting | good | parted | stopped
    fed: int  # last event sent
    answered: int  # last event answered whole
    digest: bytes
    trusted: tuple[int, int] = (0, 0)  # (event, part): what is before was decided under an older generation and stands
    chunks: deque[Chunk] = field(default_factory=deque)  # said, not yet decided
    passed: deque[tuple[int, bytes]] = field(default_factory=deque)  # decided, not yet compared: (event, digest)
    compared: bytes = b""
    compared_seq: int = 0  # the event whose answer, or the begin of it, was compared last
    partial: list[AnyAction] = field(default_factory=list)  # of the answer to event `partial_seq`, not yet cut off
    partial_bytes: int = 0
    partial_seq: int = 0
    partial_part: int = 0
    ordered: bool = False
    can_save: bool = False
    saving: bool = False
    paused: bool = False  # the process waits for ResumeScheduler
    asked: int = 0  # last event after which its state was asked for
    given_up: bool = False  # the end of its job or generation is in flight
    fed_bytes: int = 0  # since the last save
    warned: bool = False
    error: str = ""

    @property
    def complete(self) -> int:
        """The last event whose answer is here whole."""
        return self.partial_seq - 1 if self.partial_seq else self.answered


def weight(action: AnyAction) -> int:
    """About how many bytes the action takes; the same on every replica."""
    if isinstance(action, StartTask):
        return 64 + len(action.args) + 16 * len(action.prerequisites)
    return 64 + len(getattr(action, "values", b""))


class Copies:
    """All copies on this coordinator.  `effects` and `operations` are drained by the core."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.effects: list[Effect] = []
        self.operations: list[AnyOperation] = []
        self.copies: dict[int, Copy] = {}
        self.crashes: dict[int, tuple[int, int]] = {}  # job → (event, how often this coordinator's copy died on it)
        self.parted: dict[int, str] = {}  # job → where our copy parted from the log
        self.in_flight: set[int] = set()  # jobs with a Decide of ours in flight, also when its copy is gone since
        self.leading = False
        self._next_copy = 0

    def status(self) -> dict[str, dict[str, str]]:
        """Of each running job's copy here, for people."""
        known = ((self.machine.job(number), copy) for number, copy in self.copies.items())
        return {job.job_id: {"state": copy.state, "error": copy.error} for job, copy in known if job is not None}

    # --- life ----------------------------------------------------------------------------------

    def replace_machine(self, machine: Machine) -> None:
        """A snapshot was installed: every copy starts again from what it says."""
        for job in list(self.copies):
            state = machine.job(job)
            self.stop(job, ended=state is None or state.state != "running")
        self.machine = machine
        for state in machine.running_jobs():
            self.start(state.number)

    def start(self, job: int) -> None:
        """Start a copy from the job's last save."""
        state = self.machine.job(job)
        if state is None or state.state != "running":
            return
        self._next_copy += 1
        seq, saved = state.saved
        base = state.trusted_digest if state.trusted > (seq + 1, 0) else self.machine.answer_digest(job, seq) or b""
        copy = Copy(job, self._next_copy, state.generation, "starting", seq, seq, base, state.trusted, compared=base)
        self.copies[job] = copy
        program = self.machine.program(state.spec.program) if state.spec.program else None
        saved_state = saved if seq else None
        self.effects.append(StartScheduler(job, self._next_copy, state.job_id, state.spec, program, saved_state, seq))

    def stop(self, job: int, *, ended: bool) -> None:
        copy = self.copies.pop(job, None)
        self.effects.append(StopScheduler(job, copy.copy if copy else 0, ended))
        if ended:
            self.in_flight.discard(job)
            self.crashes.pop(job, None)
            self.parted.pop(job, None)

    def restarted(self, job: int) -> None:
        """A new generation: whatever ran before is over."""
        self.in_flight.discard(job)
        self.stop(job, ended=False)
        self.start(job)

    def current(self, job: int, number: int) -> Copy | None:
        copy = self.copies.get(job)
        return copy if copy is not None and copy.copy == number else None

    # --- what the process says --------------------------------------------------------------------

    def ready(self, job: int, number: int, *, ordered: bool, can_save: bool) -> None:
        copy = self.current(job, number)
        if copy is None or copy.state != "starting":
            return
        copy.state, copy.ordered, copy.can_save = "good", ordered, can_save
        self.feed(job)

    def answered(
        self, job: int, number: int, answers: Iterable[tuple[int, list[AnyAction]]], seq: int, more: bool
    ) -> None:
        """A part of an answer, up to event `seq`; with `more` the answer to `seq` goes on in the next part."""
        copy = self.current(job, number)
        if copy is None or copy.state != "good":
            return
        for event, actions in answers:
            if event != copy.partial_seq:
                self._finish_event(copy)
                copy.partial_seq = event
            for action in actions:
                copy.partial.append(action)
                copy.partial_bytes += weight(action)
                if len(copy.partial) >= limits.PART_ACTIONS or copy.partial_bytes >= limits.SCHEDULER_PART_BYTES:
                    self._cut(copy, last=False)
        if more:
            copy.paused = True
        else:
            self._finish_event(copy)
            copy.partial_seq = 0
            copy.answered = seq
        self._compare(copy)
        self.advance(job)

    def _finish_event(self, copy: Copy) -> None:
        if copy.partial_seq and (copy.partial or copy.partial_part):
            self._cut(copy, last=True)
        copy.partial_part = 0

    def _cut(self, copy: Copy, *, last: bool) -> None:
        if (copy.partial_seq, copy.partial_part) >= copy.trusted:
            packed = pack_actions(copy.partial)
            copy.digest = rolling(copy.digest, copy.partial_seq, packed)
            copy.chunks.append(Chunk(copy.partial_seq, copy.partial_part, last, packed, copy.digest))
        copy.partial = []
        copy.partial_bytes = 0
        copy.partial_part += 1

    def saved(self, job: int, number: int, state: bytes | None, ballot: Ballot) -> None:
        """None: it cannot be saved."""
        copy = self.current(job, number)
        if copy is None:
            return
        copy.saving = False
        copy.fed_bytes = 0 if state is not None else copy.fed_bytes
        if state is None or len(state) > limits.SAVE_BYTES:
            copy.can_save = False
            return
        known = self.machine.job(job)
        still = known is not None and known.state == "running" and known.generation == copy.generation
        if known is not None and still and copy.answered == known.decided:
            size = limits.SAVE_PART_BYTES
            parts = [state[start : start + size] for start in range(0, len(state), size)] or [b""]
            self.operations += [
                Save(ballot, job, known.generation, copy.answered, part, place, len(parts))
                for place, part in enumerate(parts)
            ]
        self.feed(job)

    def failed(self, job: int, number: int, error: str, *, nonsense: bool, leading: bool, ballot: Ballot) -> None:
        """The process died, hung or (`nonsense`) broke the protocol."""
        copy = self.current(job, number)
        if copy is None:
            return
        known = self.machine.job(job)
        # Where the leader's copy dies the log stands still; another's log goes on, and its lines always begin the same.
        place = known.decided if leading and known is not None else copy.answered
        event, times = self.crashes.get(job, (0, 0))
        times = times + 1 if event == place else 1
        self.crashes[job] = (place, times)
        final = nonsense or times >= limits.SCHEDULER_CRASHES
        self.stop(job, ended=False)
        if final:
            stopped = Copy(job, 0, copy.generation, "stopped", 0, 0, b"", error=error[-limits.ERROR_BYTES :])
            self.copies[job] = stopped
            if leading:
                self._give_up(stopped, ballot)
        else:
            self.start(job)

    def _give_up(self, copy: Copy, ballot: Ballot) -> None:
        state = self.machine.job(copy.job)
        if copy.given_up or state is None or state.state != "running":
            return
        copy.given_up = True
        if copy.state == "parted":
            self.operations.append(Restart(ballot, copy.job, state.generation, copy.error))
        else:
            self.operations.append(FailJob(ballot, copy.job, copy.error))

    # --- feeding and comparing ---------------------------------------------------------------------

    def feed(self, job: int) -> None:
        """Send the next events, unless an answer is outstanding."""
        copy = self.copies.get(job)
        if copy is None or copy.state != "good" or copy.fed != copy.answered or copy.saving or copy.paused:
            return
        state = self.machine.job(job)
        if state is not None and state.saved[0] > copy.fed:  # the leader's copy was saved; what we lack is not kept
            self.restarted(job)
            return
        if state is not None and self.leading and self._is_save_due(copy, state):  # under load there is no idle moment
            self._save(copy, state)
            return
        events = self.machine.events(job, copy.fed, FEED_EVENTS, FEED_BYTES)
        if events:
            copy.fed = events[-1].seq
            copy.fed_bytes += sum(event.size for event in events)
            self.effects.append(FeedScheduler(job, copy.copy, events))

    def decided(self, job: int) -> None:
        """The log moved: compare what our copy had said, go on."""
        self.in_flight.discard(job)
        copy = self.copies.get(job)
        if copy is None or copy.state != "good":
            return
        self._compare(copy)
        if self.leading or copy.paused:  # a warm copy is fed now and then, many events at once
            self.advance(job)

    def _compare(self, copy: Copy) -> None:
        """Move what is decided out of the way; as far as both streams go, their digests must be equal."""
        state = self.machine.job(copy.job)
        if state is None or state.state != "running" or state.generation != copy.generation:
            return
        position = (state.decided + 1, state.next_part)
        while copy.chunks and (copy.chunks[0].seq, copy.chunks[0].part) < position:
            chunk = copy.chunks.popleft()
            copy.passed.append((chunk.seq, chunk.digest))
        seq = state.decided + (state.next_part > 0)
        if copy.complete >= seq or (copy.partial_seq == seq and copy.partial_part >= state.next_part > 0):
            expected: bytes | None = state.answers[-1][1]  # ours goes as far as the log, which may end amid an answer
        else:
            seq = copy.complete
            expected = self.machine.answer_digest(copy.job, seq)
        while copy.passed and copy.passed[0][0] <= seq:
            copy.compared_seq, copy.compared = copy.passed.popleft()
        if seq < state.trusted[0] or seq <= state.saved[0] or seq < copy.compared_seq:
            return  # the last: we were compared amid an answer, and now the log is ahead of us in that same answer
        if expected is not None and expected != copy.compared:
            self._part(copy, seq)

    def _part(self, copy: Copy, seq: int) -> None:
        error = (
            f"the scheduler's copy answered event {seq} differently from the decided answer: it is not deterministic"
        )
        job = copy.job
        self.parted[job] = error
        self.stop(job, ended=False)
        self.copies[job] = Copy(job, 0, copy.generation, "parted", 0, 0, b"", error=error)

    def advance(self, job: int) -> None:
        """Feed more, and let a paused process go on once what it said is not far ahead of the log."""
        copy = self.copies.get(job)
        if copy is None or copy.state != "good":
            return
        if copy.paused and len(copy.chunks) <= 1:
            copy.paused = False
            self.effects.append(ResumeScheduler(job, copy.copy))
        self.feed(job)

    # --- deciding (leader only) ---------------------------------------------------------------------

    def propose(self, job: int, ballot: Ballot, *, idle: bool) -> None:
        """Offer what our copy said beyond the log.  An answer without actions waits for `idle`: nobody waits for it."""
        copy = self.copies.get(job)
        state = self.machine.job(job)
        if copy is None or state is None or state.state != "running" or state.generation != copy.generation:
            return
        if copy.state == "good":
            self._compare(copy)
            copy = self.copies[job]
        if copy.state in ("parted", "stopped"):
            self._give_up(copy, ballot)
            return
        if copy.state != "good" or job in self.in_flight:
            return
        decide = self._next_decide(copy, state, ballot, idle)
        if decide is not None:
            self.in_flight.add(job)
            self.operations.append(decide)
        elif idle:
            if copy.fed == copy.answered and not copy.saving and self._is_save_due(copy, state):
                self._save(copy, state)
            self._limit_unsaved(copy, state, ballot)
            if state.ordered and is_idle(state) and job not in self.in_flight:
                self.in_flight.add(job)
                self.operations.append(FailJob(ballot, job, NEVER_FINISHED))

    def _next_decide(self, copy: Copy, state: JobState, ballot: Ballot, idle: bool) -> Decide | None:
        """Whole answers together; a chunk of a long answer alone, after the events before it."""
        job, generation, complete = copy.job, state.generation, copy.complete
        position = (state.decided + 1, state.next_part)
        first = copy.chunks[0] if copy.chunks else None
        if first is not None and (first.part > 0 or not first.last) and (first.seq, first.part) == position:
            one = [(first.seq, first.actions)]
            return Decide(ballot, job, generation, first.seq, first.part, not first.last, copy.ordered, one)
        if state.next_part:  # the old generation's answer went further than ours: it ends there
            if complete <= state.decided:
                return None
            return Decide(ballot, job, generation, position[0], state.next_part, False, copy.ordered, [])
        answers: list[tuple[int, bytes]] = []
        size, reached = 0, complete
        for chunk in copy.chunks:
            if not chunk.last or chunk.part > 0:
                reached = chunk.seq - 1
                break
            answers.append((chunk.seq, chunk.actions))
            size += len(chunk.actions)
            if size >= limits.SCHEDULER_PART_BYTES:
                reached = chunk.seq
                break
        someone_waits = answers or state.decided == 0 or reached < complete
        if reached <= state.decided or not (someone_waits or idle):
            return None
        return Decide(ballot, job, generation, reached, 0, False, copy.ordered, answers)

    def _is_save_due(self, copy: Copy, state: JobState) -> bool:
        return copy.can_save and copy.answered - max(state.saved[0], copy.asked) >= limits.SAVE_EVERY_EVENTS

    def _save(self, copy: Copy, state: JobState) -> None:
        """Ask for the state as soon as all that the copy knows is decided."""
        if copy.answered == state.decided:
            copy.saving, copy.asked = True, state.decided
            self.effects.append(SaveScheduler(copy.job, copy.copy))

    def _limit_unsaved(self, copy: Copy, state: JobState, ballot: Ballot) -> None:
        """A scheduler that cannot be saved may see only so many events: a new copy must be fed all of them."""
        kept = state.decided - state.saved[0]
        share = max(kept / limits.EVENTS_WITHOUT_SAVE, copy.fed_bytes / limits.EVENTS_WITHOUT_SAVE_BYTES)
        if copy.can_save or share < UNSAVED_WARNING:
            return
        if share < 1:
            if not copy.warned:
                copy.warned = True
                text = f"{kept} events are kept for a scheduler that cannot be saved, of {limits.EVENTS_WITHOUT_SAVE}"
                self.effects.append(LogScheduler(copy.job, f"tasksprint: warning: {text}\n"))
            return
        seen = f"{kept} events ({copy.fed_bytes} bytes)"
        error = (
            f"the scheduler cannot be saved and has seen {seen}, the most for such a one: "
            "answer `save` (docs/protocol.md), or keep only plain values in its attributes"
        )
        copy.error, copy.given_up = error, True
        self.operations.append(FailJob(ballot, copy.job, error))

    def leadership(self, gained: bool) -> None:
        """Nothing of ours is in flight; a copy that had given up here gets another chance before its job fails."""
        self.leading = gained
        self.in_flight.clear()
        for job, copy in list(self.copies.items()):
            copy.given_up = False
            if gained and copy.state == "stopped":
                self.crashes.pop(job, None)
                self.copies.pop(job)
                self.start(job)
