"""What the code of a user's program sees around it while it runs inside the simulator.

A program that asks the clock, or a random source that nobody has seeded, decides otherwise each time: that is the
mistake which the simulator is to find, and then a seed must show it again.  So for the length of a run the clock is
the world's, and the sources that begin with the system's chance begin with the seed's.  `time.sleep` takes virtual
time, and so does looking at the clock: a microsecond.
"""

from __future__ import annotations

import datetime
import io
import os
import random
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any

from tasksprint.sim.patch import Patch
from tasksprint.sim.world import SECOND_US, World

BEGAN_S = 1_700_000_000  # what `time.time` shows when the world begins
CLOCKS = {"time": BEGAN_S, "monotonic": 0, "perf_counter": 0, "process_time": 0, "thread_time": 0}
SCALES = {"": 1e-6, "_ns": 1_000}  # of a clock's names, by their ends: from microseconds
BROKEN_DOWN = {"localtime": 0, "gmtime": 0, "ctime": 0, "strftime": 1}  # the clock, unless told a time at this place


class Surroundings:
    """The clock and the chance of one run, from `enter` on until the patch is undone."""

    def __init__(self) -> None:
        self.world: World | None = None
        self._slept_us = 0

    def enter(self, world: World, patch: Patch) -> None:
        self.world, self._slept_us = world, 0
        for name, began_s in CLOCKS.items():
            for end, scale in SCALES.items():
                patch.set(time, name + end, self._clock(began_s * SECOND_US, scale))
        for name, place in BROKEN_DOWN.items():
            patch.wrap(time, name, self._broken_down(place, time.localtime))
        patch.set(time, "sleep", self._sleep)
        patch.set(sys, "stdin", io.StringIO())  # the protocol's, in a process: nothing for the user's code
        patch.set(datetime, "datetime", virtual_datetime())
        chance = Random(world.seed).randbytes
        patch.set(os, "urandom", chance)
        patch.set(os, "getrandom", lambda size, flags=0: chance(size))
        patch.set(random, "_urandom", chance)  # `SystemRandom`, `secrets`, numpy's `default_rng`
        patch.wrap(Random, "seed", seeding(chance))
        patch.set(random, "seed", random._inst.seed)
        random.seed(world.seed)
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed(world.seed & 0xFFFFFFFF)

    def slept_us(self) -> int:
        """For how long `time.sleep` was asked for since the last call."""
        slept, self._slept_us = self._slept_us, 0
        return slept

    def _clock(self, began_us: int, scale: float) -> object:
        def read() -> float:
            assert self.world is not None
            self._slept_us += 1  # so that who waits for a time without sleeping comes to an end
            return (began_us + self.world.now_us + self._slept_us) * scale

        return read

    def _broken_down(self, place: int, localtime: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
        def make(real: Callable[..., Any]) -> Callable[..., Any]:
            def read(*given: Any) -> Any:
                if len(given) > place and given[place] is not None:
                    return real(*given)
                now = time.time()
                return real(*given[:place], localtime(now) if place else now)

            return read

        return make

    def _sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self._slept_us += int(seconds * SECOND_US)


def seeding(chance: Callable[[int], bytes]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A `Random` that is given no seed takes it from `chance`."""

    def make(real: Callable[..., None]) -> Callable[..., None]:
        def seed(self: Random, a: Any = None, version: int = 2) -> None:
            real(self, int.from_bytes(chance(32)) if a is None else a, version)

        return seed

    return make


def virtual_datetime() -> type[datetime.datetime]:
    """`datetime.datetime` with the clock of `time.time`; what it makes counts as the real one's, and the reverse."""
    real = datetime.datetime

    class Same(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, real)

    class Virtual(real, metaclass=Same):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

    Virtual.__name__ = Virtual.__qualname__ = real.__name__
    Virtual.__module__ = real.__module__
    return Virtual
