"""A user's class, loaded anew for each simulated process of it: a process that begins knows nothing of the last one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from tasksprint.sdk.loading import load

Kind = TypeVar("Kind")


def anew(where: str, base: type[Kind], folder: str = "") -> Callable[[], type[Kind]]:
    """Loads the subclass of `base` that `where` names; the modules in `folder` are read again each time."""

    def loaded() -> type[Kind]:
        if folder:
            forget(folder)
        path = list(sys.path)
        try:
            return load(where, base)
        finally:
            sys.path[:] = path

    return loaded


def forget(folder: str) -> None:
    inside = folder.rstrip("/") + "/"
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(inside):
            del sys.modules[name]
