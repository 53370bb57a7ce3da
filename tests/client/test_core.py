"""The client's core: from what changed in the view to fetches, runs and reports."""

from __future__ import annotations

import pytest
from tests.client.desk import INFO, JOB, JOB_ID, Desk, assign, piece, result, supplier

from tasksprint import limits
from tasksprint.client import effects
from tasksprint.view.operations import Done, Failed, Held, Lost, Returned, Unreachable
from tasksprint.view.part import Cancel, Drop, GiveBack, JobEnded, Keep
from tasksprint.wire import messages as wire

# --- inputs ------------------------------------------------------------------------------------------------


def test_a_task_runs_when_its_inputs_are_here_and_the_report_names_their_digests() -> None:
    desk = Desk()
    desk.join(supplier(1), assign(2, (1, "a"), (1, "b"), keys=("value",)))
    fetches = desk.did(effects.FetchPiece)
    assert [(f.task, f.attempt, f.key, f.client) for f in fetches] == [(1, 1, "a", "other"), (1, 1, "b", "other")]  # type: ignore[union-attr]
    desk.client.fetched_piece((JOB, 1, 1, "a"), b"r" * 16, piece(), desk.now)
    assert not desk.run()
    desk.client.fetched_piece((JOB, 1, 1, "b"), b"r" * 16, piece(), desk.now)
    (run,) = desk.run()
    assert [each.key for each in run.inputs] == ["a", "b"]
    desk.finish(run, result())
    (done,) = desk.told(Done)
    assert isinstance(done, Done)
    assert (done.task, done.values, done.inputs) == (2, {"value": b"1"}, [(1, 1, b"r" * 16)])


def test_a_chain_goes_on_here_without_a_word_of_the_leader() -> None:
    desk = Desk(slots=1)
    desk.join(assign(1), supplier(1, "me"), assign(2, (1, "value")))
    (first,) = desk.run()
    desk.finish(first, result())
    (second,) = desk.run()
    assert (first.assign.task, second.assign.task) == (1, 2)
    assert not desk.did(effects.FetchPiece)


def test_a_supplier_that_changed_is_asked_instead() -> None:
    desk = Desk()
    desk.join(supplier(1, "first"), assign(2, (1, "a")))
    desk.did()
    desk.view(supplier(1, "second", attempt=2))
    found = desk.did(effects.StopFetching, effects.FetchPiece)
    assert [type(effect).__name__ for effect in found] == ["StopFetching", "FetchPiece"]
    assert (found[1].client, found[1].attempt) == ("second", 2)  # type: ignore[union-attr]
    desk.client.fetched_piece((JOB, 1, 1, "a"), b"late" * 4, piece(), desk.now)
    assert desk.did(effects.DropFetched), "what came too late is not used"
    assert not desk.run()


def test_a_row_that_only_says_done_changes_nothing() -> None:
    desk = Desk()
    desk.join(supplier(1), assign(2, (1, "a")))
    desk.did()
    desk.view(supplier(1, done=True))
    assert not desk.did(effects.StopFetching, effects.FetchPiece)


@pytest.mark.parametrize("where", ["here, made later", "here before", "elsewhere"])
def test_pieces_that_are_not_made_fail_the_consumer_once(where: str) -> None:
    """Two of them are wanted: the first fails the attempt, the second must find nothing left to fail."""
    desk = Desk()
    rows = (supplier(1, "other" if where == "elsewhere" else "me"), assign(2, (1, "a"), (1, "b")))
    if where == "elsewhere":
        desk.join(*rows)
        desk.did()
        desk.client.fetch_failed((JOB, 1, 1, "a"), "missing_key", "task 1 has no piece 'a'", desk.now)
        desk.client.fetch_failed((JOB, 1, 1, "b"), "missing_key", "task 1 has no piece 'b'", desk.now)
    else:
        desk.join(assign(1))
        (run,) = desk.run()
        if where == "here before":
            desk.finish(run, result("c"))
            desk.view(*rows)
        else:
            desk.view(*rows)
            desk.finish(run, result("c"))
    (failed,) = desk.told(Failed)
    assert isinstance(failed, Failed)
    assert (failed.task, failed.kind) == (2, "missing_key")
    assert "no piece 'a'" in failed.error
    assert not desk.client.fetching


