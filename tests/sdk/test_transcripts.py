"""The SDK's programs hold the good conversations word for word."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.transcripts.replay import Conversation, conversations, line

from tasksprint.programs.probe import Probe

PROGRAMS = Path(__file__).parent / "clerk.py"


def good(name: str) -> Conversation:
    return next(each for each in conversations(name) if each.sdk)


@pytest.mark.parametrize(("name", "role"), [("node.jsonl", "node"), ("scheduler.jsonl", "scheduler")])
def test_transcript(name: str, role: str, tmp_path: Path) -> None:
    conversation = good(name)

    async def replay() -> None:
        async with Probe(["@python", "-m", "tasksprint.sdk", str(PROGRAMS), role], tmp_path) as probe:
            for who, message, _ in conversation.turns:
                text = line(message, str(tmp_path))
                if who != role:
                    probe.say(text + b"\n")
                    continue
                heard = json.loads(await probe.line())
                if heard.get("trace"):
                    assert "in broken" in heard["trace"]
                    heard["trace"] = "..."
                assert heard == json.loads(text)
            await probe.ends_well()
            assert probe.left() == []

    asyncio.run(replay())
