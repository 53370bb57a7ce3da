"""A scheduler that decides alike in every copy is never taken for one that does not; and one that does not is found.

The cluster bears a copy that parts from the others: it is stopped, and the log goes on.  But the job's answer then
hangs on who led when, so whoever tries a scheduler of his own is told.  Some scripts part on purpose.
"""

from __future__ import annotations

from typing import Any

from tasksprint.sim.checkers.base import Checker


class Parting(Checker):
    name = "parting"
    promise = "the copies of a scheduler decide alike"

    def turn(self, seat: Any) -> None:
        for number, error in seat.core.copies.parted.items():
            job = seat.core.machine.job(number)
            if job is not None and seat.cluster.programs.repeatable(job.spec):
                self.fail(f"on coordinator {seat.voter}, {error}")
