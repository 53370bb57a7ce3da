"""Invariant 18: nothing is sent that depends on what is not synced.

A promise, an acceptance and the length that a follower names are looked up on the sender's platter at
the moment when they leave.
"""

from __future__ import annotations

from tasksprint.paxos.messages import Accepted, AnyMessage, HeartbeatReply, Promise
from tasksprint.sim.checkers.base import Checker, Seat


class Synced(Checker):
    name = "synced"
    promise = "promises, acceptances and lengths are on the disk before they are told"

    def sent(self, seat: Seat, target: int, message: AnyMessage) -> None:
        journal = seat.truth.journals[seat.voter]
        if isinstance(message, Promise):
            if journal.promised < message.ballot:
                self.fail(f"replica {seat.voter} promises {message.ballot}, its disk says {journal.promised}")
        elif isinstance(message, Accepted | HeartbeatReply):
            told = message.length
            stored = max(journal.reached.get(message.ballot, 0), journal.snapshot)
            if told > stored:
                what = f"{type(message).__name__} {told} in {message.ballot}"
                self.fail(f"replica {seat.voter} tells {what}, its disk holds {stored}")
