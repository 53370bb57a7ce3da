"""Three coordinators: what a change of leader, a crash, a lag or a bad scheduler may not change."""

from __future__ import annotations

import pytest
from tests.coordinator.trio import CLIENT, COMMAND, JOB_ID, SPEC, Trio

from tasksprint import limits
from tasksprint.paxos import replica
from tasksprint.view import Event
from tasksprint.view.operations import AnyAction, Done, Finish, SetTimer, StartTask
from tasksprint.view.part import Assign
from tasksprint.wire import messages as wire

MANY = 3_500


def tasks(id: int, event: Event) -> list[AnyAction]:
    """A long answer to the first event, one task for each end."""
    if event.kind == "init":
        return [StartTask(number, "t", b"{}", keys=["v"]) for number in range(1, MANY + 1)]
    return []


def two_steps(id: int, event: Event) -> list[AnyAction]:
    if event.kind == "init":
        return [StartTask(1, "t", b"{}", keys=["v"])]
    if event.kind == "task_done" and event.task == 1:
        return [StartTask(2, "t", b"{}", keys=["v"])]
    return [Finish(b"7")] if event.kind == "task_done" else []


def done(assigned: Assign) -> Done:
    return Done(assigned.job, assigned.task, assigned.attempt, b"d" * 16, 1, 0, 10, {"v": b"1"}, [])


def assigned(changes: list[object]) -> list[Assign]:
    return [change for change in changes if isinstance(change, Assign)]


def test_a_new_leader_goes_on_in_the_middle_of_a_long_answer() -> None:
    trio = Trio(tasks)
    old = trio.leader()
    core = old
    core.message(COMMAND, wire.SubmitJob(1, JOB_ID, SPEC), trio.now)
    for _ in range(10_000):  # turn by turn, until a part of the answer is logged and a part is not
        trio._turn()
        number = core.machine.job_number(JOB_ID)
        state = core.machine.job(number) if number is not None else None
        if state is not None and state.next_part > 1:
            break
    else:
        raise AssertionError("the answer was never in its middle")
    trio.crash(old.id)
    new = trio.leader()
    trio.until(lambda: trio.job(new).decided >= 1, "nobody went on")
    assert trio.job(new).started == MANY
    assert trio.job(new).state == "running"
    trio.boot(old.id)
    trio.agree()
    assert trio.job(trio.cores[old.id]).started == MANY


def test_reports_that_are_sent_again_to_a_new_leader_take_effect_once() -> None:
    trio = Trio(two_steps)
    old = trio.leader()
    trio.submit(old)
    incarnation = trio.join(old)
    number, _, changes = trio.poll(old, incarnation)
    (first,) = assigned(changes)
    trio.report(old, incarnation, 1, done(first))
    trio.cut.add(old.id)
    new = trio.leader(but=old.id)
    trio.report(new, incarnation, 1, done(first))
    trio.report(new, incarnation, 1, done(first))
    trio.report(new, incarnation, 3, done(first))
    trio.later(300)
    _, acked, changes = trio.poll(new, incarnation, number)
    assert acked == 1, "once, and nothing from beyond the gap"
    (second,) = assigned(changes)
    assert (second.task, trio.job(new).done) == (2, 1)
    trio.report(new, incarnation, 2, done(second))
    trio.later(200)
    assert (trio.job(new).state, trio.job(new).done, trio.job(new).refused) == ("finishing", 2, 0)
    trio.cut.clear()
    trio.later(1_000)
    trio.agree()


def test_a_leader_that_is_cut_off_tells_those_who_wait_to_ask_elsewhere() -> None:
    trio = Trio(two_steps)
    old = trio.leader()
    trio.submit(old)
    incarnation = trio.join(old)
    number, _, _ = trio.poll(old, incarnation)
    trio.heard.clear()
    old.message(CLIENT, wire.Poll("c1", incarnation, number + 10_000), trio.now)
    old.message(COMMAND, wire.StatusRequest(9, "jobs"), trio.now)
    trio.cut.add(old.id)
    trio.until(lambda: not old.leading, "it must step down")
    trio.settle()
    for link in (CLIENT, COMMAND):
        assert any(isinstance(message, wire.NotLeader) for message in trio.heard[(old.id, link)])
    assert isinstance(trio.tell(old, wire.SubmitJob(3, "k" * 32, SPEC), COMMAND)[0], wire.NotLeader)


def test_a_scheduler_that_differs_on_one_machine_is_stopped_there_and_shown() -> None:
    trio = Trio(lambda id, event: [] if event.kind != "init" else [StartTask(1, f"t{id if id == odd else 0}", b"{}")])
    odd = 1
    leader = trio.leader()
    odd = next(id for id in (1, 2, 3) if id != leader.id)
    trio.submit(leader)
    trio.later(500)
    copies = trio.cores[odd].status()["copies"]
    assert isinstance(copies, dict)
    (shown,) = copies.values()
    assert shown["state"] == "parted" and "event 1 differently" in shown["error"]
    assert trio.job(leader).state == "running"
    (good,) = [id for id in (1, 2, 3) if id not in (odd, leader.id)]
    assert [copy["state"] for copy in trio.cores[good].status()["copies"].values()] == ["good"]  # type: ignore[attr-defined]
    trio.agree()


