"""A job's program files as bytes: the same files give the same bytes, and what comes back out is checked first.

Packed: MessagePack of [(name, executable, content), ...] sorted by name, after a magic word.  Names are relative, of
plain parts, with `/` between them; there are no links, no owners and no times.  Unpacking trusts nothing: the bytes
may come from anybody who holds the secret, and must not be able to write outside the folder.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from tasksprint.limits import PROGRAM_BYTES
from tasksprint.storage.errors import StorageError

FILES_MAX = 10_000
NAME_BYTES = 1_024
SKIPPED = frozenset({"__pycache__", ".git", ".hg", ".svn", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".venv"})

_MAGIC = b"TSprogr1"


class ProgramError(StorageError):
    pass


class PackedFile(msgspec.Struct, array_like=True, frozen=True):
    name: str
    executable: bool
    content: bytes


_decode = msgspec.msgpack.Decoder(list[PackedFile]).decode
_encode = msgspec.msgpack.Encoder().encode


def pack_program(folder: Path, names: Iterable[str] | None = None) -> bytes:
    """`names`: files and folders in `folder`; None: all of it, without what tools leave behind (SKIPPED)."""
    try:
        found = sorted(set(_walk(folder, [""] if names is None else names)))
        return _pack(folder, found)
    except OSError as error:
        raise ProgramError(f"cannot read {error.filename or folder}: {error.strerror}") from error


def unpack_program(data: bytes, folder: Path) -> None:
    """Write the files into `folder`, over those of the same name.  Raises ProgramError before anything is written."""
    files = read_packed(data)
    for file in files:
        _check_inside(folder, folder / file.name)
    for file in files:
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, file)


def content_hash(data: bytes) -> str:
    """SHA-256 in hexadecimal: how a job names its program files."""
    return hashlib.sha256(data).hexdigest()


def read_packed(data: bytes) -> list[PackedFile]:
    """The files, checked."""
    if len(data) > PROGRAM_BYTES:
        raise ProgramError(f"program files of {len(data)} bytes, at most {PROGRAM_BYTES} are taken")
    if not data.startswith(_MAGIC):
        raise ProgramError("these bytes are no packed program files")
    try:
        files = _decode(memoryview(data)[len(_MAGIC) :])
    except msgspec.DecodeError as error:
        raise ProgramError(f"the packed program files are damaged: {error}") from None
    if len(files) > FILES_MAX:
        raise ProgramError(f"{len(files)} program files, at most {FILES_MAX} are taken")
    names = [check_name(file.name) for file in files]
    if any(a >= b for a, b in itertools.pairwise(names)):
        raise ProgramError("the names of the packed program files are not sorted, or not distinct")
    taken = set(names)
    for name in names:
        for parent in Path(name).parents:
            if str(parent) in taken:
                raise ProgramError(f"the packed program file {str(parent)!r} is a folder too")
    return files


def check_name(name: str) -> str:
    """A relative name of plain parts, as it came.  Raises ProgramError."""
    parts = name.split("/")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ProgramError(f"the file name {name!r} is no UTF-8: rename it") from None
    if size > NAME_BYTES or any(part in ("", ".", "..") for part in parts) or "\0" in name or "\\" in name:
        raise ProgramError(f"{name!r} is no relative name of plain parts: files of a program lie in its folder")
    return name


def _walk(folder: Path, names: Iterable[str]) -> Iterator[str]:
    """Every file's relative name."""
    for name in names:
        path = folder / check_name(name) if name else folder
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            inside = sorted(entry for entry in os.listdir(path) if entry not in SKIPPED)
            yield from _walk(folder, [f"{name}/{entry}" if name else entry for entry in inside])
        elif stat.S_ISREG(status.st_mode):
            yield name
        else:
            raise ProgramError(f"{path} is neither a file nor a folder: programs travel as plain files, without links")


def _pack(folder: Path, names: list[str]) -> bytes:
    if not names:
        raise ProgramError(f"{folder} holds no program files")
    if len(names) > FILES_MAX:
        raise ProgramError(f"{folder} holds {len(names)} files, {FILES_MAX} may travel with a job: name those needed")
    files, size = [], 0
    for name in names:
        path = folder / name
        size += path.stat().st_size
        if size <= PROGRAM_BYTES:
            executable = bool(path.stat().st_mode & stat.S_IXUSR)
            files.append(PackedFile(name, executable, path.read_bytes()))
    data = _MAGIC + _encode(files) if size <= PROGRAM_BYTES else b""
    size = max(size, len(data))
    if size > PROGRAM_BYTES:
        raise ProgramError(
            f"the program files in {folder} have {size} bytes, {PROGRAM_BYTES} may travel with a job: "
            "name larger things by a path that every machine has"
        )
    return data


def _check_inside(folder: Path, path: Path) -> None:
    """No part of the way to `path` may be a link that was there before."""
    for parent in [path, *path.parents]:
        if parent == folder:
            return
        if parent.is_symlink():
            raise ProgramError(f"{parent} is a link: remove it")


def _write(path: Path, file: PackedFile) -> None:
    """Whole under its name or not at all: a node may be starting from the file that was there."""
    temporary = path.with_name(path.name + ".unpacking")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700 if file.executable else 0o600)
    with open(descriptor, "wb") as target:
        target.write(file.content)
    os.rename(temporary, path)
