"""What the nodes of one job have printed on this machine: one bounded file, readable after the job's end."""

from __future__ import annotations

from pathlib import Path

from tasksprint import limits


class JobLog:
    """Lines `who: text`; above JOB_LOG_BYTES a last line says that the rest was dropped."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = open(path, "ab", buffering=0)
        self._size = self._file.tell()

    def add(self, who: str, text: str) -> None:
        if self._size > limits.JOB_LOG_BYTES:
            return
        data = "".join(f"{who}: {line}\n" for line in text.splitlines()).encode("utf-8", "replace")
        self._size += len(data)
        self._file.write(data)
        if self._size > limits.JOB_LOG_BYTES:
            self._file.write(b"(the rest was dropped: the log of a job may have %d bytes)\n" % limits.JOB_LOG_BYTES)

    @staticmethod
    def left(path: Path, offset: int) -> bytes:
        """The log of a job that may be over; empty when there is none."""
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                return file.read(limits.JOB_LOG_BYTES)
        except FileNotFoundError:
            return b""

    def close(self) -> None:
        self._file.close()
