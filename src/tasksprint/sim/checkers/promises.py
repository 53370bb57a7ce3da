"""Invariant 4: the promised ballot of a replica never goes back, across crashes too.

What counts after a crash is what others were told: a promise or an acceptance that left.
"""

from __future__ import annotations

from tasksprint.paxos.messages import ZERO, Accepted, AnyMessage, Ballot, Promise
from tasksprint.sim.checkers.base import Checker, Seat


class Promises(Checker):
    name = "promises"
    promise = "the promised ballot never goes back, across crashes too"

    def __init__(self) -> None:
        self._told: dict[int, Ballot] = {}
        self._now: dict[int, Ballot] = {}

    def started(self, seat: Seat) -> None:
        told = self._told.get(seat.voter, ZERO)
        if seat.replica.promised < told:
            self.fail(f"replica {seat.voter} came back with {seat.replica.promised}, but had told {told}")
        self._now[seat.voter] = seat.replica.promised

    def turn(self, seat: Seat) -> None:
        promised = seat.replica.promised
        if promised < self._now[seat.voter]:
            self.fail(f"replica {seat.voter} went back from {self._now[seat.voter]} to {promised}")
        self._now[seat.voter] = promised

    def sent(self, seat: Seat, target: int, message: AnyMessage) -> None:
        if isinstance(message, Promise | Accepted):
            self._told[seat.voter] = max(self._told.get(seat.voter, ZERO), message.ballot)
