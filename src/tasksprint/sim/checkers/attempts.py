"""Invariant 15: an attempt is held by at most one live client; a result is recorded once, by a live attempt.

A task may become done only through a report of an attempt that was live, at that client in that
incarnation, before the entry, or through a parked report of it; and only when its prerequisites are done.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasksprint.sim.checkers.base import Checker
from tasksprint.view import Machine
from tasksprint.view.operations import AnyOperation, Done, Reports
from tasksprint.view.part import Assign
from tasksprint.view.records import DONE, GONE, PARKED

TaskId = tuple[int, int]


class Attempts(Checker):
    name = "attempts"
    promise = "an attempt runs at one client only, and only a live attempt's result is recorded, once, after its inputs"

    def __init__(self) -> None:
        self._runs: dict[tuple[int, int, int], tuple[str, int]] = {}
        self._before: dict[TaskId, tuple[int, bytes]] = {}
        self._live: dict[TaskId, set[int]] = {}

    def ran(self, client: str, incarnation: int, assign: Assign) -> None:
        attempt = (assign.job, assign.task, assign.attempt)
        who = self._runs.setdefault(attempt, (client, incarnation))
        if who != (client, incarnation):
            self.fail(f"attempt {attempt} runs at {client}, incarnation {incarnation}, and ran at {who}")

    def before_entry(self, machine: Machine, operations: Sequence[AnyOperation]) -> None:
        self._before.clear()
        self._live.clear()
        for operation in operations:
            if isinstance(operation, Reports):
                for report in operation.reports:
                    if isinstance(report, Done):
                        self._look(machine, operation, report)

    def _look(self, machine: Machine, operation: Reports, report: Done) -> None:
        """Which attempts might now end the task."""
        name = (report.job, report.task)
        job = machine.job(report.job)
        task = job.tasks.get(report.task) if job is not None else None
        if task is None:
            return
        self._before[name] = (task.state, task.digest)
        live = self._live.setdefault(name, set())
        session = machine.client(operation.client)
        current = session is not None and session.alive and session.incarnation == operation.incarnation
        for attempt in task.attempts:
            mine = attempt.number == report.attempt and attempt.client == operation.client and current
            if mine or attempt.kind == PARKED:
                live.add(attempt.number)

    def after_entry(self, machine: Machine, operations: Sequence[AnyOperation]) -> None:
        for (number, name), recorded in self._before.items():
            job = machine.job(number)
            task = job.tasks.get(name) if job is not None else None
            if job is None or task is None or task.state != DONE or recorded == (DONE, task.digest):
                continue  # nothing new: a result that is made again is the same one, or nobody needs it any more
            if not self._live[number, name]:
                self.fail(f"entry {machine.index}: task {number}/{name} is done by an attempt that was not live")
            for needed in task.inputs:
                if job.tasks[needed].state not in (DONE, GONE):
                    self.fail(f"entry {machine.index}: task {number}/{name} is done before its prerequisite {needed}")
