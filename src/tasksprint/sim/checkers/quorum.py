"""Invariant 2: a chosen value is on the durable storage of a majority, and stays there.

`truth.py` looks again whenever a log is cut; here each entry is looked at when it is first applied.
"""

from __future__ import annotations

from tasksprint.sim.checkers.base import Checker, Seat


class Quorum(Checker):
    name = "quorum"
    promise = "what is applied is on the disks of a majority"

    def __init__(self) -> None:
        self._seen = 0

    def applied(self, seat: Seat, index: int, data: bytes, digest: bytes) -> None:
        if index <= self._seen:
            return
        self._seen = index
        holders = seat.truth.holders(index)
        if holders < seat.truth.quorum:
            self.fail(f"entry {index} was applied by {seat.voter} while {holders} disks hold it")
