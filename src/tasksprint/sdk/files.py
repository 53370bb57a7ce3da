"""A piece of a result that is a file, and the same file where it is an input."""

from __future__ import annotations

import os
from typing import IO, Any


class File:
    """A path: of a file that a task made in `self.folder`, or of a prerequisite's file.

    Works wherever a path does (`open(piece)`, `os.path.getsize(piece)`, `pathlib.Path(piece)`).  A relative name is
    meant within the task's folder.  An input belongs to others too: read it, do not change it.
    """

    __slots__ = ("_path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        if not isinstance(self._path, str):
            raise TypeError("File takes a path of characters, not of bytes")

    def __fspath__(self) -> str:
        return self._path

    def __str__(self) -> str:
        return self._path

    def __repr__(self) -> str:
        return f"File({self._path!r})"

    def __eq__(self, other: object) -> bool:
        return self._path == other._path if isinstance(other, File) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._path)

    @property
    def size(self) -> int:
        return os.stat(self._path).st_size

    def open(self, mode: str = "rb") -> IO[Any]:
        return open(self._path, mode, encoding=None if "b" in mode else "utf-8")

    def read_bytes(self) -> bytes:
        with open(self._path, "rb") as stream:
            return stream.read()

    def read_text(self) -> str:
        with open(self._path, encoding="utf-8") as stream:
            return stream.read()
