"""Owners of programs that the tests play: they write down what they are told, and can be waited for."""

import asyncio
import os
import select
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasksprint.programs.keeper import Keeper
from tasksprint.programs.node_process import NodeProcess, Run
from tasksprint.programs.scheduler_process import SchedulerProcess

WAIT_S = 10.0


class Witness:
    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.log = ""
        self._news = asyncio.Event()

    def tell(self, *what: Any) -> None:
        self.told.append(what)
        self._news.set()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self._news.clear()
                await self._news.wait()

    def kinds(self) -> list[str]:
        return [what[0] for what in self.told]

    async def has(self, kind: str) -> tuple[Any, ...]:
        await self.until(lambda: kind in self.kinds())
        return next(what for what in self.told if what[0] == kind)


class NodeWitness(Witness):
    def __init__(self, command: list[str], folder: Path, keeper: Keeper) -> None:
        super().__init__()
        self.folder = folder
        self.node = NodeProcess(command, job="j", folder=folder, number=3, owner=self, keeper=keeper)
        self.node.start()

    def run(self, task: int, name: str = "a", args: bytes = b"{}", timeout_ms: int = 0) -> Run:
        run = Run(task, 1, name, args, [], task, str(self.folder / str(task)), timeout_ms)
        self.node.run(run)
        return run

    def node_ready(self, node: Any, ready: Any) -> None:
        self.tell("ready", ready)

    def node_done(self, node: Any, run: Run, done: Any, run_us: int) -> None:
        assert run_us >= 0
        self.tell("done", run.task, done)

    def node_failed(self, node: Any, run: Run, kind: str, error: str) -> None:
        self.tell("failed", run.task, kind, error)

    def node_cancelled(self, node: Any, run: Run) -> None:
        self.tell("cancelled", run.task)

    def node_progress(self, node: Any, run: Run, progress: Any) -> None:
        self.tell("progress", run.task, progress)

    def node_log(self, node: Any, run: Run | None, text: str) -> None:
        self.log += text
        self.tell("log", run.task if run else 0, text)

    def node_ended(self, node: Any, kind: str, error: str, unstarted: list[Run]) -> None:
        self.tell("ended", kind, error, [run.task for run in unstarted])


class SchedulerWitness(Witness):
    def __init__(self, command: list[str], folder: Path, keeper: Keeper, **more: Any) -> None:
        super().__init__()
        self.scheduler = SchedulerProcess(command, job="j", seed=7, folder=folder, owner=self, keeper=keeper, **more)
        self.scheduler.start()

    def scheduler_ready(self, scheduler: Any, ready: Any) -> None:
        self.tell("ready", ready)

    def scheduler_part(self, scheduler: Any, part: Any) -> None:
        self.tell("part", part)

    def scheduler_saved(self, scheduler: Any, saved: Any) -> None:
        self.tell("saved", saved)

    def scheduler_log(self, scheduler: Any, text: str) -> None:
        self.log += text
        self.tell("log", text)

    def scheduler_failed(self, scheduler: Any, kind: str, error: str) -> None:
        self.tell("failed", kind, error)

    def scheduler_closed(self, scheduler: Any) -> None:
        self.tell("closed")


def gone(pids: list[int], within_s: float = WAIT_S) -> bool:
    """Whether these processes, no children of ours, end in time."""
    poll = select.poll()
    waiting = set()
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        waiting.add(descriptor)
        poll.register(descriptor, select.POLLIN)
    everyone = set(waiting)
    while waiting:
        ended = poll.poll(within_s * 1000)
        if not ended:
            break
        for descriptor, _ in ended:
            poll.unregister(descriptor)
            waiting.discard(descriptor)
    for descriptor in everyone:
        os.close(descriptor)
    return not waiting
