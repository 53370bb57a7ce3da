"""Changing a class or a module for the length of one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Patch:
    """Replaces attributes of classes and modules, and puts them back at the end of the `with`."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Patch:
        return self

    def __exit__(self, *error: object) -> None:
        while self._undo:
            owner, name, old = self._undo.pop()
            setattr(owner, name, old)

    def wrap(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace `owner.name` by `make(old)`."""
        old = owner.__dict__[name]
        self._undo.append((owner, name, old))
        setattr(owner, name, make(old))

    def set(self, owner: Any, name: str, value: Any) -> None:
        self._undo.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)
