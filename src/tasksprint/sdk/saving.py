"""A scheduler's state as JSON, and back: its plain attributes, its tasks, its random source.

Plain is: None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, deque, Counter, OrderedDict,
defaultdict of a built-in type, Task, and `random.Random`.  Anything else is refused with the attribute's name, and
so is a container that is reached twice: it would come back as two.  JSON's own types stand for themselves; all
others are objects whose only key begins with a dollar.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from random import Random
from typing import Any

from tasksprint.limits import SAVE_BYTES
from tasksprint.sdk.plain import SAFE_INTEGER
from tasksprint.sdk.scheduler import Group, Scheduler
from tasksprint.sdk.tasks import Task

_FACTORIES: dict[str, Any] = {"list": list, "dict": dict, "set": set, "int": int, "float": float, "str": str}


class CannotSave(Exception):
    """An attribute is not plain; the text names it."""


def save(scheduler: Scheduler) -> str:
    """The state as JSON text. CannotSave says which attribute is in the way."""
    inside = scheduler._sprint
    frozen = _Freezer()
    attributes = {
        name: frozen.freeze(value, f"self.{name}") for name, value in vars(scheduler).items() if name != "_sprint"
    }
    groups = {id(group): group for group in inside.groups.values()}
    state = {
        "attributes": attributes,
        "next": inside.desk.next_task,
        "finished": inside.desk.finished,
        "now": inside.now_ms,
        "live": _ranges(inside.live),
        "killed": _ranges(inside.killed),
        "groups": [[_ranges(group.waiting), list(group.held.values())] for group in groups.values()],
        "random": None if inside.random is None else frozen.freeze(inside.random, "self.random"),
    }
    text = json.dumps(state, separators=(",", ":"))
    if len(text) > SAVE_BYTES:
        raise CannotSave(f"the state takes {len(text)} bytes, more than {SAVE_BYTES}: keep less in self")
    return text


def restore(scheduler: Scheduler, state: dict[str, Any]) -> None:
    inside = scheduler._sprint
    for name in [name for name in vars(scheduler) if name != "_sprint"]:
        delattr(scheduler, name)
    for name, value in state["attributes"].items():
        setattr(scheduler, name, thaw(value))
    inside.desk.next_task, inside.desk.finished = state["next"], state["finished"]
    inside.now_ms = state["now"]
    inside.live, inside.killed = set(_numbers(state["live"])), set(_numbers(state["killed"]))
    inside.groups = {}
    for waiting, held in state["groups"]:
        group = Group()
        group.waiting = set(_numbers(waiting))
        group.held = {event["task"]: event for event in held}
        inside.groups.update(dict.fromkeys(group.waiting, group))
    inside.random = None if state["random"] is None else thaw(state["random"])


def _ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Sorted numbers as [first, last] pairs: a million live tasks take a few bytes."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


def _numbers(ranges: list[list[int]]) -> Iterable[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


class _Freezer:
    """Python values to JSON values, each container once."""

    def __init__(self) -> None:
        self._seen: dict[int, str] = {}

    def freeze(self, value: Any, where: str) -> Any:
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            return value if -SAFE_INTEGER <= value <= SAFE_INTEGER else {"$int": str(value)}
        if kind is float:
            return value if value - value == 0 else {"$float": repr(value)}
        if kind is Task:
            return {"$task": [value.number, value.name]}
        if kind is bytes:
            return {"$bytes": value.hex()}
        self._once(value, where)
        return self._container(value, kind, where)

    def _once(self, value: Any, where: str) -> None:
        if isinstance(value, tuple | frozenset):
            return
        before = self._seen.setdefault(id(value), where)
        if before != where:
            raise CannotSave(f"{where} is the same object as {before}: it would come back as two")

    def _container(self, value: Any, kind: type, where: str) -> Any:
        if kind is list:
            return self._items(value, where)
        if kind is dict:
            return self._dict(value, where)
        if kind is tuple:
            return {"$tuple": self._items(value, where)}
        if kind is set or kind is frozenset:
            return {f"${kind.__name__}": self._items(_settled(value), where)}
        if kind is deque:
            return {"$deque": [self._items(value, where), value.maxlen]}
        if kind is Counter or kind is OrderedDict:
            return {f"${kind.__name__}": self._pairs(value, where)}
        if kind is defaultdict and getattr(value.default_factory, "__name__", "") in _FACTORIES:
            return {"$defaultdict": [value.default_factory.__name__, self._pairs(value, where)]}
        if kind is Random:
            version, numbers, gauss = value.getstate()
            return {"$random": [version, list(numbers), gauss]}
        raise CannotSave(f"{where} is a {kind.__module__}.{kind.__qualname__}, which the SDK cannot save")

    def _items(self, values: Iterable[Any], where: str) -> list[Any]:
        return [self.freeze(value, f"{where}[{place}]") for place, value in enumerate(values)]

    def _pairs(self, value: dict[Any, Any], where: str) -> list[Any]:
        return [[self.freeze(key, where), self.freeze(item, f"{where}[{key!r}]")] for key, item in value.items()]

    def _dict(self, value: dict[Any, Any], where: str) -> Any:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: self.freeze(item, f"{where}[{key!r}]") for key, item in value.items()}
        return {"$dict": self._pairs(value, where)}


def _settled(values: Iterable[Any]) -> list[Any]:
    """A set's items in an order that does not depend on its history, where they have one."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def thaw(value: Any) -> Any:
    """The Python value that `freeze` wrote."""
    if isinstance(value, list):
        return [thaw(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, content),) = value.items()
        if tag.startswith("$"):
            return _THAWED[tag](content)
    return {key: thaw(item) for key, item in value.items()}


def _thaw_pairs(pairs: list[Any]) -> list[tuple[Any, Any]]:
    return [(thaw(key), thaw(item)) for key, item in pairs]


def _thaw_random(state: list[Any]) -> Random:
    source = Random()
    source.setstate((state[0], tuple(state[1]), state[2]))
    return source


_THAWED: dict[str, Any] = {
    "$int": int,
    "$float": float,
    "$task": lambda content: Task(content[0], content[1]),
    "$bytes": bytes.fromhex,
    "$tuple": lambda content: tuple(thaw(content)),
    "$set": lambda content: set(thaw(content)),
    "$frozenset": lambda content: frozenset(thaw(content)),
    "$deque": lambda content: deque(thaw(content[0]), content[1]),
    "$dict": lambda content: dict(_thaw_pairs(content)),
    "$Counter": lambda content: Counter(dict(_thaw_pairs(content))),
    "$OrderedDict": lambda content: OrderedDict(_thaw_pairs(content)),
    "$defaultdict": lambda content: defaultdict(_FACTORIES[content[0]], _thaw_pairs(content[1])),
    "$random": _thaw_random,
}
