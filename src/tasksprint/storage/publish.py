"""A folder of results for the user: all of it or nothing, and never over something that is not ours.

The files are written into a new folder beside the target, synced, and the folder is renamed to the target's name.  Its
marker file, which lists what will be written, is durable before anything else is there: so a folder that holds
anything but its own marker tells what of it is ours.  An earlier result of ours is first renamed aside and removed
last; between the two renames a crash leaves the old result under its other name, and the next `publish` puts it back
before it begins.
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
    """Raises a StorageError when `publish` would refuse; what it will have to do beside the target is tried."""
    target = target.absolute()
    try:
        _check(target)
    except OSError as error:
        why = error.strerror or error
        raise StorageError(f"cannot write {target}: {why}; choose another place for the output") from None


def _check(target: Path) -> None:
    if not target.parent.is_dir():
        raise StorageError(f"{target.parent} is no folder: make it first, or choose another place for the output")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise StorageError(f"{target.parent} may not be written to: choose another place for the output")
    if (target.exists() or target.is_symlink()) and not _may_go(target):
        marked = (target / MARKER).is_file()
        what = "has files or folders in it that are not ours" if marked else "is no result of ours"
        raise NotOurs(f"{target} exists and {what}: remove it, or choose another place for the output")
    new, old = _beside(target)
    for each in (new, old):
        if (each.exists() or each.is_symlink()) and not _may_go(each):
            raise NotOurs(f"{each} is in the way and is not ours: remove it, or choose another place for the output")
    if not new.exists():
        new.mkdir()
        new.rmdir()


def _beside(target: Path) -> tuple[Path, Path]:
    """Where the next result is made, and where the last one is while the two change places."""
    return target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")


def publish(target: Path, files: Mapping[str, Path | bytes]) -> None:
    """`target` becomes a folder of these files (relative names).  Sources that are paths are copied."""
    target = target.absolute()
    check_target(target)
    new, old = _beside(target)
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
    _sync(folder / MARKER)
    disk.sync_folder(folder)
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
    marked = marker.read_bytes()
    if [each.name for each in path.iterdir()] == [MARKER] and _is_begun(marked):
        return True
    mark, *names = marked.split(b"\0")
    files = {path / MARKER, *(path / os.fsdecode(name) for name in names)}
    folders = {parent for file in files for parent in file.parents}
    return mark == _MARK and all(
        each in (folders if each.is_dir() and not each.is_symlink() else files) for each in path.rglob("*")
    )


def _is_begun(marked: bytes) -> bool:
    """A marker as a crash leaves it that comes before it is durable: its beginning, and zeros perhaps."""
    return _MARK.startswith(marked.rstrip(b"\0")) or marked.startswith(_MARK)


def _may_go(path: Path) -> bool:
    """A folder that is ours, or an empty one."""
    return _is_ours(path) or (path.is_dir() and not path.is_symlink() and not any(path.iterdir()))


def _clear(path: Path) -> None:
    """What an earlier try of ours has left: marked, or not even that far."""
    if _may_go(path):
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        raise NotOurs(f"{path} is in the way and is not ours: remove it")
