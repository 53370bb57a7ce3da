"""What the client's core asks of its shell.  The shell performs the effects in the order given."""

from __future__ import annotations

from msgspec import Struct

from tasksprint.view.part import Assign, JobInfo
from tasksprint.wire.messages import ToCoordinator
from tasksprint.wire.results import Piece, Result


class Wish(Struct, frozen=True, gc=False):
    """Structs because they are made ten times faster than frozen dataclasses."""


class Input(Struct, gc=False):
    """One prerequisite as a node gets it."""

    task: int
    key: str
    piece: Piece


class Dial(Wish, frozen=True, gc=False):
    """Open a link to this coordinator, after `delay_ms`; any other link to a coordinator is closed.

    Answer: `connected` or `disconnected`, with the same number.
    """

    number: int
    address: str
    delay_ms: int


class SendCoordinator(Wish, frozen=True, gc=False):
    message: ToCoordinator


class StartNode(Wish, frozen=True, gc=False):
    """Start a node process for the job.  Answer: `node_ready` or `node_gone`."""

    node: int
    info: JobInfo
    extra: bool  # beside the slots, for cores=0


class Run(Wish, frozen=True, gc=False):
    """Send the task to the node.

    Answer: `node_done` and then `result_made`; or `node_failed`; or `node_refused` when the node is about to end.
    When a node ends, the task that it worked on is answered first; those behind it go back with `node_gone`.
    """

    node: int
    assign: Assign
    inputs: list[Input]


class CancelRun(Wish, frozen=True, gc=False):
    """Stop the task; the node is replaced if it does not answer in CANCEL_GRACE_MS.

    Answer: `node_stopped` when the node is free again, or `node_gone`.
    """

    node: int
    job: int
    task: int
    attempt: int


class StopNode(Wish, frozen=True, gc=False):
    """Let it go (`bye`, then its group is killed).  No answer."""

    node: int


class FetchPiece(Wish, frozen=True, gc=False):
    """Ask the supplier; answered by `fetched` or `fetch_failed`, with the same arguments, when it is there."""

    job: int
    job_id: str
    task: int
    attempt: int
    key: str
    client: str
    address: str


class StopFetching(Wish, frozen=True, gc=False):
    job: int
    task: int
    attempt: int
    key: str


class Serve(Wish, frozen=True, gc=False):
    """Send the piece over the link of the fetcher."""

    link: int
    request: int
    result_digest: bytes
    piece: Piece


class ServeGone(Wish, frozen=True, gc=False):
    link: int
    request: int
    kind: str
    reason: str


class KeepResult(Wish, frozen=True, gc=False):
    """Put the result on the shelf."""

    job: int
    job_id: str
    task: int
    attempt: int
    result: Result


class DropResult(Wish, frozen=True, gc=False):
    job: int
    task: int
    attempt: int


class DropFetched(Wish, frozen=True, gc=False):
    """A piece that was fetched is not needed any more."""

    job: int
    task: int
    attempt: int
    key: str
    piece: Piece


class DropJob(Wish, frozen=True, gc=False):
    """Forget the job: its results, its folder, what was fetched for it."""

    job: int
    job_id: str


class DropLeftovers(Wish, frozen=True, gc=False):
    """Asked for once, early: forget what an earlier life of this client left here and nobody wants any more.

    That is everything of jobs that are not named, and these results of whatever job.
    """

    jobs: tuple[str, ...]  # ids of the jobs that go on
    results: tuple[tuple[str, int, int], ...]  # (job id, task, attempt)


class Left(Wish, frozen=True, gc=False):
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
