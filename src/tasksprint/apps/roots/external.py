"""A user's own function, by import path `module:function`, where the client's owner allows the module.

The environment variable TASKSPRINT_ROOTS_MODULES lists what may be imported, with commas: modules that the interpreter
finds, or Python files by their full path, each allowed under its name without `.py`.

The function gets a numpy array of points, one row each, and gives one row of values each (or one value); a function
that takes a single point only is called for each row, when it is marked with `single = True`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tasksprint.apps.roots.problem import Array, Function

ALLOWED = "TASKSPRINT_ROOTS_MODULES"


class NotAllowed(ValueError):
    """The import path is malformed, or its module is not among those that this client may import."""


def imported(path: str, equations: int) -> Function:
    """The function behind the path, wrapped so that its answers have the shape that is expected."""
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", path):
        raise NotAllowed(f"{path!r} is no import path: it is written module:function")
    module, name = path.split(":")
    function: Callable[..., Any] = getattr(_allowed(module), name)

    def evaluate(points: Array) -> Array:
        if getattr(function, "single", False):
            values = np.array([function(point) for point in points], dtype=np.float64)
        else:
            values = np.asarray(function(points), dtype=np.float64)
        values = values.reshape(len(points), -1) if values.ndim < 2 else values
        if values.shape != (len(points), equations):
            raise ValueError(f"{path} gives {values.shape[1:]} values a point, not {equations}")
        return values

    return evaluate


def _allowed(module: str) -> ModuleType:
    for entry in (each.strip() for each in os.environ.get(ALLOWED, "").split(",")):
        if entry == module:
            return importlib.import_module(module)
        if entry.endswith(".py") and Path(entry).stem == module:
            spec = importlib.util.spec_from_file_location(module, entry)
            if spec is None or spec.loader is None:
                break
            made = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(made)
            return made
    raise NotAllowed(f"this client does not allow the module {module}: its owner lists modules in {ALLOWED}")
