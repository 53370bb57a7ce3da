"""Seeds for the random sources that a node's code may use behind our back: `random` and `numpy.random`.

They must be seeded before every task, and seeding costs several microseconds; a node that never imports them should
not pay.  So only what has been imported is seeded, and an import in the middle of a task is noticed: the module is
seeded for that task as soon as it is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

STREAM = 0x9E3779B97F4A7C15  # so that `random` and `self.random` are not the same numbers
_WATCHED = ("random", "numpy.random")


def watch(current: Callable[[], int]) -> list[Callable[[int], None]]:
    """What to call with each task's seed; the list grows when one of the modules is imported during a task."""
    seeders = [_seeder(name, sys.modules[name]) for name in _WATCHED if name in sys.modules]
    sys.meta_path.insert(0, _Watcher(seeders, current))
    return seeders


def _seeder(name: str, module: ModuleType) -> Callable[[int], None]:
    seed: Callable[[Any], None] = module.seed
    if name == "random":
        return lambda number: seed(number ^ STREAM)
    return lambda number: seed([number & 0xFFFFFFFF, number >> 32])


class _Watcher:
    """A finder that finds nothing itself, but sees the import of what is watched."""

    def __init__(self, seeders: list[Callable[[int], None]], current: Callable[[], int]) -> None:
        self._seeders = seeders
        self._current = current

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in _WATCHED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            self._follow(name, spec.loader)
        return spec

    def _follow(self, name: str, loader: Any) -> None:
        execute = loader.exec_module

        def executed(module: ModuleType) -> None:
            execute(module)
            seeder = _seeder(name, module)
            self._seeders.append(seeder)
            seeder(self._current())

        loader.exec_module = executed
