"""Invariants 1 and 7: one value is chosen per index, for ever, and whoever applies an index applies that value.

The chosen value is computed from the disks (`truth.py`), so an entry that is applied before a majority
has it durably is found at the moment when it is applied.
"""

from __future__ import annotations

from tasksprint.sim.checkers.base import Checker, Seat


class Chosen(Checker):
    name = "chosen"
    promise = "one value is chosen per index, for ever, and nothing else is applied"

    def applied(self, seat: Seat, index: int, data: bytes, digest: bytes) -> None:
        chosen = seat.truth.chosen
        if index > len(chosen):
            self.fail(f"replica {seat.voter} applied {index}, but only {len(chosen)} entries are chosen")
        if chosen[index - 1] != data:
            self.fail(f"replica {seat.voter} applied another entry {index} than the chosen one")
