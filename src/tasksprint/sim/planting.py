"""How bugs are planted: each breaks one rule of a core while it is in force, and must be found by a checker.

A plant is a function that patches the cores through `Patch`; `planted` undoes it.  Where it can, a plant works at
the doors of a core (what goes in, what comes out), so that it stays true when the inside changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasksprint.sim.patch import Patch

_PLANTS: dict[str, tuple[str, Callable[[Patch], None]]] = {}
PLANTS: dict[str, str] = {}


def plant(name: str, description: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def register(apply: Callable[[Patch], None]) -> Callable[[Patch], None]:
        _PLANTS[name] = (description, apply)
        PLANTS[name] = description
        return apply

    return register


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Put the bug in force for a while; raises KeyError for an unknown name."""
    with Patch() as patch:
        if name is not None:
            _PLANTS[name][1](patch)
        yield
