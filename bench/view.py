"""How much CPU a task costs in the view: 10,000 independent no-op tasks, 2 slots, batches of 100 reports.

Counts starting them, placing them, telling the client, taking their reports and making their events; prints one
JSON line with microseconds per task.  The goal is 45.
"""

from __future__ import annotations

import json
import sys
import time

from tasksprint.view import Machine
from tasksprint.view.operations import (
    AnyOperation,
    AnyReport,
    Begin,
    Decide,
    Done,
    JobSpec,
    Register,
    Reports,
    StartTask,
    Submit,
    Tick,
    pack_actions,
    pack_entry,
)
from tasksprint.view.part import Assign

TASKS = 10_000
BATCH = 100
PART = 1_000
BALLOT = (1, 1)


class Run:
    def __init__(self) -> None:
        self.machine = Machine()
        self.index = 0
        self.spent = 0.0
        self.known = 0

    def apply(self, *operations: AnyOperation) -> None:
        data = pack_entry(list(operations))
        self.index += 1
        begin = time.process_time()
        self.machine.apply(self.index, data)
        self.machine.take()
        self.spent += time.process_time() - begin

    def poll(self) -> list[Assign]:
        begin = time.process_time()
        self.known, _, changes = self.machine.changes("client", self.known)
        self.spent += time.process_time() - begin
        return [change for change in changes if isinstance(change, Assign)]


def run(tasks: int) -> float:
    """Microseconds of CPU per task."""
    view = Run()
    view.apply(Begin(BALLOT))
    view.apply(Register("client", 1, "127.0.0.1:1", 2, [], []))
    view.apply(Submit("job", JobSpec("bench", ["scheduler"], ["node"], b"{}", 1)))
    starts = [StartTask(number, "noop", b'{"n":%d}' % number, keys=["value"]) for number in range(1, tasks + 1)]
    parts = [starts[place : place + PART] for place in range(0, tasks, PART)]
    for number, part in enumerate(parts):
        answers = [(1, pack_actions(part))]
        view.apply(Decide(BALLOT, 1, 1, 1, number, number + 1 < len(parts), False, answers))
    queue: list[Assign] = view.poll()
    sequence, answered, done = 0, 1, 0
    while done < tasks:
        batch, queue = queue[:BATCH], queue[BATCH:]
        sequence += 1
        reports: list[AnyReport] = [
            Done(1, one.task, one.attempt, b"0123456789abcdef", 10, 0, 40, {"value": b"1"}, []) for one in batch
        ]
        view.apply(Reports("client", 1 + 1, sequence, reports))
        done += len(batch)
        last = view.machine.job(1)
        assert last is not None and last.done == done
        if last.last_event > answered:
            answered = last.last_event
            view.apply(Decide(BALLOT, 1, 1, answered, 0, False, False, []))
        if sequence % 20 == 0:
            view.apply(Tick(BALLOT, 100, ["client"], view.index, view.machine.digest))
        queue += view.poll()
    return view.spent * 1e6 / tasks


def main() -> None:
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else TASKS
    best = min(run(tasks) for _ in range(3))
    print(json.dumps({"bench": "view", "tasks": tasks, "us_per_task": round(best, 1), "goal_us": 45}))


if __name__ == "__main__":
    main()
