"""What a scheduler is told, in the order of the log.

Three queues come before the list that the scheduler is fed from:

- `early`: clients that joined or died before event 1 is answered.  Only that answer says whether the scheduler is
  ordered, and an ordered one never hears of clients.
- `withheld`: an ordered scheduler hears the ends of tasks in the order of their ids, whenever they end.
- `timers`: by cluster time, at ticks.

Invariant: seqs of a job are 1, 2, 3 ... without holes, and an event that has its seq never changes.
"""

from __future__ import annotations

from heapq import heappop, heappush

from tasksprint.view.records import OPEN, Event, JobState
from tasksprint.view.world import World

EVENT_BYTES = 64  # what an event counts for beside its values


def emit(
    world: World,
    job: JobState,
    kind: str,
    task: int = 0,
    name: str = "",
    values: dict[str, bytes] | None = None,
    error: str = "",
    client: str = "",
) -> None:
    """The scheduler is told."""
    size = EVENT_BYTES + len(error)
    if values:
        size += sum(map(len, values.values()))
    job.last_event += 1
    job.unanswered_bytes += size
    job.events.append(Event(job.last_event, kind, world.time_ms, task, name, values or {}, error, client, size))
    world.outcomes.append(("event", job.number, job.last_event, kind, task))
    world.changed.events.add(job.number)


def task_ended(
    world: World, job: JobState, task: int, kind: str, name: str, values: dict[str, bytes], error: str
) -> None:
    """A task is done or has failed: tell it now or, to an ordered scheduler, when its turn comes."""
    if job.state != "running":
        return
    if not job.ordered:
        emit(world, job, kind, task, name, values, error)
        return
    size = EVENT_BYTES + len(error) + sum(map(len, values.values()))
    job.withheld[task] = Event(0, kind, 0, task, name, values, error, "", size)
    job.withheld_bytes += size
    release_ordered(world, job)


def release_ordered(world: World, job: JobState) -> None:
    """Tell the ends whose turn has come.  A killed task is passed over."""
    while True:
        event = job.withheld.pop(job.next_end, None)
        if event is not None:
            job.withheld_bytes -= event.size
            emit(world, job, event.kind, event.task, event.name, event.values, event.error)
        else:
            task = job.tasks.get(job.next_end)
            if task is None or task.state == OPEN:
                return
        job.next_end += 1


def client_event(world: World, job: JobState, kind: str, client: str) -> None:
    if job.state != "running":
        return
    if job.decided == 0:
        job.early.append((kind, client))
    elif not job.ordered:
        emit(world, job, kind, client=client)


def clients_changed(world: World, kind: str, client: str) -> None:
    """Tell every running job of a client that joined or died."""
    for job in world.jobs.values():
        client_event(world, job, kind, client)


def first_answered(world: World, job: JobState) -> None:
    """Event 1 is answered whole: from now on it is known whether the job is ordered."""
    early, job.early = job.early, []
    if not job.ordered:
        for kind, client in early:
            emit(world, job, kind, client=client)


# --- timers -----------------------------------------------------------------------------------------


def set_timer(world: World, job: JobState, name: str, delay_ms: int) -> None:
    """Under the empty name: the end of the time in which outputs are kept for the submitter."""
    world.order += 1
    due = (world.time_ms + delay_ms, world.order)
    job.timers[name] = due
    heappush(world.timers, (*due, job.number, name))


def due_timers(world: World) -> list[tuple[JobState, str]]:
    """Take those that are due now."""
    due = []
    while world.timers and world.timers[0][0] <= world.time_ms:
        when, order, number, name = heappop(world.timers)
        job = world.jobs.get(number)
        if job is not None and job.timers.get(name) == (when, order):
            del job.timers[name]
            due.append((job, name))
    return due


# --- answers and saves ---------------------------------------------------------------------------------


def answered(job: JobState, seq: int) -> None:
    """Events up to `seq` are answered whole."""
    first = job.last_event - len(job.events) + 1
    for event in job.events[job.decided + 1 - first : seq + 1 - first]:
        job.unanswered_bytes -= event.size
    job.decided = seq


def saved(job: JobState, seq: int, state: bytes) -> None:
    """Events up to `seq` need not be kept."""
    first = job.last_event - len(job.events) + 1
    del job.events[: seq + 1 - first]
    job.saved = (seq, state)


def after(job: JobState, seq: int, limit: int, limit_bytes: int) -> list[Event]:
    """Events after `seq`: at most `limit` of them, and no more than `limit_bytes` unless the first alone is larger."""
    first = job.last_event - len(job.events) + 1
    start = max(seq + 1 - first, 0)
    found: list[Event] = []
    for event in job.events[start : start + limit]:
        limit_bytes -= event.size
        if limit_bytes < 0 and found:
            break
        found.append(event)
    return found
