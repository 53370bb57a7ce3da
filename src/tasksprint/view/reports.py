"""What clients report, and which of it counts.

A report counts once, for a live attempt only: the attempt's number fences out whoever was declared dead, was told to
stop, or belongs to a killed task.  A `done` counts when each input that it names is the recorded one; while such an
input's attempt is still at work the report is parked, so that no scheduler sees a task done before its
prerequisites; otherwise it is refused, and the task runs again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tasksprint.limits import (
    PARKED_REPORTS,
    VALUES_BYTES,
    VALUES_MAX_BYTES,
    WINDOW_MAX,
    WINDOW_PER_SLOT,
    WINDOW_WORK_MS,
)
from tasksprint.view import attempts, supply, tasks
from tasksprint.view.lanes import need_of
from tasksprint.view.operations import Done, Failed, Lost, Report, Reports, Returned, Unreachable
from tasksprint.view.placement import eligible
from tasksprint.view.records import DONE, FAILED, GONE, KILLED, Attempt, Client, JobState, Task
from tasksprint.view.world import World

GOOD: Final = 0
EARLY: Final = 1  # an input's attempt is still at work
WRONG: Final = 2


# --- which reports count ----------------------------------------------------------------------------


def session(world: World, name: str, incarnation: int) -> Client | None:
    """The client's live session, if this is its incarnation."""
    client = world.clients.get(name)
    return client if client is not None and client.alive and client.incarnation == incarnation else None


def is_next(client: Client, sequence: int) -> bool:
    """Each sequence takes effect once, in order."""
    return sequence == client.acked + 1


def live_attempt(task: Task, number: int, client: Client) -> Attempt | None:
    return attempts.find(task, number, client.id)


def may_end(task: Task) -> bool:
    """A killed or failed task stays so; a result that is recorded stays as it is."""
    return task.state not in (KILLED, FAILED, GONE) and (task.state != DONE or task.again)


def judge_inputs(job: JobState, task: Task, report: Done) -> int:
    """Whether the result was made of the recorded results of the inputs."""
    verdict = GOOD
    used = {number: (attempt, digest) for number, attempt, digest in report.inputs}
    for number in task.inputs:
        attempt, digest = used.get(number, (0, b""))
        supplier = job.tasks[number]
        if is_recorded(supplier, digest):
            continue
        if not any(one.number == attempt for one in supplier.attempts):
            return WRONG
        verdict = EARLY
    return verdict


def is_recorded(supplier: Task, digest: bytes) -> bool:
    return supplier.state == DONE and supplier.digest == digest


def wrong_values(job: JobState, task: Task, report: Done) -> str:
    """What is wrong with the values that are to go through the log; empty when nothing is."""
    for key in task.start.keys:
        if key not in report.values:
            return f"its result has no {key!r}, which the scheduler wants to see"
    limit = min(job.spec.values_bytes or VALUES_BYTES, VALUES_MAX_BYTES)
    size = sum(map(len, report.values.values()))
    if size <= limit:
        return ""
    return f"its values have {size} bytes, the job's limit is {limit}: let other tasks fetch large pieces instead"


# --- a batch ----------------------------------------------------------------------------------------


def apply(world: World, operation: Reports) -> None:
    client = session(world, operation.client, operation.incarnation)
    if client is None:
        world.refuse("no such session")
        return
    if not is_next(client, operation.sequence):
        world.refuse("not the next reports")
        return
    client.acked = operation.sequence
    world.changed.clients.add(client.id)
    before, run_us = client.done_since, 0
    for report in operation.reports:
        job = world.jobs.get(report.job)
        task = job.tasks.get(report.task) if job is not None else None
        if job is None or task is None:
            continue  # the job is over
        if type(report) is Done:
            done(world, job, task, client, report)
            run_us += report.run_us
        else:
            HANDLERS[type(report)](world, job, task, client, report)
        if world.judged:
            judge_parked(world)
    finished = client.done_since - before
    if finished:
        world.working[client.id] = None
        adapt_window(world, client, finished, run_us)


def smallest_window(client: Client) -> int:
    return client.slots * WINDOW_PER_SLOT


def adapt_window(world: World, client: Client, finished: int, run_us: int) -> None:
    """Short tasks: the window doubles with each round trip, up to the work of WINDOW_WORK_MS; long ones: it shrinks."""
    enough = WINDOW_WORK_MS * 1_000 * client.slots * finished // max(run_us, 1)
    window = min(client.window + finished, enough, WINDOW_MAX)
    client.window = max(window, smallest_window(client))
    world.fresh[client.id] = None


# --- done -------------------------------------------------------------------------------------------


def done(world: World, job: JobState, task: Task, client: Client, report: Done) -> None:
    attempt = live_attempt(task, report.attempt, client)
    if attempt is None or not may_end(task):
        world.refuse("stale done", job)
        return
    client.done_since += 1
    verdict = judge_inputs(job, task, report) if task.inputs else GOOD
    if verdict == EARLY and job.parked_count < PARKED_REPORTS:
        park(world, job, task, attempt, report)
        return
    if verdict != GOOD:
        run_anew(world, job, task, attempt)
        return
    wrong = wrong_values(job, task, report) if report.values or task.start.keys else ""
    if wrong:
        tasks.try_failed(world, job, task, attempt, "protocol", wrong)
        return
    tasks.done(world, job, task, attempt, client, report)


