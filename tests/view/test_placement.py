"""Which task goes where."""

from __future__ import annotations

import pytest
from tests.view.stage import Actor, Stage, task

from tasksprint import limits
from tasksprint.view.operations import Leave, Returned
from tasksprint.view.part import GiveBack


def counts(*actors: Actor) -> list[int]:
    return [len(actor.numbers()) for actor in actors]


def test_tasks_spread_over_clients_by_their_slots() -> None:
    stage = Stage()
    one, two = stage.join("a", slots=1), stage.join("b", slots=3)
    job = stage.submit()
    stage.start(job, *[task(number) for number in range(1, 5)])
    assert counts(one, two) == [1, 3]
    stage.start(job, *[task(number) for number in range(5, 100)])
    assert counts(one, two) == [2, 6], "the smallest window is two a slot"
    assert "window full" in stage.machine.why(job, 99)


def test_the_window_follows_the_work() -> None:
    stage = Stage(checked=False)
    client = stage.join("a", slots=2)
    job = stage.submit()
    stage.start(job, *[task(number) for number in range(1, 1_000)])
    sizes = []
    for _ in range(9):
        client.done(*client.numbers(), run_us=20)
        sizes.append(len(client.numbers()))
    assert sizes[:4] == [8, 16, 32, 64], "short tasks: it doubles with each round trip"
    stage.start(job, *[task(number) for number in range(1_000, 3_000)])
    client.done(*client.numbers()[:3], run_us=20_000)
    state = stage.machine.client("a")
    assert state is not None
    assert state.window == 5, "tasks of 20 ms: 50 ms of work for each slot"
    stage.tick("a", times=10)
    assert state.window == 4, "nothing done for a second: the smallest"
    assert not stage.machine.world.working


def test_the_window_has_a_largest_size() -> None:
    stage = Stage(checked=False)
    client = stage.join("a", slots=2)
    job = stage.submit()
    stage.start(job, *[task(number) for number in range(1, 4_000)])
    for _ in range(10):
        client.done(*client.numbers(), run_us=1)
    assert counts(client) == [limits.WINDOW_MAX]


def test_jobs_take_turns() -> None:
    stage = Stage()
    first, second = stage.submit("one"), stage.submit("two")
    stage.start(first, *[task(number) for number in range(1, 50)])
    stage.start(second, *[task(number) for number in range(1, 50)])
    client = stage.join("a", slots=3)
    assert [len(client.numbers(job)) for job in (first, second)] == [3, 3]
    for number in client.numbers(first):
        client.done(number, job=first, run_us=10**6)
    assert sorted(len(client.numbers(job)) for job in (first, second)) == [2, 4], "and the other one is served first"


def test_a_dependent_task_goes_where_its_inputs_are() -> None:
    stage = Stage()
    one, two = stage.join("a"), stage.join("b")
    job = stage.submit()
    stage.start(job, task(1), task(2))
    holder = one if 1 in one.numbers() else two
    other = two if holder is one else one
    holder.done(1, size=1_000_000)
    other.done(2, size=10)
    stage.start(job, task(3, 1, 2))
    assert holder.numbers() == [3]


def test_a_chain_is_assigned_ahead_and_stays_together() -> None:
    stage = Stage()
    one, two = stage.join("a"), stage.join("b")
    job = stage.submit()
    stage.start(job, task(1), *[task(number, number - 1) for number in range(2, 20)])
    assert sorted(counts(one, two)) == [0, 19]
    owner = one if one.numbers() else two
    assert owner.suppliers[job, 1].client == owner.name
    assert "waiting at client" in stage.machine.why(job, 5)


def test_waiting_tasks_have_a_window_of_their_own() -> None:
    stage = Stage(checked=False)
    client = stage.join("a", slots=1)
    job = stage.submit()
    stage.start(job, task(1), *[task(number, 1) for number in range(2, 200)])
    assert counts(client) == [1 + limits.WAITING_PER_SLOT]


def test_side_effects_turn_running_ahead_and_replicas_off() -> None:
    stage = Stage()
    stage.join("a")
    stage.join("b")
    job = stage.submit()
    stage.start(job, task(1, replicas=2, side_effects=True), task(2, 1, side_effects=True))
    assert len(stage.job().tasks[1].attempts) == 1
    assert stage.job().tasks[2].attempts == ()
    assert "it waits for prerequisite 1" in stage.machine.why(job, 2)
    owner = stage.actors[stage.job().tasks[1].attempts[0].client]
    owner.done(1)
    assert len(stage.job().tasks[2].attempts) == 1


