"""The root finder's scheduler: the search's state machine, told of the ends of tasks in the order of their numbers.

Ordered, so the same seed and budget give the same table with any number of clients and with any deaths on the way.
Populations stay with the clients and travel between them as prerequisites; only findings, a few kilobytes, come here.
"""

from __future__ import annotations

from typing import Any

from tasksprint.apps.roots.report import announcement, result
from tasksprint.apps.roots.search import Order, Search
from tasksprint.sdk import Scheduler, Task

FAILURES_MAX = 3  # in a row: then it is the function, not bad luck


class RootFinder(Scheduler, ordered=True):
    def init(self, args: dict[str, Any]) -> None:
        search = Search(args["problem"], {**args["options"], "seed": self._seed_of(args)})
        self.state = vars(search)  # plain values, so that it can be saved
        self.warnings = list(args.get("warnings", []))
        self.tasks: dict[int, Task] = {}  # by the search's number
        self.numbers: dict[int, int] = {}  # the search's number by the task's
        self.told, self.failures, self.began = 0, 0, self.now
        self.run_orders(search.start())

    def _seed_of(self, args: dict[str, Any]) -> int:
        """As asked for; else the job's, in the range that JSON keeps."""
        seed = args["options"].get("seed")
        return int(seed) if seed is not None else self.seed % 2**53

    def run_orders(self, orders: list[Order]) -> None:
        for order in orders:
            inputs = [self.tasks[number]["population"] for number in order["inputs"]]
            task = self.start_task(order["kind"], {"args": order["args"]}, prerequisites=inputs, keys=["findings"])
            self.tasks[order["number"]] = task
            self.numbers[task.number] = order["number"]

    def task_done(self, task: Task, values: dict[str, Any]) -> None:
        self.failures = 0
        self.fold(self.numbers.pop(task.number), values["findings"])

    def task_failed(self, task: Task, error: str) -> None:
        self.failures += 1
        if self.failures >= FAILURES_MAX:
            self.fail(f"the function cannot be evaluated: {error.splitlines()[0] if error else 'it failed'}")
            return
        print(f"a task is lost: {error}")
        self.fold(self.numbers.pop(task.number), None)

    def fold(self, number: int, findings: dict[str, Any] | None) -> None:
        search = Search.of(self.state)
        rounds = len(search.curve)
        limit = search.options.get("time_s")
        if limit and self.now - self.began >= limit:
            search.stop("time")
        self.run_orders(search.ended(number, findings))
        if len(search.curve) > rounds:
            self.announce(search)
            self.forget(search)
        if search.done:
            self.finish(result(search, self.warnings))

    def announce(self, search: Search) -> None:
        for line in announcement(search, self.told):
            print(line)
        self.told = len(search.roots)

    def forget(self, search: Search) -> None:
        """Populations that no later task can ask for may go."""
        needed = search.needed()
        for number in [number for number in self.tasks if number not in needed]:
            self.release(self.tasks.pop(number))
