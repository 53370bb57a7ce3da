"""Jobs: submit, decide, finish, fail, programs, saves and restarts."""

from __future__ import annotations

import hashlib

import pytest
from tests.view.stage import Stage, spec, task

from tasksprint import codec, limits
from tasksprint.view import Corrupt, Machine, rolling
from tasksprint.view.operations import (
    CancelJob,
    Collected,
    Decide,
    Fail,
    FailJob,
    Finish,
    KillTask,
    ProgramChunk,
    Release,
    Restart,
    Save,
    SetTimer,
    StartTask,
    Submit,
    pack_actions,
)


def test_a_job_runs_from_submit_to_collected() -> None:
    stage = Stage()
    client = stage.join("a")
    job = stage.submit()
    assert [one.kind for one in stage.events()] == ["init", "client_joined"]
    stage.start(job, task(1, keys=["out"]), task(2, 1))
    client.done(1)
    client.done(2)
    assert stage.ends() == [("task_done", 1), ("task_done", 2)]
    assert stage.events()[-2].values == {"out": b"1"}
    stage.decide(job, Finish(b"42", [(2, "out")]))
    state = stage.job()
    assert (state.state, state.values, state.done, state.started) == ("finishing", b"42", 2, 2)
    assert stage.machine.outputs(job) == [(2, "out", 1, [("a", "a:1")])]
    stage.apply(Collected("job"))
    assert state.state == "done"
    client.poll()
    assert not client.jobs
    assert not client.held


def test_submitting_twice_is_one_job() -> None:
    stage = Stage()
    job = stage.submit()
    stage.apply(Submit("job", spec(name="other")))
    assert stage.machine.job_number("job") == job
    assert stage.job(job).spec.name == "play"
    assert stage.machine.job(job + 1) is None


def test_take_names_what_changed() -> None:
    stage = Stage()
    stage.join("a")
    stage.machine.take()
    job = stage.submit()
    changed = stage.machine.take()
    assert changed.started == [job]
    assert changed.events == {job}
    assert changed.decided == [(job, 1)]
    stage.start(job, task(1))
    changed = stage.machine.take()
    assert changed.clients == {"a"}
    assert changed.jobs == {job}
    stage.apply(CancelJob("job"))
    assert stage.machine.take().ended == [job]


# --- decisions ----------------------------------------------------------------------------------------


def test_only_the_next_decision_counts() -> None:
    stage = Stage()
    job = stage.submit()
    stage.ring(job)
    good = Decide(stage.ballot, job, 1, 2, 0, False, False, [(2, pack_actions([task(1)]))])
    for wrong in (
        Decide((0, 0), job, 1, 2, 0, False, False, good.answers),  # an old leader's
        Decide((9, 9), job, 1, 2, 0, False, False, good.answers),  # nobody's
        Decide(stage.ballot, job, 2, 2, 0, False, False, good.answers),  # another generation's
        Decide(stage.ballot, job, 1, 2, 1, False, False, good.answers),  # not the next part
        Decide(stage.ballot, job, 1, 3, 0, False, False, good.answers),  # an event that never was
        Decide(stage.ballot, job, 1, 1, 0, False, False, good.answers),  # answered before
    ):
        stage.apply(wrong)
        assert stage.job().started == 0
    assert stage.job().refused == 6
    stage.apply(good)
    stage.apply(good)
    assert stage.job().started == 1
    assert stage.job().refused == 7


def test_a_new_leader_ends_the_old_ones_decisions() -> None:
    stage = Stage()
    job = stage.submit()
    stage.ring(job)
    late = Decide(stage.ballot, job, 1, 2, 0, False, False, [])
    stage.begin()
    stage.apply(late)
    assert stage.job().decided == 1


def test_an_answer_in_parts() -> None:
    stage = Stage()
    job = stage.submit()
    stage.decide(job, task(1), more=True)
    assert (stage.job().decided, stage.job().next_part) == (1, 1)
    stage.decide(job, task(2), more=True)
    stage.decide(job, task(3))
    assert (stage.job().decided, stage.job().next_part, stage.job().started) == (2, 0, 3)


def test_the_digest_of_answers_is_the_one_a_copy_makes() -> None:
    stage = Stage()
    job = stage.submit()
    digest = b""
    for number in range(1, 6):
        stage.decide(job, task(number))
        digest = rolling(digest, stage.job().decided, pack_actions([task(number)]))
        assert stage.machine.answer_digest(job, stage.job().decided) == digest
    stage.ring(job)
    stage.decide(job)
    assert stage.machine.answer_digest(job, stage.job().decided) == digest, "an answer without actions changes nothing"
    assert stage.machine.answer_digest(job, stage.job().decided + 1) is None
    assert stage.machine.answer_digest(job, 1) == b""


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (task(3), "the next task of the job is 2"),
        (task(2, 2), "prerequisite 2 was not started before it"),
        (task(2, 9), "prerequisite 9 was not started before it"),
        (task(2, name=""), "its name must have"),
        (task(2, name="n" * 201), "its name must have"),
        (task(2, args=b"x" * (limits.ARGS_BYTES + 1)), "its arguments have"),
        (task(2, replicas=9), "replicas must be"),
        (task(2, retries=-1), "retries must be"),
        (task(2, cores=-1), "must not be negative"),
        (task(2, cause=7), "its cause, task 7, was never started"),
        (task(2, labels=["l" * 201]), "a key or label has more than"),
        (KillTask(8), "task 8 was never started"),
        (Release(8), "task 8 was never started"),
        (Finish(b"", [(8, "out")]), "finish names task 8, which was never started"),
        (SetTimer("", 1), "the name must have"),
        (SetTimer("t", -1), "the delay must not be negative"),
    ],
)
def test_an_action_that_makes_no_sense_fails_the_job(action: object, text: str) -> None:
    stage = Stage()
    job = stage.submit()
    stage.decide(job, task(1), action)  # type: ignore[arg-type]
    assert stage.job().state == "failed"
    assert text in stage.job().error
    assert "answer to event" in stage.job().error


