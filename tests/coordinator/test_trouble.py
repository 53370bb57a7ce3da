"""A log that cannot be written costs its lines, never the coordinator."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tasksprint.coordinator.server import Config, CoordinatorServer


def test_a_schedulers_log_without_a_place_is_dropped(tmp_path: Path) -> None:
    async def story() -> None:
        server = CoordinatorServer(Config("test", b"s" * 32, 1, {1: "127.0.0.1:0"}, tmp_path / "data"))
        try:
            server._job_ids[1] = "job"
            server._log(1, "lost\n")
            (tmp_path / "data" / "jobs" / "job").mkdir(parents=True)
            server._log(1, "kept\n")
            assert server._read_log("job", 0) == b"kept\n"
        finally:
            server.journal.close()
            server.keeper.close()

    asyncio.run(story())
