"""The view in words and plain values, for people."""

from __future__ import annotations

from typing import Any

from tasksprint.view import lanes, supply
from tasksprint.view.decisions import is_idle
from tasksprint.view.placement import eligible
from tasksprint.view.records import FAILED, GONE, KILLED, PARKED, WAITING, Client, JobState, Task
from tasksprint.view.world import World


def cluster(world: World) -> dict[str, Any]:
    return {
        "index": world.index,
        "time_ms": world.time_ms,
        "ballot": list(world.ballot),
        "clients": [client_row(world, client) for client in world.clients.values() if client.alive],
        "dead": len(world.dead),
        "jobs": len(world.jobs) - len(world.ended),
        "refused": world.refused,
    }


def client_row(world: World, client: Client) -> dict[str, Any]:
    return {
        "client": client.id,
        "incarnation": client.incarnation,
        "address": client.address,
        "slots": client.slots,
        "labels": list(client.labels),
        "ready": client.ready,
        "waiting": client.waiting,
        "aside": client.aside,
        "window": client.window,
        "holds": sum(map(len, client.holds.values())),
        "silent_ms": world.time_ms - max(client.heard_ms, min(world.amnesty_ms, world.time_ms)),
    }


def jobs(world: World) -> list[dict[str, Any]]:
    return [job_row(world, job) for job in world.jobs.values()]


def job_row(world: World, job: JobState) -> dict[str, Any]:
    return {
        "job": job.job_id,
        "number": job.number,
        "name": job.spec.name,
        "state": job.state,
        "error": job.error,
        "started": job.started,
        "done": job.done,
        "failed": job.failed,
        "read": job.read,
        "age_ms": (job.ended_ms if job.number in world.ended else world.time_ms) - job.started_ms,
    }


def job(world: World, job: JobState) -> dict[str, Any]:
    return {
        **job_row(world, job),
        "generation": job.generation,
        "events": job.last_event,
        "answered": job.decided,
        "saved": job.saved[0],
        "ordered": job.ordered,
        "nondeterministic": job.nondeterministic,
        "second_attempts": job.second_attempts,
        "made_again": job.reruns,
        "refused": job.refused,
        "parked": job.parked_count,
        "withheld": len(job.withheld),
        "held_back": lanes.held_back(job),
        "unplaceable": unplaceable(world, job),
        "idle": idle(job),
    }


def unplaceable(world: World, job: JobState) -> list[str]:
    """Ready tasks that no live client could ever run, by what they need (the first task of each kind of need)."""
    found = []
    for kind, number, need in sorted(world.lanes):
        runnable = any(eligible(world.clients[name], need) for name in world.silence)
        if number == job.number and kind != WAITING and not runnable:
            task = lanes.first_of(world, (kind, number, need))
            if task is not None:
                found.append(why(world, job, task.number))
    return found


def idle(job: JobState) -> str:
    """Why nothing happens to the job, where nothing can; else nothing."""
    if not is_idle(job) or not job.decided:
        return ""
    return "every task has ended, every event is answered and no timer is set: the scheduler has not called finish"


def needs(task: Task) -> str:
    start = task.start
    cores = f"{start.cores} slots" if start.cores > 1 else "a slot" if start.cores else "no slot"
    return cores + (f" and the labels {', '.join(sorted(set(start.labels)))}" if start.labels else "")


def why(world: World, job: JobState, number: int) -> str:
    """What the task waits for, in one sentence."""
    task = job.tasks.get(number)
    if task is None:
        if job.state not in ("running", "finishing"):
            return f"job {job.job_id} is {job.state}{': ' + job.error if job.error else ''}"
        return f"task {number} was never started; the scheduler's next task is {job.next_task}"
    name = f"task {number} ({task.start.name})"
    if not supply.active(task):
        return f"{name} {ended(world, job, task)}"
    again = " again, because its result was lost" if task.again else ""
    if task.attempts:
        return f"{name} is {'; '.join(attempt_text(world, job, task, one) for one in task.attempts)}{again}"
    return f"{name} is to run{again}, but {obstacle(world, job, task)}"


def ended(world: World, job: JobState, task: Task) -> str:
    if task.state in (FAILED, GONE):
        return f"failed: {task.error}"
    if task.state == KILLED:
        return "was killed by the scheduler"
    names = supply.holders(world, job, task)
    held = f"its result is at {', '.join(names)}" if names else "nobody has its result, and nobody needs it"
    order = "its end is told after those of lower tasks, " if task.number in job.withheld else ""
    return f"is done; {order}{held}"


def attempt_text(world: World, job: JobState, task: Task, attempt: Any) -> str:
    where = f"at client {attempt.client} as attempt {attempt.number}"
    if attempt.kind == PARKED:
        return f"finished {where}, and its report waits for {first_missing(world, job, task)}"
    if attempt.kind == WAITING:
        return f"waiting {where} for {first_missing(world, job, task)}"
    return f"{where}, running or queued behind {world.clients[attempt.client].ready - 1} others"


def first_missing(world: World, job: JobState, task: Task) -> str:
    missing = [one for one in task.inputs if not supply.available(world, job, job.tasks[one])]
    if not missing:
        return "its report to be looked at again"
    more = f" and {len(missing) - 1} more prerequisites" if len(missing) > 1 else ""
    return f"prerequisite {missing[0]} ({job.tasks[missing[0]].start.name}){more}"


def obstacle(world: World, job: JobState, task: Task) -> str:
    if task.missing:
        return f"it waits for {first_missing(world, job, task)}"
    if not world.silence:
        return "no client is alive"
    if not any(eligible(world.clients[name], lanes.need_of(task)) for name in world.silence):
        return f"no live client has what it needs: {needs(task)}"
    if lanes.held_back(job):
        return f"the scheduler is behind: {job.last_event - job.decided} events are unanswered"
    return "every client that could run it has its window full"
