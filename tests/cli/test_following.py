"""What a command says of a job that stands still, and of one that did not end well."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tasksprint.cli import following
from tasksprint.cli.commands import run_program
from tasksprint.cli.following import STILL_S, Outcome, Stillness, ended_badly, hint
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


def test_a_job_that_stands_still_is_asked_why_and_the_answer_is_said_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(following, "STILL_S", 0)
    monkeypatch.setattr(following, "PROGRESS_MS", 0)
    notes: list[str] = []
    updates = [update(), update(), update(), update(state="failed")]

    class Asked:
        async def watch(self, job_id: str, known: int) -> wire.JobUpdate:
            return updates.pop(0)

        async def answer(self, make: Any) -> bytes:
            assert make(1).what == "job:j"
            return json.dumps({**CALM, "idle": "nothing moves"}).encode()

    class Shown:
        def update(self, update: wire.JobUpdate) -> None: ...

        def note(self, text: str) -> None:
            notes.append(text)

    asyncio.run(following.follow(Asked(), "j", Shown(), tmp_path, None))  # type: ignore[arg-type]
    assert notes == ["note: nothing moves"]


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
