"""The copies of a scheduler on one coordinator: fed, compared with the log, proposed, given up."""

from __future__ import annotations

import pytest
from tests.coordinator.bench import BALLOT, FULL, JOB, Bench, start

from tasksprint import limits
from tasksprint.coordinator import effects
from tasksprint.view.operations import Begin, Decide, FailJob, Finish, Restart, Save, SetTimer, pack_actions

# --- feeding and comparing ------------------------------------------------------------------------------


def test_a_copy_is_fed_in_order_and_the_next_line_waits_for_the_answer() -> None:
    bench = Bench(events=3)
    feeds = bench.did(effects.FeedScheduler)
    assert [[event.seq for event in feed.events] for feed in feeds] == [[1]]
    bench.say((1, []))
    assert [event.seq for event in bench.did(effects.FeedScheduler)[0].events] == [2, 3, 4]


def test_a_warm_copy_that_answers_as_decided_stays_good() -> None:
    bench = Bench(events=3)
    bench.decide((2, start(1, 2)), (4, start(3)))
    bench.say((1, []))
    bench.say((2, start(1, 2)), (4, start(3)))
    assert bench.copy.state == "good"
    assert not bench.copy.chunks and not bench.copy.passed
    bench.join()
    assert [event.seq for event in bench.did(effects.FeedScheduler)[-1].events] == [5]


@pytest.mark.parametrize("first", ["the copy", "the log"])
def test_a_copy_that_differs_is_stopped_and_shown(first: str) -> None:
    bench = Bench(events=2)
    bench.say((1, []))
    if first == "the copy":
        bench.say((2, start(1)), (3, []))
        bench.decide((2, start(1, 2)))
    else:
        bench.decide((2, start(1, 2)))
        bench.say((2, start(1)), (3, []))
    assert bench.copy.state == "parted"
    assert "event 2 differently" in bench.copy.error
    assert "event 2 differently" in bench.copies.parted[JOB]
    assert bench.did(effects.StopScheduler)


def test_a_copy_that_differs_in_the_first_part_of_a_long_answer_is_stopped_before_it_adds_to_it() -> None:
    """The old leader logged a part of an answer and died; ours said something else: it must not go on with it."""
    bench = Bench(events=1)
    bench.say((1, []))
    bench.say((2, start(1, FULL + 5, "ours")))
    bench.decide((2, start(1, FULL, "theirs")), more=True)
    bench.copies.leadership(True)
    (operation,) = bench.propose()
    assert isinstance(operation, Restart)


def test_a_copy_that_ends_an_answer_sooner_than_the_log_is_stopped() -> None:
    """It has no part to go on with: without a word of its own the job would stand still for ever."""
    bench = Bench(events=1)
    bench.say((1, []))
    bench.say((2, start(1, 3)))
    bench.decide((2, start(1, FULL)), more=True)
    bench.copies.leadership(True)
    (operation,) = bench.propose()
    assert isinstance(operation, Restart)


def test_a_copy_behind_the_log_is_compared_as_far_as_it_goes() -> None:
    bench = Bench(events=4)
    bench.decide((2, start(1)), (3, start(2)), (5, start(3)))
    bench.say((1, []))
    bench.did(effects.FeedScheduler)
    bench.say((2, start(1)), (3, start(2)), (4, []), seq=4, more=True)
    assert bench.copy.state == "good"
    bench.say((5, start(9)))
    assert bench.copy.state == "parted"


@pytest.mark.parametrize("last", ["t", "other"])
def test_a_copy_that_was_compared_amid_an_answer_waits_when_the_log_is_ahead_in_that_answer(last: str) -> None:
    """It must not be held against the end of the answer before: it is past that already."""
    bench = Bench(events=1)
    bench.say((1, []))
    bench.say((2, start(1, FULL)), seq=2, more=True)
    bench.decide((2, start(1, FULL)), more=True)
    bench.decide((2, start(FULL + 1, FULL)), part=1, more=True)
    assert bench.copy.state == "good"
    bench.say((2, start(FULL + 1, FULL, last)), seq=2, more=True)
    assert bench.copy.state == ("good" if last == "t" else "parted")


# --- proposing --------------------------------------------------------------------------------------------


