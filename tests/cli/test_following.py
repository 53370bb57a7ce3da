"""What a command says of a job that stands still, and of one that did not end well."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tasksprint.cli import following
from tasksprint.cli.commands import Failure, run_program
from tasksprint.cli.following import STILL_S, Outcome, Stillness, ended_badly, hint
from tasksprint.transfer.fetch import Wanted
from tasksprint.view.operations import JobSpec
from tasksprint.wire import messages as wire

CALM = {"unplaceable": [], "held_back": False, "idle": "", "events": 5, "answered": 5}


def update(done: int = 0, started: int = 1, state: str = "running") -> wire.JobUpdate:
    return wire.JobUpdate(1, "j", 1, state, "", started, done, 0, 0, 1, b"", [], False)


def test_stillness_is_said_once_each_time_it_has_lasted() -> None:
    still = Stillness(0)
    assert not still.lasts(update(), 1)
    assert not still.lasts(update(), 1 + STILL_S - 0.1)
    assert still.lasts(update(), 1 + STILL_S)
    assert not still.lasts(update(), 1 + STILL_S + 0.1)
    assert still.lasts(update(), 1 + 2 * STILL_S)
    assert not still.lasts(update(done=1), 1 + 3 * STILL_S)
    assert not still.lasts(update(done=1, state="finishing"), 1 + 9 * STILL_S)
    assert still.lasts(update(done=1, state="finishing"), 1 + 10 * STILL_S)
    assert not still.lasts(update(done=1, state="finishing"), 1 + 11 * STILL_S, brought=1)


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ({}, ""),
        ({"unplaceable": ["task 1 waits"]}, "task 1 waits"),
        ({"unplaceable": ["task 1 waits", "b", "c"]}, "task 1 waits (and 2 more kinds of task)"),
        ({"idle": "nothing moves"}, "nothing moves"),
        ({"held_back": True, "events": 9}, "no further task is placed: 4 events wait for the scheduler's answer"),
    ],
)
def test_the_hint_is_what_the_status_knows(report: dict[str, Any], said: str) -> None:
    assert hint({**CALM, **report}) == said
    assert not hint({}), "an older coordinator"


class Scripted:
    """A cluster whose coordinators say what the test wrote down; and who asked what."""

    patience_ms = 20

    def __init__(self, updates: list[wire.JobUpdate], statuses: list[dict[str, Any] | Failure]) -> None:
        self.updates, self.statuses = updates, statuses
        self.asked: list[str] = []
        self.notes: list[str] = []

    async def watch(self, job_id: str, known: int) -> wire.JobUpdate:
        self.asked.append("watch")
        return self.updates.pop(0) if len(self.updates) > 1 else self.updates[0]

    async def answer(self, make: Any) -> bytes:
        message = make(1)
        other = "cancel" if isinstance(message, wire.CancelRequest) else "program"
        self.asked.append(message.what if isinstance(message, wire.StatusRequest) else other)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(status, Failure):
            raise status
        return json.dumps(status).encode()

    def update(self, update: wire.JobUpdate) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)

    def follow(self, folder: Path, gone: tuple[str, str] = ("", "")) -> Outcome:
        """`gone`: what becomes of each fetch."""

        class Fetcher:
            def fetch(self, wanted: Wanted) -> None:
                wanted.on_failed(*gone)

        return asyncio.run(following.follow(self, "j", self, folder, Fetcher()))  # type: ignore[arg-type]


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "STILL_S", 0)
    monkeypatch.setattr(following, "PROGRESS_MS", 0)


def test_a_program_that_is_refused_is_not_followed_by_its_job() -> None:
    script = Scripted([], [Failure("the program x is refused: it has another hash")])
    spec = JobSpec("name", ["s"], ["n"], b"{}", 1, "x")
    with pytest.raises(Failure, match="the program x is refused"):
        asyncio.run(following.submit(script, "j", spec, b"program"))  # type: ignore[arg-type]
    assert script.asked == ["program"]


@pytest.mark.usefixtures("_at_once")
def test_a_job_that_stands_still_is_asked_why_and_the_answer_is_said_once(tmp_path: Path) -> None:
    script = Scripted([update(), update(), update(), update(state="failed")], [{**CALM, "idle": "nothing moves"}])
    script.follow(tmp_path)
    assert set(script.asked) == {"watch", "job:j"}
    assert script.notes == ["note: nothing moves"]


def finishing(*holders: tuple[str, str], name: str = "w") -> wire.JobUpdate:
    output = wire.Output(1, "nokey", 1, list(holders), name)
    return msgspec.structs.replace(update(state="finishing"), outputs=[output])


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize(("name", "task"), [("w", "task 1 (w)"), ("", "task 1")])
def test_an_output_that_the_task_did_not_make_ends_the_job_for_all_who_follow_it(
    tmp_path: Path, name: str, task: str
) -> None:
    script = Scripted([finishing(("c", "host:1"), name=name)], [Failure("it has ended meanwhile")])
    outcome = script.follow(tmp_path, ("missing_key", "task 1 has no piece 'nokey'; it made v"))
    assert str(ended_badly(outcome)) == f"the job failed: its output names piece 'nokey' of {task}; it made v"
    assert script.asked == ["watch", "cancel"]


@pytest.mark.usefixtures("_at_once")
def test_a_finishing_job_that_stands_still_is_asked_why(tmp_path: Path) -> None:
    script = Scripted([finishing()] * 3 + [update(state="failed")], [{**CALM, "unplaceable": ["task 1 waits"]}])
    script.follow(tmp_path)
    assert script.notes == ["note: task 1 waits"]


@pytest.mark.usefixtures("_at_once")
def test_outputs_that_cannot_be_fetched_are_named(tmp_path: Path) -> None:
    script = Scripted([finishing(("c", "host:1"))] * 3 + [update(state="failed")], [CALM])
    script.follow(tmp_path, ("unreachable", "host:1: nobody listens there"))
    said = "note: cannot fetch 'nokey' of task 1: host:1: nobody listens there; it is tried again"
    assert script.notes == [said]


@pytest.mark.usefixtures("_at_once")
def test_a_coordinator_that_never_heard_of_a_job_is_not_believed_while_the_others_have_it(tmp_path: Path) -> None:
    """It lost the lead without knowing it: what it says of its own counts for nothing, a majority's word does."""
    script = Scripted([update(state="unknown"), update(state="unknown"), update(state="failed")], [CALM])
    assert script.follow(tmp_path).state == "failed"
    assert script.asked[:5] == ["watch", "job:j", "watch", "job:j", "watch"]


