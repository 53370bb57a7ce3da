"""Both event loops: a story that a test tells with `play` is run on asyncio's loop, and again on uvloop."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

Play = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    """Plays a coroutine to its end. What goes wrong in a callback of the loop fails the test too."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    failures: list[dict[str, Any]] = []

    def play(coroutine: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
            async with asyncio.timeout(20):
                await coroutine

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(guarded())

    yield play
    assert not failures
