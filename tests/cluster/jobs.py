"""The jobs that are shot at: the shipped word count over many small ranges, and a chain of dependent tasks."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tasksprint.apps import find
from tasksprint.apps.mapreduce import command
from tasksprint.cli.following import hash_of
from tasksprint.storage.programs import pack_program
from tasksprint.view.operations import JobSpec

PROGRAMS = Path(__file__).parent / "programs"
SDK = ["@python", "-m", "tasksprint.sdk"]


def text(path: Path, size: int = 400_000) -> Path:
    """A file of words, the same for everybody."""
    source = random.Random(7)
    words = [f"w{source.randrange(3_000)}" for _ in range(size // 6)]
    path.write_text("\n".join(" ".join(words[i : i + 9]) for i in range(0, len(words), 9)))
    return path


def word_count(path: Path, *, split_bytes: int = 4_000, parts: int = 3) -> JobSpec:
    """About a hundred map tasks, so that there is a middle to shoot at."""
    app = find("wordcount")
    arguments = command.arguments([path], split_bytes=split_bytes, parts=parts)
    return JobSpec("wordcount", app.scheduler, app.node, json.dumps(arguments).encode(), 0)


def program(name: str, arguments: object, *, seed: int = 0) -> tuple[JobSpec, bytes]:
    """A job of one of the files in programs/, as a user's own: (spec, packed files)."""
    packed = pack_program(PROGRAMS, [f"{name}.py"])
    commands = [[*SDK, f"{name}.py", role] for role in ("scheduler", "node")]
    return JobSpec(name, *commands, json.dumps(arguments).encode(), seed, hash_of(packed)), packed


def example(name: str, arguments: object, *, seed: int) -> tuple[JobSpec, bytes]:
    """One of examples/, as `tasksprint run examples/NAME` would submit it."""
    folder = Path(__file__).parents[2] / "examples" / name
    packed = pack_program(folder)
    commands = [[*SDK, f"{role}.py", role] for role in ("scheduler", "node")]
    return JobSpec(name, *commands, json.dumps(arguments).encode(), seed, hash_of(packed)), packed
