"""Attempts come and go: the only two places where a task meets a client.

`attach` and `detach` keep every count that follows from it: the client's rooms, the supplier rows that it was told,
and for the tasks that depend on this one, how many of their inputs somebody is making.
"""

from __future__ import annotations

from bisect import insort

from tasksprint.view import supply
from tasksprint.view.lanes import enqueue
from tasksprint.view.part import Assign, Cancel, JobInfo
from tasksprint.view.records import ASIDE, OPEN, PARKED, READY, WAITING, Attempt, Client, JobState, Task
from tasksprint.view.world import World


def attach(world: World, job: JobState, task: Task, client: Client, kind: int) -> Attempt:
    """Assign the task to the client."""
    number = task.last_attempt + 1
    task.last_attempt = number
    if number > task.start.replicas:
        job.second_attempts += 1
    attempt = Attempt(number, client.id, kind)
    first = not task.attempts
    task.attempts = (attempt,) if first else (*task.attempts, attempt)
    here = client.attempts.get(job.number)
    if here is None:
        here = begin_job(world, job, client)
    here[task.number] = attempt
    count(world, client, kind, 1)
    client.args_bytes += len(task.start.args)
    world.outcomes.append(("assign", job.number, task.number, number, client.id, kind))
    if task.inputs:
        tell_suppliers(world, job, task, client)
    world.tell(client, assign(job, task, number))
    if task.consumers and first and not supply.available(world, job, task):
        supplied(world, job, task)
    return attempt


def assign(job: JobState, task: Task, attempt: int) -> Assign:
    start = task.start
    return Assign(
        job.number, task.number, attempt, start.name, start.args, task.seed, start.prerequisites, start.keys,
        start.timeout_ms, start.cores, start.side_effects,
    )  # fmt: skip


def job_info(job: JobState) -> JobInfo:
    spec = job.spec
    return JobInfo(job.number, job.job_id, spec.name, spec.node, spec.program, spec.seed, spec.values_bytes)


def begin_job(world: World, job: JobState, client: Client) -> dict[int, Attempt]:
    """The client's first attempt of the job, or the first since it had none."""
    if job.number not in client.told:
        client.told[job.number] = None
        job.clients[client.id] = None
        world.tell(client, job_info(job))
    return client.attempts.setdefault(job.number, {})


def count(world: World, client: Client, kind: int, step: int) -> None:
    """An attempt of this kind comes to the client, or leaves it."""
    if kind == READY:
        client.ready += step
    elif kind == WAITING:
        client.waiting += step
    elif kind == ASIDE:
        client.aside += step
    world.fresh[client.id] = None


def tell_suppliers(world: World, job: JobState, task: Task, client: Client) -> None:
    """A row for each input that no other live attempt at the client has among its inputs."""
    uses = client.uses.setdefault(job.number, {})
    for number in task.inputs:
        used = uses.get(number, 0)
        uses[number] = used + 1
        if not used:
            world.tell(client, supply.row(world, job, job.tasks[number], client))


def find(task: Task, number: int, client: str) -> Attempt | None:
    """The live attempt of this number at this client: anything else is stale."""
    for attempt in task.attempts:
        if attempt.number == number and attempt.client == client:
            return attempt
    return None


def close(world: World, job: JobState, task: Task, attempt: Attempt) -> None:
    """Take the attempt off the task's and the client's records."""
    if attempt.parked is not None:
        job.parked_count -= 1
        attempt.parked = None
    live = task.attempts
    task.attempts = () if len(live) == 1 and live[0] is attempt else tuple(one for one in live if one is not attempt)
    client = world.clients.get(attempt.client)
    if client is None:
        return
    here = client.attempts.get(job.number)
    if here is None or here.get(task.number) is not attempt:
        return
    del here[task.number]
    count(world, client, attempt.kind, -1)
    client.args_bytes -= len(task.start.args)
    if task.inputs:
        uses = client.uses[job.number]
        for number in task.inputs:
            if uses[number] == 1:
                del uses[number]
            else:
                uses[number] -= 1


