"""What can be wrong with files; each error is one line that says what to do."""

from __future__ import annotations

from pathlib import Path


class StorageError(Exception):
    pass


class Corrupt(StorageError):
    """What was durable is not there any more as it was written."""

    def __init__(self, path: Path, offset: int, what: str, remedy: str) -> None:
        super().__init__(f"{path} is damaged at byte {offset} ({what}): {remedy}")
        self.path = path
        self.offset = offset


class NotOurs(StorageError):
    """A folder or file that belongs to somebody else, or to another version."""


class InUse(StorageError):
    """Another process has it open."""


class JournalFailed(StorageError):
    """A write or sync failed: nothing more can be promised, and the process must end."""


REPLACE = (
    "do not start this coordinator from it; check the disk, keep a copy of the folder, restore it from a backup, "
    "or replace the coordinator by one with a new id and an empty folder"
)