def test_whole_answers_go_together_and_those_without_actions_wait_for_an_idle_moment() -> None:
    bench = Bench(events=4)
    bench.say((1, []))
    bench.say((2, start(1)), (4, start(2)), (5, []))
    (decide,) = bench.propose()
    assert isinstance(decide, Decide)
    assert (decide.seq, decide.part, decide.more, [seq for seq, _ in decide.answers]) == (5, 0, False, [2, 4])
    assert not bench.propose(idle=True), "one is in flight"
    bench.apply(decide)
    bench.join()
    bench.say((6, []))
    assert not bench.propose()
    assert [operation.seq for operation in bench.propose(idle=True)] == [6]  # type: ignore[union-attr]


def test_a_long_answer_is_logged_in_chunks_and_the_process_waits_for_them() -> None:
    bench = Bench()
    bench.say((1, start(1, FULL)), more=True)
    assert bench.did(effects.ResumeScheduler), "the log is not far behind"
    bench.say((1, start(FULL + 1, FULL)), more=True)
    assert not bench.did(effects.ResumeScheduler), "two chunks wait for the log"
    (first,) = bench.propose()
    bench.apply(first)
    assert bench.did(effects.ResumeScheduler)
    bench.say((1, start(2 * FULL + 1, 7)))
    logged = [first, *bench.lead()]
    assert [(d.seq, d.part, d.more) for d in logged] == [(1, 0, True), (1, 1, True), (1, 2, False)]  # type: ignore[union-attr]
    assert bench.states() == ("running", 1, 0, 0)
    assert bench.job.started == 2 * FULL + 7
    assert bench.copy.state == "good"


def test_an_answer_that_ends_with_a_full_chunk_is_closed_by_an_empty_one() -> None:
    bench = Bench()
    bench.say((1, start(1, FULL)))
    logged = bench.lead()
    assert [(d.part, d.more, d.answers[0][1]) for d in logged][1:] == [(1, False, pack_actions([]))]  # type: ignore[union-attr]
    assert bench.states() == ("running", 1, 0, 0)


def test_events_answered_before_a_long_answer_are_logged_before_it() -> None:
    bench = Bench(events=3)
    bench.say((1, []))
    bench.say((2, start(1)), (4, start(2, FULL + 1)))
    logged = bench.lead()
    assert [(d.seq, d.part, d.more) for d in logged] == [(3, 0, False), (4, 0, True), (4, 1, False)]  # type: ignore[union-attr]
    assert bench.states() == ("running", 4, 0, 0)
    assert bench.copy.state == "good"


def test_a_part_that_ends_between_two_events_does_not_stop_the_scheduler() -> None:
    """Several whole answers and `more`: they are logged, so that the process goes on."""
    bench = Bench(events=6)
    bench.say((1, []))
    bench.did(effects.FeedScheduler)
    bench.say((2, start(1)), (3, start(2)), (4, start(3)), (5, start(4)), more=True)
    assert bench.copy.paused
    bench.lead(idle=False)
    assert bench.job.decided == 4, "event 5 may have more to come"
    assert bench.did(effects.ResumeScheduler)
    bench.say((6, start(5)), (7, start(6)))
    bench.lead(idle=False)
    assert bench.states() == ("running", 7, 0, 0)
    assert bench.job.started == 6


def test_a_new_leader_goes_on_in_the_middle_of_a_long_answer() -> None:
    """The old leader logged one chunk of three; our copy, fed in other lines, goes on with the second."""
    answer = start(1, 2 * FULL + 9)
    bench = Bench()
    bench.say((1, answer[:300]), more=True)
    bench.decide((1, answer[:FULL]), more=True)
    bench.say((1, answer[300:]))
    bench.copies.leadership(True)
    logged = bench.lead()
    assert [(d.part, d.more) for d in logged] == [(1, True), (2, False)]  # type: ignore[union-attr]
    assert bench.states() == ("running", 1, 0, 0)
    assert bench.job.started == 2 * FULL + 9
    assert bench.copy.state == "good"


