"""The class that a user's node extends, and the mark of its tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tasksprint.sdk.node_loop import Work

    AnyTask = TypeVar("AnyTask", bound=Callable[..., Any])


def task(function: AnyTask) -> AnyTask:
    """Marks a method as a task of the node: args come as keywords, prerequisites positionally, in order.

    It returns a dict of pieces: JSON values, or a `File` in `self.folder`. An exception fails this try; `TaskFailed`
    does so without a traceback.
    """
    function._tasksprint_task = True  # type: ignore[attr-defined]
    return function


class Node:
    """Extend it and mark its tasks with `@task`. One instance lives in each node process; it has one task at a time."""

    _sprint: Work

    @classmethod
    def tasks(cls) -> list[str]:
        """The names of its tasks."""
        return sorted(name for name in dir(cls) if getattr(getattr(cls, name), "_tasksprint_task", False))

    @property
    def random(self) -> Random:
        """A random source that is seeded from the task's seed; so are `random` and `numpy.random`."""
        return self._sprint.random()

    @property
    def seed(self) -> int:
        """The task's seed: 64 bits, the same for every attempt and replica."""
        return self._sprint.seed

    @property
    def folder(self) -> Path:
        """The task's own folder, made when it is first asked for; `File`s of the result lie in it."""
        return self._sprint.folder()

    @property
    def cancelled(self) -> bool:
        """The task is no longer wanted. A long task that looks at this and returns spares its node the kill."""
        return self._sprint.is_cancelled()

    def progress(self, fraction: float | None = None, *, read: int = 0) -> None:
        """Says how far the task is: a fraction of 0 to 1, and/or `read` more bytes of input worked through.

        What was read adds up and counts in the job's progress; lines are sent at most ten times a second.
        """
        self._sprint.progress(fraction, read)

    def log(self, text: str) -> None:
        """A line for the job's log, with the task's number. `print` does the same."""
        self._sprint.log(str(text))
