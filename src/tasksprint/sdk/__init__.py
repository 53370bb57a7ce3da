"""The SDK: what a Python user imports to write a scheduler and a node.

Standard library only, and quick to import: a node is started for every core of every machine.  `scheduler`,
`node`: the classes that a user extends.  `tasks`, `files`, `plain`, `saving`, `faults`: what they deal in.
`scheduler_loop`, `node_loop`: the programs around them, started by ``python -m tasksprint.sdk FILE scheduler|node``.

Promises: a program that uses only its arguments, inputs and `self.random` gives the same answer everywhere; what
JSON would change silently is refused with a reason; ``print`` never disturbs the protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasksprint.sdk.faults import TaskFailed
    from tasksprint.sdk.files import File
    from tasksprint.sdk.node import Node, task
    from tasksprint.sdk.scheduler import Scheduler
    from tasksprint.sdk.tasks import Task

_HOMES = {
    "File": "files",
    "Node": "node",
    "Scheduler": "scheduler",
    "Task": "tasks",
    "TaskFailed": "faults",
    "task": "node",
}

__all__ = ["File", "Node", "Scheduler", "Task", "TaskFailed", "task"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tasksprint.sdk' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"tasksprint.sdk.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
