"""A whole job through the cores of one coordinator and one client, with nothing between them but lists."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tasksprint.client import effects as client_effects
from tasksprint.client.core import Client
from tasksprint.coordinator import effects
from tasksprint.coordinator.core import Coordinator
from tasksprint.view.operations import Finish, JobSpec, StartTask
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece, Result

CLIENT_LINK, COMMAND_LINK = 1, 2
Scheduler = Callable[[object], list[object]]


class World:
    """One coordinator whose disk is instant, one client whose nodes answer at once."""

    def __init__(self, scheduler: Callable[..., list[object]]) -> None:
        self.now = 1_000
        self.scheduler = scheduler
        self.core = Coordinator(1, (1,), {1: "a:1"}, 7, self.now)
        self.client = Client("c1", 1, "b:1", 2, [], ["a:1"], self.now)
        self.answers: list[wire.FromCoordinator] = []
        self.runs: list[client_effects.Run] = []
        self.copies: dict[int, int] = {}
        self.dialled = 0

    def settle(self, limit: int = 10_000) -> None:
        for _ in range(limit):
            if not self._coordinator() and not self._client():
                return
        raise AssertionError("it never comes to rest")

    def later(self, ms: int) -> None:
        for _ in range(ms // 10):
            self.now += 10
            self.core.advance(self.now)
            self.client.advance(self.now)
            self.settle()

    def _coordinator(self) -> bool:
        todo = self.core.take()
        for effect in todo:
            match effect:
                case effects.Write():
                    self.core.written(effect.write, self.now)
                case effects.Send():
                    if effect.link == CLIENT_LINK:
                        self.client.message(effect.message, self.now)
                    else:
                        self.answers.append(effect.message)
                case effects.StartScheduler():
                    self.copies[effect.job] = effect.copy
                    self.core.scheduler_ready(effect.job, effect.copy, ordered=False, can_save=False, now_ms=self.now)
                case effects.FeedScheduler():
                    answers = [(event.seq, self.scheduler(event)) for event in effect.events]
                    answers = [(seq, actions) for seq, actions in answers if actions]
                    self.core.scheduler_answered(
                        effect.job, effect.copy, answers, effect.events[-1].seq, False, self.now
                    )
        return bool(todo)

    def _client(self) -> bool:
        todo = self.client.take()
        for effect in todo:
            match effect:
                case client_effects.Dial():
                    self.client.connected(effect.number, self.now)
                case client_effects.SendCoordinator():
                    self.core.message(CLIENT_LINK, effect.message, self.now)
                case client_effects.StartNode():
                    self.client.node_ready(effect.node, self.now)
                case client_effects.Run():
                    self.runs.append(effect)
                    name = (effect.assign.job, effect.assign.task, effect.assign.attempt)
                    self.client.node_done(effect.node, name, self.now)
                    result = Result(b"r" * 16, {"value": Piece(1, b"d" * 16, False, effect.assign.args)}, 1, run_us=100)
                    self.client.result_made(name, result, self.now)
        return bool(todo)

    def submit(self, job_id: str = "j" * 32) -> None:
        spec = JobSpec("test", ["s"], ["n"], b"{}", 5)
        self.core.message(COMMAND_LINK, wire.SubmitJob(1, job_id, spec), self.now)
        self.settle()

    def watch(self, job_id: str = "j" * 32) -> wire.JobUpdate:
        self.core.message(COMMAND_LINK, wire.WatchJob(2, job_id, 0), self.now)
        self.settle()
        update = self.answers[-1]
        assert isinstance(update, wire.JobUpdate)
        return update


def ten_tasks(event: object) -> list[object]:
    match event.kind:  # type: ignore[attr-defined]
        case "init":
            return [StartTask(n, "echo", b"%d" % n, keys=["value"]) for n in range(1, 11)]
        case "task_done" if event.task == 10:  # type: ignore[attr-defined]
            return [Finish(event.values["value"])]  # type: ignore[attr-defined]
    return []


@pytest.fixture
def world() -> World:
    world = World(ten_tasks)
    world.later(1_500)
    return world


def test_a_job_goes_from_submit_to_result(world: World) -> None:
    assert world.core.leading
    world.submit()
    world.later(300)
    update = world.watch()
    assert (update.state, update.values, update.started, update.done) == ("finishing", b"10", 10, 10)
    assert len(world.runs) == 10


def test_a_chain_runs_at_the_client_ahead_of_the_log() -> None:
    def chain(event: object) -> list[object]:
        if event.kind == "init":  # type: ignore[attr-defined]
            return [
                StartTask(n, "step", b"1", prerequisites=[(n - 1, "value")] if n > 1 else [], keys=["value"])
                for n in range(1, 51)
            ]
        return [Finish(b"0")] if event.kind == "task_done" and event.task == 50 else []  # type: ignore[attr-defined]

    world = World(chain)
    world.later(1_500)
    world.submit()
    world.later(300)
    assert world.watch().state == "finishing"
    assert [run.assign.task for run in world.runs] == list(range(1, 51))
    assert [i.task for i in world.runs[7].inputs] == [7]


def test_a_million_actions_come_in_chunks_that_do_not_depend_on_the_lines() -> None:
    """The same answer in other parts gives the same chunks: a new leader can go on in the middle."""
    digests = []
    for size in (1, 700, 2_500):
        world = World(lambda event: [])
        world.later(1_500)
        world.core.copies.effects.clear()
        world.scheduler = lambda event: []
        copies = world.core.copies
        world.submit()
        copy = copies.copies[1]
        assert copy.answered >= 1
        copy.chunks.clear()
        copy.state = "good"
        world.core.machine.world.jobs[1].decided = 0
        actions = [StartTask(n, "t", b"{}") for n in range(1, 2_501)]
        for start in range(0, 2_500, size):
            more = start + size < 2_500
            copies.answered(1, copy.copy, [(50, actions[start : start + size])], 50, more)
        digests.append([(c.seq, c.part, c.last, c.digest) for c in copy.chunks])
    assert digests[0] == digests[1] == digests[2]
    assert [part for _, part, _, _ in digests[0]] == [0, 1, 2]
