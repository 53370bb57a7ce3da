"""Clients come and go: sessions, what a client kept over its restart, and who gives work back when one joins."""

from __future__ import annotations

from tasksprint.limits import CLIENTS_REMEMBERED
from tasksprint.view import events, placement, supply, tasks
from tasksprint.view.lanes import ANY, need_of, tasks_wait
from tasksprint.view.operations import Held, Leave, Register
from tasksprint.view.part import GiveBack
from tasksprint.view.records import ASIDE, DONE, READY, Attempt, Client, JobState
from tasksprint.view.reports import session, smallest_window
from tasksprint.view.world import World

NONCES_KEPT = 8


def repeated(client: Client | None, nonce: int) -> bool:
    """Whether this registration took effect before: a retry changes nothing."""
    return client is not None and ((client.nonce == nonce and client.alive) or nonce in client.nonces)


def register(world: World, operation: Register) -> None:
    """A client starts: a new incarnation, which ends whatever it had before."""
    old = world.clients.get(operation.client)
    if repeated(old, operation.nonce):
        world.refuse("registered before")
        return
    nonces: list[int] = []
    if old is not None:
        if old.alive:
            end_session(world, old, counts=True)
        world.dead.pop(old.id, None)
        nonces = [one for one in [*old.nonces, old.nonce] if one != operation.nonce][-NONCES_KEPT:]
    client = Client(
        operation.client, world.index, operation.nonce, operation.address, max(operation.slots, 0),
        tuple(sorted(set(operation.labels))), number=world.index, heard_ms=world.time_ms, nonces=nonces,
        floor=world.index,
    )  # fmt: skip
    client.window = smallest_window(client)
    world.clients.pop(client.id, None)
    world.clients[client.id] = client
    world.silence[client.id] = None
    world.fresh[client.id] = None
    world.changed.clients.add(client.id)
    world.urgent_due = True
    world.note("registered", client.id)
    for held in operation.held:
        take_back(world, client, held)
    events.clients_changed(world, "client_joined", client.id)
    if not tasks_wait(world, READY):
        ask_back(world, client)


def take_back(world: World, client: Client, held: Held) -> None:
    """A result that it kept counts again, if it is the recorded one and still wanted."""
    job = world.jobs.get(world.numbers.get(held.job_id, 0))
    task = job.tasks.get(held.task) if job is not None else None
    if job is None or task is None or task.state != DONE or task.digest != held.digest:
        return
    if task.released and not supply.wanted(task):
        return
    if job.number not in client.told:
        client.told[job.number] = None
        job.clients[client.id] = None
    tasks.found(world, job, task, client, held.attempt)


# --- the end of a session -----------------------------------------------------------------------------


def leave(world: World, operation: Leave) -> None:
    client = session(world, operation.client, operation.incarnation)
    if client is None:
        world.refuse("no such session")
        return
    die(world, client, counts=False)


def die(world: World, client: Client, *, counts: bool) -> None:
    """The client is dead, or has left: it must register anew."""
    end_session(world, client, counts=counts)
    world.dead[client.id] = None
    if len(world.dead) > CLIENTS_REMEMBERED:
        oldest = next(iter(world.dead))
        del world.dead[oldest]
        del world.clients[oldest]


def end_session(world: World, client: Client, *, counts: bool) -> None:
    """Its attempts are placed elsewhere; results that somebody needs and nobody else has are made again."""
    client.alive = False
    world.silence.pop(client.id, None)
    world.working.pop(client.id, None)
    world.changed.clients.add(client.id)
    world.note("session ends", client.id, client.incarnation)
    held, vital, ended = client.holds, client.vital, client.attempts
    client.holds, client.vital = {}, {}
    for number in sorted(ended):
        for name in sorted(ended[number]):
            end_attempt(world, client, world.jobs[number], name, counts=counts)
    for number in sorted(vital):
        for name in sorted(vital[number]):
            end_holding(world, world.jobs[number], name)
    world.rubbish += [table for table in held.values() if table]  # type: ignore[misc]
    client.attempts, client.uses, client.avoids, client.told = {}, {}, {}, {}
    client.log = None
    events.clients_changed(world, "client_dead", client.id)


def end_attempt(world: World, client: Client, job: JobState, name: int, *, counts: bool) -> None:
    attempt = client.attempts[job.number].get(name)
    if attempt is not None:
        counts = counts and attempt.kind in (READY, ASIDE)
        tasks.client_died(world, job, job.tasks[name], attempt, counts=counts)


def end_holding(world: World, job: JobState, name: int) -> None:
    """One holder less of a result that is needed."""
    task = job.tasks.get(name)
    if task is None:
        return
    world.touch(job)
    if tasks.must_rerun(world, job, task):
        tasks.run_again(world, job, task)
    elif task.needed:
        world.moved[job.number, name] = None


# --- giving work back -----------------------------------------------------------------------------------


def ask_back(world: World, newcomer: Client) -> None:
    """Ask the others for a fair share of the attempts that wait in their windows."""
    live = [world.clients[name] for name in world.silence]
    slots = sum(client.slots for client in live)
    ready = sum(client.ready for client in live)
    if not slots or not newcomer.slots:
        return
    wanted = min(ready * newcomer.slots // slots - newcomer.ready, newcomer.window)
    loaded = [client for client in live if client is not newcomer and client.ready > client.slots]
    for client in sorted(loaded, key=lambda client: (-placement.load(client, READY), client.id)):
        if wanted <= 0:
            return
        share = max(ready * client.slots // slots, client.slots)
        wanted -= ask_one(world, client, newcomer, min(wanted, client.ready - share))


def level(world: World) -> None:
    """Where ready tasks wait behind each other while a client has a core free, ask for as many as it can begin."""
    idle = placement.least_loaded(world, READY, ANY)
    full = placement.fullest(world)
    if idle is not None and full is not None and placement.runs_sooner(idle, full):
        ask_one(world, full, idle, min(idle.slots - idle.ready, full.ready - full.slots))


def ask_one(world: World, client: Client, newcomer: Client, most: int) -> int:
    """Ask for up to `most` of its attempts, those assigned last first; returns for how many."""
    asked = 0
    for number, attempt in latest_first(client):
        if asked >= most:
            break
        job_number, name = number
        job = world.jobs[job_number]
        task = job.tasks[name]
        if attempt.kind != READY or attempt.asked_back or not placement.eligible(newcomer, need_of(task)):
            continue
        if not placement.is_light(job, task):
            continue
        attempt.asked_back = True
        world.tell(client, GiveBack(job_number, name, attempt.number))
        asked += 1
    return asked


def latest_first(client: Client) -> list[tuple[tuple[int, int], Attempt]]:
    found = []
    for number in reversed(client.attempts):
        for name, attempt in reversed(client.attempts[number].items()):
            found.append(((number, name), attempt))
    return found
