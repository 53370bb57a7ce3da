"""How long a command asks before it gives up."""

from __future__ import annotations

import asyncio

import pytest

from tasksprint.cli.asking import TRY_S, Asking
from tasksprint.cli.commands import Failure
from tasksprint.transport import Identity
from tasksprint.wire import messages as wire


class Clock:
    """The loop's clock, which a test can put forward: a machine that slept."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ahead = 0.0
        real = loop.time
        loop.time = lambda: real() + self.ahead  # type: ignore[method-assign]


class Tried(Asking):
    """Tries take `seconds` each and fail, but for the one whose number is `answers`."""

    def __init__(self, seconds: float, answers: int = 0, patience_ms: int = 30_000) -> None:
        identity = Identity(b"s" * 32, "test", "command")
        super().__init__(["127.0.0.1:9", "127.0.0.1:8"], identity, patience_ms=patience_ms)
        self.seconds, self.answers, self.tries = seconds, answers, 0

    async def _try(self, message: wire.ToCoordinator, request: int) -> wire.Answer:
        self.tries += 1
        self.clock.ahead += self.seconds
        if self.tries == self.answers:
            return wire.Answer(request, "", b"here")
        raise TimeoutError

    async def asked(self) -> bytes:
        self.clock = Clock(asyncio.get_running_loop())
        return await self.answer(lambda request: wire.StatusRequest(request, "self"))


def test_a_machine_that_slept_has_used_up_nobodys_patience() -> None:
    asking = Tried(3_600, answers=3)
    assert asyncio.run(asking.asked()) == b"here"
    assert asking.tries == 3


def test_patience_ends_and_says_why() -> None:
    asking = Tried(TRY_S, patience_ms=round(TRY_S * 2_500))
    with pytest.raises(Failure, match=r"no coordinator answered within .*127\.0\.0\.1:8: no answer in time"):
        asyncio.run(asking.asked())
    assert asking.tries == 3


def test_quick_refusals_to_answer_are_tried_for_as_long() -> None:
    asking = Tried(0.0, patience_ms=300)
    with pytest.raises(Failure):
        asyncio.run(asking.asked())
    assert asking.tries > 2