def test_a_fetch_that_failed_is_told_and_tried_again() -> None:
    desk = Desk()
    desk.join(supplier(1), assign(2, (1, "a")))
    desk.did()
    desk.client.fetch_failed((JOB, 1, 1, "a"), "unreachable", "nobody listens", desk.now)
    (told,) = desk.told(Unreachable)
    assert told == Unreachable(JOB, 1, 1, "other", 2, 1)
    desk.later(900)
    assert not desk.did(effects.FetchPiece)
    desk.later(200)
    assert desk.did(effects.FetchPiece), "there may be nobody else to ask"


def test_an_own_result_that_is_recorded_but_gone_is_told() -> None:
    desk = Desk()
    desk.join(supplier(1, "me", done=True), assign(2, (1, "a")))
    assert desk.told(Lost) == [Lost(JOB, 1, 1)]


def test_what_was_fetched_is_fetched_once_and_goes_with_its_job() -> None:
    desk = Desk()
    desk.join(supplier(1), assign(2, (1, "a")))
    desk.did()
    desk.client.fetched_piece((JOB, 1, 1, "a"), b"r" * 16, piece(), desk.now)
    desk.view(assign(3, (1, "a")))
    assert not desk.did(effects.FetchPiece)
    desk.view(JobEnded(JOB))
    assert [type(e).__name__ for e in desk.did(effects.DropFetched, effects.DropJob)] == ["DropFetched", "DropJob"]
    assert desk.client.fetched_bytes == 0 and not desk.client.jobs


# --- cancel, give back -------------------------------------------------------------------------------------


def test_cancel_while_it_waits_for_an_input() -> None:
    desk = Desk()
    desk.join(supplier(1), assign(2, (1, "a")))
    desk.did()
    desk.view(Cancel(JOB, 2, 1))
    assert desk.did(effects.StopFetching)
    assert not desk.client.fetching and not desk.client.jobs[JOB].consumers


def test_cancel_while_it_waits_for_a_node() -> None:
    desk = Desk(slots=1)
    desk.join(assign(1), assign(2))
    (run,) = desk.run()
    desk.view(Cancel(JOB, 2, 1))
    assert not desk.did(effects.CancelRun)
    desk.finish(run, result())
    assert not desk.run()


def test_cancel_while_it_runs_and_what_its_node_says_afterwards() -> None:
    desk = Desk(slots=1)
    desk.join(assign(1), assign(2))
    (run,) = desk.run()
    desk.view(Cancel(JOB, 1, 1))
    (cancel,) = desk.did(effects.CancelRun)
    assert (cancel.node, cancel.task) == (run.node, 1)  # type: ignore[union-attr]
    assert not desk.run(), "the node is not free yet"
    desk.client.node_stopped(run.node, (JOB, 1, 1), desk.now)
    (second,) = desk.run()
    desk.client.result_made((JOB, 1, 1), result(), desk.now)
    desk.client.node_failed(run.node, (JOB, 1, 1), "error", "too late", desk.now)
    desk.finish(second, result())
    assert [report.task for report in desk.told(Done)] == [2]
    assert not desk.told(Failed)


def test_cancel_between_the_nodes_answer_and_its_result() -> None:
    """The files are being hashed: the result of a cancelled attempt is nobody's."""
    desk = Desk()
    desk.join(assign(1))
    (run,) = desk.run()
    desk.client.node_done(run.node, (JOB, 1, 1), desk.now)
    desk.view(Cancel(JOB, 1, 1))
    assert not desk.did(effects.CancelRun)
    desk.client.result_made((JOB, 1, 1), result(), desk.now)
    assert not desk.told(Done) and not desk.client.jobs[JOB].results


def test_cancel_after_the_result_was_made() -> None:
    desk = Desk()
    desk.join(assign(1))
    (run,) = desk.run()
    desk.finish(run, result())
    desk.view(Cancel(JOB, 1, 1))
    desk.view(Drop(JOB, 1, 1))
    assert desk.did(effects.DropResult)


