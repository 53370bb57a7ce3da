"""Every test of this room runs on both loops."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    failures: list[dict[str, Any]] = []

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
            async with asyncio.timeout(20):
                await coroutine

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(guarded())

    yield run
    assert not failures
