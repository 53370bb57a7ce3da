"""What replicas say to each other and what they write down.  Every message carries the configuration's number."""

from __future__ import annotations

from msgspec import Struct

Ballot = tuple[int, int]  # (counter, replica id), compared as tuples; (0, 0) is before every ballot
ZERO: Ballot = (0, 0)


class Message(Struct, array_like=True, frozen=True, gc=False):
    config: int


class PreVote(Message, tag="prevote", gc=False):
    """Would you promise `ballot`?  Asked before standing, so that a replica behind a cut disturbs nobody."""

    ballot: Ballot
    accepted: Ballot
    length: int


class PreVoteReply(Message, tag="prevote_reply", gc=False):
    ballot: Ballot
    granted: bool
    promised: Ballot


class Prepare(Message, tag="prepare", gc=False):
    ballot: Ballot
    decided: int
    accepted: Ballot
    length: int


class Promise(Message, tag="promise", gc=False):
    """Sent only when the promise is durable."""

    ballot: Ballot
    accepted: Ballot
    length: int
    decided: int
    start: int  # index of the first of `suffix`
    suffix: list[bytes]


class Reject(Message, tag="reject", gc=False):
    """`promised` is above the ballot of what was sent."""

    promised: Ballot


class AcceptSync(Message, tag="accept_sync", gc=False):
    """The leader's log from `start` on replaces the follower's."""

    ballot: Ballot
    start: int
    entries: list[bytes]
    decided: int
    session: int


class Accept(Message, tag="accept", gc=False):
    ballot: Ballot
    start: int  # index of the first entry; the log has no holes
    entries: list[bytes]
    decided: int


class Accepted(Message, tag="accepted", gc=False):
    """Sent only when everything up to `length` is durable."""

    ballot: Ballot
    length: int


class Heartbeat(Message, tag="heartbeat", gc=False):
    ballot: Ballot
    decided: int
    round: int  # echoed: confirms leadership for reads


class HeartbeatReply(Message, tag="heartbeat_reply", gc=False):
    ballot: Ballot
    round: int
    length: int  # durable and in this ballot's log; below the leader's: send again from here
    

class SnapshotChunk(Message, tag="snapshot", gc=False):
    ballot: Ballot
    index: int  # the snapshot is the state after this index
    offset: int
    total: int
    digest: bytes  # of the whole
    data: bytes


class SnapshotReply(Message, tag="snapshot_reply", gc=False):
    ballot: Ballot
    index: int
    offset: int  # bytes received so far; `total` when it is installed and durable


AnyMessage = (
    PreVote | PreVoteReply | Prepare | Promise | Reject | AcceptSync | Accept | Accepted | Heartbeat | HeartbeatReply
    | SnapshotChunk | SnapshotReply
)


class Record(Struct, array_like=True, frozen=True, gc=False):
    """One line of the journal; replayed in order they give the replica's durable state."""


class Promised(Record, tag="promised", gc=False):
    ballot: Ballot


class Appended(Record, tag="appended", gc=False):
    """The log is cut to `start - 1` entries, then these follow; all of it was accepted in `ballot`."""

    ballot: Ballot
    start: int
    entries: list[bytes]


class Decided(Record, tag="decided", gc=False):
    """A hint that saves work after a restart: it need not be synced."""

    index: int


class Snapshotted(Record, tag="snapshotted", gc=False):
    """The log up to `index` is in the snapshot of that index."""

    index: int


AnyRecord = Promised | Appended | Decided | Snapshotted
