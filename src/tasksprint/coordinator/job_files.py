"""The files of jobs at a coordinator: programs unpacked for schedulers, and what the schedulers printed.

All of it is done in one thread, in order, never in the loop: the heartbeats that keep a leader in office and its
answers to newcomers go through the loop, and a file system may take seconds for a new name.  What waits for the thread
is bounded: while it lags, lines of logs are dropped, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tasksprint.limits import JOB_LOG_BYTES, PROGRAM_CHUNK_BYTES
from tasksprint.storage import StorageError
from tasksprint.storage.programs import unpack_program

_Value = TypeVar("_Value")
_DROPPED = b"(lines are missing here: the disk was too slow for them)\n"


class JobFiles:
    """Made inside a running loop; every callback comes from it, none after `close`."""

    def __init__(self, folder: Path, waiting_bytes: int = JOB_LOG_BYTES) -> None:
        self._folder = folder
        self._waiting_max = waiting_bytes
        self._waiting = 0  # bytes of logs that the thread has not written yet
        self._dropped: set[str] = set()  # jobs whose logs lack lines
        self._sizes: dict[str, int] = {}  # of logs, as far as written here
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "job files")
        self._closed = False

    def program_folder(self, job_id: str) -> Path:
        return self._folder / job_id / "program"

    def unpack(self, job_id: str, program: bytes | None, done: Callable[[str], None]) -> None:
        """Make the job's folder and put its program files there; `done` gets what went wrong, or nothing."""
        folder = self.program_folder(job_id)

        def work() -> str:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if program is not None:
                    unpack_program(program, folder)
            except (StorageError, OSError) as error:
                return f"cannot unpack the job's program files: {error}"
            return ""

        self._do(work, done)

    def remove_program(self, job_id: str) -> None:
        folder = self.program_folder(job_id)
        self._sizes.pop(job_id, None)
        self._do(lambda: shutil.rmtree(folder, ignore_errors=True), lambda _: None)

    def log(self, job_id: str, text: str) -> None:
        """Add to the job's log, which takes JOB_LOG_BYTES.  A disk that is full or slow costs lines, never the job."""
        size = self._sizes.get(job_id, 0)
        if size > JOB_LOG_BYTES:
            return
        data = text.encode("utf-8", "replace")
        if self._waiting + len(data) > self._waiting_max:
            self._dropped.add(job_id)
            return
        if job_id in self._dropped:
            self._dropped.discard(job_id)
            data = _DROPPED + data
        self._sizes[job_id] = size + len(data)
        self._waiting += len(data)
        path = self._log_path(job_id)

        def work() -> int:
            with contextlib.suppress(OSError), open(path, "ab") as file:
                file.write(data)
            return len(data)

        self._do(work, self._written)

    def _written(self, size: int) -> None:
        self._waiting -= size

    def read_log(self, job_id: str, offset: int, done: Callable[[bytes], None]) -> None:
        """Up to PROGRAM_CHUNK_BYTES of the log from `offset`, with all that was added before; empty at its end."""
        path = self._log_path(job_id)

        def work() -> bytes:
            try:
                with open(path, "rb") as file:
                    file.seek(offset)
                    return file.read(PROGRAM_CHUNK_BYTES)
            except OSError:
                return b""

        self._do(work, done)

    def close(self) -> None:
        """What was asked for is still done."""
        self._closed = True
        self._thread.shutdown()

    def _log_path(self, job_id: str) -> Path:
        return self._folder / job_id / "scheduler.log"

    def _do(self, work: Callable[[], _Value], done: Callable[[_Value], None]) -> None:
        def tell(value: _Value) -> None:
            if not self._closed:
                done(value)

        def run() -> None:
            try:
                call = functools.partial(tell, work())
            except Exception as error:
                call = functools.partial(_fail, error)
            with contextlib.suppress(RuntimeError):  # the loop has ended: there is nobody to tell
                self._loop.call_soon_threadsafe(call)

        self._thread.submit(run)


def _fail(error: Exception) -> None:
    """A defect, shown where the loop's exception handler ends the daemon."""
    raise error
