"""What the client's core asks of its shell.  The shell performs the effects in the order given."""

from __future__ import annotations

from dataclasses import dataclass

from tasksprint.view.part import Assign, JobInfo
from tasksprint.wire.messages import ToCoordinator
from tasksprint.wire.results import Piece, Result


@dataclass(slots=True)
class Input:
    """One prerequisite as a node gets it."""

    task: int
    key: str
    piece: Piece


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a link to this coordinator, after `delay_ms`; any other link to a coordinator is closed.

    Answer: `connected` or `disconnected`, with the same number.
    """

    number: int
    address: str
    delay_ms: int


@dataclass(frozen=True, slots=True)
class SendCoordinator:
    message: ToCoordinator


@dataclass(frozen=True, slots=True)
class StartNode:
    """Start a node process for the job.  Answer: `node_ready` or `node_gone`."""

    node: int
    info: JobInfo
    extra: bool  # beside the slots, for cores=0


@dataclass(frozen=True, slots=True)
class Run:
    """Send the task to the node.

    Answer: `node_done` and then `result_made`; or `node_failed`; or `node_refused` when the node is about to end.
    When a node ends, the task that it worked on is answered first; those behind it go back with `node_gone`.
    """

    node: int
    assign: Assign
    inputs: list[Input]


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Stop the task; the node is replaced if it does not answer in CANCEL_GRACE_MS.

    Answer: `node_stopped` when the node is free again, or `node_gone`.
    """

    node: int
    job: int
    task: int
    attempt: int


@dataclass(frozen=True, slots=True)
class StopNode:
    """Let it go (`bye`, then its group is killed).  No answer."""

    node: int


@dataclass(frozen=True, slots=True)
class FetchPiece:
    """Ask the supplier; answered by `fetched` or `fetch_failed`, with the same arguments, when it is there."""

    job: int
    job_id: str
    task: int
    attempt: int
    key: str
    client: str
    address: str


@dataclass(frozen=True, slots=True)
class StopFetching:
    job: int
    task: int
    attempt: int
    key: str


@dataclass(frozen=True, slots=True)
class Serve:
    """Send the piece over the link of the fetcher."""

    link: int
    request: int
    result_digest: bytes
    piece: Piece


@dataclass(frozen=True, slots=True)
class ServeGone:
    link: int
    request: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class KeepResult:
    """Put the result on the shelf."""

    job: int
    job_id: str
    task: int
    attempt: int
    result: Result


@dataclass(frozen=True, slots=True)
class DropResult:
    job: int
    task: int
    attempt: int


@dataclass(frozen=True, slots=True)
class DropFetched:
    """A piece that was fetched is not needed any more."""

    job: int
    task: int
    attempt: int
    key: str
    piece: Piece


@dataclass(frozen=True, slots=True)
class DropJob:
    """Forget the job: its results, its folder, what was fetched for it."""

    job: int
    job_id: str


@dataclass(frozen=True, slots=True)
class DropLeftovers:
    """Asked for once, early: forget what an earlier life of this client left here and nobody wants any more.

    That is everything of jobs that are not named, and these results of whatever job.
    """

    jobs: tuple[str, ...]  # ids of the jobs that go on
    results: tuple[tuple[str, int, int], ...]  # (job id, task, attempt)


@dataclass(frozen=True, slots=True)
class Left:
    """The cluster has taken note that this client goes."""


Effect = (
    Dial
    | SendCoordinator
    | StartNode
    | Run
    | CancelRun
    | StopNode
    | FetchPiece
    | StopFetching
    | Serve
    | ServeGone
    | KeepResult
    | DropResult
    | DropFetched
    | DropJob
    | DropLeftovers
    | Left
)
