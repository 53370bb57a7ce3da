"""The class that a user's scheduler extends: handlers to fill in, decisions to call.

What is delivered when: every event reaches its handler once, in order, but for three things that this class does
on the way.  The late end of a task that the scheduler has killed is dropped.  The ends of gathered tasks wait for
each other.  After `finish` or `fail` nothing is delivered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tasksprint.limits import CORES_MAX, RETRIES_MAX, TASK_REPLICAS_MAX
from tasksprint.sdk.desk import Desk
from tasksprint.sdk.plain import dumps
from tasksprint.sdk.tasks import Task

if TYPE_CHECKING:
    from random import Random


class Scheduler:
    """Extend it and define `init`; docs/sdk.md has the whole surface.

    `class Mine(Scheduler, ordered=True)`: the ends of tasks are delivered in the order in which the tasks were
    started, and there are no client events, so that the answer cannot depend on who was faster.
    """

    ordered = False
    _sprint: _Inside

    def __init_subclass__(cls, *, ordered: bool | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if ordered is not None:
            cls.ordered = ordered

    def __new__(cls, *_: Any, **__: Any) -> Scheduler:
        scheduler = super().__new__(cls)
        object.__setattr__(scheduler, "_sprint", _Inside())
        return scheduler

    # --- handlers: override what you need --------------------------------------------------------------------

    def init(self, args: Any) -> None:
        """The job begins; `args` is what the submitter gave."""
        raise NotImplementedError(f"{type(self).__name__} defines no init(self, args)")

    def task_done(self, task: Task, values: dict[str, Any]) -> None:
        """`values`: the pieces that `keys` named, decoded."""

    def task_failed(self, task: Task, error: str) -> None:
        """Every try of the task has failed. Fails the job, unless you override it."""
        self.fail(f"{task.name} (task {task.number}) failed: {error}")

    def client_joined(self, client: str) -> None: ...

    def client_dead(self, client: str) -> None: ...

    def timer(self, name: str) -> None: ...

    # --- decisions ---------------------------------------------------------------------------------------------

    def start_task(
        self,
        name: str,
        args: dict[str, Any] | None = None,
        *,
        prerequisites: Iterable[tuple[Task, str]] = (),
        keys: Iterable[str] = (),
        replicas: int = 1,
        retries: int = 3,
        timeout_s: float | None = None,
        cores: int = 1,
        labels: Iterable[str] = (),
        side_effects: bool = False,
    ) -> Task:
        """Asks for one call of the node's task `name`.

        `args` come as keywords; `prerequisites` (`other["key"]`) come positionally, in order; `keys` are the pieces of
        the result that `task_done` shall see.
        """
        if args is not None and not isinstance(args, dict):
            raise TypeError(f"start_task({name!r}): args is a dict of keywords, not {type(args).__name__}")
        inside = self._sprint
        options = ""
        if not (replicas == 1 and retries == 3 and timeout_s is None and cores == 1) or labels or side_effects:
            options = _options(inside.desk, name, replicas, retries, timeout_s, cores, labels, side_effects)
        started = inside.desk.start(name, args, prerequisites, keys, options)
        inside.live.add(started.number)
        return started

    def kill_task(self, task: Task) -> None:
        """The task is no longer wanted: its end will not be delivered, its dependents fail."""
        inside = self._sprint
        if task.number in inside.live:
            inside.live.discard(task.number)
            inside.killed.add(task.number)
            group = inside.groups.pop(task.number, None)
            if group is not None:
                group.waiting.discard(task.number)
                inside.touched.append(group)
        inside.desk.kill(task.number)

    def release(self, task: Task) -> None:
        """Promises never to name the task's pieces again: its result may go."""
        self._sprint.desk.release(task.number)

    def set_timer(self, name: str, delay_s: float) -> None:
        """`timer(name)` is called after `delay_s` seconds of the cluster's time. Not for ordered schedulers."""
        if self.ordered:
            raise RuntimeError("an ordered scheduler gets no timers: its decisions must not depend on time")
        self._sprint.desk.set_timer(name, delay_s)

    def finish(self, values: Any = None, files: Iterable[tuple[Task, str]] = ()) -> None:
        """The job is done: `values` (JSON) and `files` (`task["key"]`) go to the submitter."""
        self._sprint.desk.finish(values, files)

    def fail(self, error: str) -> None:
        self._sprint.desk.fail(error)

    def gather(self, tasks: Iterable[Task]) -> None:
        """The ends of these tasks are delivered together, in the order of their ids, when all of them have ended.

        What is decided then does not depend on which of them ended last. A task whose end was delivered already, or
        that was killed, is left out.
        """
        inside = self._sprint
        group = Group()
        for task in tasks:
            if task.number in inside.groups:
                raise ValueError(f"{task!r} is gathered already")
            if task.number in inside.live:
                group.waiting.add(task.number)
        for number in group.waiting:
            inside.groups[number] = group

    # --- what it may know --------------------------------------------------------------------------------------

    @property
    def random(self) -> Random:
        """A random source that is seeded from the job's seed, the same for every copy of this scheduler."""
        inside = self._sprint
        if inside.random is None:
            from random import Random

            inside.random = Random(inside.seed)
        return inside.random

    @property
    def seed(self) -> int:
        """The job's seed."""
        return self._sprint.seed

    @property
    def now(self) -> float:
        """Seconds of the cluster's time, as of the event at hand."""
        return self._sprint.now_ms / 1000


