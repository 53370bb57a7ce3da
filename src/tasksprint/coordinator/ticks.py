"""When the leader logs a tick, and whom it names: how the cluster's time moves.  Pure.

A log that moves gets a tick every `every_ms`.  One that stands still, with no timer soon, has nothing that depends on
the time but deaths and polls, which can wait a little longer: each tick wakes every coordinator and its disk.
"""

from __future__ import annotations

from tasksprint.limits import TICK_IDLE_MS, TICK_STEP_MAX_MS
from tasksprint.view import Machine
from tasksprint.view.operations import Ballot, Tick


class Ticks:
    """One at a time: a tick that is late carries the time of those that were not sent, up to its cap."""

    def __init__(self, every_ms: int, now_ms: int) -> None:
        self.every_ms = every_ms
        self.next_ms = 0
        self.heard: dict[str, None] = {}  # clients, since the last tick
        self._last_ms = now_ms
        self._index = 0  # of the last tick that was applied
        self._in_flight = False

    def lead(self, now_ms: int) -> None:
        """From now on they are ours to log."""
        self._last_ms, self.next_ms = now_ms, now_ms + self.every_ms
        self._in_flight = False

    def due(self, ballot: Ballot, machine: Machine, now_ms: int) -> Tick | None:
        """The tick to log now, unless one is on its way."""
        self.next_ms = now_ms + self.every_ms
        if self._in_flight:
            return None
        step = min(now_ms - self._last_ms, TICK_STEP_MAX_MS)
        self._last_ms = now_ms
        self._in_flight = True
        heard, self.heard = sorted(self.heard), {}
        self.next_ms = now_ms + max(self.every_ms, TICK_IDLE_MS)
        return Tick(ballot, step, heard, machine.index, machine.digest)

    def applied(self, machine: Machine) -> None:
        self._in_flight = False
        self._index = machine.index

    def look(self, machine: Machine, now_ms: int) -> None:
        """Entries were applied: is there something for which the next tick has to come in time?"""
        if machine.index > self._index or machine.next_timer_ms() < TICK_IDLE_MS:
            self.next_ms = min(self.next_ms, now_ms + self.every_ms)
