"""The two descriptors of the protocol, taken away from the user's code.

The protocol speaks on the stdin and stdout that the process was started with.  User code, the libraries that it
uses and the programs that it starts must not touch them: so they are moved to other descriptors, which no child
inherits, and in their place stand an empty input and the stderr, which ends up in the job's log.
"""

from __future__ import annotations

import os
import sys


class Unknown(Exception):
    """A message that this SDK does not know."""


class Closed(Exception):
    """The other side has gone."""


def take() -> tuple[int, int]:
    """(input, output) of the protocol; `print` goes to stderr from now on."""
    sys.__stdout__.flush()  # type: ignore[union-attr]
    reader, writer = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    sys.__stdout__.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return reader, writer


def write(descriptor: int, data: bytes) -> None:
    """All of `data`, waiting as long as the other side does."""
    try:
        sent = os.write(descriptor, data)
        while sent < len(data):
            data = data[sent:] if sent < 1 << 20 else memoryview(data)[sent:]  # type: ignore[assignment]
            sent = os.write(descriptor, data)
    except BrokenPipeError:
        raise Closed from None
