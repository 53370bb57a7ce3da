"""What a scheduler is told, and when."""

from __future__ import annotations

from tests.view.stage import Stage, spec, task

from tasksprint import limits
from tasksprint.view import events
from tasksprint.view.operations import Decide, Finish, KillTask, Leave, SetTimer, Submit


def test_an_ordered_scheduler_hears_ends_in_task_order() -> None:
    stage = Stage()
    client = stage.join("a", slots=4)
    job = stage.submit(ordered=True)
    stage.start(job, *[task(number, retries=0) for number in range(1, 6)])
    client.done(4)
    client.done(2)
    assert stage.ends() == []
    assert "its end is told after those of lower tasks" in stage.machine.why(job, 2)
    client.done(1)
    assert stage.ends() == [("task_done", 1), ("task_done", 2)]
    stage.decide(job, KillTask(3))
    assert stage.ends()[2:] == [("task_done", 4)], "a killed task is passed over"
    client.failed(5)
    assert stage.ends()[3:] == [("task_failed", 5)]


def test_an_ordered_scheduler_never_hears_of_clients_or_timers() -> None:
    stage = Stage()
    stage.join("a")
    job = stage.submit(ordered=True)
    stage.join("b")
    stage.tick("a", times=15)
    assert [one.kind for one in stage.events()] == ["init"]
    stage.decide(job, SetTimer("t", 5))
    assert "an ordered scheduler has no timers" in stage.job().error


def test_client_events_wait_for_the_first_answer() -> None:
    stage = Stage()
    stage.join("a")
    stage.apply(Submit("job", spec()))
    actor = stage.join("b")
    stage.apply(Leave("b", actor.incarnation))
    assert [one.kind for one in stage.events()] == ["init"]
    stage.apply(Decide(stage.ballot, 1, 1, 1, 0, True, False, []))
    assert [one.kind for one in stage.events()] == ["init"], "a part of the answer is not the answer"
    stage.apply(Decide(stage.ballot, 1, 1, 1, 1, False, False, []))
    assert [(one.kind, one.client) for one in stage.events()[1:]] == [
        ("client_joined", "a"), ("client_joined", "b"), ("client_dead", "b"),
    ]  # fmt: skip


def test_timers_fire_in_order_at_ticks() -> None:
    stage = Stage()
    job = stage.submit()
    stage.decide(job, SetTimer("late", 250), SetTimer("b", 100), SetTimer("a", 100), SetTimer("moved", 50))
    stage.decide(job, SetTimer("moved", 300))
    stage.tick()
    assert [one.name for one in stage.events() if one.kind == "timer" and one.name != "ring"] == ["b", "a"]
    stage.tick(times=3)
    assert [one.name for one in stage.events() if one.name not in ("ring", "a", "b", "")] == ["late", "moved"]
    assert stage.events()[-1].time_ms == 300


def test_events_are_given_in_slices() -> None:
    stage = Stage()
    client = stage.join("a", slots=8)
    job = stage.submit()
    stage.start(job, *[task(number, keys=["k"]) for number in range(1, 9)])
    client.done(*range(1, 9), values={"k": b"x" * 1_000})
    first = stage.events()[0].seq
    seqs = [one.seq for one in stage.machine.events(job, first + 1, 3, 1 << 30)]
    assert seqs == [first + 2, first + 3, first + 4]
    last = stage.job().last_event
    assert len(stage.machine.events(job, last - 8, 100, 2_200)) == 2
    assert len(stage.machine.events(job, last - 8, 100, 1)) == 1, "one at least, however large"
    assert stage.machine.events(job, last, 100, 1 << 30) == []


def test_a_scheduler_that_is_behind_gets_no_further_tasks_placed() -> None:
    stage = Stage(checked=False)
    client = stage.join("a")
    job = stage.submit()
    stage.start(job, task(1), task(2))
    for _ in range(limits.EVENTS_UNANSWERED + 5):
        events.emit(stage.machine.world, stage.job(), "timer")
    stage.apply(Decide(stage.ballot, job, 1, stage.job().decided + 1, 0, False, False, []))
    client.done(1)
    assert client.numbers() == [2], "what is placed goes on"
    stage.submit("other")
    last = stage.job().decided + 1
    stage.decide(job, task(3), seq=last)
    assert client.numbers() == [2]
    assert "the scheduler is behind" in stage.machine.why(job, 3)
    assert stage.machine.status_job(job)["held_back"]
    stage.decide(job)
    assert client.numbers() == [2, 3]


def test_an_ordered_job_that_is_behind_still_gets_the_task_that_it_waits_for() -> None:
    stage = Stage(checked=False)
    client = stage.join("a", slots=1)
    job = stage.submit(ordered=True)
    stage.start(job, *[task(number, keys=["k"]) for number in range(1, 9)])
    state = stage.job()
    assert client.numbers() == [1, 2]
    client.done(2, values={"k": b"x"}, run_us=1_000_000)
    state.withheld_bytes += limits.EVENTS_BYTES
    client.failed(1)
    assert client.numbers() == [1, 3], "1 is placed again, since all others wait for it"
    client.done(3, values={"k": b"x"}, run_us=1_000_000)
    assert client.numbers() == [1]
    client.done(1, values={"k": b"x"})
    assert stage.ends() == [("task_done", 1), ("task_done", 2), ("task_done", 3)]


def test_no_event_after_finish() -> None:
    stage = Stage()
    client = stage.join("a")
    job = stage.submit()
    stage.start(job, task(1))
    stage.decide(job, SetTimer("t", 1), Finish(b"", [(1, "out")]))
    before = stage.job().last_event
    client.done(1)
    stage.join("b")
    stage.tick("a", "b")
    assert stage.job().last_event == before
