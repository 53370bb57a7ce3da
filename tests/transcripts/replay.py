"""Reads the conversations of this folder."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass
class Conversation:
    name: str
    sdk: bool  # the SDK's test programs hold it too
    turns: list[tuple[str, Any, str]] = field(default_factory=list)  # (who, message or text, error)


def conversations(name: str) -> list[Conversation]:
    return list(_read(name))


def _read(name: str) -> Iterator[Conversation]:
    current: Conversation | None = None
    for line in (HERE / name).read_text().splitlines():
        turn = json.loads(line)
        if "begin" in turn:
            if current is not None:
                yield current
            current = Conversation(turn["begin"], turn.get("sdk", False))
            continue
        assert current is not None
        error = turn.pop("error", "")
        ((who, message),) = turn.items()
        current.turns.append((who, message, error))
    assert current is not None
    yield current


def line(message: Any, folder: str = "FOLDER") -> bytes:
    """As a program writes it."""
    text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    return text.replace("FOLDER", folder).encode()
