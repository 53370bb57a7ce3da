"""Frames: a payload's length in four bytes, little-endian, then the payload.

The decoder takes bytes as they come and gives back whole payloads.  A length over the limit is refused
before a byte of its payload is kept; after that the decoder is of no more use, nor is its connection.
"""

from __future__ import annotations

from struct import Struct
from typing import NoReturn

from tasksprint.limits import FRAME_BYTES

HEADER_BYTES = 4

_length = Struct("<I")


class FrameError(ValueError):
    """What was wrong with the bytes, and where they stood in the stream."""


def frame(payload: bytes) -> bytes:
    return _length.pack(len(payload)) + payload


class FrameDecoder:
    """A frame that comes in many reads is kept as those reads, and put together once, when its last byte is here.

    Invariant: when `feed` has returned, less than one whole frame is kept, and it begins with its header.
    """

    __slots__ = ("_broken", "_consumed", "_kept", "_kept_bytes", "_wanted", "limit")

    def __init__(self, limit: int = FRAME_BYTES) -> None:
        self.limit = limit  # bytes of one payload; may be raised between two frames
        self._kept: list[bytes | memoryview] = []
        self._kept_bytes = 0
        self._wanted = HEADER_BYTES  # nothing can be done while fewer bytes than this are kept
        self._consumed = 0  # bytes of the stream before `_kept`
        self._broken = False

    def feed(self, data: bytes) -> list[bytes]:
        """All payloads that are complete now.  Raises FrameError; payloads before the bad one are lost with it."""
        payloads: list[bytes] = []
        start = 0
        if self._kept or self._broken:
            if not self._may_go_on(data):
                return payloads
            if self._wanted == HEADER_BYTES:
                data = self._join(data)
            else:
                start = self._wanted - self._kept_bytes
                payloads.append(self._finish(memoryview(data)[:start]))
        return self._split(data, start, payloads)

    def feed_one(self, data: bytes = b"") -> bytes | None:
        """At most one payload; the bytes behind it stay.  For conversations whose limit changes on the way."""
        if self._broken or not self._may_go_on(data):
            return None
        data = self._join(data)
        if len(data) < HEADER_BYTES:
            self._keep(data, 0, HEADER_BYTES)
            return None
        (length,) = _length.unpack_from(data)
        if length > self.limit:
            self._refuse(length, 0)
        stop = HEADER_BYTES + length
        if stop > len(data):
            self._keep(data, 0, stop)
            return None
        self._keep(data, stop, HEADER_BYTES)
        return data[HEADER_BYTES:stop]

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame: not 0 at the end of a stream means that it was cut."""
        return self._kept_bytes

    def _split(self, data: bytes, start: int, payloads: list[bytes]) -> list[bytes]:
        end = len(data)
        wanted = HEADER_BYTES
        unpack = _length.unpack_from
        while end - start >= HEADER_BYTES:
            (length,) = unpack(data, start)
            if length > self.limit:
                self._refuse(length, start)
            stop = start + HEADER_BYTES + length
            if stop > end:
                wanted = HEADER_BYTES + length
                break
            payloads.append(data[start + HEADER_BYTES : stop])
            start = stop
        self._keep(data, start, wanted)
        return payloads

    def _may_go_on(self, data: bytes) -> bool:
        """False: `data` was kept with the rest, which is still too little."""
        if self._broken:
            raise FrameError("the stream was refused before: nothing more is read from it")
        if self._kept_bytes + len(data) >= self._wanted:
            return True
        if data:
            self._kept.append(data)
            self._kept_bytes += len(data)
        return False

    def _finish(self, rest: memoryview) -> bytes:
        """The payload whose last bytes are `rest`."""
        first = memoryview(self._kept[0])[HEADER_BYTES:]
        payload = b"".join((first, *self._kept[1:], rest))
        self._consumed += self._kept_bytes
        self._kept.clear()
        self._kept_bytes = 0
        return payload

    def _join(self, data: bytes) -> bytes:
        if self._kept:
            data = b"".join((*self._kept, data))
            self._kept.clear()
            self._kept_bytes = 0
        return data

    def _keep(self, data: bytes, start: int, wanted: int) -> None:
        self._consumed += start
        self._wanted = wanted
        if start < len(data):
            rest = memoryview(data)[start:] if start else data
            self._kept.append(rest)
            self._kept_bytes = len(rest)

    def _refuse(self, length: int, start: int) -> NoReturn:
        self._broken = True
        raise FrameError(
            f"a frame of {length} bytes at byte {self._consumed + start} of the stream, the limit is {self.limit}"
        )
