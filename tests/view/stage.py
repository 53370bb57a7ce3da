"""A stage for the view: a machine, and actors that do what a leader, a scheduler and clients would.

`Stage` applies operations, one entry each, and checks every invariant after each.  `Actor` is a client as the view
should see it: it follows its part by polling, so that a test can compare what it believes with what the view holds.
"""

from __future__ import annotations

import hashlib
from typing import Any

from tasksprint.view import Event, JobState, Machine
from tasksprint.view.operations import (
    AnyAction,
    AnyOperation,
    AnyReport,
    Begin,
    Decide,
    Done,
    Failed,
    Held,
    JobSpec,
    Register,
    Reports,
    StartTask,
    Submit,
    Tick,
    pack_actions,
    pack_entry,
)
from tasksprint.view.part import Assign, Cancel, Change, Drop, GiveBack, JobEnded, JobInfo, Keep, Supplier


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def spec(**changes: Any) -> JobSpec:
    fields: dict[str, Any] = {"name": "play", "scheduler": ["s"], "node": ["n"], "args": b"{}", "seed": 7, **changes}
    return JobSpec(**fields)


class Stage:
    def __init__(self, *, checked: bool = True) -> None:
        self.machine = Machine()
        self.ballot = (1, 1)
        self.checked = checked
        self.entries: list[bytes] = []
        self.actors: dict[str, Actor] = {}
        self.apply(Begin(self.ballot))

    def apply(self, *operations: AnyOperation) -> None:
        data = pack_entry(list(operations))
        self.entries.append(data)
        self.machine.apply(self.machine.index + 1, data)
        if self.checked:
            problems = self.machine.check()
            assert not problems, problems

    # --- the leader ------------------------------------------------------------------------------

    def begin(self) -> None:
        self.ballot = (self.ballot[0] + 1, 1)
        self.apply(Begin(self.ballot))

    def tick(self, *heard: str, step_ms: int = 100, times: int = 1) -> None:
        for _ in range(times):
            self.apply(Tick(self.ballot, step_ms, list(heard), self.machine.index, self.machine.digest))

    # --- schedulers ------------------------------------------------------------------------------

    def submit(self, job_id: str = "job", *, ordered: bool = False, **changes: Any) -> int:
        """Submit a job and answer its first event without actions."""
        self.apply(Submit(job_id, spec(**changes)))
        number = self.machine.job_number(job_id)
        assert number is not None
        if self.job(number).state == "running":
            self.decide(number, ordered=ordered, seq=1)
        return number

    def job(self, number: int = 1) -> JobState:
        job = self.machine.job(number)
        assert job is not None
        return job

    def decide(
        self,
        job: int,
        *actions: AnyAction,
        seq: int = 0,
        event: int = 0,
        part: int | None = None,
        more: bool = False,
        ordered: bool = False,
    ) -> None:
        """Answer everything up to `seq` (the last event); the actions answer `event` (the last)."""
        state = self.job(job)
        seq = seq or state.last_event
        if seq == state.decided:  # nothing is unanswered: let something happen first
            self.ring(job)
            seq = state.last_event
        answers = [(event or seq, pack_actions(list(actions)))] if actions else []
        number = state.next_part if part is None else part
        self.apply(Decide(self.ballot, job, state.generation, seq, number, more, ordered or state.ordered, answers))

    def ring(self, job: int) -> None:
        """Give the scheduler an event to answer, as a timer would."""
        from tasksprint.view import events

        events.emit(self.machine.world, self.job(job), "timer", name="ring")

    def start(self, job: int, *tasks: StartTask) -> None:
        self.decide(job, *tasks)

    def events(self, job: int = 1, after: int = 0) -> list[Event]:
        return self.machine.events(job, after, 1 << 30, 1 << 40)

    def ends(self, job: int = 1) -> list[tuple[str, int]]:
        """What the scheduler was told of the ends of tasks, in order."""
        return [(one.kind, one.task) for one in self.events(job) if one.kind in ("task_done", "task_failed")]

    # --- clients ---------------------------------------------------------------------------------

    def join(self, name: str, slots: int = 2, labels: list[str] | None = None, held: list[Held] | None = None) -> Actor:
        actor = self.actors.get(name)
        if actor is None:
            actor = self.actors[name] = Actor(self, name)
        actor.register(slots, labels or [], held or [])
        return actor


def task(number: int, *inputs: int, **changes: Any) -> StartTask:
    prerequisites = [(one, "out") for one in inputs]
    return StartTask(number, changes.pop("name", "work"), changes.pop("args", b"{}"), prerequisites, **changes)


