"""Which task goes to which client, decided in `apply` from logged facts alone.

A task that may be placed lies in a lane: the tasks of one job that need the same kind of room.  A client has three
kinds of room: a window of READY attempts, which follows how fast it works; a WAITING one for tasks that are assigned
ahead of their inputs; and ASIDE, for cores=0.  `place` goes round the lanes, job by job, and gives each time one
task to the client that has most of its inputs, or else to the least loaded one that has room.  An idle core is worth
more than a short way: a ready task does not wait behind others while another client has a core free, unless its
inputs are large.

Complications:

- Lanes and rooms are heaps whose entries may be out of date: an entry counts only if the record that it names still
  says the same.  So nothing is ever searched or removed in the middle, and what is chosen depends on the records
  alone; a replica restored from a snapshot, whose heaps are new, chooses the same.
- Tasks become ready where they waited for their inputs, so one client may end up with a queue and another with
  nothing.  Each tick looks at the fullest one and at the emptiest one only (`level`).
- Tasks that are run again because somebody needs them, and replicas, are urgent: they bypass the windows.
- A job whose scheduler is behind gets no further tasks placed, save the one whose end an ordered scheduler waits for.

Invariant: each live client with room of a kind has an entry with its present load in every heap of that kind that it
is eligible for, or is in `fresh`.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heapify, heappop, heappush

from tasksprint.limits import ASIDE_MAX, ASSIGNED_BYTES, MOVE_BYTES, WAITING_PER_SLOT
from tasksprint.view import supply
from tasksprint.view.attempts import attach
from tasksprint.view.lanes import first_of, need_of
from tasksprint.view.records import ASIDE, READY, WAITING, Client, JobState, Lane, Need, Task
from tasksprint.view.world import World

LOAD_SCALE = 1 << 10  # loads are compared per slot, in integers


def eligible(client: Client, need: Need) -> bool:
    """Whether the client could ever run a task with this need; its id is a label that it alone has."""
    slots, labels = need
    if not client.alive or client.slots < slots:
        return False
    return not labels or all(label in client.labels or label == client.id for label in labels)


def load(client: Client, kind: int) -> int:
    count = client.ready if kind == READY else client.waiting if kind == WAITING else client.aside
    return count * LOAD_SCALE // client.slots if client.slots else count * LOAD_SCALE


def has_room(client: Client, kind: int) -> bool:
    if not client.alive or client.args_bytes >= ASSIGNED_BYTES:
        return False
    if kind == READY:
        return client.ready < client.window
    if kind == WAITING:
        return client.waiting < client.slots * WAITING_PER_SLOT
    return client.aside < ASIDE_MAX


# --- rooms ------------------------------------------------------------------------------------------


def refresh(world: World) -> None:
    """Enter the present load of every client whose load has changed."""
    for name in world.fresh:
        client = world.clients.get(name)
        if client is None or not client.alive:
            continue
        for (kind, need), heap in world.rooms.items():
            if has_room(client, kind) and eligible(client, need):
                heappush(heap, (load(client, kind), name))
        if client.ready > client.slots:
            heappush(world.crowd, (-load(client, READY), name))
    world.fresh.clear()
    if len(world.crowd) > 4 * len(world.silence) + 64:
        queues = [client for name in world.silence if (client := world.clients[name]).ready > client.slots]
        world.crowd = [(-load(client, READY), client.id) for client in queues]
        heapify(world.crowd)


def open_room(world: World, kind: int, need: Need) -> list[tuple[int, str]]:
    """A heap of the clients that have this kind of room now."""
    heap = [
        (load(client, kind), name)
        for name in world.silence
        if has_room(client := world.clients[name], kind) and eligible(client, need)
    ]
    heapify(heap)
    world.rooms[kind, need] = heap
    return heap


def least_loaded(world: World, kind: int, need: Need) -> Client | None:
    heap = world.rooms.get((kind, need))
    if heap is None or len(heap) > 4 * len(world.silence) + 64:
        heap = open_room(world, kind, need)
    if world.fresh:
        refresh(world)
    while heap:
        value, name = heap[0]
        client = world.clients.get(name)
        if client is not None and has_room(client, kind) and load(client, kind) == value and eligible(client, need):
            return client
        heappop(heap)
    return None


def nearest(world: World, job: JobState, task: Task, kind: int, need: Need) -> Client | None:
    """The client that has, or is making, most of the inputs, if it has room."""
    weights: dict[str, tuple[int, int]] = {}
    for number in task.inputs:
        supplier = job.tasks[number]
        names = supply.holders(world, job, supplier) or [attempt.client for attempt in supplier.attempts]
        for name in names:
            size, count = weights.get(name, (0, 0))
            weights[name] = (size + supplier.size, count + 1)
    for name in sorted(weights, key=lambda name: (weights[name], name), reverse=True):
        client = world.clients[name]
        if has_room(client, kind) and eligible(client, need) and name not in task.shunned:
            return client
    return None


def runs_sooner(client: Client, other: Client) -> bool:
    """It has a core free, the other has none."""
    return client.ready < client.slots and other.ready >= other.slots


def is_light(job: JobState, task: Task) -> bool:
    """Its inputs, which all exist, are soon moved."""
    return sum(job.tasks[number].size for number in task.inputs) <= MOVE_BYTES


def fullest(world: World) -> Client | None:
    """The client with the longest queue of ready tasks, if there is one."""
    heap = world.crowd
    while heap:
        value, name = heap[0]
        client = world.clients.get(name)
        if client is not None and client.alive and client.ready > client.slots and -load(client, READY) == value:
            return client
        heappop(heap)
    return None


# --- placing ----------------------------------------------------------------------------------------


def place_first(world: World, key: Lane) -> bool:
    """Place the lane's next task; False when there is none, or no room for it."""
    task = first_of(world, key)
    if task is None:
        return False
    kind, number, need = key
    job = world.jobs[number]
    client = least_loaded(world, kind, need)
    if client is None:
        return False
    if task.inputs:
        near = nearest(world, job, task, kind, need)
        if near is not None and not (kind == READY and runs_sooner(client, near) and is_light(job, task)):
            client = near
    heappop(world.lanes[key])
    attach(world, job, task, client, kind)
    world.served[kind] = key
    if task.start.replicas > 1 and kind != WAITING:
        world.urgent[number, task.number] = None
        world.urgent_due = True
    return True


