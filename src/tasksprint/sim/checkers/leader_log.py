"""Invariant 6: a new leader's log holds every operation that was chosen in an earlier ballot."""

from __future__ import annotations

from tasksprint.paxos.messages import Ballot
from tasksprint.sim.checkers.base import Checker, Seat


class LeaderLog(Checker):
    name = "leader_log"
    promise = "a new leader's log holds every chosen operation"

    def __init__(self) -> None:
        self._led: set[Ballot] = set()

    def turn(self, seat: Seat) -> None:
        replica = seat.replica
        if not replica.is_leader or replica.ballot in self._led:
            return
        self._led.add(replica.ballot)
        log, truth = seat.asked, seat.truth
        for index in range(log.base + 1, len(truth.chosen) + 1):
            if truth.chosen_in[index - 1] < replica.ballot and log.entry(index) != truth.chosen[index - 1]:
                self.fail(f"replica {seat.voter} leads {replica.ballot} without the chosen entry {index}")
