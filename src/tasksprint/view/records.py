"""The records that the view is made of.  They refer to each other by number, never by reference, so that there are
no circles for the garbage collector to look for and each can be written to a snapshot as it is."""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct

from tasksprint.view.operations import Done, JobSpec, StartTask
from tasksprint.view.part import AnyChange

# What an attempt counts as at its client.
READY: Final = 0  # all its inputs exist: in the client's window of ready attempts
WAITING: Final = 1  # assigned ahead of its inputs
ASIDE: Final = 2  # cores=0: runs beside the slots
PARKED: Final = 3  # it has run; its report waits until its inputs are recorded

# What became of a task.
OPEN: Final = 0
DONE: Final = 1
FAILED: Final = 2
KILLED: Final = 3
GONE: Final = 4  # it was done, its result is lost and could not be made again

Need = tuple[int, tuple[str, ...]]  # (slots that a client must have, labels that it must carry)
Lane = tuple[int, int, Need]  # (kind of room, job, need): tasks that wait for the same kind of place


class Attempt(Struct, array_like=True, gc=False):
    """One assignment of a task to one client; its number fences it."""

    number: int
    client: str
    kind: int
    asked_back: bool = False
    parked: Done | None = None


class Task(Struct, array_like=True, gc=False):
    number: int
    start: StartTask
    seed: int
    inputs: tuple[int, ...] = ()  # the distinct prerequisites, in order
    state: int = OPEN
    again: bool = False  # done, lost, and on its way to be made again
    missing: int = 0  # inputs whose result does not exist at the moment
    unsupplied: int = 0  # ... and that nobody is making either
    needed: int = 0  # active tasks (open, or made again) that have this one among their inputs
    caused: int = 0  # tasks that were started because of this one: a part of their seeds
    attempts: tuple[Attempt, ...] = ()  # the live ones
    last_attempt: int = 0
    tries: int = 0
    deaths: int = 0
    digest: bytes = b""
    size: int = 0
    holders: tuple[str, ...] = ()  # clients that may hold the result: Client.holds says whether they do
    consumers: list[int] = []  # ascending; may name tasks that are not active any more
    released: bool = False
    pinned: bool = False  # an output of a finishing job
    shunned: tuple[str, ...] = ()  # clients that could not fetch its inputs
    error: str = ""


class Event(Struct, array_like=True, frozen=True, gc=False):
    """What a scheduler is told."""

    seq: int
    kind: str  # init | client_joined | client_dead | task_done | task_failed | timer
    time_ms: int  # cluster time when it was logged
    task: int = 0
    name: str = ""  # of the task, or of the timer
    values: dict[str, bytes] = {}  # JSON text; of `init`: {"args": ...}
    error: str = ""
    client: str = ""
    size: int = 0  # bytes that it counts for


class Program(Struct, array_like=True):
    """A job's packed files, in parts until they are complete and their hash is right."""

    parts: list[bytes]
    expected: int
    complete: bool = False
    ended: int = -1  # how many jobs had ended when the last one that uses it did; -1: it is in use; NOT_YET_USED


class Client(Struct, array_like=True):
    """A client's session, and what it has."""

    id: str
    incarnation: int  # index of the entry that registered it
    nonce: int
    address: str
    slots: int
    labels: tuple[str, ...]
    alive: bool = True
    acked: int = 0  # last sequence of reports that took effect
    number: int = 0  # index of the last change of its part
    heard_ms: int = 0  # cluster time at which it was last heard
    nonces: list[int] = []  # earlier ones: a late copy of their registration changes nothing
    window: int = 0  # ready attempts that it may have
    ready: int = 0
    waiting: int = 0
    aside: int = 0
    args_bytes: int = 0  # arguments of its live attempts
    done_since: int = 0  # tasks done since the last tick
    attempts: dict[int, dict[int, Attempt]] = {}  # job → task → its live attempt here
    holds: dict[int, dict[int, int]] = {}  # job → task → attempt whose result it has
    vital: dict[int, dict[int, None]] = {}  # ... those that an active task needs, or that are outputs
    uses: dict[int, dict[int, int]] = {}  # job → supplier → live attempts here that have it among their inputs
    avoids: dict[int, dict[int, list[str]]] = {}  # job → supplier → holders that this client could not reach
    told: dict[int, None] = {}  # jobs that it has JobInfo of
    floor: int = 0  # a client that knows less gets its whole part
    log: deque[tuple[int, AnyChange]] | None = None  # recent changes; not part of a snapshot


class JobState(Struct, array_like=True):
    """A job: what others may read of it, then what the view needs to run it."""

    number: int
    job_id: str
    spec: JobSpec
    state: str = "running"  # running | finishing | done | failed | cancelled
    error: str = ""
    started: int = 0
    done: int = 0
    failed: int = 0
    read: int = 0
    values: bytes = b""
    generation: int = 1
    decided: int = 0  # the last event that is answered whole
    next_part: int = 0
    changed: int = 0  # index of the last change
    nondeterministic: bool = False
    ordered: bool = False
    saved: tuple[int, bytes] = (0, b"")  # (event, the scheduler's state after it)
    saving: tuple[int, list[bytes]] = (0, [])  # (event, parts of the state that have come)
    trusted: tuple[int, int] = (0, 0)  # (event, part) from which the present generation answers
    trusted_digest: bytes = b""
    reruns: int = 0
    refused: int = 0  # reports and decisions that were refused
    restarts: int = 0  # at the same decided event, in a row
    restarted_at: int = -1
    started_ms: int = 0
    ended_ms: int = 0
    second_attempts: int = 0  # attempts beyond the first of each task and its replicas

    last_event: int = 0
    events: list[Event] = []  # those after the last save
    unanswered_bytes: int = 0
    answers: list[tuple[int, bytes]] = []  # (event, digest of the decided actions up to it), recent ones
    answering: int = 0  # event whose answer the last part belonged to
    caused: int = 0  # tasks started by that event, where no task caused it
    early: list[tuple[str, str]] = []  # client events that wait for the answer to event 1
    withheld: dict[int, Event] = {}  # ordered: ends that wait for the end of a lower task
    withheld_bytes: int = 0
    next_end: int = 1  # ordered: the task whose end is told next
    next_task: int = 1
    tasks: dict[int, Task] = {}
    open: dict[int, None] = {}  # unfinished ones
    parked: dict[int, list[int]] = {}  # supplier → tasks whose report waits for it
    parked_count: int = 0
    timers: dict[str, tuple[int, int]] = {}  # name → (due, order)
    outputs: list[tuple[int, str]] = []
    clients: dict[str, None] = {}  # that were told of it