def turn(world: World, kind: int) -> list[Lane]:
    """The lanes of this kind, beginning after the one that was served last."""
    lanes = [key for key in world.lanes if key[0] == kind]
    if len(lanes) <= 1:
        return lanes
    lanes.sort()
    after = bisect_right(lanes, world.served[kind])
    return lanes[after:] + lanes[:after]


def fill(world: World, kind: int) -> bool:
    """Go round the lanes of one kind until each is empty or without room; whether anything was placed."""
    lanes = turn(world, kind)
    placed = False
    while lanes:
        if len(lanes) == 1:
            while place_first(world, lanes[0]) and lanes[0] in world.lanes:
                placed = True
            break
        lanes = [key for key in lanes if key in world.lanes and place_first(world, key)]
        placed = placed or bool(lanes)
    return placed


def place(world: World) -> None:
    """Place what can be placed."""
    if world.urgent and world.urgent_due:
        place_urgent(world)
    if world.lanes:
        fill(world, READY)
    if world.lanes:
        fill(world, ASIDE)
        while fill(world, WAITING):
            pass  # an assigned task may be the supplier that another one waited for
    if world.urgent and world.urgent_due:
        place_urgent(world)


# --- urgent tasks -----------------------------------------------------------------------------------


def wanted_attempts(task: Task) -> int:
    return 1 if task.again or task.start.side_effects else task.start.replicas


def place_urgent(world: World) -> None:
    """Give each urgent task its attempts, whatever the windows say; those that no client may take stay."""
    world.urgent_due = False
    progress = True
    while progress:
        progress = False
        for number, name in sorted(world.urgent):
            job = world.jobs.get(number)
            task = job.tasks.get(name) if job is not None else None
            if job is None or task is None or not supply.active(task):
                del world.urgent[number, name]
            elif attach_urgent(world, job, task):
                progress = True
        progress = progress and world.urgent_due
        world.urgent_due = False


def attach_urgent(world: World, job: JobState, task: Task) -> bool:
    """True when the task has all its attempts now and is urgent no more."""
    if task.missing and (task.unsupplied or task.start.side_effects):
        return False
    kind = WAITING if task.missing else READY if task.start.cores else ASIDE
    while len(task.attempts) < wanted_attempts(task):
        client = anywhere(world, task, kind)
        if client is None:
            return False
        attach(world, job, task, client, kind)
    del world.urgent[job.number, task.number]
    return True


def anywhere(world: World, task: Task, kind: int) -> Client | None:
    """The least loaded client that may take another attempt of the task; a shunned one only when there is no other."""
    need = need_of(task)
    taken = {attempt.client for attempt in task.attempts}
    best: tuple[bool, int, str] | None = None
    for name in world.silence:
        client = world.clients[name]
        if name in taken or not eligible(client, need):
            continue
        rank = (name in task.shunned, load(client, kind), name)
        if best is None or rank < best:
            best = rank
    return None if best is None else world.clients[best[2]]
