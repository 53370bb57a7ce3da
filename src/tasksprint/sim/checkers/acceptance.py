"""Invariant 5: nothing is accepted below the promise, neither on the disk nor in what others are told."""

from __future__ import annotations

from collections.abc import Sequence

from tasksprint.paxos.messages import ZERO, Accepted, AnyMessage, AnyRecord, Appended, Ballot, Promise, Promised
from tasksprint.sim.checkers.base import Checker, Seat


class Acceptance(Checker):
    name = "acceptance"
    promise = "nothing is accepted below the promise"

    def __init__(self) -> None:
        self._stored: dict[int, Ballot] = {}
        self._told: dict[int, Ballot] = {}

    def stored(self, seat: Seat, records: Sequence[AnyRecord], fresh: bool) -> None:
        if fresh:
            return  # a compacted journal says again what was; `truth.py` compares the two
        for record in records:
            if isinstance(record, Promised | Appended):
                promised = self._stored.get(seat.voter, ZERO)
                if record.ballot < promised:
                    self.fail(f"replica {seat.voter} stored {type(record).__name__} {record.ballot} after {promised}")
                self._stored[seat.voter] = record.ballot

    def sent(self, seat: Seat, target: int, message: AnyMessage) -> None:
        if isinstance(message, Promise):
            self._told[seat.voter] = max(self._told.get(seat.voter, ZERO), message.ballot)
        elif isinstance(message, Accepted) and message.ballot < self._told.get(seat.voter, ZERO):
            stored = seat.truth.journals[seat.voter].reached.get(message.ballot, 0)
            if stored < message.length:  # an old acceptance may be told again, a new one may not be made
                promised = self._told[seat.voter]
                self.fail(f"replica {seat.voter} accepted in {message.ballot} after it promised {promised}")
