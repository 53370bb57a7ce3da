"""The slots of a client: which node runs which attempt.  Pure.

One part of `core.Client`.  A slot is the right to run one node process; jobs take turns.  Short tasks are sent ahead,
up to NODE_QUEUE lines to a node, as long as the work queued there is about WINDOW_WORK_MS.
"""

from __future__ import annotations

from collections import deque

from tasksprint import limits
from tasksprint.client import effects
from tasksprint.client.effects import Input
from tasksprint.client.records import READY, SENT, AttemptId, Job, Node
from tasksprint.client.session import Session
from tasksprint.client.supplies import Supplies
from tasksprint.wire.results import Result


class Slots(Supplies):
    def __init__(self, client: str, slots: int, session: Session, now_ms: int) -> None:
        super().__init__(client, session, now_ms)
        self.slots = slots
        self._busy = 0  # slots in use
        self._next_node = 0
        self._turn: deque[int] = deque()  # jobs, round robin

    def node_ready(self, number: int, now_ms: int) -> None:
        self.now_ms = now_ms
        for job in self.jobs.values():
            node = job.nodes.get(number)
            if node is not None:
                node.ready = node.began = True
                self._hungry = True

    def progressed(self, attempt_id: AttemptId, fraction: float, now_ms: int) -> None:
        """The node says how far it is: for people, with the next sign of life."""
        self.now_ms = now_ms
        job = self.jobs.get(attempt_id[0])
        attempt = job.attempts.get(attempt_id) if job is not None else None
        if attempt is not None:
            attempt.progress = self.session.progress[attempt_id] = round(1_000 * min(max(fraction, 0.0), 1.0))

    def _tell_progress_again(self) -> None:
        """Another coordinator may lead now, and what the last one was told was not logged."""
        for job in self.jobs.values():
            for attempt_id, attempt in job.attempts.items():
                if attempt.progress >= 0 and attempt.state == SENT:
                    self.session.progress[attempt_id] = attempt.progress

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
        """Start or queue one attempt of the job, or start a node; False when there is nothing to do or no room."""
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
            return True  # and the next one now: not when this one has come up
        return self._queue_ahead(job, nodes)

    def _queue_ahead(self, job: Job, nodes: list[Node]) -> bool:
        """Short tasks are sent ahead of time, so that a node never waits for us."""
        if not job.run_us or (len(self.jobs) > 1 and any(j.ready for j in self.jobs.values() if j is not job)):
            return False
        depth = min(limits.NODE_QUEUE, 1 + limits.WINDOW_WORK_MS * 100 // job.run_us)
        best = min((n for n in nodes if n.ready and n.sent and not n.closing), key=lambda n: len(n.sent), default=None)
        if best is None or len(best.sent) >= depth or job.attempts[job.ready[0]].assign.cores != 1:
            return False
        self._send(job, best, job.ready.popleft())
        return True
