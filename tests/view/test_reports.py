"""Which reports count, what failures lead to, and what becomes of lost results."""

from __future__ import annotations

import pytest
from tests.view.stage import Actor, Stage, digest_of, task

from tasksprint.view.operations import Done, Failed, Held, KillTask, Leave, Lost, Release, Returned, Unreachable
from tasksprint.view.part import Cancel, Drop, Supplier


def stage_with(*tasks: object, clients: str = "a", slots: int = 4, **changes: object) -> tuple[Stage, int, list[Actor]]:
    stage = Stage()
    actors = [stage.join(name, slots=slots) for name in clients]
    job = stage.submit(**changes)  # type: ignore[arg-type]
    stage.start(job, *tasks)  # type: ignore[arg-type]
    return stage, job, actors


# --- exactly once ---------------------------------------------------------------------------------------


def test_reports_take_effect_once_and_in_order() -> None:
    stage, _, (client,) = stage_with(task(1), task(2), task(3))
    one, two, three = (client.done_report(number) for number in (1, 2, 3))
    client.report(one, sequence=2)  # a gap: sent again later, in order
    assert stage.job().done == 0
    client.report(one, sequence=1)
    client.report(two, sequence=1)  # the number was used
    assert (stage.job().done, stage.ends()) == (1, [("task_done", 1)])
    client.report(two, sequence=2)
    client.report(three, sequence=3, incarnation=client.incarnation - 1)
    assert stage.job().done == 2
    state = stage.machine.client("a")
    assert state is not None
    assert state.acked == 2


def test_a_result_counts_once() -> None:
    stage, _, (client,) = stage_with(task(1))
    report = client.done_report(1)
    client.report(report)
    client.report(report)
    assert (stage.job().done, stage.job().refused, stage.ends()) == (1, 1, [("task_done", 1)])


def test_a_stale_attempt_does_not_count() -> None:
    stage, job, (client,) = stage_with(task(1))
    old = client.done_report(1)
    client.failed(1)
    client.poll()
    assert client.attempts[job, 1].attempt == 2
    client.report(old)
    client.report(Failed(job, 1, 1, "error", "late"), Returned(job, 1, 1), Lost(job, 1, 1))
    assert stage.job().done == 0
    assert stage.job().tasks[1].tries == 1
    client.done(1)
    assert stage.job().done == 1


def test_another_clients_attempt_does_not_count() -> None:
    stage, _, (one, other) = stage_with(task(1), clients="ab")
    report = one.done_report(1) if one.numbers() else other.done_report(1)
    (other if one.numbers() else one).report(report)
    assert stage.job().done == 0


def test_a_killed_task_stays_killed() -> None:
    stage, job, (client,) = stage_with(task(1), task(2, 1), task(3, 2))
    report = client.done_report(1)
    stage.decide(job, KillTask(1), KillTask(1))
    cancels = [change for change in client.poll() if isinstance(change, Cancel)]
    assert cancels == [Cancel(1, 1, 1), Cancel(1, 2, 1), Cancel(1, 3, 1)]
    client.report(report)
    assert stage.job().done == 0
    assert stage.ends() == [("task_failed", 2), ("task_failed", 3)]
    errors = [one.error for one in stage.events() if one.kind == "task_failed"]
    assert errors == ["prerequisite_killed: task 1 (work) was killed", "prerequisite_killed: task 2 (work) failed"]
    assert stage.machine.why(job, 1) == "task 1 (work) was killed by the scheduler"
    stage.decide(job, task(4, 1))
    assert stage.ends()[-1] == ("task_failed", 4)


def test_killing_what_is_done_changes_nothing() -> None:
    stage, job, (client,) = stage_with(task(1), task(2, 1))
    client.done(1)
    stage.decide(job, KillTask(1))
    assert client.numbers() == [2]


def test_reports_of_jobs_that_are_over_are_passed_over() -> None:
    stage, _, (client,) = stage_with(task(1))
    client.report(Done(9, 1, 1, b"", 1, 1, 1, {}, []), Done(1, 77, 1, b"", 1, 1, 1, {}, []), client.done_report(1))
    assert stage.job().done == 1


# --- failures -------------------------------------------------------------------------------------------


def test_a_task_has_its_retries() -> None:
    stage, job, (client,) = stage_with(task(1, retries=2), task(2, 1), task(3, 2))
    for _ in range(2):
        client.failed(1)
        assert stage.ends() == []
    client.failed(1, error="boom")
    assert stage.ends() == [("task_failed", 1), ("task_failed", 2), ("task_failed", 3)]
    errors = [one.error for one in stage.events() if one.kind == "task_failed"]
    assert errors[0] == "error: boom (the last of 3 tries)"
    assert errors[1:] == ["prerequisite_failed: task 1 (work) failed", "prerequisite_failed: task 2 (work) failed"]
    assert stage.job().failed == 3
    assert client.numbers() == []
    assert stage.machine.why(job, 1) == "task 1 (work) failed: error: boom (the last of 3 tries)"


