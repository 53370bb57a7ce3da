"""Files that hang cost lines and starts, never the coordinator's turns."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest import mock

from tasksprint.coordinator import effects
from tasksprint.coordinator.server import Config, CoordinatorServer
from tasksprint.view.operations import JobSpec
from tasksprint.wire import messages as wire

LIMIT_S = 20
SPEC = JobSpec("test", ["no such program"], ["n"], b"{}", 5)


def tell(folder: Path, story: Callable[[CoordinatorServer, mock.Mock], Awaitable[None]]) -> None:
    """A server without a network, and the core that it tells."""

    async def run() -> None:
        server = CoordinatorServer(Config("test", b"s" * 32, 1, {1: "127.0.0.1:0"}, folder))
        server.core = core = mock.Mock()
        core.take.return_value = []
        core.next_wake.return_value = server.now_ms() + 1_000_000
        server.turns.begin(core)
        try:
            async with asyncio.timeout(LIMIT_S):
                await story(server, core)
        finally:
            await server.close()

    asyncio.run(run())


def hung(folder: Path, job_id: str) -> Path:
    """A job's log into which nobody can write before somebody reads."""
    pipe = folder / "jobs" / job_id / "scheduler.log"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    return pipe


async def turned(server: CoordinatorServer, core: mock.Mock, times: int = 100) -> None:
    before = core.take.call_count
    while core.take.call_count < before + times:
        server._soon()
        await asyncio.sleep(0)


def test_a_log_that_hangs_holds_up_no_turn(tmp_path: Path) -> None:
    async def story(server: CoordinatorServer, core: mock.Mock) -> None:
        pipe = hung(tmp_path, "slow")
        server._job_ids[1] = "slow"
        server._log(1, "line\n")
        link = mock.Mock()
        asked = [wire.SchedulerLog(7, "slow", 0), wire.SchedulerLog(8, "..", 0)]
        server._requests(link, [wire.encode(each) for each in asked])
        await turned(server, core)
        ((answer,), _), *more = link.send.call_args_list
        assert wire.decode_from_coordinator(answer) == wire.Answer(8, "", b"") and not more, "the other waits"
        reader = os.open(pipe, os.O_RDWR)  # for the writer, and for the reader behind it
        while not link.send.call_args_list[1:]:
            await turned(server, core, 1)
        assert wire.decode_from_coordinator(link.send.call_args.args[0]) == wire.Answer(7, "", b"")
        os.close(reader)

    tell(tmp_path, story)


def test_a_scheduler_that_is_stopped_before_its_files_are_there_is_not_started(tmp_path: Path) -> None:
    async def story(server: CoordinatorServer, core: mock.Mock) -> None:
        pipe = hung(tmp_path, "slow")
        server._job_ids[1] = "slow"
        server._log(1, "line\n")
        for copy in (1, 2):
            server._do_start_scheduler(effects.StartScheduler(2, copy, "job", SPEC, None, None))
        server._do_stop_scheduler(effects.StopScheduler(2, 1, False))
        await turned(server, core)
        assert not core.scheduler_failed.called
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # until the writer, which may not have come yet, is through
        while not core.scheduler_failed.called:
            await turned(server, core, 1)
        os.close(reader)
        ((job, copy, error), told), *more = core.scheduler_failed.call_args_list
        assert (job, copy, told["nonsense"], more) == (2, 2, True, []) and "no such program" in error

    tell(tmp_path, story)
