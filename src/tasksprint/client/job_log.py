"""What the nodes of one job have printed on this machine: one bounded file, readable after the job's end."""

from __future__ import annotations

from io import FileIO
from pathlib import Path

from tasksprint import limits


class JobLog:
    """Lines `who: text`; above JOB_LOG_BYTES a last line says that the rest was dropped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None
        self._size = 0

    def add(self, who: str, text: str) -> None:
        """A log that cannot be written (full disk, no descriptors) costs its lines, never the job."""
        if self._size > limits.JOB_LOG_BYTES:
            return
        data = "".join(f"{who}: {line}\n" for line in text.splitlines()).encode("utf-8", "replace")
        try:
            file = self._file or self._open()
            self._size += file.write(data)
            if self._size > limits.JOB_LOG_BYTES:
                file.write(b"(the rest was dropped: the log of a job may have %d bytes)\n" % limits.JOB_LOG_BYTES)
        except OSError:
            return

    def _open(self) -> FileIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._path, "ab", buffering=0)
        self._size = self._file.tell()
        return self._file

    @staticmethod
    def left(path: Path, offset: int) -> bytes:
        """The log of a job that may be over; empty when there is none."""
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                return file.read(limits.JOB_LOG_BYTES)
        except OSError:
            return b""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