def test_a_long_chain_fails_without_recursion() -> None:
    stage = Stage(checked=False)
    client = stage.join("a")
    job = stage.submit()
    count = 5_000
    stage.start(job, task(1, retries=0), *[task(number, number - 1) for number in range(2, count + 1)])
    client.failed(1)
    assert stage.job().failed == count


def test_values_over_the_limit_or_missing_are_a_failed_try() -> None:
    stage, _, (client,) = stage_with(task(1, keys=["k"], retries=0), task(2, keys=["k"], retries=0), values_bytes=10)
    client.done(1, values={"k": b"x" * 11})
    client.done(2, values={})
    errors = [one.error for one in stage.events() if one.kind == "task_failed"]
    assert "its values have 11 bytes, the job's limit is 10" in errors[0]
    assert "its result has no 'k'" in errors[1]


def test_a_task_that_takes_three_clients_with_it_fails() -> None:
    stage, _, _ = stage_with(task(1), task(2, 1), clients="")
    for name in "abc":
        actor = stage.join(name)
        assert actor.numbers() == [1, 2]
        stage.tick(times=15)
    assert stage.ends() == [("task_failed", 1), ("task_failed", 2)]
    errors = [one.error for one in stage.events() if one.kind == "task_failed"]
    assert errors[0] == "client_died: 3 clients died while they had this task"
    assert stage.job().tasks[1].tries == 0


def test_leaving_counts_for_nothing() -> None:
    stage, _, _ = stage_with(task(1), clients="")
    for name in "abcd":
        actor = stage.join(name)
        assert actor.numbers() == [1]
        stage.apply(Leave(name, actor.incarnation))
    assert stage.job().tasks[1].deaths == 0
    stage.join("e").done(1)
    assert stage.job().done == 1


# --- running ahead --------------------------------------------------------------------------------------


def test_a_report_that_comes_before_its_inputs_is_parked() -> None:
    stage, job, (one, other) = stage_with(task(1), task(2, 1), task(3, 2), clients="ab")
    owner = one if 1 in one.numbers() else other
    last = one if 3 in one.numbers() else other
    middle = one if 2 in one.numbers() else other
    last.done(3)
    middle.done(2)
    assert (stage.job().parked_count, stage.ends()) == (2, [])
    assert "its report waits for prerequisite 1" in stage.machine.why(job, 2)
    owner.done(1)
    assert stage.ends() == [("task_done", 1), ("task_done", 2), ("task_done", 3)]
    assert stage.job().parked_count == 0


def test_a_parked_report_runs_again_when_its_input_does() -> None:
    stage, job, (client,) = stage_with(task(1), task(2, 1))
    client.done(2)
    client.failed(1)
    client.poll()
    assert client.attempts[job, 2].attempt == 2
    assert stage.job().parked_count == 0
    client.done(1)
    client.done(2)
    assert stage.ends() == [("task_done", 1), ("task_done", 2)]


def test_a_result_made_of_other_inputs_does_not_count() -> None:
    stage, job, (client,) = stage_with(task(1), task(2, 1))
    client.done(1)
    for inputs in ([], [(1, 1, digest_of("another"))], [(1, 7, b"")]):
        client.poll()
        attempt = client.attempts[job, 2].attempt
        client.report(client.done_report(2, inputs=inputs))
        client.poll()
        assert client.attempts[job, 2].attempt == attempt + 1
    assert stage.job().done == 1
    client.done(2)
    assert stage.job().done == 2


def test_parked_reports_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasksprint.view import reports

    monkeypatch.setattr(reports, "PARKED_REPORTS", 2)
    stage, job, (client,) = stage_with(task(1), *[task(number, 1) for number in (2, 3, 4)])
    client.done(2, 3, 4)
    assert stage.job().parked_count == 2
    client.poll()
    assert client.attempts[job, 4].attempt == 2


# --- lost results ---------------------------------------------------------------------------------------


def test_a_lost_result_is_made_again_with_its_lost_inputs() -> None:
    stage, job, (client,) = stage_with(task(1), task(2, 1), task(3, 2))
    client.done(1)
    client.done(2)
    other = stage.join("b")
    stage.tick("b", times=15)
    assert other.numbers() == [1, 2, 3]
    assert "again, because its result was lost" in stage.machine.why(job, 1)
    for number in (1, 2, 3):
        other.done(number)
    assert stage.ends() == [("task_done", 1), ("task_done", 2), ("task_done", 3)], "an end is told once"
    assert (stage.job().done, stage.job().reruns) == (3, 2)


def test_nobody_needs_it_nobody_makes_it_again() -> None:
    stage, job, (client,) = stage_with(task(1))
    client.done(1)
    client.report(Lost(job, 1, 1))
    other = stage.join("b")
    assert client.numbers() == other.numbers() == []
    stage.decide(job, task(2, 1))
    assert sorted([*client.numbers(), *other.numbers()]) == [1, 2], "now somebody does"


