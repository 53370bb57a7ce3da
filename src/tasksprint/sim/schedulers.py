"""Scheduler processes of one simulated coordinator: they think for a while, answer in parts, crash.

A copy also checks what it is fed: each event once, in order, and the same event as every other copy of
the job was fed (promise 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tasksprint.codec import pack
from tasksprint.coordinator import effects
from tasksprint.sim.programs import SchedulerCopy, SchedulerFailure
from tasksprint.sim.world import Violation
from tasksprint.view import Event
from tasksprint.view.operations import AnyAction

if TYPE_CHECKING:
    from tasksprint.sim.coordinators import CoordinatorHost

Answers = list[tuple[int, list[AnyAction]]]


class SchedulerProcess:
    """One copy."""

    def __init__(self, order: effects.StartScheduler, program: SchedulerCopy):
        self.job, self.copy, self.job_id = order.job, order.copy, order.job_id
        self.program = program
        self.last = 0
        self.rest: tuple[Answers, int] | None = None
        if order.state is not None:
            self.last, state = msgspec.msgpack.decode(order.state)
            self.program.restore(state)

    def answer(self, events: list[Event]) -> Answers:
        answers: Answers = []
        for event in events:
            if event.seq != self.last + 1:
                raise Violation("events", f"job {self.job} copy {self.copy}: event {event.seq} after {self.last}")
            self.last = event.seq
            actions = self.program.on(event)
            if actions:
                answers.append((event.seq, actions))
        return answers

    def save(self) -> bytes | None:
        state = self.program.save()
        return None if state is None else pack((self.last, state))


class SchedulerHost:
    """All copies on one coordinator; it dies with it."""

    def __init__(self, host: CoordinatorHost):
        self.host = host
        self.world = host.world
        self.processes: dict[int, SchedulerProcess] = {}

    def perform(self, effect: effects.Effect) -> None:
        match effect:
            case effects.StartScheduler():
                self._start(effect)
            case effects.FeedScheduler():
                self._later(effect.job, effect.copy, self._fed, effect.events)
            case effects.ResumeScheduler():
                self._later(effect.job, effect.copy, self._resumed)
            case effects.SaveScheduler():
                self._later(effect.job, effect.copy, self._saved)
            case effects.StopScheduler():
                process = self.processes.get(effect.job)
                if process is not None and process.copy == effect.copy:
                    del self.processes[effect.job]

    def _start(self, order: effects.StartScheduler) -> None:
        wanted = self.host.cluster.packed.get(order.spec.program)
        if order.program != wanted:
            raise Violation("programs", f"job {order.job}: its scheduler starts with {order.program!r}, not {wanted!r}")
        try:
            program = self.host.cluster.programs.scheduler(order.spec, self.world.between(0, 999))
        except SchedulerFailure as failure:
            self.host.later(0, self._say_failed, order.job, order.copy, failure)
            return
        self.processes[order.job] = SchedulerProcess(order, program)
        self._later(order.job, order.copy, self._ready)

    def _say_failed(self, job: int, copy: int, failure: SchedulerFailure) -> None:
        self.host.core.scheduler_failed(job, copy, str(failure), nonsense=failure.nonsense, now_ms=self.host.now_ms())

    def _later(self, job: int, copy: int, then: object, *arguments: object) -> None:
        think_us = self.host.cluster.think_us
        self.host.later(self.world.between(think_us // 4, think_us), self._if_alive, job, copy, then, arguments)

    def _if_alive(self, job: int, copy: int, then: object, arguments: tuple[object, ...]) -> None:
        process = self.processes.get(job)
        if process is not None and process.copy == copy:
            assert callable(then)
            then(process, *arguments)

    def _ready(self, process: SchedulerProcess) -> None:
        program = process.program
        now = self.host.now_ms()
        self.host.core.scheduler_ready(
            process.job, process.copy, ordered=program.ordered, can_save=program.can_save, now_ms=now
        )

    def _fed(self, process: SchedulerProcess, events: list[Event]) -> None:
        for event in events:
            self.host.cluster.fed(process.job, event)
        if events[0].seq > 1 and self.world.chance(self.host.cluster.scheduler_crash) and self.crash(process):
            return
        try:
            answers = process.answer(events)
        except SchedulerFailure as failure:
            del self.processes[process.job]
            self._say_failed(process.job, process.copy, failure)
        else:
            self._say(process, answers, events[-1].seq)

    def _say(self, process: SchedulerProcess, answers: Answers, seq: int) -> None:
        """Answer whole, or a first part now and the rest after `resume`."""
        part, more = answers, False
        cut = self._cut(answers)
        if cut is not None:
            part, rest = cut
            process.rest = (rest, seq)
            more = True
            seq = part[-1][0]
            self.world.counters.hit("answer in parts")
        now = self.host.now_ms()
        self.host.core.scheduler_answered(process.job, process.copy, part, seq, more, now)

    def _cut(self, answers: Answers) -> tuple[Answers, Answers] | None:
        """Cut the last answer somewhere in its middle, sometimes."""
        if not answers or len(answers[-1][1]) < 2 or not self.world.chance(self.host.cluster.answer_parts):
            return None
        seq, actions = answers[-1]
        place = self.world.between(1, len(actions) - 1)
        return [*answers[:-1], (seq, actions[:place])], [(seq, actions[place:])]

    def _resumed(self, process: SchedulerProcess) -> None:
        if process.rest is not None:
            (answers, seq), process.rest = process.rest, None
            self._say(process, answers, seq)

    def _saved(self, process: SchedulerProcess) -> None:
        self.world.counters.hit("scheduler saved")
        self.host.core.scheduler_saved(process.job, process.copy, process.save(), self.host.now_ms())

    def crash(self, process: SchedulerProcess) -> bool:
        """The process dies, if it did not just do so: the third time on one event would fail its job."""
        if not self.host.cluster.may_crash_scheduler(self.host.voter, process.job):
            return False
        del self.processes[process.job]
        self.world.counters.hit("scheduler crashed")
        self._say_failed(process.job, process.copy, SchedulerFailure("it was shot"))
        return True
