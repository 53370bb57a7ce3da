"""Invariants 9 and 10: the same applied index gives the same state digest, live, replayed or from a snapshot."""

from __future__ import annotations

from tasksprint.sim.checkers.base import Checker, Seat


class Digests(Checker):
    name = "digests"
    promise = "the same applied index gives the same state digest, whatever way a replica came there"

    def __init__(self) -> None:
        self._digests: list[bytes] = [b""]

    def applied(self, seat: Seat, index: int, data: bytes, digest: bytes) -> None:
        if index == len(self._digests):
            self._digests.append(digest)
        elif index > len(self._digests):
            self.fail(f"replica {seat.voter} applied {index} while the furthest is {len(self._digests) - 1}")
        elif self._digests[index] != digest:
            self.fail(f"replica {seat.voter}: its state after {index} differs from the others'")

    def restored(self, seat: Seat, index: int, digest: bytes) -> None:
        if index >= len(self._digests) or self._digests[index] != digest:
            self.fail(f"replica {seat.voter}: the state restored at {index} differs from the live one")
