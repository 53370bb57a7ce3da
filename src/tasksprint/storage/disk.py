"""The few things that we do to a disk, each of which may fail, and after each of which the power may go."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from tasksprint.limits import MIB
from tasksprint.storage.errors import InUse, StorageError

TEMPORARY = ".tmp"
SLICE_BYTES = 4 * MIB  # synced one by one, so that others get the disk in between


def create_synced(path: Path, parts: Iterable[bytes], size: int = 0) -> None:
    """A new file with these bytes, of at least `size` bytes (zeros behind), under its name only when it is durable."""
    temporary = path.with_name(path.name + TEMPORARY)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if size:
            os.posix_fallocate(descriptor, 0, size)
        offset = 0
        for part in parts:
            for start in range(0, len(part), SLICE_BYTES):
                piece = memoryview(part)[start : start + SLICE_BYTES]
                offset += _write_all(descriptor, piece, offset)
                if len(piece) == SLICE_BYTES:
                    os.fdatasync(descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)
    sync_folder(path.parent)


def _write_all(descriptor: int, data: memoryview, offset: int) -> int:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
    return done


def sync_folder(folder: Path) -> None:
    """Names that were made, changed or removed in it are durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """... and its parents, each durable."""
    missing = [folder, *folder.parents]
    missing = missing[: next((i for i, each in enumerate(missing) if each.exists()), len(missing))]
    try:
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
            sync_folder(each.parent)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}; choose another one") from error
    if not folder.is_dir():
        raise StorageError(f"{folder} is no folder: choose another one")


def lock(path: Path) -> int:
    """A lock that goes away with this process, however it ends.  Raises InUse; close the descriptor to let go."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror}; check the folder's owner and mode") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise InUse(f"{path.parent} is in use by process {holder}: stop it, or choose another folder") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor
