"""How far tasks are goes past the log: to the leader with signs of life, and to people with a status."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.coordinator.trio import COMMAND, JOB_ID, Trio

from tasksprint import limits
from tasksprint.coordinator.core import Coordinator
from tasksprint.coordinator.progress import Progress
from tasksprint.view import Event
from tasksprint.view.operations import AnyAction, Done, StartTask
from tasksprint.wire import messages as wire


def two_tasks(id: int, event: Event) -> list[AnyAction]:
    return [StartTask(1, "first", b"{}"), StartTask(2, "second", b"{}")] if event.kind == "init" else []


def asked(trio: Trio, core: Coordinator, what: str) -> Any:
    box = trio.heard.setdefault((core.id, COMMAND), [])
    box.clear()
    core.message(COMMAND, wire.StatusRequest(1, what), trio.now)
    (answer,) = trio.until(lambda: list(box), "no answer")
    assert isinstance(answer, wire.Answer) and not answer.error
    return json.loads(answer.data)


def running(trio: Trio, core: Coordinator) -> list[tuple[int, int, float]]:
    rows = asked(trio, core, f"job:{JOB_ID}")["running"]
    return [(row["task"], row["attempt"], row["fraction"]) for row in rows]


def test_a_task_that_says_how_far_it_is_is_shown_until_it_ends() -> None:
    trio = Trio(two_tasks)
    leader = trio.leader()
    trio.submit(leader)
    incarnation = trio.join(leader)
    trio.later(100)
    job = trio.job(leader).number
    index = leader.machine.index
    assert running(trio, leader) == []

    trio.tell(leader, wire.Alive("c1", incarnation, [(job, 2, 1, 250), (job, 1, 1, 0), (job, 1, 7, 999)]))
    trio.tell(leader, wire.Alive("c1", incarnation, [(job, 2, 1, 505)]))
    assert leader.machine.index == index, "nothing of it is logged"
    assert running(trio, leader) == [(1, 1, 0.0), (2, 1, 0.505)]
    assert asked(trio, leader, f"why:{JOB_ID}:2").endswith("; attempt 1 says that it is 50.5% through")

    trio.report(leader, incarnation, 1, Done(job, 2, 1, b"d" * 16, 1, 0, 10, {}, []))
    trio.later(100)
    assert running(trio, leader) == [(1, 1, 0.0)]
    assert "through" not in asked(trio, leader, f"why:{JOB_ID}:2")


def test_nobody_speaks_for_an_attempt_that_another_has() -> None:
    trio = Trio(two_tasks)
    leader = trio.leader()
    trio.submit(leader)
    trio.join(leader)
    trio.later(100)
    other = trio.join(leader, "c2")
    job = trio.job(leader).number
    trio.tell(leader, wire.Alive("c2", other, [(job, 1, 1, 900)]))
    trio.tell(leader, wire.Alive("c1", 12345, [(job, 1, 1, 900)]))
    assert running(trio, leader) == []


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROGRESS_KEPT", 3)
    progress = Progress()
    progress.hear("c1", [(1, task, 1, 10) for task in range(5)])
    progress.hear("c1", [(1, 2, 1, 20), (1, 9, 1, 0)])
    assert list(progress._told) == [(1, 4, 1), (1, 2, 1), (1, 9, 1)], "the oldest word goes first"