def test_a_task_that_has_not_started_is_given_back_and_another_is_not() -> None:
    desk = Desk(slots=1)
    desk.join(assign(1), assign(2), supplier(3), assign(4, (3, "a")))
    (run,) = desk.run()
    for task in (1, 2, 4):
        desk.view(GiveBack(JOB, task, 1))
    assert desk.told(Returned) == [Returned(JOB, 2, 1), Returned(JOB, 4, 1)]
    desk.finish(run, result())
    assert [report.task for report in desk.told(Done)] == [1]
    assert not desk.run()


# --- nodes ---------------------------------------------------------------------------------------------------


def test_a_node_that_cannot_start_fails_an_attempt_each_time_and_no_more() -> None:
    desk = Desk(slots=2)
    desk.join(assign(1), assign(2), assign(3))
    starts = 0
    for _ in range(10):
        for node in desk.starts():
            starts += 1
            desk.client.node_gone(node, "cannot start: no such file", desk.now)
    assert starts == 3, "one for each attempt: then there is nothing to run"
    assert [(report.task, report.kind) for report in desk.told(Failed)] == [(1, "start"), (2, "start"), (3, "start")]  # type: ignore[union-attr]
    desk.view(assign(1, attempt=2))
    assert len(desk.starts()) == 1


def test_what_was_queued_behind_a_node_that_died_runs_on_another() -> None:
    desk = Desk(slots=1)
    desk.join(assign(1))
    (first,) = desk.run()
    desk.finish(first, result(run_us=10))
    desk.view(*(assign(task) for task in range(2, 6)))
    runs = desk.run()
    assert len(runs) > 1, "short tasks are sent ahead"
    desk.client.node_failed(runs[0].node, (JOB, 2, 1), "crash", "SIGSEGV", desk.now)
    desk.client.node_gone(runs[0].node, "SIGSEGV", desk.now)
    again = desk.run()
    assert [run.assign.task for run in again][:1] == [3], "in their order"
    assert {run.node for run in again} != {runs[0].node}
    assert [report.task for report in desk.told(Failed)] == [2]


def test_a_refused_run_goes_to_another_node() -> None:
    desk = Desk(slots=1)
    desk.join(assign(1))
    (run,) = desk.run()
    desk.client.node_refused(run.node, (JOB, 1, 1), desk.now)
    desk.client.node_gone(run.node, "it ends", desk.now)
    (again,) = desk.run()
    assert again.node != run.node and not desk.told(Failed)


def test_tasks_without_cores_run_beside_the_slots() -> None:
    desk = Desk(slots=1)
    desk.join(assign(1), assign(2, cores=0), assign(3, cores=0))
    assert sorted(run.assign.task for run in desk.run()) == [1, 2, 3]


def test_values_that_the_scheduler_cannot_have_fail_the_task() -> None:
    desk = Desk(slots=3)
    desk.join(assign(1, keys=("other",)), assign(2, keys=("value",)))
    first, second = desk.run()
    desk.finish(first, result("value"))
    large = result("value")
    large.pieces["value"] = piece(b"x" * (limits.VALUES_BYTES + 1))
    desk.finish(second, large)
    errors = {report.task: report.error for report in desk.told(Failed) if isinstance(report, Failed)}
    assert "wants to see 'other'" in errors[1]
    assert "pass a file" in errors[2]


# --- other clients ask ------------------------------------------------------------------------------------------


def fetch(desk: Desk, request: int, task: int = 1, key: str = "value", job_id: str = JOB_ID) -> None:
    desk.client.fetch_requested(5, wire.Fetch(request, job_id, task, 1, key), desk.now)


def gone(desk: Desk) -> list[tuple[int, str]]:
    return [(e.request, e.kind) for e in desk.did(effects.ServeGone) if isinstance(e, effects.ServeGone)]


def test_a_fetch_waits_until_the_attempt_is_done() -> None:
    desk = Desk()
    desk.join(assign(1))
    (run,) = desk.run()
    fetch(desk, 1)
    fetch(desk, 2, key="none")
    fetch(desk, 3)
    desk.client.fetch_stopped(5, 3)
    desk.later(10 * limits.FETCH_UNKNOWN_MS)
    assert not desk.did(effects.Serve, effects.ServeGone), "it is being made here"
    desk.finish(run, result())
    served = desk.did(effects.Serve, effects.ServeGone)
    assert [(type(e).__name__, e.request) for e in served] == [("Serve", 1), ("ServeGone", 2)]  # type: ignore[union-attr]
    fetch(desk, 4)
    assert desk.did(effects.Serve)


