"""Who waits for a coordinator's answer: held polls, registrations, watches; and what a status request may ask."""

from __future__ import annotations

import json

from tests.coordinator.bench import JOB, Bench, start

from tasksprint import limits
from tasksprint.coordinator.progress import Progress
from tasksprint.coordinator.requests import HeldWatch, Waiting, status_answer
from tasksprint.view.operations import CancelJob, Collected, Finish, Leave, Register, Reports, Returned
from tasksprint.wire.messages import FromCoordinator, JobUpdate, Output, Registered, Unregistered, View

JOB_ID = "j" * 32


class Room:
    """Somebody waits, and the log moves."""

    def __init__(self) -> None:
        self.bench = Bench(events=1)
        self.bench.say((1, []))
        self.machine = self.bench.machine
        self.told: list[tuple[int, FromCoordinator]] = []
        self.waiting = Waiting(lambda link, message: self.told.append((link, message)))
        self.now = 1_000

    def heard(self) -> list[tuple[int, FromCoordinator]]:
        told, self.told = self.told, []
        return told

    def watch(self, link: int, known: int, job_id: str = JOB_ID) -> None:
        deadline = self.now + limits.POLL_HELD_MS
        self.waiting.watch(self.machine, HeldWatch(link, link, job_id, known, deadline))

    def client_changed(self, client: str = "c1") -> None:
        self.waiting.client_changed(self.machine, client)

    def reports(self, sequence: int) -> None:
        """A batch that takes effect and changes no part of the view."""
        incarnation = self.machine.client("c1").incarnation  # type: ignore[union-attr]
        self.bench.apply(Reports("c1", incarnation, sequence, [Returned(JOB, 1, 99)]))


def test_a_poll_is_held_until_there_is_news() -> None:
    room = Room()
    number = room.machine.client("c1").number  # type: ignore[union-attr]
    room.waiting.poll(room.machine, "c1", 1, 0, room.now)
    ((_, view),) = room.heard()
    assert isinstance(view, View) and view.whole
    room.waiting.poll(room.machine, "c1", 1, max(number, view.number), room.now)
    assert not room.heard()
    room.bench.decide((2, start(1)))
    room.client_changed()
    ((_, news),) = room.heard()
    assert isinstance(news, View) and news.changes and news.number > view.number
    room.client_changed()
    assert not room.heard(), "one answer to one poll"


def test_a_poll_without_news_is_answered_in_time() -> None:
    room = Room()
    room.waiting.poll(room.machine, "c1", 1, 0, room.now)
    ((_, view),) = room.heard()
    assert isinstance(view, View)
    room.waiting.poll(room.machine, "c1", 1, view.number, room.now)
    room.waiting.expire(room.machine, room.now + limits.POLL_HELD_MS - 1)
    assert not room.heard()
    room.waiting.expire(room.machine, room.now + limits.POLL_HELD_MS)
    ((_, same),) = room.heard()
    assert isinstance(same, View) and (same.number, same.changes) == (view.number, [])


def test_acknowledgements_alone_wait_for_the_tick_unless_they_are_many() -> None:
    room = Room()
    room.waiting.poll(room.machine, "c1", 1, 0, room.now)
    ((_, view),) = room.heard()
    assert isinstance(view, View)
    room.waiting.poll(room.machine, "c1", 1, view.number, room.now)
    room.reports(1)
    room.client_changed()
    assert not room.heard()
    room.waiting.acknowledge(room.machine)
    ((_, told),) = room.heard()
    assert isinstance(told, View) and told.acked == 1
    room.waiting.poll(room.machine, "c1", 1, told.number, room.now)
    for sequence in (2, 3):
        room.reports(sequence)
        room.client_changed()
    ((_, told),) = room.heard()
    assert isinstance(told, View) and told.acked == 3
    room.waiting.acknowledge(room.machine)
    assert not room.heard()


def test_a_later_poll_takes_the_place_of_an_earlier_one() -> None:
    room = Room()
    for link in (1, 2):
        room.waiting.poll(room.machine, "c1", link, 10_000, room.now)
    room.heard()
    room.waiting.expire(room.machine, room.now + limits.POLL_HELD_MS)
    assert [link for link, _ in room.heard()] in ([2], [])


def test_a_client_that_is_gone_is_told_to_register_anew() -> None:
    room = Room()
    room.waiting.poll(room.machine, "c1", 1, 0, room.now)
    ((_, view),) = room.heard()
    assert isinstance(view, View)
    room.waiting.poll(room.machine, "c1", 1, view.number, room.now)
    room.bench.apply(Leave("c1", room.machine.client("c1").incarnation))  # type: ignore[union-attr]
    room.client_changed()
    assert room.heard() == [(1, Unregistered("c1"))]
    assert not room.waiting.polls


