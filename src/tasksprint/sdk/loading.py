"""From a file or a module to the one class in it that is asked for."""

from __future__ import annotations

import os
import sys
from types import ModuleType


class Unloadable(Exception):
    """No program, or not exactly one; the text says what to do."""


def load(where: str, base: type) -> type:
    """The subclass of `base` in a file (``name.py``, ``name.py:Class``) or a module (``a.b``, ``a.b:Class``)."""
    place, _, name = where.partition(":")
    module = _file(place) if place.endswith(".py") or os.sep in place else _module(place)
    everyone = _classes(module, base)
    if name:
        if name not in everyone:
            raise Unloadable(f"{place} has no {base.__name__} named {name!r}; it has: {', '.join(everyone) or 'none'}")
        return everyone[name]
    found = _meant(everyone, module)
    if not found:
        raise Unloadable(f"{place} has no class that extends tasksprint.{base.__name__}")
    if len(found) > 1:
        raise Unloadable(
            f"{place} has {len(found)} classes that extend tasksprint.{base.__name__} ({', '.join(found)}): "
            f"name one, as {place}:{next(iter(found))}"
        )
    return next(iter(found.values()))


def _classes(module: ModuleType, base: type) -> dict[str, type]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value is not base and value.__name__ == name
    }


def _meant(kinds: dict[str, type], module: ModuleType) -> dict[str, type]:
    """Those defined in the module, or else those that it imports; without the ones that others of them extend."""
    own = {name: kind for name, kind in kinds.items() if kind.__module__ == module.__name__} or kinds
    return {name: kind for name, kind in own.items() if not any(kind in other.__mro__[1:] for other in own.values())}


def _file(path: str) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    if not os.path.isfile(path):
        raise Unloadable(f"there is no file {path}")
    name = os.path.splitext(os.path.basename(path))[0]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = spec_from_file_location(name if name not in sys.modules else f"user_{name}", path)
    if spec is None or spec.loader is None:
        raise Unloadable(f"{path} is no Python file")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _module(name: str) -> ModuleType:
    from importlib import import_module

    sys.path.insert(0, os.getcwd())
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            raise Unloadable(f"there is no module {name}") from None
        raise
