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

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from tasksprint import limits
from tasksprint.client import effects
from tasksprint.client.effects import Effect, Input
from tasksprint.client.session import Session
from tasksprint.view.operations import Done, Failed, Held, Lost, Returned, Unreachable
from tasksprint.view.part import AnyChange, Assign, Cancel, Change, Drop, GiveBack, JobEnded, JobInfo, Keep, Supplier
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece, Result

WAITING, READY, SENT, MADE = range(4)
FETCHED_CACHE_BYTES = 256 * limits.MIB
RETRY_FETCH_MS = 1_000

AttemptId = tuple[int, int, int]  # (job, task, attempt)
PieceId = tuple[int, int, int, str]  # (job, task, attempt, key)


@dataclass(slots=True)
class Attempt:
    assign: Assign
    state: int = WAITING
    missing: int = 0
    inputs: dict[tuple[int, str], tuple[int, bytes, Piece]] = field(default_factory=dict)  # → (attempt, digest, piece)
    node: int = 0
    result: Result | None = None


@dataclass(slots=True)
class Fetching:
    """A piece that was asked for, and the attempts here that wait for it."""

    consumers: dict[AttemptId, None] = field(default_factory=dict)
    tries: int = 0
    remote: bool = False


@dataclass(slots=True)
class Node:
    number: int
    job: int
    extra: bool
    ready: bool = False
    began: bool = False  # it was ready once
    sent: deque[AttemptId] = field(default_factory=deque)
    cores: int = 0  # slots that it takes now
    closing: bool = False


@dataclass(slots=True)
class Job:
    info: JobInfo
    ready: deque[AttemptId] = field(default_factory=deque)
    ready_extra: deque[AttemptId] = field(default_factory=deque)
    nodes: dict[int, Node] = field(default_factory=dict)
    attempts: dict[AttemptId, Attempt] = field(default_factory=dict)
    suppliers: dict[int, Supplier] = field(default_factory=dict)
    results: dict[tuple[int, int], Result] = field(default_factory=dict)  # (task, attempt)
    consumers: dict[int, dict[AttemptId, None]] = field(default_factory=dict)  # prerequisite → attempts that wait for it
    run_us: int = 0  # running mean of a task's time; 0: unknown


