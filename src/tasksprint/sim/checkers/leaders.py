"""Invariant 3: a ballot has at most one leader, and one life of it."""

from __future__ import annotations

from tasksprint.paxos.messages import Ballot
from tasksprint.sim.checkers.base import Checker, Seat


class Leaders(Checker):
    name = "leaders"
    promise = "at most one replica leads in a ballot, in one life"

    def __init__(self) -> None:
        self._led: dict[Ballot, tuple[int, int]] = {}

    def turn(self, seat: Seat) -> None:
        replica = seat.replica
        if not replica.is_leader:
            return
        leader = self._led.setdefault(replica.ballot, (seat.voter, seat.life))
        if leader != (seat.voter, seat.life):
            self.fail(f"{replica.ballot} was led by {leader}, and now by {(seat.voter, seat.life)}")
