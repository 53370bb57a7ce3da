"""A client, pure: what changed in its part of the view → fetch, start, kill, keep, report.

The shell calls the methods with what happened and the time, then performs what `take()` returns, in order.

An attempt's life here:

    WAITING   at least one input is not here yet: it is asked for, from this client's own results or from the
              supplier that the view names; the supplier answers when it is done, so no log entry is waited for
    READY     all inputs are here; it waits for a node
    SENT      its `run` line is with a node (running, or queued behind short ones)
    MADE      the node has answered; the result is kept and the report is under way

Complications:

- A supplier's row may change while we wait (its client died, it runs again): what we asked for is asked for again
  under the new attempt.  A piece that arrived before stays: the report names its digest, and the view decides.
- A Cancel may come at any state.  A running one is cancelled at its node; what a node says later about an attempt
  that is gone is ignored.
- Short tasks are sent ahead, up to NODE_QUEUE lines to a node, as long as the work queued there is about
  WINDOW_WORK_MS; only the last one sent can be taken back by nobody, so attempts to give back are those not SENT.
- A fetch from another client may name an attempt that we have not heard of yet (our view may be older than the
  fetcher's): it waits FETCH_UNKNOWN_MS before it is refused.
"""

from __future__ import annotations

from collections import deque

from tasksprint import limits
from tasksprint.client import effects
from tasksprint.client.effects import Effect
from tasksprint.client.records import AttemptId, Job
from tasksprint.client.session import Session
from tasksprint.client.slots import Slots
from tasksprint.view.operations import Held
from tasksprint.view.part import AnyChange, Assign, Cancel, Change, Drop, GiveBack, JobEnded, JobInfo, Keep, Supplier
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Result