def test_tasks_without_a_core_run_beside_the_slots() -> None:
    stage = Stage()
    client = stage.join("a", slots=1)
    job = stage.submit()
    stage.start(job, *[task(number, cores=0) for number in range(1, 4)], *[task(number) for number in range(4, 9)])
    assert client.numbers() == [1, 2, 3, 4, 5]
    stage.start(job, *[task(number, cores=0) for number in range(9, 9 + limits.ASIDE_MAX)])
    assert counts(client) == [limits.ASIDE_MAX + 2]


def test_labels_and_cores_name_the_clients_that_may_run_a_task() -> None:
    stage = Stage()
    plain, special = stage.join("a", slots=2), stage.join("b", slots=4, labels=["gpu", "big"])
    job = stage.submit()
    stage.start(job, *[task(number, labels=["gpu"]) for number in (1, 2)], task(3, cores=3))
    assert (plain.numbers(), special.numbers()) == ([], [1, 2, 3])


def test_a_client_has_its_own_id_as_a_label() -> None:
    stage = Stage()
    actors = [stage.join(name) for name in ("a", "b", "c")]
    job = stage.submit()
    stage.start(job, task(1, labels=["c"]), task(2, labels=["a"], cores=0), task(3, labels=["d"]))
    assert [actor.numbers() for actor in actors] == [[2], [], [1]]
    assert stage.join("d").numbers() == [3]


def test_a_task_that_no_client_could_run_is_reported() -> None:
    stage = Stage()
    client = stage.join("a")
    job = stage.submit()
    stage.start(job, task(1, labels=["gpu"]), task(2, cores=64), task(3))
    assert client.numbers() == [3], "it keeps nobody else waiting"
    reasons = stage.machine.status_job(job)["unplaceable"]
    assert [reason.split(",")[1] for reason in reasons] == [
        " but no live client has what it needs: a slot and the labels gpu",
        " but no live client has what it needs: 64 slots",
    ]
    assert stage.join("b", labels=["gpu"]).numbers() == [1]


def test_replicas_run_on_distinct_clients_and_the_first_result_counts() -> None:
    stage = Stage()
    one, two = stage.join("a"), stage.join("b")
    job = stage.submit()
    stage.start(job, task(1, replicas=3), task(2, 1))
    assert [1 in actor.numbers() for actor in (one, two)] == [True, True]
    three = stage.join("c")
    assert 1 in three.numbers(), "as many as there are clients for"
    two.done(1)
    assert [1 in actor.numbers() for actor in (one, two, three)] == [False, False, False]
    owner = next(actor for actor in (one, two, three) if 2 in actor.numbers())
    assert owner.suppliers[job, 1].client == "b"
    owner.done(2)
    assert stage.job().done == 2


def test_a_replica_that_is_gone_is_replaced() -> None:
    stage = Stage()
    one = stage.join("a")
    stage.join("b")
    job = stage.submit()
    stage.start(job, task(1, replicas=2))
    one.failed(1)
    assert len(stage.job().tasks[1].attempts) == 2
    stage.apply(Leave("b", stage.actors["b"].incarnation))
    assert len(stage.job().tasks[1].attempts) == 1
    stage.join("c")
    assert len(stage.job().tasks[1].attempts) == 2


def test_work_is_given_back_to_a_client_that_joins() -> None:
    stage = Stage()
    client = stage.join("a", slots=4)
    job = stage.submit()
    stage.start(job, *[task(number) for number in range(1, 9)])
    client.poll()
    newcomer = stage.join("b", slots=4)
    asked = [change for change in client.poll() if isinstance(change, GiveBack)]
    assert [change.task for change in asked] == [8, 7, 6, 5], "a fair share, those assigned last first"
    for change in asked:
        del client.attempts[job, change.task]
    client.report(*[Returned(job, change.task, change.attempt) for change in asked])
    assert newcomer.numbers() == [5, 6, 7, 8]
    assert all(one.tries == 0 for one in stage.job().tasks.values())