def test_a_fetch_of_an_attempt_that_nobody_heard_of_is_refused_after_a_while() -> None:
    """Its asker may know more of the view than we do."""
    desk = Desk()
    desk.join()
    fetch(desk, 1)
    fetch(desk, 2, job_id="u" * 32)
    desk.later(limits.FETCH_UNKNOWN_MS - 20)
    assert not gone(desk)
    desk.view(assign(1))
    desk.later(40)
    assert gone(desk) == [(2, "unknown")], "the other is being made now"
    assert desk.client.next_wake() <= desk.now + limits.FETCH_UNKNOWN_MS


def test_a_fetch_of_a_cancelled_attempt_or_an_ended_job_is_answered_at_once() -> None:
    desk = Desk()
    desk.join(assign(1), assign(2))
    fetch(desk, 1, task=1)
    fetch(desk, 2, task=2)
    desk.view(Cancel(JOB, 1, 1))
    assert gone(desk) == [(1, "moved")]
    desk.view(JobEnded(JOB))
    assert [request for request, _ in gone(desk)] == [2]
    fetch(desk, 3)
    assert gone(desk) == [(3, "ended")]


def test_a_link_that_is_gone_is_not_answered() -> None:
    desk = Desk()
    desk.join(assign(1))
    (run,) = desk.run()
    fetch(desk, 1)
    desk.client.fetch_stopped(5, None)
    desk.finish(run, result())
    assert not desk.did(effects.Serve)


def test_progress_goes_with_the_next_sign_of_life_once_and_the_latest_word_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PROGRESS_ROWS", 2)
    desk = Desk(slots=3)
    desk.join(assign(1), assign(2), assign(3))
    desk.run()

    def told() -> list[list[tuple[int, int, int, int]]]:
        desk.view()
        desk.later(limits.ALIVE_MS)
        return [message.progress for message in desk.sent(wire.Alive)]  # type: ignore[union-attr]

    for fraction in (0.1, 0.5, 7.0):
        desk.client.progressed((JOB, 1, 1), fraction, desk.now)
    for task in (2, 3, 4):
        desk.client.progressed((JOB, task, 1), 0.25 * task - 0.75, desk.now)
    assert told() == [[(JOB, 1, 1, 1_000), (JOB, 2, 1, 0)]]
    assert told() == [[(JOB, 3, 1, 0)]], "what did not fit; and nothing of a task that is not here"
    assert told() == [[]]
    desk.client.disconnected(desk.dial.number, desk.now)
    desk.did()
    desk.connect()
    assert [*told(), *told()] == [[(JOB, 1, 1, 1_000), (JOB, 2, 1, 0)], [(JOB, 3, 1, 0)]], "again, to another leader"
    desk.client.progressed((JOB, 1, 1), 0.5, desk.now)
    desk.hear(wire.Unregistered("me"))
    desk.hear(wire.Registered(2, 99))
    assert told() == [[]], "it belonged to the session that is over"


# --- sessions -----------------------------------------------------------------------------------------------------


def test_a_client_that_counted_as_dead_starts_anew_and_keeps_its_results() -> None:
    desk = Desk(slots=2)
    desk.join(assign(1), assign(2))
    first, _ = desk.run()
    desk.finish(first, result())
    desk.did()
    desk.hear(wire.Unregistered("me"))
    found = desk.did()
    assert any(isinstance(effect, effects.CancelRun) for effect in found), "the other attempt is void"
    (register,) = [e.message for e in found if isinstance(e, effects.SendCoordinator)]
    assert isinstance(register, wire.RegisterClient)
    assert (register.nonce, register.held) == (2, [Held(JOB_ID, 1, 1, b"r" * 16, 1)])
    desk.hear(wire.Registered(1, 99))
    assert not desk.client.session.incarnation, "that was for an earlier nonce"
    desk.hear(wire.Registered(2, 99))
    desk.sequences.clear()
    desk.view(INFO, Keep(JOB, 1, 1), assign(3), whole=True, acked=0)
    assert desk.client.jobs[JOB].results
    desk.client.node_stopped(2, (JOB, 2, 1), desk.now)
    for run in desk.run():
        desk.finish(run, result())
    desk.did()
    assert desk.sequences == [1], "reports of a new session are numbered from one"


