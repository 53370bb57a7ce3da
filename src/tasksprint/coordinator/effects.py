"""What the coordinator's core asks of its shell.  The shell performs the effects in the order given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tasksprint.paxos.messages import AnyMessage
from tasksprint.view.operations import JobSpec

if TYPE_CHECKING:
    from tasksprint.view import Event
    from tasksprint.wire.messages import FromCoordinator


class Wish(Struct, frozen=True, gc=False):
    """Structs because they are made ten times faster than frozen dataclasses, and one step of a job takes ten."""


class Write(Wish, frozen=True, gc=False):
    """Append the records to the journal; call `written(write)` when they, and all before, are durable.

    `sync=False`: nothing waits for them, they may go with the next group.
    `quiet`: they are written at once, but `written` need not be called before an `Await` or a later write asks for it.
    """

    write: int
    records: list[bytes]
    sync: bool
    quiet: bool = False


class Await(Wish, frozen=True, gc=False):
    """Call `written` as soon as everything asked for so far is durable: at once, when it is."""


class Rotate(Wish, frozen=True, gc=False):
    """Store the snapshot durably, together with the records that go with it.

    `write` > 0: it came from the leader; as with Write, `written(write)` when all of it is durable.
    `write` 0: it is our own; the journal may begin anew with these records, and what was before may go.
    """

    write: int
    index: int
    snapshot: bytes
    records: list[bytes]


class SendPeer(Wish, frozen=True, gc=False):
    to: int
    message: AnyMessage


class Send(Wish, frozen=True, gc=False):
    """To a client or a command; a link that is gone is ignored."""

    link: int
    message: FromCoordinator


class StartScheduler(Wish, frozen=True, gc=False):
    """Start this copy; with a saved `state`, restore it.  Answer: `scheduler_ready` or `scheduler_failed`."""

    job: int
    copy: int
    job_id: str
    spec: JobSpec
    program: bytes | None
    state: bytes | None
    saved: int = 0  # the last event that `state` knows


class FeedScheduler(Wish, frozen=True, gc=False):
    """One line of events.  Answer: `scheduler_answered`, in parts; after one with `more` wait for ResumeScheduler."""

    job: int
    copy: int
    events: list[Event]


class ResumeScheduler(Wish, frozen=True, gc=False):
    job: int
    copy: int


class SaveScheduler(Wish, frozen=True, gc=False):
    """Answer: `scheduler_saved`."""

    job: int
    copy: int


class LogScheduler(Wish, frozen=True, gc=False):
    """A line for the job's log."""

    job: int
    text: str


class StopScheduler(Wish, frozen=True, gc=False):
    """End the copy's process, if it is there; `ended` when the job itself is over."""

    job: int
    copy: int
    ended: bool


class Halt(Wish, frozen=True, gc=False):
    """This coordinator must not go on: print the reason and end the process."""

    reason: str


Effect = (
    Write
    | Await
    | Rotate
    | SendPeer
    | Send
    | StartScheduler
    | FeedScheduler
    | ResumeScheduler
    | SaveScheduler
    | LogScheduler
    | StopScheduler
    | Halt
)
