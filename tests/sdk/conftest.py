"""Programs of the SDK at the other end of a line."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tasksprint.programs.probe import Probe

HERE = Path(__file__).parent


class Talk:
    """A conversation with one program, in messages."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def say(self, *messages: Any) -> None:
        self.probe.say(*[json.dumps(message).encode() + b"\n" for message in messages])

    async def hear(self) -> Any:
        return json.loads(await self.probe.line())

    async def ask(self, message: Any) -> Any:
        self.say(message)
        return await self.hear()


Story = Callable[[Talk], Coroutine[Any, Any, None]]


@pytest.fixture
def talk_to(tmp_path: Path) -> Callable[[str, str, Story], None]:
    """talk_to(source, role, story): runs `source` as a program of this role, and the story with it."""

    def talk_to(source: str, role: str, story: Story) -> None:
        path = tmp_path / "program.py"
        path.write_text("from tasksprint import File, Node, Scheduler, Task, task\n" + source)

        async def play() -> None:
            async with Probe(["@python", "-m", "tasksprint.sdk", str(path), role], tmp_path) as probe:
                talk = Talk(probe)
                hello = {"type": "hello", "version": 1, "job": "j", "folder": str(tmp_path)}
                talk.say({**hello, "seed": f"{7:016x}", "node": 0})
                await story(talk)

        asyncio.run(play())

    return talk_to
