"""The view's own invariants (`Machine.check`), now and then: windows, counts, caps (17), one owner an attempt (15)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasksprint.sim.checkers.base import Checker
from tasksprint.view import Machine
from tasksprint.view.operations import AnyOperation, Decide, Register, Reports

EVERY = 16  # entries that did more than tick


class State(Checker):
    name = "state"
    promise = "the view's records agree with one another and keep within their limits"

    def __init__(self) -> None:
        self._busy = 0

    def after_entry(self, machine: Machine, operations: Sequence[AnyOperation]) -> None:
        if any(isinstance(operation, Reports | Decide | Register) for operation in operations):
            self._busy += 1
            if self._busy % EVERY == 0:
                self._look(machine)

    def finish(self, world: Any) -> None:
        self._look(world.shadow)

    def _look(self, machine: Machine) -> None:
        problems = machine.check()
        if problems:
            self.fail(f"after entry {machine.index}: {'; '.join(problems[:5])}")
