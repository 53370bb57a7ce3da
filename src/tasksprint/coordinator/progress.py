"""How far running tasks say that they are.  Pure.

For people alone: nothing is decided by it, so it goes with the clients' signs of life, past the log, and only the
leader knows it.  A client tells all of it again over each new link, and so to each new leader.
"""

from __future__ import annotations

from typing import Any

from tasksprint import limits
from tasksprint.view import JobState

ROWS_SHOWN = 100


class Progress:
    def __init__(self) -> None:
        self._told: dict[tuple[int, int, int], tuple[str, int]] = {}  # attempt → (client, thousandths), oldest first

    def hear(self, client: str, rows: list[tuple[int, int, int, int]]) -> None:
        for job, task, attempt, thousandths in rows:
            self._told.pop((job, task, attempt), None)
            self._told[job, task, attempt] = (client, thousandths)
        while len(self._told) > limits.PROGRESS_KEPT:
            del self._told[next(iter(self._told))]

    def rows(self, job: JobState, only: int = 0) -> list[dict[str, Any]]:
        """The live attempts of the job, or of one task, that have said something; the lowest tasks first."""
        found = []
        for (number, name, attempt), (client, thousandths) in sorted(self._told.items()):
            task = job.tasks.get(name) if number == job.number and only in (0, name) else None
            if task is not None and any((one.number, one.client) == (attempt, client) for one in task.attempts):
                row = {"task": name, "name": task.start.name, "attempt": attempt, "client": client}
                found.append({**row, "fraction": thousandths / 1_000})
        return found[:ROWS_SHOWN]


def sentence(rows: list[dict[str, Any]]) -> str:
    """To be added to why a task is not done yet."""
    return "".join(f"; attempt {row['attempt']} says that it is {row['fraction']:.1%} through" for row in rows)
