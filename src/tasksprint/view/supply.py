"""Who has the result of a task, or is making it.

`Task.holders` only hints: it may name clients that died since.  What counts is that the client's own record holds
the result, so that the death of a client that holds a million results touches only those that somebody needs.
"""

from __future__ import annotations

from tasksprint.view.part import Supplier
from tasksprint.view.records import DONE, OPEN, Client, JobState, Task
from tasksprint.view.world import World


def active(task: Task) -> bool:
    """Whether it has to run: it is unfinished, or on its way to be made again."""
    return task.state == OPEN or task.again


def wanted(task: Task) -> bool:
    """Whether its result must exist now."""
    return task.needed > 0 or task.pinned


def holders(world: World, job: JobState, task: Task) -> list[str]:
    """The live clients that have the recorded result."""
    if task.state != DONE:
        return []
    number, clients = job.number, world.clients
    found = []
    for name in task.holders:
        client = clients.get(name)
        if client is not None and client.alive:
            held = client.holds.get(number)
            if held is not None and task.number in held:
                found.append(name)
    return found


def available(world: World, job: JobState, task: Task) -> bool:
    return task.state == DONE and bool(holders(world, job, task))


def hold(world: World, job: JobState, task: Task, client: Client, attempt: int) -> None:
    """The client has the recorded result."""
    held = client.holds.get(job.number)
    if held is None:
        held = client.holds[job.number] = {}
    held[task.number] = attempt
    if client.id not in task.holders:
        task.holders = (*task.holders, client.id)
    if task.needed or task.pinned:
        client.vital.setdefault(job.number, {})[task.number] = None


def unhold(world: World, job: JobState, task: Task, client: Client) -> None:
    """The client has it no more."""
    client.holds.get(job.number, {}).pop(task.number, None)
    client.vital.get(job.number, {}).pop(task.number, None)
    task.holders = tuple(name for name in task.holders if name != client.id)


def guard(world: World, job: JobState, task: Task) -> None:
    """Its result is needed from now on: the death of a holder must be noticed."""
    for name in holders(world, job, task):
        world.clients[name].vital.setdefault(job.number, {})[task.number] = None


def unguard(world: World, job: JobState, task: Task) -> None:
    for name in task.holders:
        client = world.clients.get(name)
        if client is not None:
            client.vital.get(job.number, {}).pop(task.number, None)


def row(world: World, job: JobState, task: Task, client: Client) -> Supplier:
    """Where this client gets the task's result from: from itself, from a holder, or from who is making it."""
    number = task.number
    names = holders(world, job, task)
    avoided = client.avoids.get(job.number, {}).get(number, ())
    if names:
        name = client.id if client.id in names else next((name for name in names if name not in avoided), names[0])
        holder = world.clients[name]
        return Supplier(job.number, number, holder.holds[job.number][number], name, holder.address, True, task.digest)
    if task.attempts:
        chosen = next((attempt for attempt in task.attempts if attempt.client not in avoided), task.attempts[0])
        for attempt in task.attempts:
            if attempt.client == client.id:
                chosen = attempt
        return Supplier(
            job.number, number, chosen.number, chosen.client, world.clients[chosen.client].address, False, b""
        )
    return Supplier(job.number, number, 0, "", "", False, b"")
