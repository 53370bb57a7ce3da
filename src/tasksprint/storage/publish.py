"""A folder of results for the user: all of it or nothing, and never over something that is not ours.

The files are written into a new folder beside the target, synced, and the folder is renamed to the target's name.  An
earlier result of ours, known by its marker file, which lists what was written, is first renamed aside and removed last;
between the two renames a crash leaves the old result under its other name, and the next `publish` puts it back before
it begins.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tasksprint.storage import disk
from tasksprint.storage.errors import NotOurs, StorageError
from tasksprint.storage.programs import ProgramError, check_name

MARKER = ".tasksprint-result"
_MARK = b"made by tasksprint: this folder is replaced by the next result of that name\n"


def check_target(target: Path) -> None:
    """Raises a StorageError when `publish` would refuse."""
    target = target.absolute()
    if not target.parent.is_dir():
        raise StorageError(f"{target.parent} is no folder: make it first, or choose another place for the output")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise StorageError(f"{target.parent} may not be written to: choose another place for the output")
    if not (target.exists() or target.is_symlink()) or _is_ours(target):
        return
    if target.is_dir() and not target.is_symlink() and not any(target.iterdir()):
        return
    what = "has files in it that are not ours" if (target / MARKER).is_file() else "is no result of ours"
    raise NotOurs(f"{target} exists and {what}: remove it, or choose another place for the output")


def publish(target: Path, files: Mapping[str, Path | bytes]) -> None:
    """`target` becomes a folder of these files (relative names).  Sources that are paths are copied."""
    target = target.absolute()
    check_target(target)
    new = target.with_name(f".{target.name}.new")
    old = target.with_name(f".{target.name}.old")
    _clear(new)
    if _is_ours(old) and not target.exists():
        os.rename(old, target)
    _clear(old)
    try:
        _fill(new, files)
        if target.exists():
            os.rename(target, old)
        os.rename(new, target)
        disk.sync_folder(target.parent)
    except OSError as error:
        _clear(new)
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
    _clear(old)


def _fill(folder: Path, files: Mapping[str, Path | bytes]) -> None:
    folder.mkdir()
    (folder / MARKER).write_bytes(b"\0".join([_MARK, *(os.fsencode(name) for name in files)]))
    folders = {folder}
    for name, source in files.items():
        path = folder / _checked(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        folders.update(parent for parent in path.parents if parent.is_relative_to(folder))
        if isinstance(source, bytes):
            path.write_bytes(source)
        else:
            shutil.copyfile(source, path)
        _sync(path)
    _sync(folder / MARKER)
    for each in folders:
        disk.sync_folder(each)


def _checked(name: str) -> str:
    try:
        check_name(name)
    except ProgramError as error:
        raise StorageError(f"an output cannot be named so: {error}") from None
    if name == MARKER:
        raise StorageError(f"an output cannot be named {name!r}: that is the mark of our results")
    return name


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_ours(path: Path) -> bool:
    """A folder that was made here, with nothing in it that was not."""
    marker = path / MARKER
    if path.is_symlink() or not path.is_dir() or not marker.is_file() or marker.is_symlink():
        return False
    mark, *names = marker.read_bytes().split(b"\0")
    ours = {MARKER, *(os.fsdecode(name) for name in names)}
    return mark == _MARK and all(
        str(each.relative_to(path)) in ours for each in path.rglob("*") if each.is_symlink() or not each.is_dir()
    )


def _clear(path: Path) -> None:
    """What an earlier try of ours has left: marked, or not even that far."""
    if _is_ours(path) or (path.is_dir() and not path.is_symlink() and not any(path.iterdir())):
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        raise NotOurs(f"{path} is in the way and is not ours: remove it")
