"""Progress of a job: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from tasksprint.limits import MIB
from tasksprint.wire.messages import JobUpdate

PLAIN_S = 2.0  # between two plain lines


class Plain:
    """A line every now and then."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._said = 0.0
        self.first_result_s: float | None = None

    def update(self, update: JobUpdate) -> None:
        now = time.monotonic()
        if update.done and self.first_result_s is None:
            self.first_result_s = now - self._since
        ended = update.state != "running"
        if now - self._said < PLAIN_S and not ended:
            return
        self._said = now
        print(progress_text(update, now - self._since), file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


class Live:
    """One line that is drawn again."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._since = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=30),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = self._progress.add_task("starting", total=None)
        self._progress.start()

    def update(self, update: JobUpdate) -> None:
        text = progress_text(update, time.monotonic() - self._since)
        self._progress.update(self._task, description=text, total=update.started or None, completed=update.done)

    def note(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        self._progress.stop()


def progress_text(update: JobUpdate, seconds: float) -> str:
    """`12/40 tasks, 85.1 MiB/s, ETA 3 s`."""
    parts = [f"{update.state}: {update.done}/{update.started} tasks"]
    if update.read and seconds > 0:
        parts.append(f"{update.read / MIB / seconds:.1f} MiB/s")
    if update.state == "running" and 0 < update.done < update.started:
        parts.append(f"ETA {seconds * (update.started - update.done) / update.done:.0f} s")
    if update.failed:
        parts.append(f"{update.failed} failed")
    parts.append(f"{update.clients} client{'s' if update.clients != 1 else ''}")
    return ", ".join(parts)


def display() -> Plain | Live:
    return Live() if sys.stderr.isatty() else Plain()
