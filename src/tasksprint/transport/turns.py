"""The turns of a daemon: what its pure core wants done is performed once a turn of the loop.

Everything that happens is told to the core at once, followed by `soon`.  The next turn takes what the core wants and
hands each effect to its performer, in order, so that a thousand messages cost one round of effects, not a thousand;
then links that were written to send it in one write each.  So it goes on until the core wants nothing more: what
others wait for comes first.  At last the one timer is set to the core's next wish.

An effect that raises is a defect: it ends the turn, and the loop's exception handler ends the daemon, since the core
believes that all it has asked for was done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from tasksprint.transport.link import Link

QUIET_S = 0.000_2  # a loop whose last turn is longer ago is quiet: the next one is not put off


class Core(Protocol):
    """What decides: told of everything by calls of its own, and of the time by these."""

    now_ms: int

    def take(self) -> Iterable[object]:
        """What has to be done now, in order; asked again until there is nothing."""
        ...

    def next_wake(self) -> int:
        """When `advance` has something to do, at the latest."""
        ...

    def advance(self, now_ms: int) -> None: ...


class Turns:
    """Made inside a running loop; `begin`, then `soon` after each call of the core, and `close`."""

    def __init__(self, performers: Mapping[type, Callable[[Any], None]], performed: Callable[[], None] | None = None):
        """`performed` is called after each round of effects, when its messages have left."""
        self._loop = asyncio.get_running_loop()
        self._performers = dict(performers)
        self._performed = performed
        self._core: Core
        self._due = False
        self._turning = False
        self._closed = False
        self._ended_s = 0.0  # the last turn
        self._written: dict[Link, None] = {}  # links with something to send
        self._timer: asyncio.TimerHandle | None = None
        self._wake_ms = 0

    def begin(self, core: Core) -> None:
        self._core = core
        self.soon()

    def now_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def soon(self) -> None:
        """There will be a turn.  (A turn that goes on takes what it is told, too.)"""
        if not self._due and not self._turning:
            self._due = True
            self._loop.call_soon(self._turn)

    def now(self) -> None:
        """As `soon`, from who has nothing more to tell: in a quiet loop there is nothing to gather, nor to wait for."""
        if self._due or self._turning or time.monotonic() - self._ended_s < QUIET_S:
            self.soon()
        else:
            self._turn()

    def send(self, link: Link, payload: bytes) -> None:
        """With everything else that this turn sends there."""
        link.gather(payload)
        self._written[link] = None

    def close(self) -> None:
        """No turn from now on."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _turn(self) -> None:
        self._due = False
        if self._closed:
            return
        self._turning = True
        try:
            self._perform()
        finally:
            self._turning = False
            self._ended_s = time.monotonic()

    def _perform(self) -> None:
        now_ms = self.now_ms()
        core, performers = self._core, self._performers
        core.now_ms = now_ms
        while effects := core.take():
            for effect in effects:
                performers[type(effect)](effect)
            for link in self._written:
                link.flush()
            self._written.clear()
            if self._performed is not None:
                self._performed()
        self._set_timer(now_ms)

    def _set_timer(self, now_ms: int) -> None:
        wake_ms = max(self._core.next_wake(), now_ms + 1)
        if self._timer is not None:
            if self._wake_ms <= wake_ms:
                return  # it comes early: then it is set again
            self._timer.cancel()
        self._wake_ms = wake_ms
        self._timer = self._loop.call_later((wake_ms - now_ms) / 1000, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._core.advance(self.now_ms())
        self.now()
