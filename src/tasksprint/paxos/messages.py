"""What replicas say to each other and what they write down.  Every message carries the configuration's number."""

from __future__ import annotations

from msgspec import Struct

Ballot = tuple[int, int]  # (counter, replica id), compared as tuples; (0, 0) is before every ballot
ZERO: Ballot = (0, 0)
HOLE = -1  # the `round` of a HeartbeatReply that nobody asked for: something is missing, send it again


class Message(Struct, array_like=True, frozen=True, gc=False):
    config: int


class PreVote(Message, tag="prevote", frozen=True, gc=False):
    """Would you promise `ballot`?  Asked before standing, so that a replica behind a cut disturbs nobody."""

    ballot: Ballot
    accepted: Ballot
    length: int
    decided: int


class PreVoteReply(Message, tag="prevote_reply", frozen=True, gc=False):
    ballot: Ballot
    granted: bool
    promised: Ballot


class Prepare(Message, tag="prepare", frozen=True, gc=False):
    """Promise `ballot`, and send what your log has and mine (of `length`, accepted in `accepted`) may lack."""

    ballot: Ballot
    decided: int
    accepted: Ballot
    length: int
    start: int = 0  # a long suffix comes in pieces: send from here on; 0: you know from where


class Promise(Message, tag="promise", frozen=True, gc=False):
    """Sent only when the promise, and the log that it tells of, are durable."""

    ballot: Ballot
    accepted: Ballot
    length: int
    decided: int
    start: int  # index of the first of `suffix`
    suffix: list[bytes]  # may end before `length`: the candidate asks for more


class Reject(Message, tag="reject", frozen=True, gc=False):
    """`promised` is above the ballot of what was sent."""

    promised: Ballot


class AcceptSync(Message, tag="accept_sync", frozen=True, gc=False):
    """A piece of the leader's first log: from `begin` on it replaces the follower's, at once, when all of it
    up to `until` has come.  A part of it must never count as an acceptance (acceptor.py says why)."""

    ballot: Ballot
    begin: int
    until: int
    start: int  # index of the first of `entries`
    entries: list[bytes]
    decided: int


class Accept(Message, tag="accept", frozen=True, gc=False):
    ballot: Ballot
    start: int  # index of the first entry; the log has no holes
    entries: list[bytes]
    decided: int


class Accepted(Message, tag="accepted", frozen=True, gc=False):
    """Sent only when everything up to `length` is durable."""

    ballot: Ballot
    length: int


class Heartbeat(Message, tag="heartbeat", frozen=True, gc=False):
    ballot: Ballot
    decided: int
    round: int  # echoed: confirms leadership for reads


class HeartbeatReply(Message, tag="heartbeat_reply", frozen=True, gc=False):
    """Also sent unasked: by a follower that misses something (round HOLE), or tells how far it is (round 0)."""

    ballot: Ballot
    round: int
    length: int  # durable and in this ballot's log
    received: int  # arrived, of this ballot's log; below what was sent: send again from here


class Resigned(Message, tag="resigned", frozen=True, gc=False):
    """The leader of `ballot` leads no more: do not wait for its silence."""

    ballot: Ballot


class SnapshotChunk(Message, tag="snapshot", frozen=True, gc=False):
    ballot: Ballot
    index: int  # the snapshot is the state after this index
    offset: int
    total: int
    digest: bytes  # of the whole
    data: bytes


class SnapshotReply(Message, tag="snapshot_reply", frozen=True, gc=False):
    ballot: Ballot
    index: int
    offset: int  # bytes received so far
    done: bool  # the state after `index`, or a later one, is installed and durable


AnyMessage = (
    PreVote | PreVoteReply | Prepare | Promise | Reject | AcceptSync | Accept | Accepted | Heartbeat | HeartbeatReply
    | Resigned | SnapshotChunk | SnapshotReply
)


class Record(Struct, array_like=True, frozen=True, gc=False):
    """One line of the journal; replayed in order they give the replica's durable state."""


class Promised(Record, tag="promised", frozen=True, gc=False):
    ballot: Ballot


class Appended(Record, tag="appended", frozen=True, gc=False):
    """The log is cut to `start - 1` entries, then these follow; all of it was accepted in `ballot`.

    With `until`, the records from this one to the one that reaches that index are one: all of them or none.
    """

    ballot: Ballot
    start: int
    entries: list[bytes]
    until: int = 0


class Decided(Record, tag="decided", frozen=True, gc=False):
    """A hint that saves work after a restart: it need not be synced."""

    index: int


class Snapshotted(Record, tag="snapshotted", frozen=True, gc=False):
    """The log up to `index` is in the snapshot of that index."""

    index: int


AnyRecord = Promised | Appended | Decided | Snapshotted