def busy_and_idle(size: int) -> tuple[Stage, int, Actor, Actor]:
    """A client that holds a result of that size and runs a task, and one with nothing to do."""
    stage = Stage()
    busy, idle = stage.join("a", slots=1), stage.join("b", slots=1)
    job = stage.submit()
    stage.start(job, task(1), task(2))
    busy.done(1, size=size)
    idle.done(2, size=1)
    stage.start(job, task(3, 1))
    assert (busy.numbers(), idle.numbers()) == ([3], [])
    return stage, job, busy, idle


def test_a_free_core_is_worth_more_than_a_short_way() -> None:
    stage, job, busy, idle = busy_and_idle(1_000)
    stage.start(job, task(4, 1), task(5, 1))
    assert (busy.numbers(), idle.numbers()) == ([3, 5], [4]), "when no core is free, the way counts again"


def test_what_has_large_inputs_waits_where_they_are() -> None:
    stage, job, busy, idle = busy_and_idle(limits.MOVE_BYTES + 1)
    stage.start(job, task(4, 1))
    assert (busy.numbers(), idle.numbers()) == ([3, 4], [])
    stage.tick(times=3)
    assert not busy.asked


def chains(size: int) -> tuple[Stage, int, Actor, Actor]:
    """Two tasks that were assigned ahead become ready at one client together; the other client has nothing to do."""
    stage = Stage()
    busy, idle = stage.join("a", slots=1), stage.join("b", slots=1)
    job = stage.submit()
    stage.start(job, task(1), task(2, 1), task(3, 1))
    if not busy.numbers():
        busy, idle = idle, busy
    busy.done(1, size=size)
    assert (busy.numbers(), idle.numbers()) == ([2, 3], [])
    return stage, job, busy, idle


def test_a_queue_is_levelled_while_another_client_has_a_core_free() -> None:
    stage, job, busy, idle = chains(1_000)
    stage.tick()
    busy.poll()
    ((_, number, attempt),) = busy.asked
    assert number == 3
    del busy.attempts[job, number]
    busy.report(Returned(job, number, attempt))
    assert (busy.numbers(), idle.numbers()) == ([2], [3])
    stage.tick(times=3)
    busy.poll()
    assert len(busy.asked) == 1, "both have what they can do"


def test_a_queue_of_tasks_with_large_inputs_stays() -> None:
    stage, _, busy, _ = chains(limits.MOVE_BYTES + 1)
    stage.tick(times=3)
    busy.poll()
    assert not busy.asked


def test_nothing_is_asked_back_while_tasks_wait() -> None:
    stage = Stage()
    client = stage.join("a", slots=2)
    job = stage.submit()
    stage.start(job, *[task(number) for number in range(1, 9)])
    newcomer = stage.join("b", slots=2)
    assert counts(client, newcomer) == [4, 4]
    assert not client.asked


def test_large_arguments_do_not_pile_up_at_a_client() -> None:
    stage = Stage()
    client = stage.join("a", slots=8)
    job = stage.submit()
    for number in range(1, 7):
        stage.start(job, task(number, args=b"x" * 900_000))
    assert counts(client) == [3]
    client.done(1)
    assert counts(client) == [3]


def test_a_task_waits_for_a_client() -> None:
    stage = Stage()
    job = stage.submit()
    stage.start(job, task(1))
    assert stage.machine.why(job, 1) == "task 1 (work) is to run, but no client is alive"
    stage.join("a").done(1)
    assert stage.machine.why(job, 1) == "task 1 (work) is done; its result is at a"
    assert "was never started" in stage.machine.why(job, 2)


def test_no_operation_walks_all_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With many tasks waiting, what an operation looks at does not grow with them."""
    from tasksprint.view import lanes

    stage = Stage(checked=False)
    client = stage.join("a")
    job = stage.submit()
    for first in range(1, 20_001, 1_000):
        stage.start(job, *[task(number) for number in range(first, first + 1_000)])
    looked = 0
    true = lanes.waits_here

    def counted(*args: object) -> bool:
        nonlocal looked
        looked += 1
        return true(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(lanes, "waits_here", counted)
    client.done(1)
    stage.tick("a")
    stage.join("b")
    stage.apply(Leave("b", stage.actors["b"].incarnation))
    assert looked < 40