def test_what_was_decided_in_the_same_batch_is_not_proposed_again() -> None:
    """A lead begins in the midst of a batch, behind decisions of the old leader that nobody told us of yet."""
    bench = Bench(events=3)
    bench.say((1, []))
    bench.say((2, start(1)), (3, start(2)), (4, []))
    bench.apply(bench.decision((2, start(1))), told=False)
    bench.apply(Begin((2, 1)), told=False)
    bench.ballot = (2, 1)
    bench.copies.leadership(True)
    operations = bench.propose()
    bench.tell()
    bench.apply(*operations)
    bench.lead()
    assert bench.states() == ("running", 4, 0, 0), bench.job.error
    assert bench.job.started == 2


def test_a_copy_of_an_ended_generation_proposes_nothing() -> None:
    bench = Bench(events=2)
    bench.say((1, []))
    bench.say((2, start(1)), (3, []))
    bench.apply(Restart(BALLOT, JOB, 1, "the old leader's copy had parted"), told=False)
    assert not bench.propose(idle=True)
    bench.tell()
    assert (bench.copy.generation, bench.copy.answered) == (2, 0)


def test_a_decision_in_flight_outlives_its_copy() -> None:
    """The process dies while its answer is being logged; the next one must not answer the same event again."""
    bench = Bench(events=1)
    bench.say((1, []))
    bench.say((2, start(1)))
    (flying,) = bench.propose()
    bench.crash()
    bench.join()
    bench.ready()
    bench.say((1, []), (2, start(1)), (3, start(2)))
    assert not bench.propose(idle=True), "what was proposed may still come through"
    bench.apply(flying)
    bench.lead()
    assert bench.states() == ("running", 3, 0, 0), bench.job.error
    assert bench.job.started == 2


# --- crashes ------------------------------------------------------------------------------------------------


def test_a_scheduler_that_crashed_is_started_again_and_fed_again() -> None:
    bench = Bench(events=2)
    bench.say((1, []))
    bench.say((2, start(1)), (3, []))
    bench.lead()
    bench.join()
    bench.did(effects.Effect)  # type: ignore[arg-type]
    bench.crash()
    assert [effect.state for effect in bench.did(effects.StartScheduler)] == [None]  # type: ignore[union-attr]
    bench.ready()
    assert [event.seq for event in bench.did(effects.FeedScheduler)[0].events] == [1, 2, 3, 4]  # type: ignore[union-attr]
    bench.say((2, start(1)), (4, start(2)))
    bench.lead()
    assert bench.states() == ("running", 4, 0, 0)
    assert bench.copy.state == "good"


def test_the_third_crash_on_the_same_event_fails_the_job_with_its_stderr() -> None:
    """The first one was on a line of its own, the others in the midst of all that is fed again."""
    bench = Bench(events=1)
    bench.say((1, []))
    bench.say((2, start(1)))
    bench.lead()
    bench.join()
    for _ in range(limits.SCHEDULER_CRASHES - 1):
        bench.crash()
        assert not bench.take()
        bench.ready()
    bench.crash("Traceback: no plan")
    (operation,) = bench.take()
    assert operation == FailJob(BALLOT, JOB, "Traceback: no plan")
    assert not bench.propose(idle=True), "it is in flight"
    bench.apply(operation)
    assert (bench.job.state, bench.job.error) == ("failed", "Traceback: no plan")
    assert JOB not in bench.copies.copies and JOB not in bench.copies.crashes


def test_crashes_on_different_events_do_not_add_up() -> None:
    bench = Bench(events=8)
    for seq in range(1, 9):
        bench.crash()
        bench.ready()
        bench.say((seq, []))
        bench.lead()
        assert bench.copy.state == "good"
    assert bench.job.state == "running"


def test_nonsense_fails_the_job_at_once() -> None:
    bench = Bench(events=1)
    bench.crash("it broke the protocol", nonsense=True)
    assert bench.take() == [FailJob(BALLOT, JOB, "it broke the protocol")]


def test_a_follower_whose_copy_gave_up_tries_once_more_when_it_leads() -> None:
    bench = Bench(events=1)
    bench.crash(nonsense=True, leading=False)
    assert bench.copy.state == "stopped"
    assert not bench.take(), "a follower decides nothing"
    bench.copies.leadership(True)
    assert bench.copy.state == "starting"
    bench.crash("again", nonsense=True)
    assert bench.take() == [FailJob(BALLOT, JOB, "again")]