def test_a_whole_part_ends_what_it_does_not_name() -> None:
    desk = Desk(slots=2)
    desk.join(assign(1), assign(2), assign(3))
    first, _ = desk.run()
    desk.finish(first, result())
    desk.view(INFO, assign(2), whole=True)
    job = desk.client.jobs[JOB]
    assert [attempt[1] for attempt in job.attempts] == [2]
    assert desk.did(effects.DropResult) and not job.results
    desk.view(whole=True)
    assert desk.did(effects.DropJob) and not desk.client.jobs


def test_results_of_an_earlier_life_are_offered_and_served_when_they_are_wanted() -> None:
    held = [(Held(JOB_ID, task, 1, b"r" * 16, 1), result()) for task in (1, 2)]
    desk = Desk(held=held)
    desk.connect()
    (register,) = desk.sent(wire.RegisterClient)
    assert [each.task for each in register.held] == [1, 2]  # type: ignore[union-attr]
    desk.hear(wire.Registered(1, 7))
    desk.view(INFO, Keep(JOB, 1, 1), whole=True)
    fetch(desk, 1, task=1)
    assert desk.did(effects.Serve)
    assert list(desk.client.jobs[JOB].results) == [(1, 1)]


def test_results_of_an_earlier_life_that_nobody_wants_are_dropped_once() -> None:
    held = [(Held(job, task, 1, b"r" * 16, 1), result()) for job, task in ((JOB_ID, 1), (JOB_ID, 2), ("over", 3))]
    desk = Desk(held=held)
    desk.connect()
    desk.hear(wire.Registered(1, 7))
    desk.hear(wire.View(8, 0, True, [INFO], more=True))
    assert not desk.did(effects.DropLeftovers), "the part is not whole yet"
    desk.index = 8
    desk.view(Keep(JOB, 1, 1), whole=True)
    assert desk.did(effects.DropLeftovers) == [effects.DropLeftovers((JOB_ID,), ((JOB_ID, 2, 1), ("over", 3, 1)))]
    desk.view(INFO, whole=True)
    assert desk.did(effects.DropResult) == [effects.DropResult(JOB, 1, 1)]
    assert not desk.did(effects.DropLeftovers), "what this life makes is dropped one by one"


def test_a_client_that_is_dead_before_it_heard_what_is_wanted_offers_it_again() -> None:
    desk = Desk(held=[(Held(JOB_ID, 1, 1, b"r" * 16, 1), result())])
    desk.connect()
    desk.hear(wire.Registered(1, 7))
    desk.did()
    desk.hear(wire.Unregistered("me"))
    (register,) = desk.sent(wire.RegisterClient)
    assert isinstance(register, wire.RegisterClient)
    assert [each.task for each in register.held] == [1]
    desk.hear(wire.Registered(2, 9))
    desk.view(INFO, Keep(JOB, 1, 1), whole=True)
    assert desk.did(effects.DropLeftovers) == [effects.DropLeftovers((JOB_ID,), ())]
    assert desk.client.jobs[JOB].results


def test_a_client_that_goes_waits_for_the_clusters_word() -> None:
    desk = Desk()
    desk.join(assign(1))
    desk.run()
    desk.client.leave(desk.now)
    assert desk.sent(wire.LeaveCluster)
    desk.client.disconnected(desk.dial.number, desk.now)
    desk.did()
    desk.connect()
    assert desk.sent(wire.LeaveCluster), "said again to the next coordinator"
    desk.hear(wire.Unregistered("me"))
    assert desk.did(effects.Left)


def test_a_client_that_was_never_registered_goes_at_once() -> None:
    desk = Desk()
    desk.client.leave(desk.now)
    assert desk.did(effects.Left)
