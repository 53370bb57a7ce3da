"""The plain twin of `_syncer`: the same promises, by a thread of Python."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from queue import SimpleQueue

_dsync = getattr(os, "RWF_DSYNC", 0)


def write_synced(file: int, data: bytes, offset: int) -> None:
    """`data` is on the disk when this returns; one system call where there is RWF_DSYNC."""
    view = memoryview(data)
    try:
        while view and _dsync:
            done = os.pwritev(file, [view], offset, _dsync)
            view, offset = view[done:], offset + done
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    if view:
        while view:
            done = os.pwrite(file, view, offset)
            view, offset = view[done:], offset + done
        os.fdatasync(file)


class Syncer:
    """See `tasksprint.native.syncer`."""

    def __init__(self) -> None:
        self._event, self._signal = os.pipe()
        os.set_blocking(self._event, False)
        os.set_blocking(self._signal, False)
        self._jobs: SimpleQueue[tuple[int, int, bytes] | None] = SimpleQueue()
        self._result: tuple[int, float] | None = None
        self._ended = threading.Event()
        self._under_way = False
        self._shown = True
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="syncer", daemon=True)
        self._thread.start()

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the syncer is closed")

    def fileno(self) -> int:
        self._check()
        return self._event

    def begin(self, file: int, offset: int, data: bytes) -> None:
        self._check()
        if self._under_way:
            raise RuntimeError("a write is under way")
        if not isinstance(data, bytes):
            raise TypeError(f"bytes are written, not {type(data).__name__}")
        self._under_way = True
        self._ended.clear()
        self._jobs.put((file, offset, data))

    def result(self) -> tuple[int, float] | None:
        self._check()
        if not self._under_way or not self._ended.is_set():
            return None
        self._under_way = False
        return self._result

    def show(self, wanted: bool) -> None:
        self._check()
        self._shown = wanted

    def clear(self) -> None:
        self._check()
        with contextlib.suppress(BlockingIOError):
            os.read(self._event, 4_096)

    def wait(self) -> None:
        self._check()
        if self._under_way:
            self._ended.wait()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()
            os.close(self._event)
            os.close(self._signal)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            file, offset, data = job
            begun = time.perf_counter()
            error = 0
            try:
                write_synced(file, data, offset)
            except OSError as failure:
                error = failure.errno or errno.EIO
            self._result = error, time.perf_counter() - begun
            self._ended.set()
            if self._shown or error:
                with contextlib.suppress(BlockingIOError):  # it is readable anyhow
                    os.write(self._signal, b"1")