class Client:
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
        self.id = client
        self.slots = slots
        self.now_ms = now_ms
        self.session = Session(client, nonce, address, slots, labels, coordinators, now_ms)
        self.jobs: dict[int, Job] = {}
        self.numbers: dict[str, int] = {}  # job id → number
        self.ended: OrderedDict[str, None] = OrderedDict()  # job ids that are over
        self.fetching: dict[PieceId, Fetching] = {}
        self.fetched: OrderedDict[PieceId, tuple[bytes, Piece]] = OrderedDict()  # oldest use first
        self.fetched_bytes = 0
        self.parked: dict[tuple[str, int, int], list[tuple[int, int, str, int]]] = {}  # asked for → [(link, request, key, since)]
        self.leaving = False
        self._kept: list[tuple[Held, Result]] = held or []
        self._busy = 0  # slots in use
        self._next_node = 0
        self._effects: list[Effect] = []
        self._turn: deque[int] = deque()  # jobs, round robin
        self._hungry = False  # something may be startable
        self._retries: deque[tuple[int, int, int]] = deque()  # (when, job, task): fetches to try again
        self.session.dial(now_ms)

    # --- the link to the coordinators -----------------------------------------------------------------

    def connected(self, number: int, now_ms: int) -> None:
        self.now_ms = now_ms
        self.session.connected(number, self._held(), now_ms)

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
        self.session.leave()

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
        self.session.acknowledged(view.acked)
        if view.number >= self.session.known:
            if view.whole:
                self._whole(view.changes)
            for change in view.changes:
                self._change(change)
            self.session.known = view.number
            if view.whole:
                self._kept = []
        self.session.poll()

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
        for held, result in self._kept:
            kept_job = self.numbers.get(held.job_id)
            if kept_job is not None and (kept_job, held.task, held.attempt) in kept:
                self.jobs[kept_job].results[(held.task, held.attempt)] = result

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

    # --- attempts and their inputs ------------------------------------------------------------------------

    def _assign(self, job: Job, assign: Assign) -> None:
        attempt_id = (assign.job, assign.task, assign.attempt)
        if attempt_id in job.attempts:
            return
        if (assign.task, assign.attempt) in job.results:
            return
        attempt = job.attempts[attempt_id] = Attempt(assign)
        if not assign.prerequisites:
            self._ready(job, attempt_id, attempt)
            return
        wanted = dict.fromkeys(assign.prerequisites)
        attempt.missing = len(wanted)
        for task, key in wanted:
            job.consumers.setdefault(task, {})[attempt_id] = None
            self._want(job, attempt_id, attempt, task, key)
            if attempt_id not in job.attempts:
                return

    def _supplier(self, job: Job, row: Supplier) -> None:
        before = job.suppliers.get(row.task)
        job.suppliers[row.task] = row
        if before is not None and before.attempt == row.attempt and before.client == row.client:
            return
        for attempt_id in list(job.consumers.get(row.task, ())):
            attempt = job.attempts.get(attempt_id)
            if attempt is None or attempt.state != WAITING:
                continue
            for task, key in dict.fromkeys(attempt.assign.prerequisites):
                if task == row.task and (task, key) not in attempt.inputs:
                    if before is not None:
                        self._unwant(attempt_id, (row.job, task, before.attempt, key))
                    self._want(job, attempt_id, attempt, task, key)

    def _want(self, job: Job, attempt_id: AttemptId, attempt: Attempt, task: int, key: str) -> None:
        """Get one input: from our own results, from what was fetched, or by asking the supplier."""
        row = job.suppliers.get(task)
        if row is None or row.attempt == 0:
            return  # another row will come
        piece_id = (row.job, task, row.attempt, key)
        own = job.results.get((task, row.attempt))
        if own is not None:
            if key not in own.pieces:
                self._missing_key(job, attempt_id, task, key, own)
            else:
                self._have(job, attempt_id, attempt, piece_id, own.digest, own.pieces[key])
            return
        cached = self.fetched.get(piece_id)
        if cached is not None:
            self.fetched.move_to_end(piece_id)
            self._have(job, attempt_id, attempt, piece_id, *cached)
            return
        fetching = self.fetching.get(piece_id)
        if fetching is None:
            fetching = self.fetching[piece_id] = Fetching()
        fetching.consumers[attempt_id] = None
        if row.client != self.id and not fetching.remote:
            fetching.remote = True
            self._effects.append(
                effects.FetchPiece(row.job, job.info.job_id, task, row.attempt, key, row.client, row.address)
            )
        elif row.client == self.id and row.done:
            self.session.report(Lost(row.job, task, row.attempt), self.now_ms)

    def _unwant(self, attempt_id: AttemptId, piece_id: PieceId) -> None:
        fetching = self.fetching.get(piece_id)
        if fetching is None:
            return
        fetching.consumers.pop(attempt_id, None)
        if not fetching.consumers:
            del self.fetching[piece_id]
            if fetching.remote:
                self._effects.append(effects.StopFetching(*piece_id))

    def _have(self, job: Job, attempt_id: AttemptId, attempt: Attempt, piece_id: PieceId, digest: bytes, piece: Piece) -> None:
        name = (piece_id[1], piece_id[3])
        if attempt.state != WAITING or name in attempt.inputs:
            return
        attempt.inputs[name] = (piece_id[2], digest, piece)
        attempt.missing -= 1
        if attempt.missing == 0:
            self._ready(job, attempt_id, attempt)

    def _ready(self, job: Job, attempt_id: AttemptId, attempt: Attempt) -> None:
        attempt.state = READY
        (job.ready if attempt.assign.cores else job.ready_extra).append(attempt_id)
        self._hungry = True

    def _missing_key(self, job: Job, attempt_id: AttemptId, task: int, key: str, result: Result) -> None:
        known = ", ".join(sorted(result.pieces)[:20]) or "nothing"
        self._fail(job, attempt_id, "missing_key", f"task {task} has no piece {key!r}; it made {known}")

    def _end_attempt(self, job: Job, attempt_id: AttemptId) -> Attempt | None:
        """Forget the attempt: nothing is reported about it from here on."""
        attempt = job.attempts.pop(attempt_id, None)
        if attempt is None:
            return None
        for task, key in dict.fromkeys(attempt.assign.prerequisites):
            consumers = job.consumers.get(task)
            if consumers is not None:
                consumers.pop(attempt_id, None)
                if not consumers:
                    del job.consumers[task]
            if attempt.state == WAITING and (task, key) not in attempt.inputs:
                row = job.suppliers.get(task)
                if row is not None:
                    self._unwant(attempt_id, (attempt_id[0], task, row.attempt, key))
        if attempt.state == READY:
            queue = job.ready if attempt.assign.cores else job.ready_extra
            queue.remove(attempt_id)
        elif attempt.state == SENT:
            node = job.nodes.get(attempt.node)
            if node is not None and attempt_id in node.sent:
                node.closing = len(node.sent) == 1
                self._effects.append(effects.CancelRun(node.number, *attempt_id))
        if attempt.state != MADE:
            self._answer_parked((job.info.job_id, attempt_id[1], attempt_id[2]), "lost", "the attempt was cancelled")
            self._fail_local(job, attempt_id)
        return attempt

    def _fail_local(self, job: Job, attempt_id: AttemptId) -> None:
        """Whoever waits here for that attempt's pieces waits for a new row of its supplier."""
        for piece_id in [p for p in self._local_waits(job, attempt_id)]:
            self.fetching.pop(piece_id, None)

    def _local_waits(self, job: Job, attempt_id: AttemptId) -> list[PieceId]:
        keys: dict[str, None] = {}
        for consumer in job.consumers.get(attempt_id[1], ()):
            waiting = job.attempts.get(consumer)
            if waiting is not None:
                keys.update({key: None for task, key in waiting.assign.prerequisites if task == attempt_id[1]})
        return [(*attempt_id, key) for key in keys if (*attempt_id, key) in self.fetching]

    def _give_back(self, job: Job, attempt_id: AttemptId) -> None:
        attempt = job.attempts.get(attempt_id)
        if attempt is not None and attempt.state in (WAITING, READY):
            self._end_attempt(job, attempt_id)
            self.session.report(Returned(*attempt_id), self.now_ms)

    def _fail(self, job: Job, attempt_id: AttemptId, kind: str, error: str) -> None:
        self._end_attempt(job, attempt_id)
        self.session.report(Failed(*attempt_id, kind, error[-limits.ERROR_BYTES :]), self.now_ms)

    # --- results ------------------------------------------------------------------------------------------

    def _drop(self, job: Job, task: int, attempt: int) -> None:
        if job.results.pop((task, attempt), None) is not None:
            self._effects.append(effects.DropResult(job.info.job, task, attempt))

    def result_lost(self, job_number: int, task: int, attempt: int, now_ms: int) -> None:
        """The shelf cannot give back what it was given."""
        self.now_ms = now_ms
        job = self.jobs.get(job_number)
        if job is not None and job.results.pop((task, attempt), None) is not None:
            self.session.report(Lost(job_number, task, attempt), now_ms)

    def _made(self, job: Job, attempt_id: AttemptId, attempt: Attempt, result: Result) -> None:
        number, task, attempt_number = attempt_id
        values: dict[str, bytes] = {}
        for key in attempt.assign.keys:
            piece = result.pieces.get(key)
            if piece is None:
                self._missing_key_of_own(job, attempt_id, key, result)
                return
            if piece.is_file:
                self._fail(job, attempt_id, "protocol", f"the scheduler wants to see {key!r}: it must be a JSON value, not a file")
                return
            values[key] = piece.read()
        size = sum(map(len, values.values()))
        allowed = job.info.values_bytes or limits.VALUES_BYTES
        if size > allowed:
            error = f"the values for the scheduler take {size} bytes, more than {allowed}: pass a file to another task instead"
            self._fail(job, attempt_id, "protocol", error)
            return
        inputs = sorted({(t, a, digest) for (t, _), (a, digest, _) in attempt.inputs.items()})
        attempt.state = MADE
        job.results[(task, attempt_number)] = result
        self._effects.append(effects.KeepResult(number, job.info.job_id, task, attempt_number, result))
        self._end_attempt(job, attempt_id)
        report = Done(number, task, attempt_number, result.digest, result.size, result.read, result.run_us, values, inputs)
        self.session.report(report, self.now_ms)
        self._pass_on(job, attempt_id, result)

    def _missing_key_of_own(self, job: Job, attempt_id: AttemptId, key: str, result: Result) -> None:
        known = ", ".join(sorted(result.pieces)[:20]) or "nothing"
        self._fail(job, attempt_id, "missing_key", f"the scheduler wants to see {key!r}, but the node made {known}")

    def _pass_on(self, job: Job, attempt_id: AttemptId, result: Result) -> None:
        """Whoever waits for this result, here or elsewhere, gets it now."""
        for piece_id in self._local_waits(job, attempt_id):
            fetching = self.fetching.pop(piece_id)
            for consumer in fetching.consumers:
                waiting = job.attempts.get(consumer)
                if waiting is None:
                    continue
                piece = result.pieces.get(piece_id[3])
                if piece is None:
                    self._missing_key(job, consumer, piece_id[1], piece_id[3], result)
                else:
                    self._have(job, consumer, waiting, piece_id, result.digest, piece)
        for link, request, key, _ in self.parked.pop((job.info.job_id, attempt_id[1], attempt_id[2]), ()):
            self._serve(link, request, key, attempt_id[1], result)

    # --- fetching from other clients --------------------------------------------------------------------------

    def fetched_piece(self, piece_id: PieceId, digest: bytes, piece: Piece, now_ms: int) -> None:
        self.now_ms = now_ms
        fetching = self.fetching.pop(piece_id, None)
        job = self.jobs.get(piece_id[0])
        if fetching is None or job is None:
            self._effects.append(effects.DropFetched(*piece_id, piece))
            return
        self.fetched[piece_id] = (digest, piece)
        self.fetched_bytes += piece.size
        for consumer in fetching.consumers:
            waiting = job.attempts.get(consumer)
            if waiting is not None:
                self._have(job, consumer, waiting, piece_id, digest, piece)
        self._evict()

    def fetch_failed(self, piece_id: PieceId, kind: str, reason: str, now_ms: int) -> None:
        """`kind` as in Gone, or `unreachable`: several tries were made."""
        self.now_ms = now_ms
        fetching = self.fetching.pop(piece_id, None)
        job = self.jobs.get(piece_id[0])
        if fetching is None or job is None:
            return
        row = job.suppliers.get(piece_id[1])
        for consumer in list(fetching.consumers):
            if kind == "missing_key":
                self._fail(job, consumer, "missing_key", reason)
            elif row is not None and row.attempt == piece_id[2] and consumer in job.attempts:
                report = Unreachable(piece_id[0], piece_id[1], piece_id[2], row.client, consumer[1], consumer[2])
                self.session.report(report, now_ms)
                self._retries.append((now_ms + RETRY_FETCH_MS, piece_id[0], piece_id[1]))

    def _retry_fetches(self) -> None:
        """An Unreachable changes nothing where there is nobody else to ask: ask again."""
        while self._retries and self._retries[0][0] <= self.now_ms:
            _, job_number, task = self._retries.popleft()
            self._retry_fetch(job_number, task)

    def _retry_fetch(self, job_number: int, task: int) -> None:
        job = self.jobs.get(job_number)
        if job is None:
            return
        for attempt_id in list(job.consumers.get(task, ())):
            attempt = job.attempts.get(attempt_id)
            if attempt is not None and attempt.state == WAITING:
                for wanted, key in dict.fromkeys(attempt.assign.prerequisites):
                    if wanted == task and (wanted, key) not in attempt.inputs:
                        self._want(job, attempt_id, attempt, wanted, key)

    def _evict(self) -> None:
        """Keep what was fetched within its cap; pieces that attempts here hold stay alive with them."""
        if self.fetched_bytes <= FETCHED_CACHE_BYTES:
            return
        used = {
            (attempt_id[0], task, supplier, key)
            for job in self.jobs.values()
            for attempt_id, attempt in job.attempts.items()
            for (task, key), (supplier, _, _) in attempt.inputs.items()
        }
        for piece_id in [p for p in self.fetched if p not in used]:
            if self.fetched_bytes <= FETCHED_CACHE_BYTES:
                return
            self._forget_fetched(piece_id)

    def _forget_fetched(self, piece_id: PieceId) -> None:
        _, piece = self.fetched.pop(piece_id)
        self.fetched_bytes -= piece.size
        self._effects.append(effects.DropFetched(*piece_id, piece))

    # --- serving other clients -----------------------------------------------------------------------------------

    def fetch_requested(self, link: int, message: wire.Fetch, now_ms: int) -> None:
        self.now_ms = now_ms
        number = self.numbers.get(message.job_id)
        job = self.jobs.get(number) if number is not None else None
        if job is None and message.job_id in self.ended:
            self._effects.append(effects.ServeGone(link, message.request, "ended", f"job {message.job_id} is over"))
            return
        if job is not None:
            result = job.results.get((message.task, message.attempt))
            if result is not None:
                self._serve(link, message.request, message.key, message.task, result)
                return
        waiting = self.parked.setdefault((message.job_id, message.task, message.attempt), [])
        waiting.append((link, message.request, message.key, now_ms))

    def fetch_stopped(self, link: int, request: int | None) -> None:
        """The fetcher lost interest in one request, or (None) its link is gone."""
        for key, waiting in list(self.parked.items()):
            self.parked[key] = [w for w in waiting if w[0] != link or (request is not None and w[1] != request)]
            if not self.parked[key]:
                del self.parked[key]

    def _serve(self, link: int, request: int, key: str, task: int, result: Result) -> None:
        piece = result.pieces.get(key)
        if piece is None:
            known = ", ".join(sorted(result.pieces)[:20]) or "nothing"
            reason = f"task {task} has no piece {key!r}; it made {known}"
            self._effects.append(effects.ServeGone(link, request, "missing_key", reason))
        else:
            self._effects.append(effects.Serve(link, request, result.digest, piece))

    def _expire_parked(self) -> None:
        for key, waiting in list(self.parked.items()):
            number = self.numbers.get(key[0])
            job = self.jobs.get(number) if number is not None else None
            if job is not None and number is not None and (number, key[1], key[2]) in job.attempts:
                continue  # it is being made here
            late = [w for w in waiting if self.now_ms - w[3] >= limits.FETCH_UNKNOWN_MS]
            if late:
                self.parked[key] = [w for w in waiting if w not in late]
                for link, request, _, _ in late:
                    reason = f"this client has no attempt {key[2]} of task {key[1]}"
                    self._effects.append(effects.ServeGone(link, request, "unknown", reason))
            if not self.parked[key]:
                del self.parked[key]

    def _answer_parked(self, key: tuple[str, int, int], kind: str, reason: str) -> None:
        for link, request, _, _ in self.parked.pop(key, ()):
            self._effects.append(effects.ServeGone(link, request, kind, reason))

    # --- nodes -----------------------------------------------------------------------------------------------------

    def node_ready(self, number: int, now_ms: int) -> None:
        self.now_ms = now_ms
        for job in self.jobs.values():
            node = job.nodes.get(number)
            if node is not None:
                node.ready = node.began = True
                self._hungry = True

    def node_done(self, number: int, attempt_id: AttemptId, now_ms: int) -> None:
        """The node answered; the result follows with `result_made` once its files are hashed."""
        self.now_ms = now_ms
        self._free(number, attempt_id)

    def result_made(self, attempt_id: AttemptId, result: Result, now_ms: int) -> None:
        self.now_ms = now_ms
        job = self.jobs.get(attempt_id[0])
        attempt = job.attempts.get(attempt_id) if job is not None else None
        if job is None or attempt is None or attempt.state != SENT:
            return
        mean = job.run_us or result.run_us
        job.run_us = (7 * mean + result.run_us) // 8 or 1
        self._made(job, attempt_id, attempt, result)

    def result_failed(self, attempt_id: AttemptId, error: str, now_ms: int) -> None:
        """What the node named as its result is not there, or not allowed."""
        self.now_ms = now_ms
        job = self.jobs.get(attempt_id[0])
        if job is not None and attempt_id in job.attempts:
            self._fail(job, attempt_id, "protocol", error)

    def node_failed(self, number: int, attempt_id: AttemptId, kind: str, error: str, now_ms: int) -> None:
        """The task failed, the node lives."""
        self.now_ms = now_ms
        self._free(number, attempt_id)
        job = self.jobs.get(attempt_id[0])
        if job is not None and attempt_id in job.attempts:
            self._fail(job, attempt_id, kind, error)

    def node_stopped(self, number: int, attempt_id: AttemptId, now_ms: int) -> None:
        """A cancelled task has ended, the node lives."""
        self.now_ms = now_ms
        self._free(number, attempt_id)

    def node_refused(self, number: int, attempt_id: AttemptId, now_ms: int) -> None:
        """The node is about to end and takes nothing any more; `node_gone` will follow."""
        self.now_ms = now_ms
        job = self.jobs.get(attempt_id[0])
        node = job.nodes.get(number) if job is not None else None
        if job is None or node is None:
            return
        node.ready, node.closing = False, True
        if attempt_id in node.sent:
            node.sent.remove(attempt_id)
            self._requeue(job, attempt_id)

    def node_gone(self, number: int, error: str, now_ms: int) -> None:
        """The process has ended.  What became of the task that it worked on was told before; the others never began."""
        self.now_ms = now_ms
        self._hungry = True
        for job in list(self.jobs.values()):
            node = job.nodes.pop(number, None)
            if node is None:
                continue
            self._release_slots(node)
            for attempt_id in reversed(node.sent):
                self._requeue(job, attempt_id)
            if not node.began:
                self._never_ready(job, error)

    def _requeue(self, job: Job, attempt_id: AttemptId) -> None:
        attempt = job.attempts.get(attempt_id)
        if attempt is not None and attempt.state == SENT:
            attempt.state, attempt.node = READY, 0
            (job.ready if attempt.assign.cores else job.ready_extra).appendleft(attempt_id)
            self._hungry = True

    def _never_ready(self, job: Job, error: str) -> None:
        """A node program that cannot even start fails an attempt a start: the view counts its retries."""
        for queue in (job.ready, job.ready_extra):
            if queue:
                self._fail(job, queue[0], "start", error)
                return

    def _free(self, number: int, attempt_id: AttemptId) -> None:
        job = self.jobs.get(attempt_id[0])
        node = job.nodes.get(number) if job is not None else None
        if node is None:
            return
        try:
            node.sent.remove(attempt_id)
        except ValueError:
            return
        if not node.sent:
            node.closing = False
            self._release_slots(node)
        self._hungry = True

    def _release_slots(self, node: Node) -> None:
        self._busy -= node.cores
        node.cores = 0

    def _stop_node(self, job: Job, node: Node) -> None:
        self._release_slots(node)
        job.nodes.pop(node.number, None)
        self._effects.append(effects.StopNode(node.number))

    def _start_node(self, job: Job, *, extra: bool) -> None:
        self._next_node += 1
        job.nodes[self._next_node] = Node(self._next_node, job.info.job, extra)
        self._effects.append(effects.StartNode(self._next_node, job.info, extra))

    def _send(self, job: Job, node: Node, attempt_id: AttemptId) -> None:
        attempt = job.attempts[attempt_id]
        attempt.state, attempt.node = SENT, node.number
        assign = attempt.assign
        if not node.sent and not node.extra:
            node.cores = max(1, min(assign.cores, self.slots))
            self._busy += node.cores
        node.sent.append(attempt_id)
        inputs = [Input(task, key, attempt.inputs[(task, key)][2]) for task, key in assign.prerequisites]
        self._effects.append(effects.Run(node.number, assign, inputs))

    def _schedule(self) -> None:
        """Give ready attempts to nodes, the jobs in turn."""
        self._hungry = False
        idle_turns = 0
        while idle_turns < len(self._turn):
            job = self.jobs[self._turn[0]]
            if self._schedule_one(job):
                idle_turns = 0
            else:
                idle_turns += 1
            self._turn.rotate(-1)

    def _schedule_one(self, job: Job) -> bool:
        """Start or queue one attempt of the job; False when there is none or no room."""
        if job.ready_extra:
            node = next((n for n in job.nodes.values() if n.extra and n.ready and not n.sent), None)
            if node is not None:
                self._send(job, node, job.ready_extra.popleft())
                return True
            starting = sum(1 for n in job.nodes.values() if n.extra and not n.ready)
            if starting < len(job.ready_extra):
                self._start_node(job, extra=True)
        if not job.ready:
            return False
        cores = max(1, min(job.attempts[job.ready[0]].assign.cores, self.slots))
        nodes = [n for n in job.nodes.values() if not n.extra]
        node = next((n for n in nodes if n.ready and not n.sent), None)
        if node is not None and self._busy + cores <= self.slots:
            self._send(job, node, job.ready.popleft())
            return True
        starting = sum(1 for n in nodes if not n.ready)
        wanted = min(len(job.ready), self.slots - self._busy)
        if node is None and starting < wanted and len(nodes) < self.slots:
            self._start_node(job, extra=False)
            return False
        return self._queue_ahead(job, nodes)

    def _queue_ahead(self, job: Job, nodes: list[Node]) -> bool:
        """Short tasks are sent ahead of time, so that a node never waits for us."""
        if not job.run_us or len(self.jobs) > 1 and any(j.ready for j in self.jobs.values() if j is not job):
            return False
        depth = min(limits.NODE_QUEUE, 1 + limits.WINDOW_WORK_MS * 100 // job.run_us)
        best = min((n for n in nodes if n.ready and n.sent and not n.closing), key=lambda n: len(n.sent), default=None)
        if best is None or len(best.sent) >= depth or job.attempts[job.ready[0]].assign.cores != 1:
            return False
        self._send(job, best, job.ready.popleft())
        return True

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
