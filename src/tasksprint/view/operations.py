"""What the log carries: every operation that changes the view, as a typed record.

One slot of the log is a MessagePack list of operations (`pack_entry`, `unpack_entry`).  Arguments and
values stay opaque bytes (JSON text): the view never looks inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

Ballot = tuple[int, int]  # (counter, replica id); compares as the ballots of Paxos do


class Action(Struct, array_like=True, frozen=True, gc=False):
    """What a scheduler decided: one entry of an answer."""


class StartTask(Action, tag="start", frozen=True, gc=False):
    task: int  # the next number of the job's counter; a refused one uses it up
    name: str
    args: bytes  # JSON text
    prerequisites: list[tuple[int, str]] = []  # (task, key), every task lower than this one
    keys: list[str] = []  # pieces of the result that the scheduler wants to see
    replicas: int = 1
    retries: int = 3
    timeout_ms: int = 0  # 0: none
    cores: int = 1  # 0: runs beside the slots
    labels: list[str] = []
    side_effects: bool = False
    cause: int = -1  # the task whose end started it, where that is not the task of the event (-1: as the event)


class KillTask(Action, tag="kill", frozen=True, gc=False):
    task: int


class Release(Action, tag="release", frozen=True, gc=False):
    task: int


class SetTimer(Action, tag="timer", frozen=True, gc=False):
    name: str
    delay_ms: int


class Finish(Action, tag="finish", frozen=True, gc=False):
    values: bytes  # JSON text
    files: list[tuple[int, str]] = []  # (task, key): outputs that the submitter collects


class Fail(Action, tag="fail", frozen=True, gc=False):
    error: str


AnyAction = StartTask | KillTask | Release | SetTimer | Finish | Fail
_actions = msgspec.msgpack.Decoder(list[AnyAction])


def pack_actions(actions: Sequence[AnyAction]) -> bytes:
    return msgspec.msgpack.encode(actions)


def unpack_actions(data: bytes) -> list[AnyAction]:
    return _actions.decode(data)


# --- reports of a client ---------------------------------------------------------------------------


class Report(Struct, array_like=True, frozen=True, gc=False):
    job: int
    task: int
    attempt: int


class Done(Report, tag="done", frozen=True, gc=False):
    digest: bytes  # of the whole result
    size: int  # bytes of all its pieces
    read: int  # bytes of input that the task worked through, for progress
    run_us: int
    values: dict[str, bytes]  # JSON text of the keys that the scheduler wants
    inputs: list[tuple[int, int, bytes]]  # (task, attempt, digest) of every prerequisite used


class Failed(Report, tag="failed", frozen=True, gc=False):
    kind: str  # error | crash | timeout | protocol | start | missing_key | client
    error: str  # for a person: what happened, and the end of stderr


class Returned(Report, tag="returned", frozen=True, gc=False):
    """Asked to give the attempt back, and it had not started."""


class Lost(Report, tag="lost", frozen=True, gc=False):
    """This client held the result and has it no longer."""


class Unreachable(Report, tag="unreachable", frozen=True, gc=False):
    """The consumer's client could not get the result of (task, attempt) from its holder."""

    holder: str
    consumer: int
    consumer_attempt: int


AnyReport = Done | Failed | Returned | Lost | Unreachable


class Held(Struct, array_like=True, frozen=True, gc=False):
    """A result that a client kept over its restart."""

    job_id: str
    task: int
    attempt: int
    digest: bytes
    size: int


# --- jobs ------------------------------------------------------------------------------------------


class JobSpec(Struct, array_like=True, frozen=True, gc=False):
    """What a submitter asks for."""

    name: str
    scheduler: list[str]  # a command; "@python" stands for the interpreter of the machine it runs on
    node: list[str]
    args: bytes  # JSON text
    seed: int
    program: str = ""  # hash of the packed files, "" for none
    values_bytes: int = 0  # 0: the default limit
    strict: bool = False  # a re-run whose digest differs fails the job


# --- operations ------------------------------------------------------------------------------------


class Operation(Struct, array_like=True, frozen=True, gc=False):
    """One entry of a slot."""


class Begin(Operation, tag="begin", frozen=True, gc=False):
    """A new leader's first entry: every client gets a full timeout."""

    ballot: Ballot


class Tick(Operation, tag="tick", frozen=True, gc=False):
    """Time moves, by the leader alone."""

    ballot: Ballot
    step_ms: int
    heard: list[str]  # clients heard from since the last tick
    checked_index: int  # the leader's digest of its state after this index ...
    checked_digest: bytes  # ... which every replica compares with its own


class Register(Operation, tag="register", frozen=True, gc=False):
    client: str
    nonce: int  # of this start of the client; the same nonce again changes nothing
    address: str  # host:port where other clients fetch
    slots: int
    labels: list[str]
    held: list[Held]


class Leave(Operation, tag="leave", frozen=True, gc=False):
    """The client goes: what it had is placed elsewhere; nothing counts as a try."""

    client: str
    incarnation: int


class Reports(Operation, tag="reports", frozen=True, gc=False):
    client: str
    incarnation: int
    sequence: int  # 1, 2, ... within the incarnation: each takes effect once
    reports: list[AnyReport]


class ProgramChunk(Operation, tag="program", frozen=True, gc=False):
    hash: str  # SHA-256 of the whole, in hexadecimal
    part: int
    parts: int
    data: bytes


class Submit(Operation, tag="submit", frozen=True, gc=False):
    job_id: str
    spec: JobSpec


class Decide(Operation, tag="decide", frozen=True, gc=False):
    """A part of the leader's scheduler's answer to the events up to `seq`."""

    ballot: Ballot
    job: int
    generation: int
    seq: int  # the last event that the answer covers
    part: int  # 0, 1, ... within the answer
    more: bool
    ordered: bool  # what the scheduler said of itself; counts in the answer to event 1
    answers: list[tuple[int, bytes]]  # (event, packed actions), events without actions left out


class Save(Operation, tag="save", frozen=True, gc=False):
    """A part of the scheduler's state after event `seq`: with the last one, events up to it need not be kept."""

    ballot: Ballot
    job: int
    generation: int
    seq: int
    state: bytes
    part: int = 0
    parts: int = 1


class Restart(Operation, tag="restart", frozen=True, gc=False):
    """No copy of the scheduler agrees with the log: go on from the last save, under a new generation."""

    ballot: Ballot
    job: int
    generation: int  # the one that ends
    reason: str


class FailJob(Operation, tag="fail_job", frozen=True, gc=False):
    ballot: Ballot
    job: int
    error: str


class CancelJob(Operation, tag="cancel", frozen=True, gc=False):
    job_id: str


class Collected(Operation, tag="collected", frozen=True, gc=False):
    job_id: str


AnyOperation = (
    Begin | Tick | Register | Leave | Reports | ProgramChunk | Submit
    | Decide | Save | Restart | FailJob | CancelJob | Collected
)  # fmt: skip
_entry = msgspec.msgpack.Decoder(list[AnyOperation])


def pack_entry(operations: list[AnyOperation]) -> bytes:
    return msgspec.msgpack.encode(operations)


def unpack_entry(data: bytes) -> list[AnyOperation]:
    """Raises msgspec.DecodeError or ValidationError for bytes that are no entry."""
    return _entry.decode(data)
