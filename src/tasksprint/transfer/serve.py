"""Sending pieces to whoever asked: in chunks, as fast as the link takes them, the requests of a link in turn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import BinaryIO

from tasksprint import limits
from tasksprint.transport import Link
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece


@dataclass(slots=True)
class Sending:
    request: int
    left: int
    source: BinaryIO | None
    value: bytes = b""
    offset: int = 0

    def next(self) -> bytes:
        """The next chunk.  Raises OSError when the file has become shorter."""
        size = min(self.left, limits.CHUNK_BYTES)
        if self.source is not None:
            data = self.source.read(size)
            if len(data) < size:
                raise OSError("the file has become shorter")
        else:
            data = self.value[self.offset : self.offset + size]
            self.offset += size
        self.left -= size
        return data

    def close(self) -> None:
        if self.source is not None:
            self.source.close()


class Outgoing:
    """What one link still has to be sent."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._queue: deque[Sending] = deque()
        self.bytes_sent = 0

    def send(self, request: int, result_digest: bytes, piece: Piece) -> None:
        """Raises OSError when the piece's file cannot be read: nothing was sent then."""
        if piece.value is not None:
            sending = Sending(request, piece.size, None, piece.value)
        else:
            assert piece.path is not None
            sending = Sending(request, piece.size, open(piece.path, "rb"))
        try:
            data = sending.next()
        except OSError:
            sending.close()
            raise
        header = wire.Piece(request, result_digest, piece.digest, piece.is_file, piece.size, data)
        self._link.send(wire.encode(header))
        self.bytes_sent += len(data)
        if sending.left:
            self._queue.append(sending)
            self.pump()
        else:
            sending.close()

    def gone(self, request: int, kind: str, reason: str) -> None:
        self._link.send(wire.encode(wire.Gone(request, kind, reason)))

    def stop(self, request: int) -> None:
        for sending in [s for s in self._queue if s.request == request]:
            sending.close()
            self._queue.remove(sending)

    def pump(self) -> None:
        """Send while the link takes it; to be called again when it drains."""
        while self._queue and not self._link.paused:
            sending = self._queue.popleft()
            try:
                data = sending.next()
            except OSError as error:
                sending.close()
                self.gone(sending.request, "lost", str(error))
                continue
            self._link.send(wire.encode(wire.Chunk(sending.request, data)))
            self.bytes_sent += len(data)
            if sending.left:
                self._queue.append(sending)
            else:
                sending.close()

    def close(self) -> None:
        for sending in self._queue:
            sending.close()
        self._queue.clear()