def test_when_the_parted_copy_must_lead_a_new_generation_begins() -> None:
    """And what was decided stands: the task is started once, under its first name."""
    odd = 0

    def scheduler(id: int, event: Event) -> list[AnyAction]:
        if event.kind == "init":
            return [StartTask(1, "odd" if id == odd else "even", b"{}", keys=["v"])]
        return [Finish(b"1")] if event.kind == "task_done" else []

    trio = Trio(scheduler)
    leader = trio.leader()
    trio.submit(leader)
    incarnation = trio.join(leader)
    _, _, changes = trio.poll(leader, incarnation)
    followers = [id for id in (1, 2, 3) if id != leader.id]
    trio.later(500)  # until they have applied it, too
    for odd in followers:  # whoever leads next has another opinion from now on
        copy = trio.cores[odd].copies.copies[1]
        trio.cores[odd].scheduler_failed(1, copy.copy, "killed", nonsense=False, now_ms=trio.now)
        trio.settle()
        assert trio.cores[odd].copies.copies[1].state == "parted"
    trio.crash(leader.id)
    new = trio.leader()
    trio.until(lambda: trio.job(new).generation == 2, "no new generation")
    (one,) = assigned(changes)
    assert one.name == "even"
    trio.report(new, incarnation, 1, done(one))
    trio.later(500)
    assert (trio.job(new).state, trio.job(new).started, trio.job(new).done) == ("finishing", 1, 1)
    trio.agree()


def test_a_scheduler_that_always_crashes_fails_its_job_everywhere_with_its_last_words() -> None:
    crashes: list[int] = []

    def scheduler(id: int, event: Event) -> list[AnyAction] | str:
        if event.kind == "client_joined":
            crashes.append(id)
            return "crash"
        return []

    trio = Trio(scheduler)
    leader = trio.leader()
    trio.submit(leader)
    trio.join(leader)
    trio.later(1_000)
    assert (trio.job(leader).state, trio.job(leader).error) == ("failed", "crash: last words")
    assert crashes.count(leader.id) == limits.SCHEDULER_CRASHES
    for core in trio.cores.values():
        assert not core.copies.copies
    trio.agree()


def test_a_scheduler_that_hangs_holds_up_nobody_else() -> None:
    trio = Trio(lambda id, event: "hang" if event.kind == "init" else [])
    leader = trio.leader()
    trio.submit(leader)
    trio.later(1_000)
    assert trio.job(leader).decided == 0 and leader.leading
    trio.scheduler = two_steps
    copy = leader.copies.copies[1]
    leader.scheduler_failed(1, copy.copy, "no answer for 60 s", nonsense=False, now_ms=trio.now)
    trio.later(200)
    assert trio.job(leader).started == 1


def test_the_log_is_cut_and_a_replica_that_lagged_gets_the_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SNAPSHOT_EVERY_BYTES", 2_000)
    monkeypatch.setattr(limits, "SAVE_EVERY_EVENTS", 3)
    monkeypatch.setattr(replica, "KEPT_ENTRIES", 10)

    def scheduler(id: int, event: Event) -> list[AnyAction]:
        return [SetTimer("again", 50)] if event.kind in ("init", "timer") else []

    trio = Trio(scheduler, can_save=True)
    leader = trio.leader()
    trio.submit(leader)
    late = next(id for id in (1, 2, 3) if id != leader.id)
    trio.cut.add(late)
    trio.until(lambda: leader.replica.first > trio.cores[late].machine.index + 50, "the log is never cut")
    trio.started.clear()
    trio.cut.clear()
    trio.until(lambda: trio.disks[late].snapshot is not None, "no snapshot came")
    trio.later(1_000)
    leader = trio.leader()
    trio.agree()
    assert any(id == late and state is not None for id, _, state in trio.started), "its copy goes on from the save"
    copies = trio.cores[late].status()["copies"]
    assert [copy["state"] for copy in copies.values()] == ["good"]  # type: ignore[attr-defined]
    assert trio.job(leader).saved[0] > 3 and trio.job(leader).refused == 0
    trio.crash(late)
    trio.boot(late)
    trio.later(1_000)
    trio.agree()
    assert trio.job(trio.cores[late]).state == "running"


def test_all_three_start_again_from_their_disks() -> None:
    trio = Trio(two_steps)
    leader = trio.leader()
    trio.submit(leader)
    incarnation = trio.join(leader)
    _, _, changes = trio.poll(leader, incarnation)
    for id in (1, 2, 3):
        trio.crash(id)
    trio.mail.clear()
    for id in (1, 2, 3):
        trio.boot(id)
    leader = trio.leader()
    (first,) = assigned(changes)
    trio.report(leader, incarnation, 1, done(first))
    trio.later(300)
    assert (trio.job(leader).started, trio.job(leader).done) == (2, 1)
    trio.agree()


def ticks(trio: Trio, ms: int) -> int:
    """How many the leader logs in so long."""
    leader = trio.leader()
    before = leader.machine.index
    trio.later(ms)
    return leader.machine.index - before


def test_time_moves_in_longer_steps_while_nothing_happens_but_it_moves_as_far() -> None:
    trio = Trio(two_steps)
    machine = trio.leader().machine
    trio.later(1_000)
    began = machine.time_ms
    assert ticks(trio, 4_000) in (21, 22, 23)
    assert 3_800 <= machine.time_ms - began <= 4_200


def test_a_timer_is_not_kept_waiting_by_an_idle_log() -> None:
    def timed(id: int, event: Event) -> list[AnyAction]:
        if event.kind == "init":
            return [StartTask(1, "t", b"{}"), SetTimer("first", 1_050)]
        return [SetTimer("again", 90)] if event.name in ("first", "again") else []

    trio = Trio(timed)
    leader = trio.leader()
    trio.later(1_000)
    trio.submit(leader)
    trio.later(1_300)
    decided = trio.job(leader).decided
    trio.later(1_000)
    assert trio.job(leader).decided - decided >= 8
