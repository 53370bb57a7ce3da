"""Sending pieces to whoever asked: in chunks, as fast as the link takes them, the requests of a link in turn.

A consumer may ask for thousands of pieces at once.  Nothing is read before the link has room for it, so that what waits
in memory is what the link may hold; and only a few large pieces are under way at a time, since each is an open file
here and there.  A piece of one chunk is over at its first turn and never waits for a large one to end.
"""

from __future__ import annotations

from collections import deque
from typing import BinaryIO

from tasksprint import limits
from tasksprint.transport import Link
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece

LARGE_AT_ONCE = 8  # pieces of more than one chunk that are under way on one link


class Sending:
    """One piece on its way."""

    __slots__ = ("_offset", "_piece", "_result_digest", "_source", "large", "left", "request")

    def __init__(self, request: int, result_digest: bytes, piece: Piece) -> None:
        self.request = request
        self.left = piece.size
        self.large = piece.size > limits.CHUNK_BYTES
        self._result_digest = result_digest
        self._piece = piece
        self._offset = 0
        self._source: BinaryIO | None = None

    def next(self) -> wire.Piece | wire.Chunk:
        """The next message.  Raises OSError when the file is gone, or has become shorter."""
        begins = not self._offset
        data = self._read(min(self.left, limits.CHUNK_BYTES))
        self._offset += len(data)
        self.left -= len(data)
        if begins:
            piece = self._piece
            return wire.Piece(self.request, self._result_digest, piece.digest, piece.is_file, piece.size, data)
        return wire.Chunk(self.request, data)

    def _read(self, size: int) -> bytes:
        if self._piece.value is not None and self._source is None:
            return self._piece.value[self._offset : self._offset + size]
        if self._source is None:
            assert self._piece.path is not None
            self._source = open(self._piece.path, "rb")
            self._source.seek(self._offset)
        data = self._source.read(size)
        if len(data) < size:
            raise OSError("the file has become shorter")
        return data

    def close(self) -> None:
        if self._source is not None:
            self._source.close()


class Outgoing:
    """What one link still has to be sent."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._turns: deque[Sending] = deque()
        self._waiting: deque[Sending] = deque()  # large ones, until another large one has ended
        self._large = 0  # of those in `_turns`
        self.bytes_sent = 0

    def send(self, request: int, result_digest: bytes, piece: Piece) -> None:
        """Answered in its turn, with the piece or, when it cannot be read, as lost."""
        sending = Sending(request, result_digest, piece)
        (self._waiting if sending.large else self._turns).append(sending)
        self.pump()

    def gone(self, request: int, kind: str, reason: str) -> None:
        self._link.send(wire.encode(wire.Gone(request, kind, reason)))

    def stop(self, request: int) -> None:
        for sending in [sending for sending in self._waiting if sending.request == request]:
            self._waiting.remove(sending)
        for sending in [sending for sending in self._turns if sending.request == request]:
            self._turns.remove(sending)
            self._end(sending)
        self.pump()

    def pump(self) -> None:
        """Send while the link takes it; to be called again when it drains."""
        self._admit()
        while self._turns and self._link.up and not self._link.paused:
            sending = self._turns.popleft()
            try:
                message = sending.next()
            except OSError as error:
                self._end(sending)
                self.gone(sending.request, "lost", f"cannot read the piece: {error.strerror or error}")
                continue
            self._link.send(wire.encode(message))
            self.bytes_sent += len(message.data)
            if sending.left:
                self._turns.append(sending)
            else:
                self._end(sending)

    def _admit(self) -> None:
        while self._waiting and self._large < LARGE_AT_ONCE:
            self._turns.append(self._waiting.popleft())
            self._large += 1

    def _end(self, sending: Sending) -> None:
        sending.close()
        if sending.large:
            self._large -= 1
            self._admit()

    def close(self) -> None:
        for sending in self._turns:
            sending.close()
        self._turns.clear()
        self._waiting.clear()
