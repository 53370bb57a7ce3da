"""A client's core on a desk: the test plays the leader, the nodes and the other clients."""

from __future__ import annotations

from tasksprint.client import effects
from tasksprint.client.core import Client
from tasksprint.view.operations import AnyReport, Held
from tasksprint.view.part import AnyChange, Assign, JobInfo, Supplier
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece, Result

JOB, JOB_ID = 1, "j" * 32
INFO = JobInfo(JOB, JOB_ID, "test", ["node"], "", 5, 0)
INCARNATION = 17


def piece(value: bytes = b"1") -> Piece:
    return Piece(len(value), b"p" * 16, False, value)


def result(*keys: str, digest: bytes = b"r" * 16, run_us: int = 100_000) -> Result:
    return Result(digest, {key: piece() for key in keys or ("value",)}, 1, run_us=run_us)


def assign(task: int, *needs: tuple[int, str], attempt: int = 1, keys: tuple[str, ...] = (), cores: int = 1) -> Assign:
    return Assign(JOB, task, attempt, "work", b"{}", 9, list(needs), list(keys), 0, cores, False)


def supplier(task: int, client: str = "other", attempt: int = 1, *, done: bool = False) -> Supplier:
    return Supplier(JOB, task, attempt, client, f"{client}:1", done, b"r" * 16 if done else b"")


class Desk:
    def __init__(
        self, *, slots: int = 2, held: list[tuple[Held, Result]] | None = None, coordinators: int = 3
    ) -> None:
        self.now = 1_000
        self.index = 100
        self.reports: list[AnyReport] = []
        self.sequences: list[int] = []
        names = [f"k{number}:1" for number in range(1, coordinators + 1)]
        self.client = Client("me", 1, "me:1", slots, [], names, self.now, held=held)
        self.dial: effects.Dial
        self.did()

    def did(self, *kinds: type) -> list[effects.Effect]:
        """What it wants done; of these kinds only, if any are named.  Reports are noted aside."""
        found = self.client.take()
        for effect in found:
            if isinstance(effect, effects.Dial):
                self.dial = effect
            if isinstance(effect, effects.SendCoordinator) and isinstance(effect.message, wire.SendReports):
                self.sequences.append(effect.message.sequence)
                self.reports += effect.message.reports
        return [effect for effect in found if isinstance(effect, kinds)] if kinds else found

    def sent(self, kind: type) -> list[wire.ToCoordinator]:
        return [
            effect.message
            for effect in self.did(effects.SendCoordinator)
            if isinstance(effect, effects.SendCoordinator) and isinstance(effect.message, kind)
        ]

    # --- the leader

    def connect(self) -> None:
        self.client.connected(self.dial.number, self.now)

    def join(self, *changes: AnyChange) -> None:
        """Connect, register, get the whole part."""
        self.connect()
        self.hear(wire.Registered(1, INCARNATION))
        self.view(INFO, *changes, whole=True)

    def hear(self, message: wire.FromCoordinator) -> None:
        self.client.message(message, self.now)

    def view(self, *changes: AnyChange, whole: bool = False, acked: int | None = None) -> None:
        self.index += 1
        last = self.sequences[-1] if self.sequences else 0
        self.hear(wire.View(self.index, last if acked is None else acked, whole, list(changes)))

    def later(self, ms: int) -> None:
        for _ in range(ms // 10):
            self.now += 10
            self.client.advance(self.now)

    # --- the nodes

    def starts(self) -> list[int]:
        return [effect.node for effect in self.did(effects.StartNode) if isinstance(effect, effects.StartNode)]

    def run(self) -> list[effects.Run]:
        """Every node that is wanted comes up; what runs then."""
        runs: list[effects.Run] = []
        while found := self.did():
            for effect in found:
                if isinstance(effect, effects.StartNode):
                    self.client.node_ready(effect.node, self.now)
                elif isinstance(effect, effects.Run):
                    runs.append(effect)
        return runs

    def finish(self, run: effects.Run, made: Result) -> None:
        name = (run.assign.job, run.assign.task, run.assign.attempt)
        self.client.node_done(run.node, name, self.now)
        self.client.result_made(name, made, self.now)

    def told(self, kind: type) -> list[AnyReport]:
        """The reports of this kind so far, those that gather too."""
        self.later(10)
        self.did()
        return [report for report in self.reports if isinstance(report, kind)]