@pytest.mark.usefixtures("_at_once")
def test_a_job_that_a_majority_does_not_know_is_said_so_at_once(tmp_path: Path) -> None:
    script = Scripted([update(state="unknown")], [Failure("no job j here")])
    with pytest.raises(Failure, match="no job j here"):
        script.follow(tmp_path)
    assert script.asked == ["watch", "job:j"]


@pytest.mark.usefixtures("_at_once")
def test_coordinators_that_disagree_for_ever_are_not_asked_for_ever(tmp_path: Path) -> None:
    script = Scripted([update(state="unknown")], [CALM])
    with pytest.raises(Failure, match="the coordinators disagree on whether there is a job j"):
        script.follow(tmp_path)
    assert script.asked.count("watch") > 1


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize(("files", "said"), [(1, "its output file is no longer held"), (2, "its 2 output files are")])
def test_a_job_whose_outputs_were_collected_is_followed_too_late(tmp_path: Path, files: int, said: str) -> None:
    outputs = [wire.Output(task, "key", 0, []) for task in range(files)]
    script = Scripted([msgspec.structs.replace(update(state="done"), outputs=outputs)], [CALM])
    with pytest.raises(Failure, match=said) as failure:
        script.follow(tmp_path)
    assert failure.value.code == 1
    assert "\n" not in str(failure.value)


@pytest.mark.usefixtures("_at_once")
def test_a_job_without_outputs_is_never_followed_too_late(tmp_path: Path) -> None:
    assert Scripted([update(state="done")], [CALM]).follow(tmp_path).state == "done"


def test_a_bad_end_is_said_once() -> None:
    def text(state: str, error: str) -> str:
        return str(ended_badly(Outcome("j", state, error, b"", [], update())))

    assert text("cancelled", "it was cancelled") == "the job was cancelled"
    assert text("failed", "no luck") == "the job failed: no luck"


@pytest.mark.parametrize("words", [[], ["bench"]])
def test_without_a_command_the_help_is_shown(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tasksprint", *words])
    with pytest.raises(SystemExit) as ended:
        run_program()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("Usage: tasksprint")
    assert "(see" not in said