def test_a_follower_whose_copy_always_crashes_gives_up() -> None:
    """However far the log goes meanwhile: its lines begin where its save is."""
    bench = Bench(events=5)
    for seq in range(2, 2 + limits.SCHEDULER_CRASHES):
        assert bench.copy.state == "good"
        bench.crash(leading=False)
        if bench.copy.state == "starting":
            bench.ready()
        bench.decide((seq, []))
    assert bench.copy.state == "stopped"


# --- a new generation --------------------------------------------------------------------------------------


def parted(decided: int = 3) -> Bench:
    """A leader whose copy crashed and then answered event 2 differently; events up to `decided` are decided."""
    bench = Bench(events=4)
    bench.copies.leadership(True)
    bench.say((1, []))
    bench.say((2, start(1)), (3, start(2)), (4, []), (5, []), seq=5)
    (decide,) = bench.propose()
    assert isinstance(decide, Decide)
    bench.apply(bench.decision((2, start(1)), (3, start(2)), seq=decided))
    bench.crash()
    bench.ready()
    bench.say((2, start(1, name="other")), (3, start(2)), (5, []))
    return bench


def test_when_no_copy_agrees_the_last_save_goes_on_and_what_is_decided_stands() -> None:
    bench = parted()
    (restart,) = bench.propose()
    assert isinstance(restart, Restart)
    bench.apply(restart)
    assert (bench.job.generation, bench.job.trusted, bench.copy.generation) == (2, (4, 0), 2)
    bench.say((2, start(1, name="third")), (3, start(2)), (5, start(3)))
    assert bench.copy.state == "good", "it is compared only with its own generation"
    bench.lead()
    assert bench.states() == ("running", 5, 0, 0)
    assert bench.job.started == 3, "what was decided is not done again"
    bench.crash()
    bench.ready()
    bench.say((2, start(1, name="fourth")), (3, start(2)), (5, start(3)))
    assert bench.copy.state == "good"
    bench.crash()
    bench.ready()
    bench.say((2, start(1)), (3, start(2)), (5, start(3, name="other")))
    assert bench.copy.state == "parted", "in its own generation it must repeat itself"


def test_a_new_generation_that_ends_an_answer_sooner_closes_it() -> None:
    """One chunk of the old answer stands; the new copy's answer is shorter than that."""
    bench = Bench(events=1)
    bench.say((1, []))
    bench.decide((2, start(1, FULL)), more=True)
    bench.apply(Restart(BALLOT, JOB, 1, "it differed"))
    assert bench.job.trusted == (2, 1)
    bench.say((2, start(1, 3)))
    bench.lead()
    assert bench.states() == ("running", 2, 0, 0)
    bench.join()
    bench.say((3, start(FULL + 1)))
    bench.lead()
    assert bench.states() == ("running", 3, 0, 0), bench.job.error
    assert bench.copy.state == "good"


def test_a_new_generation_goes_on_in_the_middle_of_an_answer() -> None:
    bench = Bench(events=1)
    bench.say((1, []))
    bench.decide((2, start(1, FULL)), more=True)
    bench.apply(Restart(BALLOT, JOB, 1, "it differed"))
    bench.say((2, start(1, FULL + 4, "new")))
    logged = bench.lead()
    assert [(d.part, d.more) for d in logged] == [(1, False)]  # type: ignore[union-attr]
    assert (bench.job.started, bench.copy.state) == (FULL + 4, "good")


def test_restarts_at_the_same_event_come_to_an_end() -> None:
    bench = Bench(events=1)
    bench.copies.leadership(True)
    for _ in range(10):
        bench.copies._part(bench.copy, 2)
        for operation in bench.propose():
            bench.apply(operation)
        if bench.job.state != "running":
            break
    assert bench.job.state == "failed"
    assert "3 times" in bench.job.error and "not deterministic" in bench.job.error


# --- saves ---------------------------------------------------------------------------------------------------


