"""Why a job is not done yet: its state, and the first thing that it waits for."""

from __future__ import annotations

import json

from tests.view.stage import Stage, task

from tasksprint.coordinator.progress import Progress
from tasksprint.coordinator.requests import status_answer
from tasksprint.view.operations import CancelJob, Finish, SetTimer


def why(stage: Stage) -> str:
    error, data = status_answer(stage.machine, {}, "why:job", Progress())
    assert not error
    said = json.loads(data)
    assert isinstance(said, str) and "\n" not in said
    return said


def test_a_running_job_names_its_first_open_task_or_what_else_it_waits_for() -> None:
    stage = Stage()
    client = stage.join("a")
    number = stage.submit()
    stage.decide(number)
    assert why(stage) == (
        "job job is running, 0 of 0 tasks are done: every task has ended, every event is answered and no timer is set: "
        "the scheduler has not called finish"
    )
    stage.start(number, task(1), task(2, labels=["gpu"]))
    assert "0 of 2 tasks are done: task 2 (work) is to run, but no live client has what it needs" in why(stage)
    client.done(1)
    stage.decide(number)
    assert "1 of 2 tasks are done: task 2 (work)" in why(stage)


def test_a_job_whose_scheduler_is_behind_or_waits_for_a_timer() -> None:
    stage = Stage()
    client = stage.join("a")
    number = stage.submit()
    stage.start(number, task(1))
    assert "0 of 1 tasks are done: task 1 (work) is at client a" in why(stage)
    client.done(1)
    assert why(stage).endswith("1 of 1 tasks are done: it waits with 1 event for the scheduler to answer")
    stage.decide(number, SetTimer("later", 60_000))
    assert why(stage).endswith("every task has ended, and the scheduler waits for its timer")


def test_a_finishing_job_names_the_output_that_is_missing() -> None:
    stage = Stage()
    client = stage.join("a")
    number = stage.submit()
    stage.start(number, task(1), task(2))
    client.done(1)
    stage.decide(number, Finish(b"{}", [(1, "out"), (2, "out")]))
    assert why(stage).startswith("job job is finishing: 1 of 2 outputs are missing, first 'out'; task 2 (work) is at")
    client.done(2)
    assert why(stage) == "job job is finishing: its 2 outputs are there, to be brought by `submit --job job`"
    stage.apply(CancelJob("job"))
    assert why(stage) == "job job is cancelled: it was cancelled"
