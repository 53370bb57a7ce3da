"""The scheduler of the measuring jobs: one shape of work a job, named in its arguments."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tasksprint.sdk import Scheduler, Task


class Measure(Scheduler):
    """args: {"shape": independent | chain | events | fan_in | shuffle | round_trip, "count": n, ...}."""

    def init(self, args: dict[str, Any]) -> None:
        self.args = args
        self.left = 0
        self.expected: dict[str, int] = {}
        self.sent = 0.0
        self.trips: list[float] = []
        self.began = time.monotonic()
        getattr(self, args["shape"])(args["count"])

    def independent(self, count: int) -> None:
        for value in range(count):
            self.await_value(self.start_task("echo", {"value": value}, keys=["value"]), value)

    def chain(self, count: int) -> None:
        """Declared ahead: step n+1 names step n as its prerequisite."""
        step = self.start_task("step")
        for _ in range(count - 2):
            step = self.start_task("step", prerequisites=[step["value"]])
        self.await_value(self.start_task("step", prerequisites=[step["value"]], keys=["value"]), count)

    def events(self, count: int) -> None:
        """Driven by events: each step is decided when the one before is done."""
        self.round_trip(count)

    def round_trip(self, count: int) -> None:
        self.remaining = count
        self.next_trip()

    def next_trip(self) -> None:
        self.sent = time.monotonic()
        self.await_value(self.start_task("echo", {"value": self.remaining}, keys=["value"]), self.remaining)

    def fan_in(self, count: int) -> None:
        parts = [self.start_task("echo", {"value": value}) for value in range(count)]
        total = self.start_task("total", prerequisites=[part["value"] for part in parts], keys=["value"])
        self.await_value(total, count * (count - 1) // 2)

    def shuffle(self, count: int) -> None:
        size = self.args["size"]
        maps = [self.start_task("scatter", {"parts": count, "size": size}) for _ in range(count)]
        for part in range(count):
            reduce = self.start_task("collect", prerequisites=[m[str(part)] for m in maps], keys=["value"])
            self.await_value(reduce, count * size)

    def await_value(self, task: Task, value: int) -> None:
        self.expected[str(task.number)] = value
        self.left += 1

    def task_done(self, task: Task, values: dict[str, Any]) -> None:
        expected = self.expected.pop(str(task.number), None)
        if expected is None:
            return
        if values["value"] != expected:
            self.fail(f"task {task.number} answered {values['value']}, not {expected}")
            return
        self.left -= 1
        if self.args["shape"] in ("events", "round_trip"):
            self.trips.append(time.monotonic() - self.sent)
            self.remaining -= 1
            if self.remaining:
                self.next_trip()
                return
        if self.left == 0:
            measured = {"seconds": time.monotonic() - self.began, "trips": self.trips}
            print("measured " + json.dumps(measured), file=sys.stderr, flush=True)
            self.finish({"tasks": self.args["count"]})