def test_an_ancestor_is_not_made_again_when_the_lost_one_comes_back() -> None:
    stage, job, (client,) = stage_with(task(1), task(2, 1), task(3, 2))
    client.done(1)
    client.done(2)
    held = dict(client.held)
    client.report(Lost(job, 2, 1), Lost(job, 1, 1))
    assert client.numbers() == [1, 2, 3]
    stage.join("a", slots=4, held=[Held("job", 2, 1, held[job, 2][1], 10)])
    assert client.numbers() == [3]


def test_a_rerun_that_gives_another_result_voids_what_was_made_of_the_old_one() -> None:
    stage, job, (client,) = stage_with(task(1), task(2, 1))
    client.done(1)
    client.report(Lost(job, 1, 1))
    client.done(1, digest=digest_of("another"))
    assert stage.job().nondeterministic
    client.poll()
    assert client.attempts[job, 2].attempt == 2
    client.done(2)
    assert (stage.job().state, stage.job().done) == ("running", 2)


def test_a_strict_job_fails_when_a_rerun_gives_another_result() -> None:
    stage, job, (client,) = stage_with(task(1), task(2, 1), strict=True)
    client.done(1)
    client.report(Lost(job, 1, 1))
    client.done(1, digest=digest_of("another"))
    assert stage.job().state == "failed"
    assert "it is not deterministic" in stage.job().error


def test_a_result_that_cannot_be_made_again_fails_its_consumers() -> None:
    stage, job, (client,) = stage_with(task(1, retries=0), task(2, 1))
    client.done(1)
    client.report(Lost(job, 1, 1))
    client.failed(1)
    assert stage.ends() == [("task_done", 1), ("task_failed", 2)]
    assert "was lost and could not be made again" in stage.events()[-1].error
    stage.decide(job, task(3, 1))
    assert stage.ends()[-1] == ("task_failed", 3)


def test_release_drops_a_result_once_nobody_needs_it() -> None:
    stage, job, (client,) = stage_with(task(1), task(2, 1), task(3))
    client.done(1)
    stage.decide(job, Release(1), Release(3))
    client.poll()
    assert not [change for change in client.log if isinstance(change, Drop)]
    client.done(2)
    client.done(3)
    client.poll()
    assert [change for change in client.log if isinstance(change, Drop)] == [Drop(job, 1, 1), Drop(job, 3, 1)]


# --- unreachable results --------------------------------------------------------------------------------


def rows(actor: Actor) -> list[tuple[int, str]]:
    return [(change.attempt, change.client) for change in actor.poll() if isinstance(change, Supplier)]


def test_an_unreachable_result_another_copy_first_then_another_place() -> None:
    """b and c hold the result of 1; a, which has room, is given 2 and reaches neither of them."""
    stage, job, (fetcher, _, _) = stage_with(task(1, replicas=3), clients="abc")
    result = digest_of("1/1")
    stage.actors["b"].done(1)
    stage.join("c", held=[Held("job", 1, 2, result, 10)])
    for name in "bc":  # they are full
        state = stage.machine.client(name)
        assert state is not None
        state.args_bytes += 1 << 30
    stage.checked = False
    stage.decide(job, task(2, 1))
    assert fetcher.numbers() == [2]
    row = fetcher.suppliers[job, 1]
    assert row.client == "b"
    fetcher.report(Unreachable(job, 1, row.attempt, "b", 2, 1))
    assert rows(fetcher) == [(2, "c")]
    fetcher.report(Unreachable(job, 1, 2, "c", 2, 1))
    assert fetcher.numbers() == []
    assert [stage.actors[name].numbers() for name in "bc"] in ([[2], []], [[], [2]])
    assert stage.job().tasks[1].holders == ("b", "c"), "one fetcher's word deletes nothing"


def test_an_unreachable_result_the_supplier_runs_again_when_there_is_no_other_place() -> None:
    stage = Stage()
    fetcher = stage.join("a", slots=4, labels=["gpu"])
    job = stage.submit()
    holder = stage.join("b", slots=4, labels=["disk"])
    stage.start(job, task(1, labels=["disk"]), task(2, 1, labels=["gpu"]))
    holder.done(1)
    fetcher.poll()
    attempt = fetcher.attempts[job, 2].attempt
    fetcher.report(Unreachable(job, 1, 1, "b", 2, attempt))
    assert holder.numbers() == [1]
    holder.done(1)
    assert rows(fetcher)[-1] == (2, "b")
    fetcher.done(2)
    assert stage.job().done == 2


def test_a_stale_complaint_changes_nothing() -> None:
    stage, job, (client,) = stage_with(task(1), task(2, 1))
    client.done(1)
    client.report(Unreachable(job, 1, 1, "x", 2, 9), Unreachable(job, 2, 1, "x", 1, 1))
    assert stage.job().refused == 2
