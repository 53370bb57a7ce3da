"""Promise 3: every copy of a scheduler is fed the same events.

That each comes once and in order, the scripted process itself looks after (`schedulers.py`).
"""

from __future__ import annotations

from tasksprint.codec import digest, pack
from tasksprint.sim.checkers.base import Checker
from tasksprint.view import Event


class Feeding(Checker):
    name = "feeding"
    promise = "an event is the same for every copy of the scheduler"

    def __init__(self) -> None:
        self._events: dict[tuple[int, int], bytes] = {}

    def fed(self, job: int, event: Event) -> None:
        now = digest(pack(event))
        if self._events.setdefault((job, event.seq), now) != now:
            self.fail(f"event {event.seq} of job {job} is {event!r} here, and was another one before")
