"""TaskSprint: a general-purpose, fault-tolerant distributed computation system.

``from tasksprint import Scheduler, Node, task, File`` is all that a user's program needs.  The names come from
`tasksprint.sdk` when they are first asked for, so that importing any room of the house stays quick.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself takes longer to import than all of this room
if TYPE_CHECKING:
    from tasksprint.sdk import File, Node, Scheduler, Task, TaskFailed, task

__all__ = ["File", "Node", "Scheduler", "Task", "TaskFailed", "task"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'tasksprint' has no attribute {name!r}")
    import tasksprint.sdk

    return getattr(tasksprint.sdk, name)
