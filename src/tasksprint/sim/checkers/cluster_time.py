"""Invariant 13: cluster time only grows, by at most the cap, and by ticks of the present leader alone.

The time is computed here a second time, from the operations: a tick counts when its ballot is that of the
last Begin.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasksprint import limits
from tasksprint.paxos.messages import ZERO
from tasksprint.sim.checkers.base import Checker
from tasksprint.view import Machine
from tasksprint.view.operations import AnyOperation, Begin, Tick


class ClusterTime(Checker):
    name = "cluster_time"
    promise = "cluster time moves only by the ticks of the leader that began last, each within the cap"

    def __init__(self) -> None:
        self._ballot = ZERO
        self._time_ms = 0

    def after_entry(self, machine: Machine, operations: Sequence[AnyOperation]) -> None:
        for operation in operations:
            if isinstance(operation, Begin):
                self._ballot = max(self._ballot, operation.ballot)
            elif isinstance(operation, Tick) and operation.ballot == self._ballot:
                self._time_ms += max(0, min(operation.step_ms, limits.TICK_STEP_MAX_MS))
        if machine.time_ms != self._time_ms:
            self.fail(f"after entry {machine.index} the cluster's time is {machine.time_ms}, not {self._time_ms}")
