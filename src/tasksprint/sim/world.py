"""The deterministic world: one seed decides everything that happens in it.

Time is virtual and integer (microseconds); it jumps from one event to the next.  Events that fall on
the same microsecond happen in the order in which they were asked for.  All chance comes from one
generator, made from the seed: the same seed gives the same world, event by event, whatever the
machine, the hash seed or the speed of the run.  The trace hash says so: every delivered event, with
the bytes that it carried, goes into it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from tasksprint.sim.counters import Counters

SECOND_US = 1_000_000
MS_US = 1_000


class Violation(AssertionError):
    """A checker found that a promise does not hold."""

    def __init__(self, checker: str, detail: str):
        super().__init__(f"{checker}: {detail}")
        self.checker = checker
        self.detail = detail


class World:
    """The event heap, the clock, the chance and the trace."""

    def __init__(self, seed: int, *, trace: bool = False):
        self.seed = seed
        self.random = Random(seed)
        self.now_us = 0
        self.counters = Counters()
        self.lines: list[str] | None = [] if trace else None
        self.stopped = False
        self.drift = self.between(150, 250) if self.chance(250) else 30  # per mille: how wrong clocks run
        self.events = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def after(self, delay_us: int, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action(*arguments)` when `delay_us` of virtual time have passed."""
        assert delay_us >= 0, "nothing happens in the past"
        self._order += 1
        heappush(self._heap, (self.now_us + delay_us, self._order, action, arguments))

    def run(self, until_us: int) -> None:
        """Let everything happen that falls before or on `until_us`, or until `stopped`."""
        heap = self._heap
        while heap and not self.stopped:
            if heap[0][0] > until_us:
                break
            self.now_us, _, action, arguments = heappop(heap)
            self.events += 1
            action(*arguments)
        if not self.stopped:
            self.now_us = max(self.now_us, until_us)

    def note(self, what: str, payload: bytes = b"", text: Callable[[], str] | None = None) -> None:
        """Something happened: into the hash it goes, and into the trace when one is kept."""
        self._hash.update(b"%d %s %d " % (self.now_us, what.encode(), len(payload)))
        self._hash.update(payload)
        if self.lines is not None:
            self.lines.append(f"{self.now_us / 1e6:10.6f} {what}{' ' + text() if text else ''}")

    def trace_hash(self) -> str:
        return self._hash.hexdigest()

    # --- chance: each of these draws from the one generator ------------------------------------------

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + int(self.random.random() * (high - low + 1))

    def chance(self, per_mille: int) -> bool:
        return per_mille > 0 and self.random.random() * 1000 < per_mille

    def exponential(self, mean_us: int) -> int:
        return int(self.random.expovariate(1.0) * mean_us) + 1


class Clock:
    """One machine's monotonic clock: it began at some number of its own, and is a little fast or slow."""

    def __init__(self, offset_ms: int, rate_per_mille: int):
        self.offset_ms = offset_ms
        self.rate = rate_per_mille

    def ms(self, now_us: int) -> int:
        return self.offset_ms + now_us * self.rate // 1_000_000

    def us_until(self, ms: int, now_us: int) -> int:
        """The virtual time that passes until this clock shows `ms`."""
        target_us = -((self.offset_ms - ms) * 1_000_000 // self.rate)
        return max(0, target_us - now_us)


class Process:
    """Something that starts, is paused and woken, crashes and starts again.

    What is addressed to one life of it never reaches the next; what arrives during a pause waits, as it
    would in the buffers of a stopped process.
    """

    def __init__(self, world: World, name: str):
        self.world = world
        self.name = name
        self.life = 0
        self.running = False
        self.paused = False
        self.clock = Clock(world.between(0, 1_000_000), world.between(1_000 - world.drift, 1_000 + world.drift))
        self._waiting: list[tuple[int, Callable[..., None], tuple[Any, ...]]] = []
        self._wake_us = -1

    def now_ms(self) -> int:
        return self.clock.ms(self.world.now_us)

    def later(self, delay_us: int, handler: Callable[..., None], *arguments: Any) -> None:
        """Call `handler` in this life of the process, unless it ends before."""
        self.world.after(delay_us, self.happen, self.life, handler, arguments)

    def happen(self, life: int, handler: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if life != self.life or not self.running:
            return
        if self.paused:
            self._waiting.append((life, handler, arguments))
            return
        handler(*arguments)
        if self.running and life == self.life:
            self.turn()

    def turn(self) -> None:
        """Perform what the core asks for; called after every event of this process."""

    def wake(self) -> None:
        """The time asked for with `wake_at` has come."""

    def wake_at(self, ms: int) -> None:
        """Call `wake` when this process's clock shows `ms`; an earlier wish stands."""
        now_us = self.world.now_us
        at_us = now_us + self.clock.us_until(ms, now_us)
        if at_us <= now_us:
            at_us = now_us + MS_US  # a core that asks for now, again and again, must not stop the world
        if now_us < self._wake_us <= at_us:
            return
        self._wake_us = at_us
        self.world.after(at_us - now_us, self._alarm, self.life, at_us)

    def _alarm(self, life: int, at_us: int) -> None:
        if life == self.life and at_us == self._wake_us:
            self.happen(life, self._woken, ())

    def _woken(self) -> None:
        self._wake_us = -1
        self.wake()

    # --- life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        assert not self.running
        self.life += 1
        self.running = True
        self.paused = False
        self._wake_us = -1
        self._waiting.clear()

    def crash(self) -> None:
        assert self.running
        self.running = False
        self.paused = False
        self._waiting.clear()

    def pause(self, length_us: int) -> None:
        if self.running and not self.paused:
            self.paused = True
            self.world.note(f"pause {self.name} {length_us}")
            self.world.after(length_us, self._resume, self.life)

    def _resume(self, life: int) -> None:
        if life == self.life and self.running and self.paused:
            self.resume()

    def resume(self) -> None:
        self.paused = False
        self.world.note(f"resume {self.name}")
        waiting, self._waiting = self._waiting, []
        for life, handler, arguments in waiting:
            self.happen(life, handler, arguments)
