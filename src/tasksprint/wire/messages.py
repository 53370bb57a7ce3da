"""Typed messages on the links between our own processes (floor plan: bytes ↔ values, pure).

One union a direction, MessagePack, checked by msgspec: what does not fit its type is refused with the
name of the field.  Kinds of link: `peer` (coordinator to coordinator), `client` (client to coordinator),
`submit` (a command to a coordinator), `fetch` (client or command to client).
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tasksprint.paxos.messages import AnyMessage
from tasksprint.view.operations import AnyReport, Held, JobSpec
from tasksprint.view.part import AnyChange


class WireMessage(Struct, array_like=True, frozen=True, gc=False):
    pass


# --- the handshake (before anything else, on every link) -------------------------------------------


class Hello(WireMessage, tag="hello", frozen=True, gc=False):
    version: int
    cluster: str
    kind: str  # peer | client | submit | fetch
    sender: str  # "coordinator 2", "client 9f…", "command"
    nonce: bytes


class Proof(WireMessage, tag="proof", frozen=True, gc=False):
    mac: bytes


class Reject(WireMessage, tag="reject", frozen=True, gc=False):
    reason: str
    retry: bool = False  # the moment was wrong (full), not the secret, version or name


HandshakeMessage = Hello | Proof | Reject

# --- peer ------------------------------------------------------------------------------------------


class Peer(WireMessage, tag="peer", frozen=True, gc=False):
    messages: list[AnyMessage]


# --- client → coordinator --------------------------------------------------------------------------


class RegisterClient(WireMessage, tag="register", frozen=True, gc=False):
    client: str
    nonce: int
    address: str
    slots: int
    labels: list[str]
    held: list[Held]


class Poll(WireMessage, tag="poll", frozen=True, gc=False):
    client: str
    incarnation: int
    known: int  # the view number that the client has


class Alive(WireMessage, tag="alive", frozen=True, gc=False):
    client: str
    incarnation: int
    progress: list[tuple[int, int, int, int]] = []  # (job, task, attempt, thousandths), where there is news


class SendReports(WireMessage, tag="reports", frozen=True, gc=False):
    client: str
    incarnation: int
    sequence: int
    reports: list[AnyReport]


class LeaveCluster(WireMessage, tag="leave", frozen=True, gc=False):
    client: str
    incarnation: int


class GetProgram(WireMessage, tag="get_program", frozen=True, gc=False):
    hash: str
    offset: int


# --- coordinator → client --------------------------------------------------------------------------


class Registered(WireMessage, tag="registered", frozen=True, gc=False):
    nonce: int
    incarnation: int


class View(WireMessage, tag="view", frozen=True, gc=False):
    """The answer to a poll: what changed since the number that it named."""

    number: int
    acked: int  # the last sequence of reports that took effect
    whole: bool  # `changes` is the whole part
    changes: list[AnyChange]
    more: bool = False  # the changes go on in the next View


class Unregistered(WireMessage, tag="unregistered", frozen=True, gc=False):
    """Declared dead, or never heard of: register anew."""

    client: str


class NotLeader(WireMessage, tag="not_leader", frozen=True, gc=False):
    leader: int  # 0: not known
    address: str


class ProgramPart(WireMessage, tag="program_part", frozen=True, gc=False):
    hash: str
    offset: int
    total: int  # 0: not known here
    data: bytes


# --- command ↔ coordinator --------------------------------------------------------------------------


class PutProgram(WireMessage, tag="put_program", frozen=True, gc=False):
    request: int
    hash: str
    part: int
    parts: int
    data: bytes


class SubmitJob(WireMessage, tag="submit", frozen=True, gc=False):
    request: int
    job_id: str
    spec: JobSpec


class WatchJob(WireMessage, tag="watch", frozen=True, gc=False):
    """Answered when the job's number is above `known`, or after POLL_HELD_MS."""

    request: int
    job_id: str
    known: int


class CancelRequest(WireMessage, tag="cancel", frozen=True, gc=False):
    request: int
    job_id: str


