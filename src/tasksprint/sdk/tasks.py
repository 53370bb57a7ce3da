"""A task, as a scheduler holds it: a number and a name, comparable, and a way to name its pieces."""

from __future__ import annotations


class Task:
    """What `start_task` returns and the handlers receive; equal when it is the same task of the job."""

    __slots__ = ("name", "number")

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name

    def __getitem__(self, key: str) -> tuple[Task, str]:
        """The piece `key` of this task's result, as a prerequisite or an output."""
        if not isinstance(key, str):
            raise TypeError(f"the key of a piece is a string: task[{key!r}]")
        return (self, key)

    __iter__ = None  # a task is no sequence of its pieces

    def __eq__(self, other: object) -> bool:
        return self.number == other.number if isinstance(other, Task) else NotImplemented

    def __lt__(self, other: Task) -> bool:
        return self.number < other.number if isinstance(other, Task) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.number)

    def __repr__(self) -> str:
        return f"<task {self.number} {self.name}>"
