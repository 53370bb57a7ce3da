"""Promise 4: after a kill is applied, no report of the task is accepted and no end of it is logged as done.

Promise 3 as well: a task ends once, a scheduler is told of it once, after the ends of its prerequisites.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasksprint.sim.checkers.base import Checker
from tasksprint.view import Machine
from tasksprint.view.operations import AnyOperation, Tick
from tasksprint.view.records import DONE, GONE, KILLED, OPEN, Task

BATCH = 1_000


class Kills(Checker):
    name = "kills"
    promise = "a killed task stays killed; every end is told once, after those that it depends on"

    def __init__(self) -> None:
        self._told: dict[int, int] = {}  # job → last event seen
        self._ended: set[tuple[int, int]] = set()
        self._killed: set[tuple[int, int]] = set()

    def after_entry(self, machine: Machine, operations: Sequence[AnyOperation]) -> None:
        world = machine.world
        busy = any(not isinstance(operation, Tick) for operation in operations)
        for number, job in world.jobs.items():
            if job.last_event > self._told.get(number, 0):
                for event in machine.events(number, self._told.get(number, 0), BATCH, 1 << 40):
                    self._told[number] = event.seq
                    if event.kind in ("task_done", "task_failed"):
                        self._end(machine.index, number, event.kind, job.tasks[event.task], job.tasks)
            if busy and job.state == "running":
                self._note_killed(machine.index, number, job.tasks)

    def _end(self, index: int, number: int, kind: str, task: Task, tasks: dict[int, Task]) -> None:
        name = (number, task.number)
        if name in self._ended:
            self.fail(f"entry {index}: the end of task {name} is told twice")
        self._ended.add(name)
        if name in self._killed and kind == "task_done":
            self.fail(f"entry {index}: task {name} was killed and is told as done")
        if kind == "task_done":
            for needed in task.inputs:
                if tasks[needed].state not in (DONE, GONE):
                    self.fail(f"entry {index}: task {name} is told as done before its prerequisite {needed}")

    def _note_killed(self, index: int, number: int, tasks: dict[int, Task]) -> None:
        for task in tasks.values():
            name = (number, task.number)
            if task.state == KILLED:
                self._killed.add(name)
            elif name in self._killed and task.state != OPEN:
                self.fail(f"entry {index}: task {name} was killed and is now in state {task.state}")