class CollectedRequest(WireMessage, tag="collected", frozen=True, gc=False):
    request: int
    job_id: str


class StatusRequest(WireMessage, tag="status", frozen=True, gc=False):
    request: int
    what: str  # "cluster" | "jobs" | "job:<id>" | "why:<id>" | "why:<id>:<task>" | "self" (this one, leader or not)


class SchedulerLog(WireMessage, tag="scheduler_log", frozen=True, gc=False):
    """This coordinator's copy of what the job's scheduler printed."""

    request: int
    job_id: str
    offset: int


class Answer(WireMessage, tag="answer", frozen=True, gc=False):
    """`error` is empty when the request succeeded; `data` is JSON text or raw bytes of a log."""

    request: int
    error: str
    data: bytes


class Output(Struct, array_like=True, frozen=True, gc=False):
    task: int
    key: str
    attempt: int
    holders: list[tuple[str, str]]  # (client, address); empty while the result is made again
    name: str = ""  # the task's, while the job has tasks


class JobUpdate(WireMessage, tag="job_update", frozen=True, gc=False):
    request: int
    job_id: str
    number: int
    state: str  # unknown | running | finishing | done | failed | cancelled
    error: str
    started: int  # tasks that the scheduler has started
    done: int
    failed: int
    read: int  # bytes of input worked through
    clients: int
    values: bytes  # JSON text, from `finishing` on
    outputs: list[Output]
    nondeterministic: bool


# --- fetching: anybody → client ---------------------------------------------------------------------


class Fetch(WireMessage, tag="fetch", frozen=True, gc=False):
    """Answered when the attempt is done, with Piece and Chunks, or with Gone."""

    request: int
    job_id: str
    task: int
    attempt: int
    key: str


class StopFetch(WireMessage, tag="stop_fetch", frozen=True, gc=False):
    request: int


class GetLog(WireMessage, tag="get_log", frozen=True, gc=False):
    """This client's kept output of the job's tasks, answered with Piece and Chunks."""

    request: int
    job_id: str
    offset: int


class Ping(WireMessage, tag="ping", frozen=True, gc=False):
    """Are you there?  Asked on a link on which answers are awaited and nothing comes."""


class Pong(WireMessage, tag="pong", frozen=True, gc=False):
    pass


class Piece(WireMessage, tag="piece", frozen=True, gc=False):
    request: int
    result_digest: bytes  # of the whole result that the piece belongs to
    digest: bytes  # of this piece
    is_file: bool
    size: int
    data: bytes  # the first (often the only) bytes


class Chunk(WireMessage, tag="chunk", frozen=True, gc=False):
    request: int
    data: bytes


class Gone(WireMessage, tag="gone", frozen=True, gc=False):
    request: int
    kind: str  # missing_key | lost | moved (it is to be made elsewhere) | ended | unknown
    reason: str


ToCoordinator = (
    RegisterClient | Poll | Alive | SendReports | LeaveCluster | GetProgram
    | PutProgram | SubmitJob | WatchJob | CancelRequest | CollectedRequest | StatusRequest | SchedulerLog
)
Request = PutProgram | SubmitJob | CancelRequest | CollectedRequest | StatusRequest  # answered with an Answer
FromCoordinator = Registered | View | Unregistered | NotLeader | ProgramPart | Answer | JobUpdate
ToSupplier = Fetch | StopFetch | GetLog | Ping
FromSupplier = Piece | Chunk | Gone | Pong

encode = msgspec.msgpack.Encoder().encode
decode_handshake = msgspec.msgpack.Decoder(HandshakeMessage).decode
decode_peer = msgspec.msgpack.Decoder(Peer).decode
decode_to_coordinator = msgspec.msgpack.Decoder(ToCoordinator).decode
decode_from_coordinator = msgspec.msgpack.Decoder(FromCoordinator).decode
decode_to_supplier = msgspec.msgpack.Decoder(ToSupplier).decode
decode_from_supplier = msgspec.msgpack.Decoder(FromSupplier).decode
