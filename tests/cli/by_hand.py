"""Commands of tests: run in processes of their own, and what their one line must be like."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

TASKSPRINT = [sys.executable, "-m", "tasksprint"]
LIMIT_S = 30
SECRET = b"0123456789abcdef" * 2
PROGRAM = """
from tasksprint import Node, Scheduler, task
class S(Scheduler):
    def init(self, args): self.finish(args)
class N(Node):
    @task
    def nothing(self): ...
"""


def failure(*words: str, code: int, folder: Path, **environment: str) -> str:
    """The one line of a command that must fail, in a process of its own."""
    done = subprocess.run(
        [*TASKSPRINT, *words],
        cwd=folder,
        env={**os.environ, "TASKSPRINT_HOME": str(folder / "home"), **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
    )
    return one_line(done.stderr, done.returncode, code)


def one_line(said: str, found: int, code: int) -> str:
    assert "Traceback" not in said, said
    assert found == code, said
    lines = [line for line in said.splitlines() if line]
    assert len(lines) == 1, said
    assert lines[0].startswith("tasksprint: ")
    return lines[0]


def framed(payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + payload
