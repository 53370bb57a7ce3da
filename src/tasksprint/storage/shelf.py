"""The shelf of results that a client holds, until nobody wants them any more.

A result is a set of pieces by key: JSON values in memory, files where the task left them.  When the values take more
than the limit, the largest are written to files under the shelf's folder and their memory is let go: a `Piece` is
changed in place, because others hold it too.

Results with files in them outlive the process: an index in the folder says what is held, so that a client that starts
again can offer it (`held`).  The index is not synced, since a result that is lost can be made again; but a result that
is offered must be the one that was made.  So a file must have the size and time of change of then, and after a restart
of the machine, when that proves nothing, its digest as well.  Results of values alone are not in the index: they are
small, and cheaper made again.

What is dropped is forgotten at once; its files go later (`remover`).
"""

from __future__ import annotations

import hashlib
import heapq
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasksprint import codec
from tasksprint.limits import MIB
from tasksprint.storage import shelf_index
from tasksprint.storage.errors import StorageError
from tasksprint.storage.remover import Remover
from tasksprint.wire.results import Piece, Result

SPILL_MIN_BYTES = 1_024  # a smaller value costs more as a file than it frees
INDEX = "index"
READ_BYTES = 1 * MIB

AttemptId = tuple[int, int, int]  # (job, task, attempt)


class ShelfError(StorageError):
    pass


# --- digests and files --------------------------------------------------------------------------------------


def piece_digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()[: codec.DIGEST_BYTES]


def result_digest(pieces: Mapping[str, Piece]) -> bytes:
    """Depends on every key, on what stands under it, and on whether that is a file; not on their order."""
    parts: list[bytes] = []
    for key in sorted(pieces):
        piece = pieces[key]
        parts += (key.encode(), b"file" if piece.is_file else b"value", piece.digest)
    return codec.digest(*parts)


def digest_file(path: Path) -> Piece:
    """The file as a piece.  Reads all of it: to be called in a thread when it is large.  Raises OSError."""
    state, size = hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as file:
        while data := file.read(READ_BYTES):
            state.update(data)
            size += len(data)
    return Piece(size, state.digest()[: codec.DIGEST_BYTES], True, path=path)


def file_in(folder: Path, name: str) -> Path:
    """The file that a node named, checked: a regular one inside `folder`, reached without links.  Raises ShelfError."""
    if not name or name.startswith("/") or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ShelfError(f"{name!r} is no file name: give one relative to the task's folder, of plain parts")
    path = folder
    for part in name.split("/"):
        path = path / part
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            raise ShelfError(f"the file {name!r} is not in the task's folder {folder}: {error.strerror}") from None
        if stat.S_ISLNK(mode):
            raise ShelfError(f"{name!r} leads over a link: write the file itself into the task's folder")
    if not stat.S_ISREG(mode):
        raise ShelfError(f"{name!r} is no regular file: a piece is a file or a JSON value")
    return path


# --- the shelf ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Kept:
    result: Result
    spilled: list[Path] = field(default_factory=list)
    indexed: shelf_index.Put | None = None  # what the index says of it


