"""What the code of a user's program sees around it while it runs inside the simulator.

A program that asks the clock, or a random source that nobody has seeded, decides otherwise each time: that is the
mistake which the simulator is to find, and then a seed must show it again.  So for the length of a run the clock is
the world's, and the sources that begin with the system's chance begin with the seed's.  `time.sleep` takes virtual
time.
"""

from __future__ import annotations

import os
import random
import sys
import time
from random import Random

from tasksprint.sim.patch import Patch
from tasksprint.sim.world import SECOND_US, World

BEGAN_S = 1_700_000_000  # what `time.time` shows when the world begins
SCALES = {"": 1e-6, "_ns": 1_000}  # of a clock's names, by their ends: from microseconds


class Surroundings:
    """The clock and the chance of one run, from `enter` on until the patch is undone."""

    def __init__(self) -> None:
        self.world: World | None = None
        self._slept_us = 0

    def enter(self, world: World, patch: Patch) -> None:
        self.world, self._slept_us = world, 0
        for name, began_s in (("time", BEGAN_S), ("monotonic", 0), ("perf_counter", 0)):
            for end, scale in SCALES.items():
                patch.set(time, name + end, self._clock(began_s * SECOND_US, scale))
        patch.set(time, "sleep", self._sleep)
        patch.set(os, "urandom", Random(world.seed).randbytes)
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
            return (began_us + self.world.now_us + self._slept_us) * scale

        return read

    def _sleep(self, seconds: float) -> None:
        self._slept_us += int(seconds * SECOND_US)
