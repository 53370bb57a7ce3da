"""Invariant 16: decisions apply only with the current ballot and generation, each part once, in its turn."""

from __future__ import annotations

from collections.abc import Sequence

from tasksprint.paxos.messages import ZERO
from tasksprint.sim.checkers.base import Checker
from tasksprint.view import Machine
from tasksprint.view.operations import AnyOperation, Begin, Decide, Restart

Place = tuple[int, int, int]  # generation, last event decided, next part


class Decisions(Checker):
    name = "decisions"
    promise = "decisions apply only with the current ballot and generation, each part once, in its turn"

    def __init__(self) -> None:
        self._ballot = ZERO
        self._places: dict[int, Place] = {}

    def before_entry(self, machine: Machine, operations: Sequence[AnyOperation]) -> None:
        self._places.clear()
        for operation in operations:
            if isinstance(operation, Decide | Restart):
                job = machine.job(operation.job)
                if job is not None and job.state == "running":
                    self._places[operation.job] = (job.generation, job.decided, job.next_part)

    def after_entry(self, machine: Machine, operations: Sequence[AnyOperation]) -> None:
        for operation in operations:
            if isinstance(operation, Begin):
                self._ballot = max(self._ballot, operation.ballot)
            elif isinstance(operation, Decide | Restart) and operation.job in self._places:
                self._follow(operation)
        for number, (generation, decided, part) in self._places.items():
            job = machine.job(number)
            if job is None or job.state != "running":
                continue
            now = (job.generation, job.decided, job.next_part)
            if now != (generation, decided, part):
                self.fail(
                    f"entry {machine.index}: job {number} is at generation, event, part {now},"
                    f" its decisions lead to {(generation, decided, part)}"
                )

    def _follow(self, operation: Decide | Restart) -> None:
        """What the operation should bring about."""
        generation, decided, part = self._places[operation.job]
        if operation.ballot != self._ballot or operation.generation != generation:
            return
        if isinstance(operation, Restart):
            self._places[operation.job] = (generation + 1, decided, part)
        elif operation.seq > decided and operation.part == part:
            place = (generation, decided, part + 1) if operation.more else (generation, operation.seq, 0)
            self._places[operation.job] = place
