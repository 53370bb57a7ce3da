"""Lines out of a stream of chunks, with a limit: what both JSON conversations stand on.

Invariant: at most `limit` bytes and one chunk are ever held, so a program that writes a gigabyte without
a newline costs its reader nothing but the refusal.
"""

from __future__ import annotations

from tasksprint.limits import LINE_BYTES, MIB


class LineTooLong(Exception):
    """A line over its limit; the stream can not be read any further."""


class Lines:
    def __init__(self, limit: int = LINE_BYTES) -> None:
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bytes:
        """The beginning of a line that has not ended."""
        return b"".join(self._held)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk ends, without their newlines; empty ones are left out."""
        first, newline, rest = chunk.partition(b"\n")
        self._size += len(first)
        if self._size > self._limit:
            self._held.clear()
            raise LineTooLong(
                f"a line longer than {self._limit / MIB:g} MiB: write large results to a file in the task's folder "
                'and send {"$file": "name"}'
            )
        self._held.append(first)
        if not newline:
            return []
        lines = [b"".join(self._held), *rest.split(b"\n")]
        last = lines.pop()
        self._held = [last]
        self._size = len(last)
        return [line for line in lines if line and line != b"\r"]
