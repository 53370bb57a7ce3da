"""A turn takes all that the core wants, until it wants nothing; in a quiet loop it comes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tasksprint.transport import turns
from tasksprint.transport.turns import Turns


class Core:
    """Wants what it was told, a round at a time."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.wanted: list[list[object]] = []
        self.on_advance: list[list[object]] = []
        self.wake_ms = 1 << 60

    def take(self) -> list[object]:
        return self.wanted.pop(0) if self.wanted else []

    def next_wake(self) -> int:
        return self.wake_ms

    def advance(self, now_ms: int) -> None:
        self.wanted += self.on_advance
        self.wake_ms = 1 << 60


def play(story: Callable[[Turns, Core, list[str]], None], quiet_s: float = 0.0) -> list[str]:
    """What was performed, with a "-" where the loop came round."""
    said: list[str] = []

    async def run() -> None:
        core = Core()
        performed = Turns({str: said.append, int: lambda effect: core.wanted.append([f"after {effect}"])}, None)
        performed.begin(core)
        await asyncio.sleep(0)
        story(performed, core, said)
        said.append("-")
        for _ in range(3):
            await asyncio.sleep(0)
        performed.close()

    before, turns.QUIET_S = turns.QUIET_S, quiet_s
    try:
        asyncio.run(run())
    finally:
        turns.QUIET_S = before
    return said


def test_all_that_is_wanted_is_taken_also_what_an_effect_brings_about() -> None:
    def story(performed: Turns, core: Core, said: list[str]) -> None:
        core.wanted = [["a", "b"], [7], ["c"]]
        performed.soon()

    assert play(story) == ["-", "a", "b", "c", "after 7"]


def test_a_quiet_loop_turns_at_once_and_a_busy_one_gathers() -> None:
    def story(performed: Turns, core: Core, said: list[str]) -> None:
        core.wanted = [["a"]]
        performed.now()

    assert play(story) == ["a", "-"]
    assert play(story, quiet_s=1e9) == ["-", "a"]


def test_who_was_promised_a_turn_waits_for_it() -> None:
    def story(performed: Turns, core: Core, said: list[str]) -> None:
        performed.soon()
        core.wanted = [["a"]]
        performed.now()

    assert play(story) == ["-", "a"]


def test_an_effect_that_asks_for_a_turn_gets_this_one() -> None:
    def story(performed: Turns, core: Core, said: list[str]) -> None:
        def ask(effect: float) -> None:
            performed.soon()
            performed.now()
            core.wanted.append(["asked"])

        performed._performers[float] = ask
        core.wanted = [[0.5]]
        performed.now()

    assert play(story) == ["asked", "-"]


def test_time_is_told_when_it_comes() -> None:
    async def run() -> None:
        core = Core()
        advanced = asyncio.Event()
        performed = Turns({str: lambda effect: advanced.set()})
        core.wake_ms = performed.now_ms() + 1
        core.on_advance = [["advanced"]]
        performed.begin(core)
        await advanced.wait()
        performed.close()

    asyncio.run(run())
