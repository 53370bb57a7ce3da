"""What both checks stand on: a program at the other end of a line, asked and answered, and what is found."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasksprint.programs.child import Child, describe_exit
from tasksprint.programs.keeper import Keeper
from tasksprint.wire.lines import Lines, LineTooLong

ANSWER_S = 10.0  # a program under check answers within this
EXIT_S = 3.0
UNKNOWN_TYPE = "frobnicate"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried."""

    ok: bool
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{'ok   ' if self.ok else 'WRONG'}  {self.what}" + (f": {self.detail}" if self.detail else "")


def passed(findings: Sequence[Finding]) -> bool:
    return all(finding.ok for finding in findings)


class Wrong(Exception):
    """The program did something else than what was expected; the text says what."""


class Probe:
    """A child that is asked and answered a line at a time. `async with` it."""

    def __init__(self, command: Sequence[str], folder: Path, answer_s: float = ANSWER_S) -> None:
        self._command, self._folder, self._answer_s = command, folder, answer_s
        self._lines = Lines()
        self._heard: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._exited = asyncio.Event()
        self._keeper = Keeper()
        self.child: Child

    async def __aenter__(self) -> Probe:
        self.child = Child(
            self._command,
            folder=self._folder,
            keeper=self._keeper,
            on_output=self._output,
            on_stderr=None,
            on_exit=self._exit,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.child.kill()
        await self._exited.wait()
        self._keeper.close()

    def _output(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                self._heard.put_nowait(line)
        except LineTooLong as error:
            self._heard.put_nowait(error)
            self.child.kill()

    def _exit(self, _: int) -> None:
        self._heard.put_nowait(None)
        self._exited.set()

    def say(self, *lines: bytes) -> None:
        self.child.write(b"".join(lines))

    async def line(self) -> bytes:
        """The next line. Wrong when there is none."""
        try:
            heard = await asyncio.wait_for(self._heard.get(), self._answer_s)
        except TimeoutError:
            raise Wrong(f"no answer within {self._answer_s:g} s{self.stderr()}") from None
        if isinstance(heard, Exception):
            raise Wrong(str(heard))
        if heard is None:
            self._heard.put_nowait(None)
            raise Wrong(f"the program {describe_exit(self.child.exit_code or 0)}{self.stderr()}")
        return heard

    async def exit_code(self) -> int:
        """Waits for the program's end. Wrong when it goes on."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._exited.wait(), EXIT_S)
        if self.child.exit_code is None:
            raise Wrong(f"it still runs after {EXIT_S:g} s")
        return self.child.exit_code

    async def ends_well(self) -> None:
        code = await self.exit_code()
        if code != 0:
            raise Wrong(f"the program {describe_exit(code)}{self.stderr()}")

    def left(self) -> list[bytes]:
        """Lines that came and were not asked for."""
        lines = []
        while not self._heard.empty():
            heard = self._heard.get_nowait()
            if isinstance(heard, bytes):
                lines.append(heard)
        return lines

    def stderr(self) -> str:
        return f"; the end of its stderr:\n{self.child.tail}" if self.child.tail else ""


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tasksprint-check-", ignore_cleanup_errors=True)
