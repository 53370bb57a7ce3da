"""A user's scheduler decides alike in every copy, and again when it is told the same events a second time.

The cluster bears it when one does not: the copy is stopped, and the log goes on.  But the job's answer then hangs on
who led when, so whoever tries a scheduler of his own is told.  (Some scripts of our own world part on purpose.)
"""

from __future__ import annotations

from typing import Any

from tasksprint.sim.checkers.base import Checker


class Parting(Checker):
    name = "parting"
    promise = "the copies of a scheduler decide alike"

    def turn(self, seat: Any) -> None:
        for error in seat.core.copies.parted.values():
            self.fail(f"on coordinator {seat.voter}, {error}")