def test_a_released_task_cannot_be_named_again() -> None:
    stage = Stage()
    job = stage.submit()
    stage.decide(job, task(1), Release(1), task(2, 1))
    assert "prerequisite 1 was released" in stage.job().error


def test_garbage_in_an_answer_fails_the_job() -> None:
    stage = Stage()
    job = stage.submit()
    stage.ring(job)
    stage.apply(Decide(stage.ballot, job, 1, 2, 0, False, False, [(2, b"\xc1")]))
    assert "cannot be read" in stage.job().error


def test_tasks_may_be_counted_from_zero() -> None:
    stage = Stage()
    client = stage.join("a")
    job = stage.submit(ordered=True)
    stage.start(job, task(0), task(1, 0))
    client.done(0)
    client.done(1)
    assert stage.ends() == [("task_done", 0), ("task_done", 1)]


def test_seeds_follow_causes() -> None:
    def seeds(first: int, second: int) -> dict[int, int]:
        stage = Stage()
        client = stage.join("a")
        job = stage.submit()
        stage.start(job, task(1), task(2))
        for number in (first, second):
            client.done(number)
        ends = {one.task: one.seq for one in stage.events() if one.kind == "task_done"}
        for place, number in enumerate((first, second)):
            stage.decide(job, task(3 + 2 * place), task(4 + 2 * place), seq=ends[number])
        tasks = stage.job().tasks
        return {10 * number + place: tasks[3 + 2 * turn + place].seed
                for turn, number in enumerate((first, second)) for place in (0, 1)}  # fmt: skip

    assert seeds(1, 2) == seeds(2, 1), "the order in which tasks end does not matter"
    assert len(set(seeds(1, 2).values())) == 4
    assert seeds(1, 2)[10] == codec.seed64(7, "task", 1, 0)


# --- the end ------------------------------------------------------------------------------------------


def test_finish_stops_what_no_output_depends_on() -> None:
    stage = Stage()
    client = stage.join("a")
    job = stage.submit()
    stage.start(job, task(1), task(2, 1), task(3), task(4, 3))
    stage.decide(job, Finish(b"{}", [(2, "out")]), task(5))
    assert client.numbers() == [1, 2]
    assert stage.job().started == 4, "actions after the end are ignored"
    assert stage.machine.outputs(job) == [(2, "out", 0, [])]
    client.done(1)
    client.done(2)
    assert stage.machine.outputs(job) == [(2, "out", 1, [("a", "a:1")])]
    assert stage.ends() == [], "a scheduler that is through is told no more"


def test_a_lost_output_is_made_again() -> None:
    stage = Stage()
    client = stage.join("a")
    job = stage.submit()
    stage.start(job, task(1), task(2, 1))
    client.done(1)
    client.done(2)
    stage.decide(job, Finish(b"{}", [(2, "out")]))
    other = stage.join("b")
    stage.tick("b", times=15)
    assert other.numbers() == [1, 2]
    other.done(1)
    other.done(2)
    assert stage.machine.outputs(job) == [(2, "out", 2, [("b", "b:1")])]


def test_an_output_that_fails_fails_the_job() -> None:
    stage = Stage()
    client = stage.join("a")
    job = stage.submit()
    stage.start(job, task(1, retries=0))
    stage.decide(job, Finish(b"{}", [(1, "out")]))
    client.failed(1)
    assert stage.job().state == "failed"
    assert "output 1 (work): error: it broke" in stage.job().error


def test_outputs_are_kept_for_an_hour() -> None:
    stage = Stage(checked=False)
    job = stage.submit()
    stage.decide(job, Finish(b"{}", []))
    steps = limits.FINISHING_MS // limits.TICK_STEP_MAX_MS
    stage.tick(step_ms=limits.TICK_STEP_MAX_MS, times=steps - 1)
    assert stage.job().state == "finishing"
    stage.tick(step_ms=limits.TICK_STEP_MAX_MS)
    assert stage.job().state == "done"