class Shelf:
    def __init__(self, folder: Path, memory_limit: int) -> None:
        self.memory = 0  # bytes of the values that are in memory
        self.spills = 0
        self._folder = folder
        self._limit = memory_limit
        self._kept: dict[AttemptId, _Kept] = {}
        self._jobs: dict[int, set[AttemptId]] = {}
        self.remover = Remover()
        self._heap: list[tuple[int, int, AttemptId, str]] = []  # largest first, then oldest; may name what is gone
        self._sequence = 0
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("spill-*"):
            path.unlink()  # values do not outlive the process
        self._held: list[tuple[tuple[str, int, int], Result]] = []
        self._index = shelf_index.Index(folder / INDEX, self._find_again(shelf_index.read(folder / INDEX)))
        self._spill()

    def held(self) -> list[tuple[tuple[str, int, int], Result]]:
        """What was found when the process began: ((job_id, task, attempt), result)."""
        return list(self._held)

    def put(self, job: int, job_id: str, task: int, attempt: int, result: Result) -> None:
        """From here on the shelf may spill the pieces, and removes their files with `drop`."""
        name = (job, task, attempt)
        if name in self._kept:
            self._forget(name)
        kept = self._keep(name, result)
        if any(piece.is_file for piece in result.pieces.values()):
            kept.indexed = _indexed(job, job_id, task, attempt, result)
            if kept.indexed is not None:
                self._index.put(kept.indexed)
        if self.memory > self._limit:
            self._spill()

    def get(self, job: int, task: int, attempt: int) -> Result | None:
        kept = self._kept.get((job, task, attempt))
        return None if kept is None else kept.result

    def drop(self, job: int, task: int, attempt: int) -> None:
        """Nobody wants it any more: its memory, its files and the task's folder around them go."""
        if (job, task, attempt) in self._kept:
            self.remover.remove(self._let_go((job, task, attempt)))

    def drop_held(self, results: Iterable[tuple[str, int, int]]) -> None:
        """Drops results that an earlier life kept, by the names under which they are `held`."""
        names = {
            (kept.indexed.job_id, kept.indexed.task, kept.indexed.attempt): name
            for name, kept in self._kept.items()
            if kept.indexed is not None
        }
        for held in results:
            if held in names:
                self.drop(*names[held])

    def drop_job(self, job: int) -> None:
        paths: list[Path] = []
        for name in sorted(self._jobs.get(job, ())):
            paths += self._let_go(name)
        self.remover.remove(paths)

    def file_of(self, folder: Path, name: str) -> Path:
        """See `file_in`."""
        return file_in(folder, name)

    def close(self) -> None:
        self.remover.close()
        self._index.close()

    # --- inside ---------------------------------------------------------------------------------------

    def _find_again(self, found: shelf_index.Found) -> list[shelf_index.Put]:
        """Take back what is still there as it was; the others are forgotten."""
        whole = []
        for put in found.puts:
            result = _found_again(put, found.same_boot)
            if result is not None:
                self._keep((put.job, put.task, put.attempt), result).indexed = put
                self._held.append(((put.job_id, put.task, put.attempt), result))
                whole.append(put)
        return whole

    def _keep(self, name: AttemptId, result: Result) -> _Kept:
        kept = self._kept[name] = _Kept(result)
        self._jobs.setdefault(name[0], set()).add(name)
        for key, piece in result.pieces.items():
            if piece.value is not None:
                self.memory += piece.size
                if piece.size >= SPILL_MIN_BYTES:
                    self._sequence += 1
                    heapq.heappush(self._heap, (-piece.size, self._sequence, name, key))
        return kept

    def _let_go(self, name: AttemptId) -> list[Path]:
        """Forget it; what is to be removed for it."""
        kept = self._kept[name]
        self._forget(name)
        files = [piece.path for piece in kept.result.pieces.values() if piece.is_file and piece.path is not None]
        around = f"{name[1]}.{name[2]}"
        return kept.spilled + list(dict.fromkeys(_task_folder(path, around) or path for path in files))

    def _forget(self, name: AttemptId) -> None:
        kept = self._kept.pop(name)
        names = self._jobs[name[0]]
        names.discard(name)
        if not names:
            del self._jobs[name[0]]
        self.memory -= sum(piece.size for piece in kept.result.pieces.values() if piece.value is not None)
        if kept.indexed is not None:
            self._index.drop(*name)
            if self._index.wasteful:
                try:
                    self._index.rewrite([each.indexed for each in self._kept.values() if each.indexed is not None])
                except OSError:  # a full disk costs only what a restart could have saved
                    self._index.close()
        if not self._kept:
            self._heap.clear()

    def _spill(self) -> None:
        """Down to seven eighths, so that the next few values do not each cost a file."""
        while self.memory > self._limit - self._limit // 8 and self._heap:
            _, _, name, key = self._heap[0]
            kept = self._kept.get(name)
            piece = None if kept is None else kept.result.pieces.get(key)
            if kept is None or piece is None or piece.value is None:
                heapq.heappop(self._heap)
                continue
            path = self._folder / f"spill-{self.spills + 1}"
            try:
                path.write_bytes(piece.value)
            except OSError:  # a full disk, say: it stays in memory, which is over its limit then
                path.unlink(missing_ok=True)
                return
            heapq.heappop(self._heap)
            self.spills += 1
            kept.spilled.append(path)
            piece.path, piece.value = path, None
            self.memory -= piece.size


def _task_folder(path: Path, name: str) -> Path | None:
    """The folder of that name in which the file lies, directly or not."""
    return next((parent for parent in path.parents if parent.name == name), None)


def _indexed(job: int, job_id: str, task: int, attempt: int, result: Result) -> shelf_index.Put | None:
    """None when a file is gone already: the result will be found missing by whoever wants it."""
    pieces = []
    for key, piece in result.pieces.items():
        path, changed_ns, value = "", 0, b""
        try:
            if piece.is_file:
                path = os.path.abspath(str(piece.path))
                changed_ns = os.stat(path).st_mtime_ns
            else:
                value = piece.read()
        except OSError:
            return None
        pieces.append(shelf_index.IndexedPiece(key, piece.is_file, piece.size, piece.digest, value, path, changed_ns))
    return shelf_index.Put(job, job_id, task, attempt, result.digest, pieces)


def _found_again(put: shelf_index.Put, same_boot: bool) -> Result | None:
    pieces: dict[str, Piece] = {}
    for each in put.pieces:
        if each.is_file:
            if not _is_as_it_was(each, same_boot):
                return None
            pieces[each.key] = Piece(each.size, each.digest, True, path=Path(each.path))
        else:
            pieces[each.key] = Piece(each.size, each.digest, False, value=each.value)
    if result_digest(pieces) != put.digest:
        return None
    return Result(put.digest, pieces, sum(piece.size for piece in pieces.values()))


def _is_as_it_was(piece: shelf_index.IndexedPiece, same_boot: bool) -> bool:
    path = Path(piece.path)
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns) != (piece.size, piece.changed_ns):
            return False
        return same_boot or digest_file(path).digest == piece.digest
    except OSError:
        return False
