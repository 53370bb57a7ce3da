"""Copies of a block's transactions on several clients, so that a block that is found outlives whoever fetched them.

The transactions are a file of the template's task, too large for the log.  Two clients, each named by the label that it
alone has, are asked to keep a copy; a submission takes its transactions from a copy whose client lives, and is made
again from another one when that client dies meanwhile.  A block with nothing but the coinbase needs none of this.
"""

from __future__ import annotations

from typing import Any

from tasksprint.sdk import Scheduler, Task

COPIES = 2
COPY_S = 60.0


class Copies(Scheduler):
    def init(self, args: dict[str, Any]) -> None:
        self.clients: list[str] = []
        self.works: dict[str, Any] = {}  # by source: the task that fetched the work, and has its transactions
        self.source = 0
        self.copying: dict[int, Any] = {}  # task → [source, client]
        self.copies: dict[str, Any] = {}  # source → {client: task}

    def body(self, source: int) -> tuple[list[tuple[Task, str]], str]:
        """The transactions as prerequisites of a task, and the client that has them, where that is known."""
        if not self.works[str(source)]["transactions"]:
            return [], ""
        for client, number in self.copies.get(str(source), {}).items():
            return [Task(number, "keep")["body"]], client
        return [Task(source, "template")["body"]], ""

    def spread(self) -> None:
        """Enough copies of what is worked on."""
        if not self.source or not self.works[str(self.source)]["transactions"]:
            return
        there = set(self.copies.get(str(self.source), {}))
        there |= {client for source, client in self.copying.values() if source == self.source}
        for client in [each for each in self.clients if each not in there][: max(COPIES - len(there), 0)]:
            body, _ = self.body(self.source)
            options: dict[str, Any] = {"keys": ["kept"], "labels": [client], "cores": 0, "retries": 1}
            about = {"identity": self.works[str(self.source)]["identity"]}
            task = self.start_task("keep", about, prerequisites=body, timeout_s=COPY_S, **options)
            self.copying[task.number] = [self.source, client]

    def copied(self, number: int) -> None:
        source, client = self.copying.pop(number)
        if str(source) in self.works and client in self.clients:
            self.copies.setdefault(str(source), {})[client] = number
        else:
            self.release(Task(number, "keep"))

    def forget_copies(self, source: int) -> None:
        """Nobody will submit a block of this work any more."""
        for number in self.copies.pop(str(source), {}).values():
            self.release(Task(number, "keep"))
        for number in [each for each, (wanted, _) in self.copying.items() if wanted == source]:
            del self.copying[number]
            self.kill_task(Task(number, "keep"))

    def lose_copies(self, client: str) -> None:
        """The client is dead."""
        for number in [each for each, (_, keeper) in self.copying.items() if keeper == client]:
            del self.copying[number]
            self.kill_task(Task(number, "keep"))
        for kept in self.copies.values():
            kept.pop(client, None)
