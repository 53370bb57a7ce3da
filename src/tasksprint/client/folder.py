"""What lies in a client's folder: its id, the trace, and what a job leaves there."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Collection
from pathlib import Path


def make_private(folder: Path) -> None:
    """Results, logs and programs are their user's business.  A folder that holds other things too is left as it is."""
    ours = [folder / name for name in ("results", "jobs", "programs")]
    if (folder / "id").exists():
        folder.chmod(0o700)
    for each in ours:
        each.mkdir(mode=0o700, exist_ok=True)
        each.chmod(0o700)


def client_id(folder: Path) -> str:
    """The random number kept in the client's folder."""
    path = folder / "id"
    if path.exists():
        return path.read_text().strip()
    name = secrets.token_hex(8)
    path.write_text(name + "\n")
    return name


def set_aside(folder: Path, going_on: Collection[str]) -> Path:
    """Moves what an earlier life left of any other job than these, but for its log; returns where, to be removed.

    Moved at once and removed later, because a job that begins a moment after this must find its folder free.
    """
    trash = folder / "trash"
    trash.mkdir(mode=0o700, exist_ok=True)
    for job in list((folder / "jobs").glob("*")):
        if job.name not in going_on and job.is_dir() and not job.is_symlink():
            for entry in [entry for entry in job.iterdir() if entry.name != "log"]:
                with contextlib.suppress(OSError):
                    entry.rename(trash / secrets.token_hex(8))
            with contextlib.suppress(OSError):  # the log is in it
                job.rmdir()
    return trash


class Trace:
    """What happens to tasks, a JSON object a line; nothing where nobody asked for it."""

    def __init__(self, path: Path | None, client: str) -> None:
        self._file = open(path, "a", buffering=1) if path is not None else None
        self._client = client

    def add(self, time: float, event: str, job: int, task: int, attempt: int, **more: object) -> None:
        """`time`: seconds of this machine's monotonic clock."""
        if self._file is not None:
            row = {"time": time, "client": self._client, "event": event, "job": job, "task": task, "attempt": attempt}
            with contextlib.suppress(OSError):  # a full disk, say: the line is lost
                self._file.write(json.dumps({**row, **more}) + "\n")

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
