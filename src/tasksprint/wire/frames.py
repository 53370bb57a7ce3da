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
    """Invariant: when `feed` has returned, less than one whole frame is kept."""

    __slots__ = ("_broken", "_consumed", "_kept", "_wanted", "limit")

    def __init__(self, limit: int = FRAME_BYTES) -> None:
        self.limit = limit  # bytes of one payload; may be raised between two frames
        self._kept = bytearray()
        self._wanted = HEADER_BYTES  # nothing can be done while fewer bytes than this are kept
        self._consumed = 0  # bytes of the stream before `_kept`
        self._broken = False

    def feed(self, data: bytes) -> list[bytes]:
        """All payloads that are complete now.  Raises FrameError; payloads before the bad one are lost with it."""
        payloads: list[bytes] = []
        data = self._join(data)
        start, end = 0, len(data)
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
        if end:
            self._keep(data, start, wanted)
        return payloads

    def feed_one(self, data: bytes = b"") -> bytes | None:
        """At most one payload; the bytes behind it stay.  For conversations whose limit changes on the way."""
        data = self._join(data)
        if not data:
            return None
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
        return len(self._kept)

    def _join(self, data: bytes) -> bytes:
        """What was kept and what came, as one; empty, and all of it kept, while it cannot hold a frame."""
        if self._broken:
            raise FrameError("the stream was refused before: nothing more is read from it")
        if not self._kept:
            return data
        self._kept += data
        if len(self._kept) < self._wanted:
            return b""
        data = bytes(self._kept)
        self._kept.clear()
        return data

    def _keep(self, data: bytes, start: int, wanted: int) -> None:
        self._consumed += start
        self._wanted = wanted
        if start < len(data):
            self._kept += memoryview(data)[start:]

    def _refuse(self, length: int, start: int) -> NoReturn:
        self._broken = True
        raise FrameError(
            f"a frame of {length} bytes at byte {self._consumed + start} of the stream, the limit is {self.limit}"
        )
