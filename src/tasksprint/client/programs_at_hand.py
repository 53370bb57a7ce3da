"""The jobs' program files on this machine: asked for by hash, checked, unpacked once for each job."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from tasksprint.storage.programs import ProgramError, content_hash, unpack_program
from tasksprint.wire.messages import ProgramPart


class ProgramsAtHand:
    def __init__(self, folder: Path, ask: Callable[[str, int], None]) -> None:
        self._folder = folder
        self._ask = ask
        self._parts: dict[str, bytearray] = {}
        self._waiting: dict[str, list[tuple[Path, Callable[[str], None]]]] = {}
        self._ready: set[Path] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def unpacked(self, hash: str, folder: Path, then: Callable[[str], None]) -> None:
        """Call `then` with "" when the files lie in `folder`, or with what went wrong."""
        if folder in self._ready:
            then("")
            return
        kept = self._folder / hash
        if kept.exists():
            try:
                data = kept.read_bytes()
            except OSError as error:
                then(f"cannot read the job's program files: {error}")
            else:
                then(self._unpack(data, hash, folder))
            return
        self._waiting.setdefault(hash, []).append((folder, then))
        self._parts[hash] = bytearray()
        self._ask(hash, 0)

    def asked_again(self) -> None:
        """The link to the coordinators is new: ask again for what is missing."""
        for hash, data in self._parts.items():
            self._ask(hash, len(data))

    def part(self, message: ProgramPart) -> None:
        data = self._parts.get(message.hash)
        if data is None or message.offset != len(data):
            return
        if message.total == 0:
            self._finish(message.hash, b"", "the coordinator has no such program files (yet)")
            return
        data += message.data
        if len(data) < message.total:
            self._ask(message.hash, len(data))
        else:
            self._finish(message.hash, bytes(data), "")

    def _finish(self, hash: str, data: bytes, error: str) -> None:
        del self._parts[hash]
        if not error and content_hash(data) == hash:
            temporary = self._folder / f"{hash}.new"
            with contextlib.suppress(OSError):  # it is only kept for the next job
                temporary.write_bytes(data)
                temporary.rename(self._folder / hash)
        for folder, then in self._waiting.pop(hash, ()):
            then(error or self._unpack(data, hash, folder))

    def _unpack(self, data: bytes, hash: str, folder: Path) -> str:
        if folder in self._ready:
            return ""
        if content_hash(data) != hash:
            return f"the program files have another hash than the job names ({hash[:12]}...)"
        try:
            unpack_program(data, folder)
        except (ProgramError, OSError) as error:
            return f"cannot unpack the job's program files: {error}"
        self._ready.add(folder)
        return ""
