"""A snapshot on its way to a replica that lacks what the leader's log no longer has.

Chunks in order, a few unanswered at a time; each answer says how many bytes are there, so a transfer
goes on where it stopped, under a new leader too when that has the same snapshot.  A stall is seen at a
heartbeat: then it goes on from what the last answer said, which is also how a receiver that restarted
(and has nothing) gets it from the start.  What came whole is used only if its digest is right.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasksprint.codec import digest
from tasksprint.limits import SNAPSHOT_CHUNK_BYTES
from tasksprint.paxos.messages import Ballot, SnapshotChunk, SnapshotReply

CHUNKS_IN_FLIGHT = 4
SNAPSHOT_MAX_BYTES = 4 << 30


class Snapshot:
    __slots__ = ("_digest", "data", "index")

    def __init__(self, index: int, data: bytes) -> None:
        self.index = index
        self.data = data
        self._digest = b""

    @property
    def digest(self) -> bytes:
        if not self._digest:
            self._digest = digest(self.data)
        return self._digest


class Sender:
    """The leader's side, for one follower.  It keeps its snapshot until the end, though there be a newer one."""

    __slots__ = ("_moved", "_offset", "_said", "_sent", "snapshot")

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._offset = 0  # bytes that the receiver has
        self._sent = -1  # bytes sent; -1: nothing, not even the chunk that an empty snapshot has
        self._said = 0  # what the last answer said
        self._moved = True  # since the last heartbeat

    def chunks(self, config: int, ballot: Ballot) -> Iterator[SnapshotChunk]:
        snapshot = self.snapshot
        total = len(snapshot.data)
        while self._sent < total and self._sent - self._offset < CHUNKS_IN_FLIGHT * SNAPSHOT_CHUNK_BYTES:
            offset = max(self._sent, 0)
            data = snapshot.data[offset : offset + SNAPSHOT_CHUNK_BYTES]
            self._sent = offset + len(data)
            yield SnapshotChunk(config, ballot, snapshot.index, offset, total, snapshot.digest, data)

    def answered(self, reply: SnapshotReply) -> None:
        self._said = reply.offset
        if reply.offset > self._offset:
            self._offset = reply.offset
            self._sent = max(self._sent, reply.offset)
            self._moved = True

    def heartbeat(self) -> None:
        if not self._moved:
            self._offset = self._said
            self._sent = min(self._said, len(self.snapshot.data) - 1)
        self._moved = False


class Receiver:
    """The follower's side: what has come of one snapshot."""

    __slots__ = ("_ahead", "_buffer", "_key")

    def __init__(self) -> None:
        self._begin((0, 0, b""))

    def _begin(self, key: tuple[int, int, bytes]) -> None:
        self._key = key
        self._buffer = bytearray()
        self._ahead: dict[int, bytes] = {}  # chunks that overtook others

    def take(self, chunk: SnapshotChunk) -> tuple[int, bytes | None]:
        """(bytes here, the whole snapshot when this chunk completed it)."""
        key = (chunk.index, chunk.total, chunk.digest)
        if key != self._key:
            if not 0 <= chunk.total <= SNAPSHOT_MAX_BYTES:
                return 0, None
            self._begin(key)
        if chunk.offset == len(self._buffer):
            self._buffer += chunk.data
            while data := self._ahead.pop(len(self._buffer), b""):
                self._buffer += data
        elif chunk.offset > len(self._buffer) and len(self._ahead) < 2 * CHUNKS_IN_FLIGHT:
            self._ahead[chunk.offset] = chunk.data
        if len(self._buffer) < chunk.total:
            return len(self._buffer), None
        whole = bytes(self._buffer)
        self._begin((0, 0, b""))
        return (len(whole), whole) if digest(whole) == chunk.digest else (0, None)
