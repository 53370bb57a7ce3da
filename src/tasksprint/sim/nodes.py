"""Node processes of one simulated client: they take a while, fail, crash and are slow to cancel."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tasksprint import limits
from tasksprint.client.effects import Input
from tasksprint.sim.programs import NodeFailure
from tasksprint.sim.world import MS_US
from tasksprint.view.part import Assign

if TYPE_CHECKING:
    from tasksprint.sim.clients import ClientHost

AttemptId = tuple[int, int, int]


class NodeProcess:
    """One node: a queue of tasks, the first of which runs."""

    def __init__(self, host: ClientHost, number: int):
        self.host = host
        self.world = host.world
        self.number = number
        self.alive = True
        self.ready = False
        self.queue: deque[tuple[Assign, list[Input]]] = deque()
        self._turn = 0  # a task that was cancelled ends nothing
        self._program = host.cluster.programs.node(host)
        host.later(self.world.between(1, 60) * MS_US, self._ready)

    def _ready(self) -> None:
        if self.alive:
            self.ready = True
            self.host.core.node_ready(self.number, self.host.now_ms())

    def end(self) -> None:
        self.alive = False
        self.queue.clear()

    def run(self, assign: Assign, inputs: list[Input]) -> None:
        self.queue.append((assign, inputs))
        if len(self.queue) == 1:
            self._begin()

    def _begin(self) -> None:
        self._turn += 1
        if self.queue:
            self.host.later(self._program.begin(*self.queue[0]), self._end, self._turn, self.world.now_us)

    def _end(self, turn: int, since_us: int) -> None:
        if not self.alive or turn != self._turn:
            return
        if self.host.cluster.may_crash_node(self.queue[0][0]):
            self._crash()
            return
        assign, inputs = self.queue.popleft()
        host, attempt_id = self.host, name_of(assign)
        try:
            pieces = self._program.end(assign, inputs)
        except NodeFailure as failure:
            host.core.node_failed(self.number, attempt_id, "error", str(failure), host.now_ms())
        else:
            host.core.node_done(self.number, attempt_id, host.now_ms())
            host.later(self.world.between(0, 2_000), host.made, attempt_id, pieces, self.world.now_us - since_us)
        self._begin()

    def _crash(self) -> None:
        self.world.counters.hit("node crashed")
        attempt_id = name_of(self.queue[0][0])
        self.end()
        self.host.nodes.pop(self.number, None)
        self.host.core.node_failed(self.number, attempt_id, "crash", "killed by signal 9", self.host.now_ms())
        self.host.core.node_gone(self.number, "killed by signal 9", self.host.now_ms())

    def cancel(self, attempt_id: AttemptId) -> None:
        place = next((i for i, (assign, _) in enumerate(self.queue) if name_of(assign) == attempt_id), -1)
        if place > 0:
            del self.queue[place]
            self.host.later(self.world.between(0, MS_US), self._stopped, attempt_id)
        elif place == 0:
            self._turn += 1
            grace_us = limits.CANCEL_GRACE_MS * MS_US
            self.host.later(self.world.between(0, grace_us * 5 // 4), self._cancelled, attempt_id, self.world.now_us)
        else:
            self.host.later(self.world.between(0, MS_US), self._stopped, attempt_id)

    def _stopped(self, attempt_id: AttemptId) -> None:
        if self.alive:
            self.host.core.node_stopped(self.number, attempt_id, self.host.now_ms())

    def _cancelled(self, attempt_id: AttemptId, since_us: int) -> None:
        if not self.alive:
            return
        if self.world.now_us - since_us > limits.CANCEL_GRACE_MS * MS_US:
            self.world.counters.hit("node killed after grace")
            self.end()
            self.host.nodes.pop(self.number, None)
            self.host.core.node_gone(self.number, "it did not stop", self.host.now_ms())
            return
        self.queue.popleft()
        self._stopped(attempt_id)
        self._begin()


def name_of(assign: Assign) -> AttemptId:
    return assign.job, assign.task, assign.attempt
