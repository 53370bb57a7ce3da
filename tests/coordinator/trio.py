"""Three coordinators' cores with lists between them, disks that are instant, schedulers that are functions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from tasksprint.coordinator import effects
from tasksprint.coordinator.core import Coordinator
from tasksprint.paxos import AnyRecord
from tasksprint.paxos.messages import AnyMessage
from tasksprint.view import Event
from tasksprint.view.operations import AnyAction, AnyReport, JobSpec
from tasksprint.view.part import AnyChange
from tasksprint.wire import messages as wire

JOB_ID = "j" * 32
SPEC = JobSpec("test", ["s"], ["n"], b"{}", 5)
CLIENT, COMMAND = 1, 2  # links
_records = msgspec.msgpack.Decoder(AnyRecord)

# What the scheduler on coordinator `int` answers to the event; "crash" and "hang" are answers, too.
Scheduler = Callable[[int, Event], list[AnyAction] | str]


class Disk:
    """What a coordinator finds when it starts again."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.snapshot: tuple[int, bytes] | None = None


class Trio:
    def __init__(self, scheduler: Scheduler, *, ordered: bool = False, can_save: bool = False) -> None:
        self.now = 1_000
        self.scheduler, self.ordered, self.can_save = scheduler, ordered, can_save
        self.disks = {id: Disk() for id in (1, 2, 3)}
        self.cores: dict[int, Coordinator] = {}
        self.mail: deque[tuple[int, int, AnyMessage]] = deque()
        self.cut: set[int] = set()  # nothing goes to or from them
        self.heard: dict[tuple[int, int], list[wire.FromCoordinator]] = {}  # (coordinator, link) → messages
        self.waits: dict[tuple[int, int], list[tuple[list[tuple[int, list[AnyAction]]], int, bool]]] = {}
        self.started: list[tuple[int, int, bytes | None]] = []  # (coordinator, generation, saved state)
        self.stopped: dict[int, str] = {}
        for id in (1, 2, 3):
            self.boot(id)

    def boot(self, id: int) -> None:
        """Start the coordinator from its disk."""
        disk = self.disks[id]
        records = [_records.decode(record) for record in disk.records]
        addresses = {1: "k1:1", 2: "k2:1", 3: "k3:1"}
        self.cores[id] = Coordinator(
            id, (1, 2, 3), addresses, 7 * id, self.now, records=records, snapshot=disk.snapshot
        )
        self.settle()

    def crash(self, id: int) -> None:
        del self.cores[id]
        self.mail = deque(each for each in self.mail if id not in each[:2])

    # --- time

    def settle(self) -> None:
        for _ in range(10_000):
            if not self._turn():
                return
        raise AssertionError("it never comes to rest")

    def later(self, ms: int) -> None:
        for _ in range(ms // 10):
            self.now += 10
            for core in list(self.cores.values()):
                core.advance(self.now)
            self.settle()

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        for _ in range(1_000):
            found = condition()
            if found:
                return found
            self.later(10)
        raise AssertionError(what)

    def leader(self, but: int = 0) -> Coordinator:
        def leading() -> Coordinator | None:
            found = [c for id, c in self.cores.items() if c.leading and id != but and id not in self.cut]
            return found[0] if found else None

        core = self.until(leading, "nobody leads")
        assert isinstance(core, Coordinator)
        return core

    # --- what the shells would do

    def _turn(self) -> bool:
        moved = False
        for id, core in list(self.cores.items()):
            if id in self.stopped:
                continue
            for effect in core.take():
                moved = True
                self._perform(id, core, effect)
        while self.mail:
            source, to, message = self.mail.popleft()
            if to in self.cores and not {source, to} & self.cut:
                moved = True
                self.cores[to].peer(source, [message], self.now)
        return moved

    def _perform(self, id: int, core: Coordinator, effect: effects.Effect) -> None:
        disk = self.disks[id]
        match effect:
            case effects.Write():
                disk.records += effect.records
                core.written(effect.write, self.now)
            case effects.Rotate():
                disk.snapshot, disk.records = (effect.index, effect.snapshot), list(effect.records)
                if effect.write:
                    core.written(effect.write, self.now)
            case effects.SendPeer():
                self.mail.append((id, effect.to, effect.message))
            case effects.Send():
                self.heard.setdefault((id, effect.link), []).append(effect.message)
            case effects.StartScheduler():
                state = core.machine.job(effect.job)
                self.started.append((id, state.generation if state else 0, effect.state))
                core.scheduler_ready(
                    effect.job, effect.copy, ordered=self.ordered, can_save=self.can_save, now_ms=self.now
                )
            case effects.FeedScheduler():
                self._feed(id, core, effect)
            case effects.ResumeScheduler():
                self._say(id, core, effect.job, effect.copy)
            case effects.SaveScheduler():
                core.scheduler_saved(effect.job, effect.copy, b"saved by %d" % id, self.now)
            case effects.Halt():
                self.stopped[id] = effect.reason

    def _feed(self, id: int, core: Coordinator, effect: effects.FeedScheduler) -> None:
        parts: list[tuple[list[tuple[int, list[AnyAction]]], int, bool]] = []
        for event in effect.events:
            said = self.scheduler(id, event)
            if said == "hang":
                return
            if isinstance(said, str):
                core.scheduler_failed(effect.job, effect.copy, f"{said}: last words", nonsense=False, now_ms=self.now)
                return
            cuts = range(0, len(said), 1_000)
            parts += [([(event.seq, said[start : start + 1_000])], event.seq, True) for start in cuts]
        last = effect.events[-1].seq
        final = parts.pop()[0] if parts and parts[-1][1] == last else []
        self.waits[(id, effect.copy)] = [*parts, (final, last, False)]
        self._say(id, core, effect.job, effect.copy)

    def _say(self, id: int, core: Coordinator, job: int, copy: int) -> None:
        parts = self.waits.get((id, copy))
        if parts:
            answers, seq, more = parts.pop(0)
            core.scheduler_answered(job, copy, answers, seq, more, self.now)

    # --- clients and commands

    def tell(self, core: Coordinator, message: wire.ToCoordinator, link: int = CLIENT) -> list[wire.FromCoordinator]:
        """What comes back at once over this link."""
        box = self.heard.setdefault((core.id, link), [])
        box.clear()
        core.message(link, message, self.now)
        self.settle()
        return list(box)

    def submit(self, core: Coordinator, job_id: str = JOB_ID) -> None:
        assert self.tell(core, wire.SubmitJob(1, job_id, SPEC), COMMAND) == [wire.Answer(1, "", b"")]

    def join(self, core: Coordinator, name: str = "c1") -> int:
        """Register a client; its incarnation."""
        (answer,) = self.tell(core, wire.RegisterClient(name, 1, "c:1", 4, [], []))
        assert isinstance(answer, wire.Registered)
        return answer.incarnation

    def poll(
        self, core: Coordinator, incarnation: int, known: int = 0, name: str = "c1"
    ) -> tuple[int, int, list[AnyChange]]:
        """(number, acknowledged, changes)."""
        box = self.heard.setdefault((core.id, CLIENT), [])
        box.clear()
        core.message(CLIENT, wire.Poll(name, incarnation, known), self.now)
        view = self.until(lambda: next((m for m in box if isinstance(m, wire.View)), None), "no answer to the poll")
        return view.number, view.acked, view.changes

    def report(self, core: Coordinator, incarnation: int, sequence: int, *reports: AnyReport, name: str = "c1") -> None:
        self.tell(core, wire.SendReports(name, incarnation, sequence, list(reports)))

    def job(self, core: Coordinator) -> Any:
        number = core.machine.job_number(JOB_ID)
        assert number is not None
        return core.machine.job(number)

    def agree(self) -> None:
        """All that are up and reachable hold the same state, as of what all have applied by now."""
        machines = [core.machine for id, core in self.cores.items() if id not in self.cut]
        index = max(machine.index for machine in machines)
        self.until(lambda: min(machine.index for machine in machines) >= index, "one lags for ever")
        assert len({machine.digest_at(index) for machine in machines}) == 1
        assert not self.stopped
