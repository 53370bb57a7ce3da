"""Where tasks wait for a place: one lane for each job and kind of room, lowest task first.

A lane is a heap of task numbers whose entries may be out of date: an entry counts only if the task's record still
says the same (`waits_here`), so nothing is ever removed from the middle.
"""

from __future__ import annotations

from heapq import heappop, heappush

from tasksprint.limits import EVENTS_BYTES, EVENTS_UNANSWERED
from tasksprint.view.records import ASIDE, OPEN, READY, WAITING, JobState, Lane, Need, Task
from tasksprint.view.world import World

ANY: Need = (1, ())


def need_of(task: Task) -> Need:
    start = task.start
    if start.labels or start.cores > 1:
        return start.cores, tuple(sorted(set(start.labels)))
    return ANY if start.cores else (0, ())


def held_back(job: JobState) -> bool:
    """Whether the scheduler is so far behind that no further task of the job is placed: our back-pressure."""
    events = job.last_event - job.decided + len(job.withheld)
    return events >= EVENTS_UNANSWERED or job.unanswered_bytes + job.withheld_bytes >= EVENTS_BYTES


def enqueue(world: World, job: JobState, task: Task) -> None:
    """Put an active task without a live attempt where it belongs, if it may be placed now."""
    start = task.start
    if task.again or task.shunned:
        world.urgent[job.number, task.number] = None
        world.urgent_due = True
        return
    if task.missing == 0:
        kind = READY if start.cores else ASIDE
    elif task.unsupplied == 0 and not start.side_effects:
        kind = WAITING
    else:
        return
    key = (kind, job.number, need_of(task))
    lane = world.lanes.get(key)
    if lane is None:
        lane = world.lanes[key] = []
    heappush(lane, task.number)


def waits_here(task: Task, kind: int) -> bool:
    """Whether the lane's entry still counts."""
    if task.attempts or task.state != OPEN or task.shunned:
        return False
    if kind == WAITING:
        return task.missing > 0 and task.unsupplied == 0
    return task.missing == 0


def first_of(world: World, key: Lane) -> Task | None:
    """The lane's next task, or None when there is none (the lane is dropped) or it must wait for the scheduler."""
    kind, number, _ = key
    lane = world.lanes[key]
    job = world.jobs[number]
    while lane:
        task = job.tasks.get(lane[0])
        if task is not None and waits_here(task, kind):
            if held_back(job) and not (job.ordered and task.number == job.next_end):
                return None
            return task
        heappop(lane)
    del world.lanes[key]
    return None


def tasks_wait(world: World, kind: int) -> bool:
    """Whether any task waits for this kind of room."""
    return any(key[0] == kind and first_of(world, key) is not None for key in list(world.lanes))
