"""The supplies of a client: inputs for its attempts, and results for whoever needs them.  Pure.

One part of `core.Client`, which says what an attempt's states mean.  Everything here answers two questions: what does
this attempt still lack, and whom does this result concern?
"""

from __future__ import annotations

from collections import OrderedDict, deque

from tasksprint import limits
from tasksprint.client import effects
from tasksprint.client.effects import Effect
from tasksprint.client.records import MADE, READY, SENT, WAITING, Attempt, AttemptId, Fetching, Job, PieceId
from tasksprint.client.session import Session
from tasksprint.view.operations import Done, Failed, Lost, Returned, Unreachable
from tasksprint.view.part import Assign, Supplier
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece, Result

FETCHED_CACHE_BYTES = 256 * limits.MIB
RETRY_FETCH_MS = 1_000
NAMES_SHOWN = 20  # of the keys that a result has, in an error


class Supplies:
    def __init__(self, client: str, session: Session, now_ms: int) -> None:
        self.id = client
        self.now_ms = now_ms
        self.session = session
        self.jobs: dict[int, Job] = {}
        self.numbers: dict[str, int] = {}  # job id → number
        self.ended: OrderedDict[str, None] = OrderedDict()  # job ids that are over
        self.fetching: dict[PieceId, Fetching] = {}
        self.fetched: OrderedDict[PieceId, tuple[bytes, Piece]] = OrderedDict()  # oldest use first
        self.fetched_bytes = 0
        self.parked: dict[tuple[str, int, int], list[tuple[int, int, str, int]]] = {}  # → [(link, request, key, since)]
        self._retries: deque[tuple[int, int, int]] = deque()  # (when, job, task): fetches to try again
        self._effects: list[Effect] = []
        self._hungry = False  # something may be startable

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
        same = (row.attempt, row.client, row.address)
        if before is not None and (before.attempt, before.client, before.address) == same:
            return
        waiting = [
            (attempt_id, attempt, key)
            for attempt_id in job.consumers.get(row.task, ())
            if (attempt := job.attempts.get(attempt_id)) is not None and attempt.state == WAITING
            for task, key in dict.fromkeys(attempt.assign.prerequisites)
            if task == row.task and (task, key) not in attempt.inputs
        ]
        if before is not None:  # all let go before one asks again: a supplier that moved has the same attempt elsewhere
            for attempt_id, _, key in waiting:
                self._unwant(attempt_id, (row.job, row.task, before.attempt, key))
        for attempt_id, attempt, key in waiting:
            if attempt_id in job.attempts:
                self._want(job, attempt_id, attempt, row.task, key)

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

    def _have(
        self, job: Job, attempt_id: AttemptId, attempt: Attempt, piece_id: PieceId, digest: bytes, piece: Piece
    ) -> None:
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
        known = ", ".join(sorted(result.pieces)[:NAMES_SHOWN]) or "nothing"
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
            self._answer_parked((job.info.job_id, attempt_id[1], attempt_id[2]), "moved", "the attempt was taken away")
            self._fail_local(job, attempt_id)
        return attempt

    def _fail_local(self, job: Job, attempt_id: AttemptId) -> None:
        """Whoever waits here for that attempt's pieces waits for a new row of its supplier."""
        for piece_id in self._local_waits(job, attempt_id):
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
        if self._end_attempt(job, attempt_id) is None:
            return  # it failed before, for another of its inputs
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
                self._fail(
                    job,
                    attempt_id,
                    "protocol",
                    f"the scheduler wants to see {key!r}: it must be a JSON value, not a file",
                )
                return
            values[key] = piece.read()
        size = sum(map(len, values.values()))
        allowed = job.info.values_bytes or limits.VALUES_BYTES
        if size > allowed:
            error = f"the values for the scheduler take {size} bytes, more than {allowed}: pass a file to a task"
            self._fail(job, attempt_id, "protocol", error)
            return
        inputs = sorted({(t, a, digest) for (t, _), (a, digest, _) in attempt.inputs.items()})
        attempt.state = MADE
        job.results[(task, attempt_number)] = result
        self._effects.append(effects.KeepResult(number, job.info.job_id, task, attempt_number, result))
        self._end_attempt(job, attempt_id)
        report = Done(
            number, task, attempt_number, result.digest, result.size, result.read, result.run_us, values, inputs
        )
        self.session.report(report, self.now_ms)
        self._pass_on(job, attempt_id, result)

    def _missing_key_of_own(self, job: Job, attempt_id: AttemptId, key: str, result: Result) -> None:
        known = ", ".join(sorted(result.pieces)[:NAMES_SHOWN]) or "nothing"
        self._fail(job, attempt_id, "missing_key", f"the scheduler wants to see {key!r}, but the node made {known}")

    def _pass_on(self, job: Job, attempt_id: AttemptId, result: Result) -> None:
        """Whoever waits for this result, here or elsewhere, gets it now."""
        for piece_id in self._local_waits(job, attempt_id):
            fetching = self.fetching.pop(piece_id, None)
            if fetching is None:
                continue  # its only consumer has failed, for lack of another piece
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
                if kind != "moved":  # else another row is on its way, and nobody is to blame
                    report = Unreachable(*piece_id[:3], row.client, consumer[1], consumer[2])
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
                    if wanted == task and (wanted, key) not in attempt.inputs and attempt_id in job.attempts:
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
            known = ", ".join(sorted(result.pieces)[:NAMES_SHOWN]) or "nothing"
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
