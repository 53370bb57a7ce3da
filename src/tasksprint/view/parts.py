"""A client's part of the view: the changes since the number that it knows, or all of it."""

from __future__ import annotations

from tasksprint.view import attempts, supply
from tasksprint.view.part import AnyChange, GiveBack, Keep
from tasksprint.view.records import Client
from tasksprint.view.world import World


def changes(world: World, client: Client, known: int) -> tuple[int, bool, list[AnyChange]]:
    """(the part's number, whether this is the whole part, what the client has to be told)."""
    if known < client.floor or known > client.number:
        return client.number, True, whole(world, client)
    found: list[AnyChange] = []
    for index, change in reversed(client.log or ()):
        if index <= known:
            break
        found.append(change)
    found.reverse()
    return client.number, False, found


def whole(world: World, client: Client) -> list[AnyChange]:
    """Everything: its jobs, where its inputs are, its attempts, and which of its results are still wanted."""
    part: list[AnyChange] = []
    for number in client.told:
        job = world.jobs[number]
        part.append(attempts.job_info(job))
        part += [supply.row(world, job, job.tasks[supplier], client) for supplier in client.uses.get(number, ())]
        for name, attempt in client.attempts.get(number, {}).items():
            part.append(attempts.assign(job, job.tasks[name], attempt.number))
            if attempt.asked_back:
                part.append(GiveBack(number, name, attempt.number))
        part += [Keep(number, name, attempt) for name, attempt in client.holds.get(number, {}).items()]
    return part
