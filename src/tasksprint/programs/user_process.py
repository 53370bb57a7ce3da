"""The life that nodes and schedulers share: started, greeted, ready in time, closed or killed, and why it ended.

A subclass says what is special: what it greets with, what it does with the lines that it hears, and what the end
means for its owner.  The end has one reason, a pair (kind, text): the first that we gave (`_end`, `close`, `kill`), or
else what the program's own exit tells.  Unless we wanted the end, the text closes with the end of its stderr.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tasksprint.limits import CANCEL_GRACE_MS, START_MS
from tasksprint.programs.child import Child, StartError, describe_exit
from tasksprint.programs.keeper import Keeper
from tasksprint.wire.lines import Lines
from tasksprint.wire.node_talk import quoted

WANTED = frozenset(["closed", "killed"])  # ends that are no fault of the program


class Talk(Protocol):
    """A conversation's state table: `ready` is None until the program has said so."""

    @property
    def ready(self) -> object: ...


class UserProcess(ABC):
    NOUN: str  # what a person calls it
    NICE = 0
    talk: Talk

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: str | Path,
        keeper: Keeper,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.ended = False
        self.closing = False
        self._command, self._folder = command, str(folder)
        self._keeper, self._environment = keeper, environment
        self._lines = Lines()
        self._child: Child | None = None
        self._verdict: tuple[str, str] | None = None  # why we ended it: (kind, error)
        self._timer: asyncio.TimerHandle | None = None

    # --- what a subclass says ------------------------------------------------------------------------------

    @abstractmethod
    def _greet(self, child: Child) -> None:
        """It runs: write `hello`, and what else it must know before it is ready."""

    @abstractmethod
    def _say_bye(self, child: Child) -> None:
        """Write `bye`."""

    @abstractmethod
    def _heard_bytes(self, data: bytes) -> None: ...

    @abstractmethod
    def _heard_stderr(self, data: bytes) -> None: ...

    @abstractmethod
    def _gone(self, kind: str, error: str) -> None:
        """Tell the owner, once.  `kind`: closed (as asked) | start | crash | what `_end` was told."""

    @abstractmethod
    def _at(self) -> str:
        """Where in its work it crashed, to end a sentence with."""

    # --- what the owner asks -------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the program; it becomes ready, or its end follows: at once when it cannot be started at all."""
        self._loop = asyncio.get_running_loop()
        try:
            self._child = Child(
                self._command,
                folder=self._folder,
                keeper=self._keeper,
                on_output=self._heard_bytes,
                on_stderr=self._heard_stderr,
                on_exit=self._exited,
                environment=self._environment,
                nice=self.NICE,
            )
        except StartError as error:
            self.ended = True
            self._gone("start", str(error))
            return
        self._greet(self._child)
        self._set_timer(START_MS, self._not_ready)

    @property
    def pid(self) -> int:
        return self._child.pid if self._child else 0

    @property
    def is_ready(self) -> bool:
        """Work may be sent."""
        return self.talk.ready is not None and not self.ended and not self.closing and self._verdict is None

    def close(self) -> None:
        """Says `bye`; a program that is not gone after CANCEL_GRACE_MS is killed. Its end follows."""
        if self.ended or self.closing or self._child is None:
            return
        self._close_as_asked()
        self._say_bye(self._child)
        self._child.close_input()
        self._set_timer(CANCEL_GRACE_MS, self._child.kill)

    def kill(self) -> None:
        """Ends it at once; its end follows."""
        if self._child is not None and not self.ended:
            self._close_as_asked()
            self._child.kill()

    def _close_as_asked(self) -> None:
        self.closing = True
        self._verdict = self._verdict or ("closed", "")

    # --- time ----------------------------------------------------------------------------------------------

    def _not_ready(self) -> None:
        self._end("start", f"{self.NOUN} did not say 'ready' within {START_MS / 1000:g} s")

    def _set_timer(self, delay_ms: float, call: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(delay_ms / 1000, call)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- the end ---------------------------------------------------------------------------------------------

    def _end(self, kind: str, error: str) -> None:
        """Decides why it ends, and kills it; `_gone` follows when nothing of it runs any more."""
        if self._verdict is None:
            self._verdict = (kind, error)
        if self._child is not None:
            self._child.kill()

    def _exited(self, code: int) -> None:
        assert self._child is not None
        self.ended = True
        self._stop_timer()
        kind, error = self._verdict or self._own_fault(self._child, code)
        if kind not in WANTED:
            error = with_tail(error, self._child.tail)
        self._gone(kind, error)

    def _own_fault(self, child: Child, code: int) -> tuple[str, str]:
        what = f"{self.NOUN} {describe_exit(code)}"
        if child.trouble:
            what = f"{self.NOUN} was ended: {child.trouble}"
        if self.talk.ready is None:
            return "start", f"{what} before it said 'ready'"
        if self._lines.pending and not child.trouble:
            what += f" in the middle of the line {quoted(self._lines.pending)}"
        return "crash", what + self._at()


def with_tail(error: str, tail: str) -> str:
    """The error, and what the program said on its stderr in the end."""
    return f"{error}; the end of its stderr:\n{tail}" if tail else error
