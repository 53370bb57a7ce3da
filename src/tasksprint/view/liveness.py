"""Time, which moves by the leader's ticks alone, and who is dead.

Intuition: `World.silence` holds the live clients in the order in which they were last heard, so the dead are found
at its front and nobody else is looked at.

Complications: a new leader's Begin gives everybody a full timeout (`amnesty_ms`), since silence towards the old one
says nothing; a tick's step is capped, so a leader that slept does not kill everybody when it wakes; and no more
than a few die in a tick.
"""

from __future__ import annotations

from tasksprint.limits import CLIENT_TIMEOUT_MS, DEATHS_PER_TICK, FINISHING_MS, TICK_STEP_MAX_MS, WINDOW_WORK_MS
from tasksprint.view import clients, events, jobs
from tasksprint.view.decisions import from_leader
from tasksprint.view.lanes import tasks_wait
from tasksprint.view.operations import Begin, Tick
from tasksprint.view.records import READY, Client
from tasksprint.view.reports import smallest_window
from tasksprint.view.world import Diverged, World


def begin(world: World, operation: Begin) -> None:
    if not operation.ballot > world.ballot:
        world.refuse("begin")
        return
    world.ballot = operation.ballot
    grant_amnesty(world)
    world.note("begin", *operation.ballot)


def grant_amnesty(world: World) -> None:
    """A new leader has heard nobody yet."""
    world.amnesty_ms = world.time_ms


def tick(world: World, operation: Tick) -> None:
    if not from_leader(world, operation.ballot):
        world.refuse("tick")
        return
    compare(world, operation)
    step = capped_step(operation)
    world.time_ms += step
    for name in operation.heard:
        hear(world, name)
    deaths = 0
    while deaths < DEATHS_PER_TICK and (client := next_dead(world)) is not None:
        clients.die(world, client, counts=True)
        deaths += 1
    for job, name in events.due_timers(world):
        if name:
            events.emit(world, job, "timer", name=name)
        else:
            jobs.over(world, job, "done", f"its outputs were not collected within {FINISHING_MS // 60_000} minutes")
    adapt(world, step)
    clients.level(world)


def capped_step(operation: Tick) -> int:
    """A leader that slept does not kill everybody when it wakes."""
    return max(0, min(operation.step_ms, TICK_STEP_MAX_MS))


def compare(world: World, operation: Tick) -> None:
    """The leader's digest after an entry must be ours."""
    for index, digest in reversed(world.digests):
        if index <= operation.checked_index:
            if index == operation.checked_index and digest != operation.checked_digest:
                raise Diverged(
                    f"after entry {index} this coordinator's state differs from the leader's "
                    f"({digest.hex()} here, {operation.checked_digest.hex()} there): it must not serve; "
                    "start it again with an empty folder under a new id, and report this"
                )
            return


def hear(world: World, name: str) -> None:
    client = world.clients.get(name)
    if client is not None and client.alive:
        client.heard_ms = world.time_ms
        del world.silence[name]
        world.silence[name] = None


def next_dead(world: World) -> Client | None:
    """The client that was silent for longest, if that is too long."""
    for name in world.silence:
        client = world.clients[name]
        return client if is_dead(world, client) else None
    return None


def is_dead(world: World, client: Client) -> bool:
    return world.time_ms - max(client.heard_ms, world.amnesty_ms) >= CLIENT_TIMEOUT_MS


def adapt(world: World, step: int) -> None:
    """Windows follow what was done since the last tick; one who did nothing and has none to lose is not visited."""
    for name in list(world.working):
        client = world.clients[name]
        enough = client.done_since * WINDOW_WORK_MS * 2 // max(step, 1)
        client.done_since = 0
        client.window = max(smallest_window(client), min(client.window, max(enough, client.window // 2)))
        if client.window == smallest_window(client):
            del world.working[name]
        world.fresh[name] = None
        if client.ready == 0 and not tasks_wait(world, READY):
            clients.ask_back(world, client)
