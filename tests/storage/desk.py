"""A journal on a desk: its callbacks are run by the test, in the test's thread, so nothing has to be slept for."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any, cast

import pytest

from tasksprint.native import _syncer, syncer_plain
from tasksprint.storage import Journal, journal

WAIT_MS = 10_000


class Desk:
    def __init__(self, folder: Path, cluster: str = "c", replica: int = 1) -> None:
        self.calls: Queue[Callable[[], None]] = Queue()
        self.bell, self.rope = os.pipe()  # rings when there are calls
        self.poll = select.poll()
        self.poll.register(self.bell, select.POLLIN)
        self.readers: dict[int, Callable[[], None]] = {self.bell: self.called}
        self.durable: list[int] = []
        self.failures: list[Exception] = []
        self.write = 0
        self.journal = Journal.open(folder, cluster=cluster, replica=replica)
        self.journal.start(cast(Any, self), self.durable.append, self.failures.append)

    def __del__(self) -> None:
        os.close(self.bell)
        os.close(self.rope)

    # --- the part of an event loop that a journal uses ---

    def call_soon_threadsafe(self, function: Callable[..., None], *arguments: Any) -> None:
        self.calls.put(lambda: function(*arguments))
        os.write(self.rope, b"1")

    def add_reader(self, descriptor: int, function: Callable[[], None]) -> None:
        self.readers[descriptor] = function
        self.poll.register(descriptor, select.POLLIN)

    def remove_reader(self, descriptor: int) -> None:
        self.poll.unregister(descriptor)
        del self.readers[descriptor]

    def called(self) -> None:
        os.read(self.bell, 1)
        self.calls.get_nowait()()

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            ready = self.poll.poll(WAIT_MS)
            assert ready, "nothing happens any more"
            for descriptor, _ in ready:
                self.readers[descriptor]()

    # --- what tests do ---

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
        self.journal._segments.finish = lambda: None  # type: ignore[method-assign]
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
        patch.setattr(CompiledSyncer, "power", self)

    def cut_after(self, steps: int) -> None:
        self.left, self.gone = steps, False

    def restore(self) -> None:
        self.left, self.gone = -1, False

    def is_on(self) -> bool:
        if self.left == 0:
            self.gone = True
        self.left -= self.left > 0
        return not self.gone

    def _step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if not self.is_on():
                raise PowerCut("the power is gone")
            return function(*args, **kwargs)

        return step


class CompiledSyncer(_syncer.Syncer):
    """Its thread is out of reach; while the power is gone it is told to write where nothing can be written."""

    power: Power | None = None

    def begin(self, file: int, offset: int, data: bytes) -> None:
        super().begin(file if self.power is None or self.power.is_on() else NOWHERE, offset, data)


NOWHERE = os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
SYNCERS: dict[str, Any] = {"compiled": CompiledSyncer, "plain": syncer_plain.Syncer}


def use_syncer(patch: pytest.MonkeyPatch, name: str) -> None:
    patch.setattr(journal, "Syncer", SYNCERS[name])


def recovered(folder: Path, cluster: str = "c", replica: int = 1) -> tuple[list[bytes], tuple[int, bytes] | None]:
    journal = Journal.open(folder, cluster=cluster, replica=replica)
    journal.close()
    return journal.records, journal.snapshot
