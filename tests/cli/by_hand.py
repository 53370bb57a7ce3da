"""Commands of tests: run in processes of their own, and what their one line must be like."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tasksprint.wire.handshake import rejection

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


@contextlib.contextmanager
def rogue() -> Iterator[str]:
    """The address of somebody who has no secret and refuses everybody."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(4096)
                        connection.sendall(framed(rejection("go away", retry=False)))

        thread = threading.Thread(target=refuse)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(LIMIT_S)


def framed(payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + payload
