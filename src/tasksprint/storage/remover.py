"""Files that nobody wants any more go in a thread of their own, in order.

A file system may take long to forget a thousand files, and the loops from which they are dropped must say in time that
they live.  What the process leaves undone when it is killed stays on the disk, and costs room, nothing else.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


class Remover:
    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "remover")

    def remove(self, paths: Iterable[Path]) -> None:
        """Files, and folders with all that is in them; those that are gone already, or cannot go, are passed over."""
        wanted = list(paths)
        if wanted:
            self._thread.submit(_remove, wanted)

    def empty(self, folder: Path, but: str) -> None:
        """All that is in the folder, but what has that name."""
        self._thread.submit(_empty, folder, but)

    def settle(self) -> None:
        """Returns when all that was asked for is done."""
        self._thread.submit(int).result()

    def close(self) -> None:
        """What was asked for is still done."""
        self._thread.shutdown()


def _empty(folder: Path, but: str) -> None:
    with contextlib.suppress(OSError):
        _remove([entry for entry in folder.iterdir() if entry.name != but])


def _remove(paths: list[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
