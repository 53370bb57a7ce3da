"""Invariant 17: no queue or log grows past its cap."""

from __future__ import annotations

from tasksprint import limits
from tasksprint.paxos.messages import ZERO, Ballot
from tasksprint.sim.checkers.base import Checker, Seat


class Bounds(Checker):
    name = "bounds"
    promise = "no more slots in flight than the limit"

    def __init__(self) -> None:
        self._last: dict[int, tuple[Ballot, int]] = {}

    def turn(self, seat: Seat) -> None:
        replica = seat.replica
        if not replica.is_leader:
            return
        ballot, before = self._last.get(seat.voter, (ZERO, 0))
        now = replica.in_flight  # a new leader may have adopted more, but then may not add to it
        if now > limits.SLOTS_IN_FLIGHT and ballot == replica.ballot and now > before:
            self.fail(f"replica {seat.voter} has {now} slots in flight")
        self._last[seat.voter] = (replica.ballot, now)
