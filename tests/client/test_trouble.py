"""A system that has no room (descriptors, disk) costs an attempt or a line, never the client."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tests.client.desk import INFO

from tasksprint.client import effects
from tasksprint.client.agent import Agent, Config
from tasksprint.client.job_log import JobLog
from tasksprint.client.programs_at_hand import ProgramsAtHand
from tasksprint.programs.keeper import Keeper
from tasksprint.storage.programs import content_hash, pack_program
from tasksprint.storage.shelf import digest_file
from tasksprint.wire.messages import ProgramPart
from tasksprint.wire.results import Result

FULL = OSError(errno.ENOSPC, "No space left on device")


def in_an_agent(folder: Path, story: Callable[[Agent, mock.Mock], None]) -> None:
    """`story` gets an agent without a network, and the core that it tells."""

    async def run() -> None:
        config = Config("test", b"s" * 32, ["k1:1"], folder, ("127.0.0.1", 0), 1, [])
        agent = Agent(config)
        agent.core = core = mock.Mock()
        core.take.return_value = []
        core.next_wake.return_value = agent.now_ms() + 1_000_000
        try:
            story(agent, core)
        finally:
            agent.keeper.close()
            agent.shelf.close()
            os.close(agent._lock)

    asyncio.run(run())


def test_a_node_that_cannot_have_its_folder_is_gone(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("no folder")

    def story(agent: Agent, core: mock.Mock) -> None:
        agent._do_start_node(effects.StartNode(7, INFO, False))
        (number, error, _), _ = core.node_gone.call_args
        assert number == 7 and error.startswith("cannot make the folder ")
        assert not agent._nodes and not agent._node_jobs

    in_an_agent(tmp_path, story)


@pytest.mark.parametrize("where", ["popen", "keeper"])
def test_a_node_without_descriptors_is_gone_whole(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    killed: list[int] = []
    kill = os.killpg

    def note(pid: int, number: int) -> None:
        killed.append(pid)
        kill(pid, number)

    def story(agent: Agent, core: mock.Mock) -> None:
        before = sorted(os.listdir("/proc/self/fd"))
        monkeypatch.setattr(os, "killpg", note)
        if where == "popen":
            monkeypatch.setattr("subprocess.Popen", full)
        else:
            monkeypatch.setattr(Keeper, "_start", full)
        info = type(INFO)(INFO.job, INFO.job_id, INFO.name, ["sleep", "1000"], "", 5, 0)
        agent._do_start_node(effects.StartNode(7, info, False))
        assert core.node_gone.call_args.args[:2] == (7, "cannot start 'sleep': Too many open files")
        assert not agent._nodes
        assert len(killed) == (where == "keeper")
        for pid in killed:
            with pytest.raises(ProcessLookupError):
                kill(pid, 0)
        assert sorted(os.listdir("/proc/self/fd")) == before

    in_an_agent(tmp_path, story)


def test_a_log_that_cannot_be_written_drops_lines(tmp_path: Path) -> None:
    (tmp_path / "job").write_text("no folder")
    log = JobLog(tmp_path / "job" / "log")
    log.add("node 1", "lost")
    (tmp_path / "job").unlink()
    log.add("node 1", "kept")
    with mock.patch.object(log, "_file", mock.Mock(write=mock.Mock(side_effect=FULL))):
        log.add("node 1", "lost")
    log.add("node 1", "kept too")
    log.close()
    assert (tmp_path / "job" / "log").read_text() == "node 1: kept\nnode 1: kept too\n"
    assert JobLog.left(tmp_path / "job", 0) == b"", "no log, and no error"


def test_program_files_that_cannot_be_kept_are_used_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.py").write_text("pass")
    data = pack_program(tmp_path / "source")
    name = content_hash(data)
    asked: list[int] = []
    programs = ProgramsAtHand(tmp_path / "programs", lambda _, offset: asked.append(offset))
    told: list[str] = []
    programs.unpacked(name, tmp_path / "one", told.append)
    with mock.patch.object(Path, "write_bytes", side_effect=FULL):
        programs.part(ProgramPart(name, 0, len(data), data))
    assert told == [""] and (tmp_path / "one" / "a.py").read_text() == "pass"
    programs.unpacked(name, tmp_path / "two", told.append)
    programs.part(ProgramPart(name, 0, len(data), data))
    assert asked == [0, 0], "it was not kept"
    with mock.patch.object(Path, "read_bytes", side_effect=FULL):
        programs.unpacked(name, tmp_path / "three", told.append)
    assert told[1:] == ["", f"cannot read the job's program files: {FULL}"]


def test_what_an_earlier_life_left_of_jobs_that_are_over_goes_but_for_their_logs(tmp_path: Path) -> None:
    for job in ("over", "goes-on"):
        for name in ("tasks/1.1/out", "fetched/1", "log"):
            path = tmp_path / "jobs" / job / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    (tmp_path / "jobs" / "empty").mkdir()
    (tmp_path / "trash" / "half-gone").mkdir(parents=True)

    async def story() -> None:
        agent = Agent(Config("test", b"s" * 32, ["k1:1"], tmp_path, ("127.0.0.1", 0), 1, []))
        kept = Result(b"r" * 16, {"out": digest_file(tmp_path / "jobs" / "over" / "tasks" / "1.1" / "out")}, 1)
        agent.shelf.put(5, "over", 1, 1, kept)
        agent._do_drop_leftovers(effects.DropLeftovers(("goes-on",), (("over", 1, 1),)))
        assert not (tmp_path / "jobs" / "over" / "tasks").exists(), "at once: the job may begin here in a moment"
        assert agent.shelf.get(5, 1, 1) is None
        agent.keeper.close()
        agent.shelf.close()
        os.close(agent._lock)

    asyncio.run(story())
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    of_jobs = [path for path in left if path.startswith(("jobs", "trash"))]
    assert of_jobs == ["jobs/goes-on/fetched/1", "jobs/goes-on/log", "jobs/goes-on/tasks/1.1/out", "jobs/over/log"]
    assert not (tmp_path / "jobs" / "empty").exists() and not (tmp_path / "trash").exists()