def test_a_scheduler_is_saved_after_so_many_events_even_when_it_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SAVE_EVERY_EVENTS", 5)
    bench = Bench(events=6, can_save=True)
    bench.copies.leadership(True)
    bench.say((1, []))
    bench.join()  # there is always another event to come
    bench.say((2, start(1)), (7, start(2)))
    bench.lead(idle=False)
    assert bench.did(effects.SaveScheduler), "it is asked before it is fed on"
    bench.copies.saved(JOB, bench.copy.copy, b"state", BALLOT)
    (save,) = bench.take()
    assert isinstance(save, Save) and (save.seq, save.state) == (7, b"state")
    assert bench.did(effects.FeedScheduler), "it goes on while its state is logged"
    bench.apply(save)
    assert bench.job.saved == (7, b"state")


def test_a_copy_starts_from_the_last_save(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(events=3, can_save=True)
    bench.say((1, []))
    bench.say((2, start(1)), (3, []), (4, []), seq=4)
    bench.lead()
    bench.apply(Save(BALLOT, JOB, 1, 3, b"after three"))
    bench.did(effects.StartScheduler)
    bench.crash()
    (begun,) = bench.did(effects.StartScheduler)
    assert (begun.state, begun.saved) == (b"after three", 3)  # type: ignore[union-attr]
    bench.ready()
    assert [event.seq for event in bench.did(effects.FeedScheduler)[0].events] == [4]  # type: ignore[union-attr]
    bench.say((4, start(2)))
    assert bench.copy.state == "parted", "compared from the save on"


def test_a_copy_behind_a_save_starts_again_from_it() -> None:
    """The events that it lacks are not kept any more."""
    bench = Bench(events=3)
    bench.decide((2, start(1)), (4, []), seq=4)
    bench.apply(Save(BALLOT, JOB, 1, 4, b"leader's"))
    bench.did(effects.StartScheduler)
    bench.say((1, []))
    (begun,) = bench.did(effects.StartScheduler)
    assert (begun.state, begun.saved) == (b"leader's", 4)  # type: ignore[union-attr]


def test_a_state_that_is_too_large_is_not_logged() -> None:
    bench = Bench(events=1, can_save=True)
    bench.copies.saved(JOB, bench.copy.copy, b"x" * (limits.SAVE_BYTES + 1), BALLOT)
    assert not bench.take()
    assert not bench.copy.can_save


# --- ordered, and the end ------------------------------------------------------------------------------------


def test_an_ordered_scheduler_says_so_with_its_first_answer() -> None:
    bench = Bench(ordered=True)
    bench.join(2)
    bench.say((1, start(1)))
    (decide,) = bench.lead()
    assert isinstance(decide, Decide) and decide.ordered
    assert bench.job.last_event == 1, "it is told of no clients"
    assert bench.job.state == "running"


def test_an_ordered_scheduler_has_no_timers() -> None:
    bench = Bench(ordered=True)
    bench.say((1, [SetTimer("t", 5)]))
    bench.lead()
    assert bench.job.state == "failed" and "timers" in bench.job.error


def test_an_ordered_scheduler_to_which_nothing_can_happen_any_more_fails_its_job() -> None:
    bench = Bench(ordered=True)
    bench.say((1, []))
    bench.lead()
    assert bench.job.state == "failed" and "nothing can happen to it" in bench.job.error
    waiting = Bench(ordered=True)
    waiting.say((1, start(1)))
    waiting.lead()
    waiting.lead()
    assert waiting.job.state == "running", "a task is under way"
    free = Bench()
    free.say((1, []))
    free.lead()
    free.lead()
    assert free.job.state == "running", "a client may join"


def test_the_end_of_a_job_ends_its_copy() -> None:
    bench = Bench()
    bench.say((1, [Finish(b"1")]))
    bench.lead()
    assert bench.job.state == "finishing"
    (stopped,) = bench.did(effects.StopScheduler)
    assert stopped.ended  # type: ignore[union-attr]
    assert not bench.copies.copies and not bench.copies.in_flight


def test_a_snapshot_starts_every_copy_again_and_lets_those_of_ended_jobs_go() -> None:
    ahead = Bench()
    ahead.say((1, [Finish(b"1")]))
    ahead.lead()
    bench = Bench()
    bench.did(effects.StopScheduler)
    bench.copies.replace_machine(ahead.machine)
    (stopped,) = bench.did(effects.StopScheduler)
    assert stopped.ended, "its folder may go"  # type: ignore[union-attr]