class Client(Slots):
    def __init__(
        self,
        client: str,
        nonce: int,
        address: str,
        slots: int,
        labels: list[str],
        coordinators: list[str],
        now_ms: int,
        held: list[tuple[Held, Result]] | None = None,
    ) -> None:
        session = Session(client, nonce, address, slots, labels, coordinators, now_ms)
        super().__init__(client, slots, session, now_ms)
        self.leaving = False
        self._kept: list[tuple[Held, Result]] = held or []  # by an earlier life, until we know what is wanted of it
        self._swept = False  # what nobody wants of it is dropped
        self._partial: list[AnyChange] = []  # of a part that comes in several messages
        self.session.dial(now_ms)

    # --- the link to the coordinators -----------------------------------------------------------------

    def connected(self, number: int, now_ms: int) -> None:
        self.now_ms = now_ms
        self._partial = []
        self.session.connected(number, self._held(), now_ms)
        self._tell_progress_again()

    def disconnected(self, number: int, now_ms: int) -> None:
        self.now_ms = now_ms
        self.session.disconnected(number, now_ms)

    def message(self, message: wire.FromCoordinator, now_ms: int) -> None:
        self.now_ms = now_ms
        match message:
            case wire.View():
                self._view(message)
            case wire.Registered():
                self.session.fresh(now_ms)
                self.session.registered(message)
            case wire.NotLeader():
                self.session.next_coordinator(now_ms, message.address)
            case wire.Unregistered():
                self.session.fresh(now_ms)
                self._unregistered()

    def advance(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.session.advance(now_ms)
        self._expire_parked()
        self._retry_fetches()

    def next_wake(self) -> int:
        wake = self.session.next_wake()
        if self.parked:
            wake = min(wake, self.now_ms + limits.FETCH_UNKNOWN_MS)
        return min(wake, self._retries[0][0]) if self._retries else wake

    def leave(self, now_ms: int) -> None:
        """SIGTERM: hand the work back and go."""
        self.now_ms = now_ms
        self.leaving = True
        if self.session.incarnation:
            self.session.leave()
        else:
            self._effects.append(effects.Left())  # there is nothing to hand back

    def _held(self) -> list[Held]:
        held = [h for h, _ in self._kept]
        for job in self.jobs.values():
            for (task, attempt), result in job.results.items():
                held.append(Held(job.info.job_id, task, attempt, result.digest, result.size))
        return held

    def _unregistered(self) -> None:
        if self.leaving:
            self._effects.append(effects.Left())
            return
        for job in self.jobs.values():
            for attempt_id in list(job.attempts):
                self._end_attempt(job, attempt_id)
            job.suppliers.clear()
        self.session.expired()
        self.session.introduce(self._held())

    def _view(self, view: wire.View) -> None:
        self.session.fresh(self.now_ms)
        if view.more:
            self._partial += view.changes
            return
        changes, self._partial = self._partial + view.changes, []
        self.session.acknowledged(view.acked)
        if view.number >= self.session.known:
            if view.whole:
                self._whole(changes)
            for change in changes:
                self._change(change)
            self.session.known = view.number

    # --- what changed in the view -----------------------------------------------------------------------

    def _change(self, change: Change) -> None:
        if isinstance(change, JobInfo):
            self._job_info(change)
            return
        job = self.jobs.get(change.job)
        if job is None:
            return
        match change:
            case Assign():
                self._assign(job, change)
            case Supplier():
                self._supplier(job, change)
            case Cancel():
                self._end_attempt(job, (change.job, change.task, change.attempt))
            case Drop():
                self._drop(job, change.task, change.attempt)
            case GiveBack():
                self._give_back(job, (change.job, change.task, change.attempt))
            case JobEnded():
                self._job_ended(job)

    def _job_info(self, info: JobInfo) -> None:
        if info.job in self.jobs:
            return
        self.jobs[info.job] = Job(info)
        self.numbers[info.job_id] = info.job
        self._turn.append(info.job)

    def _whole(self, changes: list[AnyChange]) -> None:
        """The part as it is: what we have beyond it is over."""
        for change in changes:
            if isinstance(change, JobInfo):
                self._job_info(change)
        named = {(c.job, c.task, c.attempt) for c in changes if isinstance(c, Assign)}
        kept = {(c.job, c.task, c.attempt) for c in changes if isinstance(c, Keep)}
        jobs = {c.job for c in changes if isinstance(c, JobInfo)}
        for number, job in list(self.jobs.items()):
            if number not in jobs:
                self._job_ended(job)
                continue
            for attempt_id in [a for a in job.attempts if a not in named]:
                self._end_attempt(job, attempt_id)
            for task, attempt in [r for r in job.results if (number, *r) not in kept and (number, *r) not in named]:
                self._drop(job, task, attempt)
        if not self._swept:
            self._sweep(kept)

    def _sweep(self, wanted: set[AttemptId]) -> None:
        """The first whole part of this life names what the cluster still wants of the earlier one's results.

        What it does not want now it never will: a task whose result did not count is made again under another attempt.
        """
        unwanted = []
        for held, result in self._kept:
            number = self.numbers.get(held.job_id, 0)
            if (number, held.task, held.attempt) in wanted:
                self.jobs[number].results[held.task, held.attempt] = result
            else:
                unwanted.append((held.job_id, held.task, held.attempt))
        self._kept, self._swept = [], True
        self._effects.append(effects.DropLeftovers(tuple(self.numbers), tuple(unwanted)))

    def _job_ended(self, job: Job) -> None:
        number, job_id = job.info.job, job.info.job_id
        for attempt_id in list(job.attempts):
            self._end_attempt(job, attempt_id)
        for node in list(job.nodes.values()):
            self._stop_node(job, node)
        for piece_id in [p for p in self.fetched if p[0] == number]:
            self._forget_fetched(piece_id)
        for key in [p for p in self.parked if p[0] == job_id]:
            self._answer_parked(key, "ended", f"job {job_id} is over")
        del self.jobs[number]
        self.numbers.pop(job_id, None)
        self._turn = deque(n for n in self._turn if n != number)
        self.ended[job_id] = None
        while len(self.ended) > limits.JOBS_KEPT:
            self.ended.popitem(last=False)
        self._effects.append(effects.DropJob(number, job_id))
        self._hungry = True

    # --- effects ---------------------------------------------------------------------------------------------------

    def take(self) -> list[Effect]:
        """Everything that has to be done now, in order."""
        if self._hungry:
            self._schedule()
        self.session.flush(self.now_ms)
        result = self._effects + self.session.effects if self.session.effects else self._effects
        self._effects = []
        self.session.effects = []
        return result
