"""Invariant 11: every acknowledged operation survives, exactly once (promise 2 and 3).

The operations of the agreement world are unique byte strings, so the final log is searched once.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tasksprint.sim.checkers.base import Checker


class Acknowledged(Checker):
    name = "acknowledged"
    promise = "every acknowledged operation is in the log, at its place, exactly once"

    def __init__(self) -> None:
        self._acknowledged: list[tuple[int, bytes]] = []

    def acknowledged(self, index: int, data: bytes) -> None:
        self._acknowledged.append((index, data))

    def finish(self, world: Any) -> None:
        chosen: list[bytes] = world.truth.chosen
        times = Counter(chosen)
        for index, data in self._acknowledged:
            if index > len(chosen) or chosen[index - 1] != data:
                self.fail(f"the operation acknowledged at {index} is not there")
            if times[data] != 1:
                self.fail(f"the operation acknowledged at {index} is {times[data]} times in the log")