@pytest.mark.parametrize("how", ["fail", "fail_job", "cancel"])
def test_ways_to_end_early(how: str) -> None:
    stage = Stage()
    client = stage.join("a")
    job = stage.submit()
    stage.start(job, task(1), task(2))
    client.poll()
    if how == "fail":
        stage.decide(job, Fail("no luck"))
    else:
        stage.apply(FailJob(stage.ballot, job, "no luck") if how == "fail_job" else CancelJob("job"))
    assert stage.job().state == ("cancelled" if how == "cancel" else "failed")
    assert stage.job().error == ("it was cancelled" if how == "cancel" else "no luck")
    assert client.numbers() == []
    assert not client.jobs
    state = stage.machine.client("a")
    assert state is not None
    assert (state.ready, state.args_bytes) == (0, 0)


def test_ended_jobs_are_remembered_for_a_while() -> None:
    stage = Stage(checked=False)
    for number in range(limits.JOBS_KEPT + 3):
        stage.submit(f"job-{number}")
        stage.apply(CancelJob(f"job-{number}"))
    assert stage.machine.job_number("job-2") is None
    assert stage.machine.job_number("job-3") == 4
    assert len(stage.machine.status_jobs()) == limits.JOBS_KEPT


# --- saves and restarts -------------------------------------------------------------------------------


def test_a_save_drops_the_events_before_it() -> None:
    stage = Stage()
    job = stage.submit()
    for _ in range(4):
        stage.decide(job)
    stage.apply(Save(stage.ballot, job, 1, 3, b"state"))
    assert [one.seq for one in stage.events()] == [4, 5]
    assert stage.job().saved == (3, b"state")
    stage.apply(Save(stage.ballot, job, 1, 2, b"older"))
    stage.apply(Save(stage.ballot, job, 1, 6, b"of the future"))
    assert stage.job().saved == (3, b"state")
    assert [one.seq for one in stage.events(after=4)] == [5]
    stage.decide(job)
    assert stage.job().decided == 6


def test_a_restart_begins_a_new_generation() -> None:
    stage = Stage()
    job = stage.submit()
    stage.decide(job, task(1), more=True)
    stage.apply(Restart(stage.ballot, job, 1, "they differ"))
    state = stage.job()
    assert (state.generation, state.trusted, state.next_part) == (2, (2, 1), 1)
    assert state.trusted_digest == rolling(b"", 2, pack_actions([task(1)]))
    assert stage.machine.take().restarted == [job]
    stage.apply(Decide(stage.ballot, job, 1, 2, 1, False, False, []))
    assert state.decided == 1, "the old generation's decisions do not count"
    stage.decide(job, task(2))
    assert (state.decided, state.started) == (2, 2)


def test_three_restarts_at_the_same_event_fail_the_job() -> None:
    stage = Stage()
    job = stage.submit()
    for generation in (1, 2):
        stage.apply(Restart(stage.ballot, job, generation, "they differ"))
    stage.decide(job)
    for generation in (3, 4):
        stage.apply(Restart(stage.ballot, job, generation, "they differ"))
        assert stage.job().state == "running"
    stage.apply(Restart(stage.ballot, job, 5, "they differ"))
    assert stage.job().state == "failed"
    assert "restarted 3 times after event 2: they differ" in stage.job().error


# --- programs -----------------------------------------------------------------------------------------


def test_a_program_comes_in_chunks_and_is_kept_until_one_more_job_ends() -> None:
    stage = Stage()
    data = b"a program" * 100
    name = hashlib.sha256(data).hexdigest()
    stage.apply(Submit("early", spec(program=name)))
    assert "is not here whole" in stage.job(1).error
    for part in (0, 0, 1, 2):  # one comes twice
        stage.apply(ProgramChunk(name, part, 3, data[part * 300 : part * 300 + 300]))
    assert stage.machine.program(name) == data
    stage.submit("first", program=name)
    stage.apply(CancelJob("first"))
    assert stage.machine.program(name) == data
    stage.submit("second")
    stage.apply(CancelJob("second"))
    assert stage.machine.program(name) is None


def test_a_wrong_program_is_refused() -> None:
    stage = Stage(checked=False)
    stage.apply(ProgramChunk("0" * 64, 0, 1, b"something else"))
    assert stage.machine.program("0" * 64) is None
    chunk = bytes(limits.PROGRAM_CHUNK_BYTES)
    for part in range(17):
        stage.apply(ProgramChunk("1" * 64, part, 17, chunk))
    assert stage.machine.program("1" * 64) is None
    assert stage.machine.world.programs == {}
    stage.apply(ProgramChunk("2" * 64, 1, 3, chunk))
    assert stage.machine.world.programs == {}, "chunks come in order"


def test_spare_programs_do_not_pile_up() -> None:
    stage = Stage(checked=False)
    for number in range(limits.PROGRAMS_SPARE + 5):
        stage.apply(ProgramChunk(f"{number:064}", 0, 2, b"half"))
    assert len(stage.machine.world.programs) == limits.PROGRAMS_SPARE


def test_bytes_that_are_no_entry() -> None:
    machine = Machine()
    for data in (b"", b"\xc1", b"\x91\x91\xa4nope"):
        with pytest.raises(Corrupt, match="entry 1 of the log cannot be read"):
            machine.apply(1, data)
    assert machine.index == 0


def test_actions_keep_their_form() -> None:
    assert isinstance(task(1), StartTask)