def run_anew(world: World, job: JobState, task: Task, attempt: Attempt) -> None:
    """The result was made of something that does not count."""
    world.refuse("inputs", job)
    attempts.detach(world, job, task, attempt, cancel=True)
    attempts.place_again(world, job, task)


def park(world: World, job: JobState, task: Task, attempt: Attempt, report: Done) -> None:
    if attempt.parked is None:
        attempts.park(world, attempt)
        job.parked_count += 1
    attempt.parked = report
    for number in task.inputs:
        supplier = job.tasks[number]
        if supplier.state != DONE or supplier.again:
            job.parked.setdefault(number, []).append(task.number)
    world.note("parked", job.number, task.number, attempt.number)


def judge_parked(world: World) -> None:
    """Look again at the reports that waited for the tasks in `judged`; one may lead to the next."""
    while world.judged:
        number, name = next(iter(world.judged))
        del world.judged[number, name]
        job = world.jobs[number]
        for consumer in job.parked.pop(name, []):
            task = job.tasks.get(consumer)
            for attempt in task.attempts if task is not None else ():
                if task is not None and attempt.parked is not None:
                    judge_one(world, job, task, attempt, attempt.parked)


def judge_one(world: World, job: JobState, task: Task, attempt: Attempt, report: Done) -> None:
    verdict = judge_inputs(job, task, report)
    client = world.clients[attempt.client]
    if verdict == GOOD:
        tasks.done(world, job, task, attempt, client, report)
    elif verdict == EARLY:
        park(world, job, task, attempt, report)
    else:
        run_anew(world, job, task, attempt)


# --- the others -------------------------------------------------------------------------------------


def failed(world: World, job: JobState, task: Task, client: Client, report: Failed) -> None:
    attempt = live_attempt(task, report.attempt, client)
    if attempt is None or not may_end(task):
        world.refuse("stale failed", job)
        return
    tasks.try_failed(world, job, task, attempt, report.kind, report.error)


def returned(world: World, job: JobState, task: Task, client: Client, report: Returned) -> None:
    attempt = live_attempt(task, report.attempt, client)
    if attempt is None:
        world.refuse("stale returned", job)
        return
    attempts.detach(world, job, task, attempt, cancel=False)
    attempts.place_again(world, job, task)


def lost(world: World, job: JobState, task: Task, client: Client, report: Lost) -> None:
    if client.holds.get(job.number, {}).get(task.number) != report.attempt:
        attempt = live_attempt(task, report.attempt, client)
        if attempt is None:
            world.refuse("stale lost", job)
            return
        run_anew(world, job, task, attempt)  # a parked one: its result is gone before it counted
        return
    tasks.lost_at(world, job, task, client)


def unreachable(world: World, job: JobState, task: Task, client: Client, report: Unreachable) -> None:
    """Another copy, another place for the consumer, another run of the supplier: in that order."""
    consumer = job.tasks.get(report.consumer)
    attempt = live_attempt(consumer, report.consumer_attempt, client) if consumer is not None else None
    if consumer is None or attempt is None or task.number not in consumer.inputs:
        world.refuse("stale unreachable", job)
        return
    avoided = client.avoids.setdefault(job.number, {}).setdefault(task.number, [])
    if report.holder not in avoided:
        avoided.append(report.holder)
    row = supply.row(world, job, task, client)
    if row.client not in avoided:
        world.tell(client, row)
    elif place_elsewhere(world, consumer, client):
        consumer.shunned = (*consumer.shunned, client.id)
        attempts.detach(world, job, consumer, attempt, cancel=True)
        attempts.place_again(world, job, consumer)
    else:
        supply_anew(world, job, task, client, report.holder)


def place_elsewhere(world: World, task: Task, client: Client) -> bool:
    """Whether another client might run it, that has not complained yet."""
    need, taken = need_of(task), {attempt.client for attempt in task.attempts}
    return any(
        name != client.id and name not in task.shunned and name not in taken and eligible(world.clients[name], need)
        for name in world.silence
    )


def supply_anew(world: World, job: JobState, task: Task, client: Client, holder: str) -> None:
    """Nobody else can fetch it either: the supplier runs again, elsewhere if there is an elsewhere."""
    client.avoids[job.number].pop(task.number, None)
    if holder not in task.shunned:
        task.shunned = (*task.shunned, holder)
    if task.state == DONE and not task.again:
        for name in supply.holders(world, job, task):
            supply.unhold(world, job, task, world.clients[name])
        if tasks.must_rerun(world, job, task):
            tasks.run_again(world, job, task)
        return
    for attempt in task.attempts:
        attempts.detach(world, job, task, attempt, cancel=True)
    attempts.place_again(world, job, task)


HANDLERS: dict[type[Report], Callable[[World, JobState, Task, Client, Any], None]] = {
    Failed: failed,
    Returned: returned,
    Lost: lost,
    Unreachable: unreachable,
}
