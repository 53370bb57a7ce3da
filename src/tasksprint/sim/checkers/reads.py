"""Invariant 12: a read sees every operation that was acknowledged before it began."""

from __future__ import annotations

from tasksprint.sim.checkers.base import Checker, Seat


class Reads(Checker):
    name = "reads"
    promise = "a read sees every operation acknowledged before it began"

    def __init__(self) -> None:
        self._acknowledged = 0
        self._asked: dict[tuple[int, int, int], int] = {}

    def acknowledged(self, index: int, data: bytes) -> None:
        self._acknowledged = max(self._acknowledged, index)

    def read_asked(self, seat: Seat, token: int) -> None:
        self._asked[seat.voter, seat.life, token] = self._acknowledged

    def read_served(self, seat: Seat, token: int, index: int) -> None:
        seen = self._asked.pop((seat.voter, seat.life, token), None)
        if seen is None:
            self.fail(f"replica {seat.voter} served read {token}, which nobody asked for or which was served before")
        if index < seen:
            self.fail(f"replica {seat.voter} serves a read at {index}; {seen} was acknowledged before it began")