def detach(world: World, job: JobState, task: Task, attempt: Attempt, *, cancel: bool) -> None:
    """End an attempt that brought no result.  With `cancel` the client is told to stop it."""
    close(world, job, task, attempt)
    world.outcomes.append(("detach", job.number, task.number, attempt.number))
    client = world.clients.get(attempt.client)
    if cancel and client is not None and client.alive:
        world.tell(client, Cancel(job.number, task.number, attempt.number))
    if task.number in job.parked:
        world.judged[job.number, task.number] = None
    if task.consumers and not supply.available(world, job, task):
        if task.attempts:
            world.moved[job.number, task.number] = None
        else:
            unsupplied(world, job, task)


def place_again(world: World, job: JobState, task: Task) -> None:
    """After a detach: whatever attempts the task lacks are wanted again."""
    if not supply.active(task):
        return
    if not task.attempts:
        enqueue(world, job, task)
    elif len(task.attempts) < task.start.replicas and not task.again:
        world.urgent[job.number, task.number] = None
        world.urgent_due = True


# --- what it means for the tasks that depend on this one ------------------------------------------------


def consumers(job: JobState, task: Task) -> list[Task]:
    """The active tasks that have this one among their inputs, lowest first."""
    numbers = task.consumers
    if len(numbers) > 2 * task.needed + 8:
        numbers = task.consumers = [number for number in numbers if supply.active(job.tasks[number])]
    return [one for number in numbers if supply.active(one := job.tasks[number])]


def add_consumer(task: Task, number: int) -> None:
    numbers = task.consumers
    if not numbers or numbers[-1] < number:
        numbers.append(number)
    elif number not in numbers:
        insort(numbers, number)


def supplied(world: World, job: JobState, task: Task) -> None:
    """Somebody is making the result from now on."""
    for consumer in consumers(job, task):
        consumer.unsupplied -= 1
        if consumer.attempts:
            world.moved[job.number, task.number] = None
        elif consumer.unsupplied == 0 and consumer.missing:
            enqueue(world, job, consumer)


def unsupplied(world: World, job: JobState, task: Task) -> None:
    """Nobody is making it any more."""
    for consumer in consumers(job, task):
        consumer.unsupplied += 1
        if consumer.attempts:
            world.moved[job.number, task.number] = None


def arrived(world: World, job: JobState, task: Task, *, was_supplied: bool) -> None:
    """The result exists from now on."""
    for consumer in consumers(job, task):
        if not was_supplied:
            consumer.unsupplied -= 1
        consumer.missing -= 1
        if consumer.missing == 0:
            all_here(world, job, consumer)
        elif not was_supplied and consumer.unsupplied == 0 and not consumer.attempts:
            enqueue(world, job, consumer)


def all_here(world: World, job: JobState, task: Task) -> None:
    """The last missing input exists: the task's attempts move to the window of ready ones."""
    for attempt in task.attempts:
        if attempt.kind == WAITING:
            client = world.clients[attempt.client]
            count(world, client, WAITING, -1)
            attempt.kind = READY if task.start.cores else ASIDE
            count(world, client, attempt.kind, 1)
    if not task.attempts:
        enqueue(world, job, task)
    elif task.state == OPEN and len(task.attempts) < task.start.replicas:
        world.urgent[job.number, task.number] = None
        world.urgent_due = True


def vanished(world: World, job: JobState, task: Task) -> None:
    """The result exists no more."""
    supplied_still = bool(task.attempts)
    for consumer in consumers(job, task):
        consumer.missing += 1
        if not supplied_still:
            consumer.unsupplied += 1
        if consumer.attempts:
            world.moved[job.number, task.number] = None


def park(world: World, attempt: Attempt) -> None:
    """The attempt has run: it takes no room any more, but stays live."""
    count(world, world.clients[attempt.client], attempt.kind, -1)
    attempt.kind = PARKED


def tell_moves(world: World) -> None:
    """Tell the clients of waiting attempts where the results that they need are to be had now."""
    for number, name in world.moved:
        job = world.jobs.get(number)
        task = job.tasks.get(name) if job is not None else None
        if job is None or task is None:
            continue
        clients = {attempt.client: None for consumer in consumers(job, task) for attempt in consumer.attempts}
        for client_id in clients:
            client = world.clients[client_id]
            world.tell(client, supply.row(world, job, task, client))
    world.moved.clear()