class Group:
    """Gathered tasks: those that have not ended, and the ends of the others."""

    __slots__ = ("held", "waiting")

    def __init__(self) -> None:
        self.waiting: set[int] = set()
        self.held: dict[int, dict[str, Any]] = {}


class _Inside:
    """What belongs to the SDK in a scheduler, apart from the user's attributes."""

    desk: Desk

    def __init__(self) -> None:
        self.seed = 0
        self.now_ms = 0
        self.random: Random | None = None
        self.live: set[int] = set()  # tasks whose end has not come
        self.killed: set[int] = set()  # ... and shall not be delivered
        self.groups: dict[int, Group] = {}
        self.touched: list[Group] = []  # groups from which a kill took a task


def deliver(scheduler: Scheduler, event: dict[str, Any]) -> None:
    """One event, to its handler."""
    inside = scheduler._sprint
    inside.now_ms = event.get("now", inside.now_ms)
    inside.desk.begin(event["seq"])
    kind = event["event"]
    if kind in ("task_done", "task_failed"):
        _deliver_end(scheduler, event)
    elif inside.desk.finished:
        return
    elif kind == "init":
        scheduler.init(event["args"])
    elif kind == "timer":
        scheduler.timer(event["name"])
    elif kind == "client_joined":
        scheduler.client_joined(event["client"])
    elif kind == "client_dead":
        scheduler.client_dead(event["client"])
    while inside.touched:
        _deliver_group(scheduler, inside.touched.pop(0))


def _deliver_end(scheduler: Scheduler, event: dict[str, Any]) -> None:
    inside = scheduler._sprint
    number = event["task"]
    if number in inside.killed:
        inside.killed.discard(number)
        return
    inside.live.discard(number)
    group = inside.groups.pop(number, None) if inside.groups else None
    if group is None:
        _call(scheduler, event)
        return
    group.waiting.discard(number)
    group.held[number] = event
    _deliver_group(scheduler, group)


def _deliver_group(scheduler: Scheduler, group: Group) -> None:
    """The ends of a group whose last task has ended, in the order of ids; each is the cause of what it starts."""
    if group.waiting:
        return
    desk = scheduler._sprint.desk
    for number in sorted(group.held):
        desk.cause = number
        _call(scheduler, group.held.pop(number))
    desk.cause = 0


def _call(scheduler: Scheduler, event: dict[str, Any]) -> None:
    if scheduler._sprint.desk.finished:
        return
    task = Task(event["task"], event["name"])
    if event["event"] == "task_done":
        scheduler.task_done(task, event["values"])
    else:
        scheduler.task_failed(task, event["error"])


def _options(
    desk: Desk,
    name: str,
    replicas: int,
    retries: int,
    timeout_s: float | None,
    cores: int,
    labels: Iterable[str],
    side_effects: bool,
) -> str:
    """The fields of a task that differ from the defaults, as JSON text."""
    bounds = (
        ("replicas", replicas, 1, TASK_REPLICAS_MAX),
        ("retries", retries, 0, RETRIES_MAX),
        ("cores", cores, 0, CORES_MAX),
    )
    for what, value, low, high in bounds:
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"start_task({name!r}): {what}={value!r}; {low} to {high} are possible")
    if timeout_s is not None and not 0 < timeout_s <= 1e9:
        raise ValueError(f"start_task({name!r}): timeout_s={timeout_s!r}; it is a number of seconds above 0, or None")
    text = f',"replicas":{replicas:d},"retries":{retries:d},"cores":{cores:d}'
    if timeout_s is not None:
        text += f',"timeout_s":{dumps(timeout_s)}'
    if labels:
        text += f',"labels":{desk.labels(labels)}'
    if side_effects:
        text += ',"side_effects":true'
    return text
