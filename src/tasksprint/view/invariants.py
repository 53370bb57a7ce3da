"""What must always hold, looked at record by record.  For the simulator and the tests: it walks everything."""

from __future__ import annotations

from collections.abc import Iterator

from tasksprint.limits import CHANGES_KEPT, PARKED_REPORTS
from tasksprint.view import lanes, supply
from tasksprint.view.records import ASIDE, DONE, OPEN, PARKED, READY, WAITING, Client, JobState, Task
from tasksprint.view.world import World


def check(world: World) -> list[str]:
    """The invariants that do not hold, each in a sentence."""
    return [*clients(world), *jobs(world), *queues(world)]


def clients(world: World) -> Iterator[str]:
    live = [client.id for client in world.clients.values() if client.alive]
    if sorted(live) != sorted(world.silence):
        yield "the live clients are not those whose silence is watched"
    if sorted(set(world.clients) - set(live)) != sorted(world.dead):
        yield "the dead clients are not those that are remembered"
    heard = [world.clients[name].heard_ms for name in world.silence]
    if heard != sorted(heard):
        yield "clients are not in the order in which they were heard"
    for client in world.clients.values():
        for problem in client_records(world, client):
            yield f"client {client.id}: {problem}"


def client_records(world: World, client: Client) -> Iterator[str]:
    kinds = {READY: 0, WAITING: 0, ASIDE: 0, PARKED: 0}
    size = 0
    for number, here in client.attempts.items():
        for name, attempt in here.items():
            task = world.jobs[number].tasks.get(name)
            if task is None or not any(one is attempt for one in task.attempts):
                yield f"has an attempt of task {number}/{name} that the task does not know"
                continue
            kinds[attempt.kind] += 1
            size += len(task.start.args)
            if not client.alive:
                yield f"is dead and has an attempt of task {number}/{name}"
            if number not in client.told:
                yield f"has an attempt of job {number}, which it was not told of"
    counted = (client.ready, client.waiting, client.aside, client.args_bytes)
    if (kinds[READY], kinds[WAITING], kinds[ASIDE], size) != counted:
        yield f"counts {counted} where there are {kinds}, {size}"
    for number, held in client.holds.items():
        for name in held:
            task = world.jobs[number].tasks.get(name)
            if task is None or task.state != DONE or client.id not in task.holders:
                yield f"holds task {number}/{name}, which does not know it"
            elif supply.wanted(task) != (name in client.vital.get(number, {})):
                yield f"task {number}/{name} is wanted or not, but guarded otherwise"
    yield from client_tables(world, client)


def client_tables(world: World, client: Client) -> Iterator[str]:
    for number in {*client.attempts, *client.uses}:
        uses: dict[int, int] = {}
        for name in client.attempts.get(number, ()):
            for supplier in world.jobs[number].tasks[name].inputs:
                uses[supplier] = uses.get(supplier, 0) + 1
        if uses != client.uses.get(number, {}):
            yield f"uses suppliers {uses} of job {number}, but was told of {client.uses.get(number)}"
    if client.log is not None and len(client.log) > CHANGES_KEPT:
        yield "keeps too many changes"


def jobs(world: World) -> Iterator[str]:
    for job in world.jobs.values():
        over = job.state not in ("running", "finishing")
        if over != (job.number in world.ended):
            yield f"job {job.number} is {job.state}, which does not fit where it is listed"
        if over and (job.tasks or job.events or job.open):
            yield f"job {job.number} is over and not freed"
        if not over:
            for problem in job_records(world, job):
                yield f"job {job.number}: {problem}"


def job_records(world: World, job: JobState) -> Iterator[str]:
    seqs = [event.seq for event in job.events]
    if seqs != list(range(job.saved[0] + 1, job.last_event + 1)):
        yield "its events are not those after the last save, in order"
    unanswered = sum(event.size for event in job.events if event.seq > job.decided)
    if unanswered != job.unanswered_bytes:
        yield f"counts {job.unanswered_bytes} bytes of unanswered events where there are {unanswered}"
    if not job.saved[0] <= job.decided <= job.last_event:
        yield "its events, decisions and saves are out of order"
    parked = sum(1 for task in job.tasks.values() for attempt in task.attempts if attempt.parked is not None)
    if parked != job.parked_count or parked > PARKED_REPORTS:
        yield f"counts {job.parked_count} parked reports where there are {parked}"
    unfinished = sorted(number for number, task in job.tasks.items() if task.state == OPEN)
    if unfinished != sorted(job.open):
        yield "its table of unfinished tasks is wrong"
    needed: dict[int, int] = {}
    for task in job.tasks.values():
        if supply.active(task):
            for supplier in task.inputs:
                needed[supplier] = needed.get(supplier, 0) + 1
    ends: dict[int, int] = {}
    for event in job.events:
        if event.kind in ("task_done", "task_failed"):
            ends[event.task] = ends.get(event.task, 0) + 1
    for task in job.tasks.values():
        for problem in task_record(world, job, task, needed.get(task.number, 0)):
            yield f"task {task.number}: {problem}"
        if ends.get(task.number, 0) > 1:
            yield f"task {task.number}: its end was told {ends[task.number]} times"


def task_record(world: World, job: JobState, task: Task, needed: int) -> Iterator[str]:
    if task.needed != needed:
        yield f"counts {task.needed} tasks that need it where there are {needed}"
    if not supply.active(task) and task.attempts:
        yield "has ended and has live attempts"
    if len(task.attempts) > max(task.start.replicas, 1):
        yield "has more attempts than replicas"
    if len({attempt.client for attempt in task.attempts}) != len(task.attempts):
        yield "has two attempts at one client"
    for attempt in task.attempts:
        client = world.clients.get(attempt.client)
        if client is None or not client.alive or client.attempts.get(job.number, {}).get(task.number) is not attempt:
            yield f"attempt {attempt.number} is not at a live client"
        if attempt.number > task.last_attempt:
            yield f"attempt {attempt.number} is beyond the last"
    if supply.active(task):
        missing = [one for one in task.inputs if not supply.available(world, job, job.tasks[one])]
        unsupplied = [one for one in missing if not job.tasks[one].attempts]
        if (task.missing, task.unsupplied) != (len(missing), len(unsupplied)):
            counted = f"{task.missing} inputs missing, {task.unsupplied} unsupplied"
            yield f"counts {counted}: there are {missing}, {unsupplied}"
    if supply.wanted(task) and task.state == DONE and not task.again and not supply.available(world, job, task):
        yield "is needed, lost, and not made again"
    if task.again and not supply.wanted(task):
        yield "is made again for nobody"


def queues(world: World) -> Iterator[str]:
    """No task that could be placed is forgotten."""
    for job in world.jobs.values():
        for number in job.open:
            task = job.tasks[number]
            if task.attempts or task.unsupplied or (job.number, number) in world.urgent:
                continue
            if task.missing and task.start.side_effects:
                continue
            kind = WAITING if task.missing else READY if task.start.cores else ASIDE
            if number not in world.lanes.get((kind, job.number, lanes.need_of(task)), ()):
                yield f"task {job.number}/{number} may be placed and waits in no lane"
        for task in job.tasks.values():
            if task.again and not task.attempts and not task.missing and (job.number, task.number) not in world.urgent:
                yield f"task {job.number}/{task.number} is to be made again and waits nowhere"