def test_a_registration_is_answered_when_it_is_applied_and_only_for_its_own_start() -> None:
    room = Room()
    room.waiting.registering["c9"] = (4, 77)
    room.bench.apply(Register("c9", 76, "a:1", 1, [], []))
    room.client_changed("c9")
    assert not room.heard(), "that was an earlier start of the client"
    room.bench.apply(Register("c9", 77, "a:1", 1, [], []))
    room.client_changed("c9")
    assert room.heard() == [(4, Registered(77, room.machine.index))]
    assert not room.waiting.registering


def test_a_watch_hears_progress_at_the_tick_and_the_end_at_once() -> None:
    room = Room()
    room.watch(1, 0)
    ((_, update),) = room.heard()
    assert isinstance(update, JobUpdate)
    room.watch(1, update.number)
    room.watch(2, update.number)
    room.bench.decide((2, start(1)))
    room.waiting.job_changed(room.machine, room.bench.job)
    assert not room.heard()
    room.waiting.tell_moved(room.machine)
    assert [(link, told.started) for link, told in room.heard()] == [(1, 1), (2, 1)]  # type: ignore[union-attr]
    room.watch(1, room.bench.job.changed)
    room.bench.join()
    room.bench.decide((3, [Finish(b"1")]))
    room.waiting.job_changed(room.machine, room.bench.job)
    ((_, told),) = room.heard()
    assert isinstance(told, JobUpdate) and (told.state, told.values) == ("finishing", b"1")
    room.waiting.tell_moved(room.machine)
    assert not room.heard()


def test_a_watch_of_nothing_is_told_so_and_one_without_news_is_answered_in_time() -> None:
    room = Room()
    room.watch(1, 0, "u" * 32)
    ((_, unknown),) = room.heard()
    assert isinstance(unknown, JobUpdate) and unknown.state == "unknown"
    room.watch(1, 10_000)
    room.waiting.expire(room.machine, room.now + limits.POLL_HELD_MS - 1)
    assert not room.heard()
    room.waiting.expire(room.machine, room.now + limits.POLL_HELD_MS)
    assert len(room.heard()) == 1 and not room.waiting.watches


def test_an_ended_job_shows_its_error_and_no_values() -> None:
    room = Room()
    room.bench.apply(CancelJob(JOB_ID))
    room.watch(1, 0)
    ((_, update),) = room.heard()
    assert isinstance(update, JobUpdate)
    assert (update.state, update.values, update.outputs) == ("cancelled", b"", [])
    assert "cancelled" in update.error


def test_a_job_that_is_done_still_names_its_outputs_and_no_holder() -> None:
    room = Room()
    bench = room.bench
    bench.decide((2, [*start(1), Finish(b"1", [(1, "out")])]))
    room.watch(1, 0)
    bench.apply(Collected(JOB_ID))
    room.watch(1, 0)
    (_, finishing), (_, done) = room.heard()
    assert isinstance(finishing, JobUpdate) and isinstance(done, JobUpdate)
    assert [(update.state, len(update.outputs)) for update in (finishing, done)] == [("finishing", 1), ("done", 1)]
    assert done.outputs == [Output(1, "out", 0, [])]


def test_a_closed_link_waits_for_nothing() -> None:
    room = Room()
    room.waiting.registering["c9"] = (5, 77)
    room.waiting.poll(room.machine, "c1", 5, 10_000, room.now)
    room.watch(5, 10_000)
    room.watch(6, 10_000)
    room.heard()
    room.waiting.drop_link(5)
    room.waiting.expire(room.machine, room.now + 10 * limits.POLL_HELD_MS)
    assert [link for link, _ in room.heard()] == [6]
    assert not room.waiting.registering and not room.waiting.polls


def test_when_the_lead_is_lost_every_link_is_told_once() -> None:
    room = Room()
    room.waiting.registering["c9"] = (7, 77)
    for link in (5, 6):
        room.watch(link, 10_000)
    room.watch(5, 10_000)
    assert sorted(room.waiting.drop_all()) == [5, 6, 7]
    assert not room.waiting.watches and not room.waiting.registering


def test_status_requests_are_checked() -> None:
    room = Room()
    room.bench.decide((2, start(1)))

    def ask(what: str) -> tuple[str, bytes]:
        return status_answer(room.machine, {"id": 1}, what, Progress())

    assert json.loads(ask("cluster")[1])["coordinator"] == {"id": 1}
    assert json.loads(ask("jobs")[1])[0]["job"] == JOB_ID
    assert json.loads(ask(f"job:{JOB_ID}")[1])["started"] == 1
    assert "task 1 (t)" in json.loads(ask(f"why:{JOB_ID}:1")[1])
    for nonsense in ("", "x", "job", "why", "why:", f"why:{JOB_ID}:", f"why:{JOB_ID}:x", f"why:{JOB_ID}:²"):
        error, data = ask(nonsense)
        assert error and not data, nonsense
    assert "no job" in ask(f"job:{'u' * 32}")[0]
