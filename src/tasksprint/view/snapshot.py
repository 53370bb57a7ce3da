"""The view as bytes, and back.

A snapshot is a row of chunks, each with its length before it and no more than a thousand records in it, so that it
can be written in slices.  It holds what cannot be worked out again; lanes, rooms, the heap of timers and clients'
recent changes are built anew, and nothing that the view decides depends on how they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from tasksprint.limits import SNAPSHOT_VERSION
from tasksprint.view.lanes import enqueue
from tasksprint.view.operations import Ballot
from tasksprint.view.records import Client, Event, JobState, Lane, Program, Task
from tasksprint.view.supply import active
from tasksprint.view.world import Corrupt, World

SLICE = 1_000
LENGTH_BYTES = 4


class Head(Struct, array_like=True):
    version: int
    index: int
    digest: bytes
    time_ms: int
    ballot: Ballot
    amnesty_ms: int
    silence: list[str]
    dead: list[str]
    ended: list[int]
    ended_count: int
    next_job: int
    order: int
    served: list[Lane]
    refused: int
    urgent: list[tuple[int, int]]
    urgent_due: bool
    working: list[str]


class Chunk(Struct, array_like=True):
    pass


class Clients(Chunk, tag="clients"):
    clients: list[Client]
    attempts: list[dict[int, list[int]]]  # for each of them: job → tasks, in the order in which they were assigned


class Holds(Chunk, tag="holds"):
    client: str
    job: int
    tasks: dict[int, int]


class Programs(Chunk, tag="program"):
    name: str
    program: Program


class Job(Chunk, tag="job"):
    job: JobState


class Tasks(Chunk, tag="tasks"):
    job: int
    tasks: list[Task]


class Events(Chunk, tag="events"):
    job: int
    events: list[Event]


class Withheld(Chunk, tag="withheld"):
    job: int
    events: list[Event]


class Open(Chunk, tag="open"):
    """Small tables of a job that may be long, in their order."""

    job: int
    open: list[int]


class End(Chunk, tag="end"):
    chunks: int


AnyChunk = Clients | Holds | Programs | Job | Tasks | Events | Withheld | Open | End
_encode = msgspec.msgpack.Encoder().encode
_head = msgspec.msgpack.Decoder(Head)
_chunk = msgspec.msgpack.Decoder(AnyChunk)


def slices(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while piece := list(islice(rest, SLICE)):
        yield piece


# --- out --------------------------------------------------------------------------------------------


def write(world: World) -> Iterator[bytes]:
    """The chunks of a snapshot; the world must not change until the last is taken."""
    yield framed(head(world))
    count = 0
    for chunk in chunks(world):
        yield framed(chunk)
        count += 1
    yield framed(End(count))


def framed(chunk: Struct) -> bytes:
    data = _encode(chunk)
    return len(data).to_bytes(LENGTH_BYTES, "little") + data


def head(world: World) -> Head:
    return Head(
        SNAPSHOT_VERSION, world.index, world.digest, world.time_ms, world.ballot, world.amnesty_ms,
        list(world.silence), list(world.dead), list(world.ended), world.ended_count, world.next_job, world.order,
        world.served, world.refused, sorted(world.urgent), world.urgent_due, list(world.working),
    )  # fmt: skip


def chunks(world: World) -> Iterator[AnyChunk]:
    for name, program in world.programs.items():
        yield Programs(name, program)
    for job in world.jobs.values():
        yield Job(msgspec.structs.replace(job, tasks={}, events=[], withheld={}, open={}))
        for piece in slices(job.tasks.values()):
            yield Tasks(job.number, piece)
        for piece in slices(job.events):
            yield Events(job.number, piece)
        for piece in slices(job.withheld.values()):
            yield Withheld(job.number, piece)
        for piece in slices(job.open):
            yield Open(job.number, piece)
    for piece in slices(world.clients.values()):
        bare = [msgspec.structs.replace(client, attempts={}, holds={}, floor=0, log=None) for client in piece]
        yield Clients(bare, [{job: list(here) for job, here in client.attempts.items()} for client in piece])
    for client in world.clients.values():
        for number in sorted(client.holds):
            for part in slices(client.holds[number].items()):
                yield Holds(client.id, number, dict(part))


# --- in ---------------------------------------------------------------------------------------------


def read(data: bytes) -> World:
    """Raises Corrupt for bytes that are no snapshot of this version."""
    try:
        pieces = split(data)
        world = World()
        read_head(world, _head.decode(next(pieces)))
        for count, piece in enumerate(pieces):
            chunk = _chunk.decode(piece)
            if isinstance(chunk, End):
                if chunk.chunks != count or next(pieces, None) is not None:
                    raise Corrupt("a snapshot of the view does not end where it says")
                rebuild(world)
                return world
            read_chunk(world, chunk)
    except (msgspec.DecodeError, StopIteration, KeyError) as error:
        raise Corrupt(f"a snapshot of the view cannot be read: {error!r}") from error
    raise Corrupt("a snapshot of the view has no end")


def split(data: bytes) -> Iterator[memoryview]:
    view, place = memoryview(data), 0
    while place < len(data):
        size = int.from_bytes(view[place : place + LENGTH_BYTES], "little")
        place += LENGTH_BYTES
        if place + size > len(data):
            raise Corrupt(f"a snapshot of the view is cut off at byte {len(data)}")
        yield view[place : place + size]
        place += size


def read_head(world: World, head: Head) -> None:
    if head.version != SNAPSHOT_VERSION:
        raise Corrupt(f"a snapshot of the view has version {head.version}; this program reads {SNAPSHOT_VERSION}")
    world.index, world.digest, world.time_ms = head.index, head.digest, head.time_ms
    world.ballot, world.amnesty_ms = head.ballot, head.amnesty_ms
    world.silence, world.dead = dict.fromkeys(head.silence), dict.fromkeys(head.dead)
    world.ended, world.ended_count = dict.fromkeys(head.ended), head.ended_count
    world.next_job, world.order, world.served, world.refused = head.next_job, head.order, head.served, head.refused
    world.urgent, world.working = dict.fromkeys(head.urgent), dict.fromkeys(head.working)
    world.urgent_due = head.urgent_due
    world.digests.append((head.index, head.digest))


def read_chunk(world: World, chunk: AnyChunk) -> None:
    match chunk:
        case Programs():
            world.programs[chunk.name] = chunk.program
        case Job():
            world.jobs[chunk.job.number] = chunk.job
            world.numbers[chunk.job.job_id] = chunk.job.number
        case Tasks():
            world.jobs[chunk.job].tasks.update({task.number: task for task in chunk.tasks})
        case Events():
            world.jobs[chunk.job].events += chunk.events
        case Withheld():
            world.jobs[chunk.job].withheld.update({event.task: event for event in chunk.events})
        case Open():
            world.jobs[chunk.job].open.update(dict.fromkeys(chunk.open))
        case Clients():
            for client, lists in zip(chunk.clients, chunk.attempts, strict=True):
                world.clients[client.id] = client
                client.floor = client.number
                for number, names in lists.items():
                    client.attempts[number] = {name: live(world, client, number, name) for name in names}
        case Holds():
            world.clients[chunk.client].holds.setdefault(chunk.job, {}).update(chunk.tasks)


def live(world: World, client: Client, job: int, task: int) -> Any:
    """The task's own record of its attempt at the client."""
    for attempt in world.jobs[job].tasks[task].attempts:
        if attempt.client == client.id:
            return attempt
    raise Corrupt(f"a snapshot of the view names an attempt of task {task} that the task does not know")


def rebuild(world: World) -> None:
    """Work out what the snapshot leaves out."""
    world.fresh = dict.fromkeys(world.silence)
    for job in world.jobs.values():
        world.timers += [(due, order, job.number, name) for name, (due, order) in job.timers.items()]
        for number in job.open:
            task = job.tasks[number]
            if not task.attempts and active(task) and not task.shunned:
                enqueue(world, job, task)
    heapify(world.timers)
