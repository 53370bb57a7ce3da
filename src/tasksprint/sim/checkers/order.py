"""Invariant 8: purged ≤ snapshot ≤ applied ≤ decided ≤ length, each only growing within a life.

(The length may shrink: a follower cuts entries that were never chosen.)
"""

from __future__ import annotations

from tasksprint.sim.checkers.base import Checker, Seat


class Order(Checker):
    name = "order"
    promise = "purged ≤ applied ≤ decided ≤ length, each only growing"

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, int, int]] = {}

    def started(self, seat: Seat) -> None:
        self._last.pop(seat.voter, None)

    def turn(self, seat: Seat) -> None:
        replica = seat.replica
        now = (replica.first - 1, seat.applied_index, replica.decided)
        if not now[0] <= now[1] <= now[2] <= replica.length:
            self.fail(f"replica {seat.voter}: purged, applied, decided, length are {(*now, replica.length)}")
        last = self._last.get(seat.voter, (0, 0, 0))
        if now[0] < last[0] or now[1] < last[1] or now[2] < last[2]:
            self.fail(f"replica {seat.voter}: purged, applied, decided went from {last} to {now}")
        self._last[seat.voter] = now
