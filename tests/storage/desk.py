"""A journal on a desk: its callbacks are run by the test, in the test's thread, so nothing has to be slept for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any, cast

import pytest

from tasksprint.storage import Journal

WAIT_S = 10


class Desk:
    def __init__(self, folder: Path, cluster: str = "c", replica: int = 1) -> None:
        self.calls: Queue[Callable[[], None]] = Queue()
        self.durable: list[int] = []
        self.failures: list[Exception] = []
        self.write = 0
        self.journal = Journal.open(folder, cluster=cluster, replica=replica)
        self.journal.start(cast(Any, self), self.durable.append, self.failures.append)

    def call_soon_threadsafe(self, function: Callable[[], None]) -> None:
        self.calls.put(function)

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.calls.get(timeout=WAIT_S)()

    def append(self, *records: bytes, **options: Any) -> int:
        self.write += 1
        self.journal.append(self.write, list(records), **options)
        return self.write

    def settle(self) -> None:
        """Everything appended is durable, or the journal has failed."""
        self.until(lambda: bool(self.failures) or self.durable[-1:] == [self.write])

    def put(self, *records: bytes, **options: Any) -> None:
        """One group of its own."""
        self.append(*records, **options)
        self.settle()

    def rotate(self, index: int, state: bytes, records: list[bytes]) -> None:
        self.journal.rotate(index, state, records)
        self.until(lambda: bool(self.failures) or not self.journal.rotating)

    def die(self) -> None:
        """As a killed process: nothing is written at the end."""
        self.journal._writer.end = lambda: None  # type: ignore[method-assign]
        self.journal.close()


class PowerCut(OSError):
    pass


class Power:
    """Counts the steps that a disk is asked for, and goes at the one named."""

    STEPS = (
        "open", "pwrite", "pwritev", "fsync", "fdatasync", "rename", "unlink", "posix_fallocate", "ftruncate",
    )  # fmt: skip

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = -1  # -1: the power is on for ever
        self.gone = False
        for name in self.STEPS:
            patch.setattr(os, name, self._step(getattr(os, name)))

    def cut_after(self, steps: int) -> None:
        self.left, self.gone = steps, False

    def restore(self) -> None:
        self.left, self.gone = -1, False

    def _step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if self.left == 0:
                self.gone = True
                raise PowerCut("the power is gone")
            self.left -= self.left > 0
            return function(*args, **kwargs)

        return step


def recovered(folder: Path, cluster: str = "c", replica: int = 1) -> tuple[list[bytes], tuple[int, bytes] | None]:
    journal = Journal.open(folder, cluster=cluster, replica=replica)
    journal.close()
    return journal.records, journal.snapshot
