"""A result as its holder keeps it and as its consumers get it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Piece:
    """One named piece of a result.  Exactly one of `value` (the bytes) and `path` (a file of them) is set."""

    size: int
    digest: bytes
    is_file: bool  # a file to its user; a value that was spilled has a path and is none
    value: bytes | None = None
    path: Path | None = None

    def read(self) -> bytes:
        """Its bytes.  Raises OSError when the file is gone."""
        if self.value is not None:
            return self.value
        assert self.path is not None
        return self.path.read_bytes()


@dataclass(slots=True)
class Result:
    """What a node made: its pieces by key, and the digest of the whole."""

    digest: bytes
    pieces: dict[str, Piece]
    size: int
    read: int = 0  # bytes of input that the task worked through
    run_us: int = 0