class Actor:
    """A client that follows its part of the view and reports what a test tells it to."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage = stage
        self.name = name
        self.nonce = 0
        self.forget()

    def forget(self) -> None:
        self.known = 0
        self.sequence = 0
        self.attempts: dict[tuple[int, int], Assign] = {}
        self.suppliers: dict[tuple[int, int], Supplier] = {}
        self.asked: set[tuple[int, int, int]] = set()
        self.held: dict[tuple[int, int], tuple[int, bytes]] = {}
        self.jobs: set[int] = set()
        self.log: list[Change] = []

    def register(self, slots: int, labels: list[str], held: list[Held]) -> None:
        self.nonce += 1
        kept = self.held
        self.forget()
        if held:
            self.held = kept
        self.slots, self.labels = slots, labels
        self.stage.apply(Register(self.name, self.nonce, f"{self.name}:1", slots, labels, held))

    @property
    def incarnation(self) -> int:
        state = self.stage.machine.client(self.name)
        assert state is not None
        return state.incarnation

    # --- following the view --------------------------------------------------------------------------

    def poll(self) -> list[Change]:
        """Take what changed; returns it."""
        number, whole, changes = self.stage.machine.changes(self.name, self.known)
        if whole:
            self.attempts, self.suppliers, self.jobs, self.asked = {}, {}, set(), set()
            kept = {(one.job, one.task): one.attempt for one in changes if isinstance(one, Keep)}
            self.held = {key: value for key, value in self.held.items() if kept.get(key) == value[0]}
        for change in changes:
            self.take(change)
        self.known = number
        self.log += changes
        return list(changes)

    def take(self, change: Change) -> None:
        match change:
            case JobInfo():
                self.jobs.add(change.job)
            case Assign():
                assert change.job in self.jobs
                for number, _ in change.prerequisites:
                    assert (change.job, number) in self.suppliers, "a supplier's row comes before who needs it"
                self.attempts[change.job, change.task] = change
            case Supplier():
                self.suppliers[change.job, change.task] = change
            case Cancel():
                mine = self.attempts.get((change.job, change.task))
                if mine is not None and mine.attempt == change.attempt:
                    del self.attempts[change.job, change.task]
            case GiveBack():
                self.asked.add((change.job, change.task, change.attempt))
            case Drop():
                held = self.held.get((change.job, change.task))
                if held is not None and held[0] == change.attempt:
                    del self.held[change.job, change.task]
            case JobEnded():
                self.jobs.discard(change.job)
                for table in (self.attempts, self.suppliers, self.held):
                    for key in [key for key in table if key[0] == change.job]:  # type: ignore[attr-defined]
                        del table[key]  # type: ignore[attr-defined]

    def numbers(self, job: int = 1) -> list[int]:
        """The tasks that it has attempts of."""
        self.poll()
        return sorted(number for owner, number in self.attempts if owner == job)

    # --- reporting -----------------------------------------------------------------------------------

    def report(self, *reports: AnyReport, sequence: int = 0, incarnation: int = 0) -> None:
        self.sequence += 1
        number = sequence or self.sequence
        self.stage.apply(Reports(self.name, incarnation or self.incarnation, number, list(reports)))

    def done_report(self, number: int, job: int = 1, **changes: Any) -> Done:
        """What an honest client would say of its attempt."""
        self.poll()
        mine = self.attempts[job, number]
        fields: dict[str, Any] = {
            "digest": digest_of(f"{job}/{number}"),
            "size": 10,
            "read": 1,
            "run_us": 1_000,
            "values": dict.fromkeys(mine.keys, b"1"),
            "inputs": [self.used(job, one) for one in dict.fromkeys(number for number, _ in mine.prerequisites)],
        }
        return Done(job, number, mine.attempt, **{**fields, **changes})

    def used(self, job: int, supplier: int) -> tuple[int, int, bytes]:
        row = self.suppliers[job, supplier]
        return supplier, row.attempt, row.digest if row.done else digest_of(f"{job}/{supplier}")

    def done(self, *numbers: int, job: int = 1, **changes: Any) -> None:
        reports = [self.done_report(number, job, **changes) for number in numbers]
        for one in reports:
            del self.attempts[job, one.task]
            self.held[job, one.task] = (one.attempt, one.digest)
        self.report(*reports)

    def failed(self, number: int, job: int = 1, error: str = "it broke") -> None:
        self.poll()
        mine = self.attempts.pop((job, number))
        self.report(Failed(job, number, mine.attempt, "error", error))
