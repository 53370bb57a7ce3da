"""What must outlive a process, and what does not fit into memory.

Other rooms open files, too, of which less is promised after a crash: logs, traces, what was fetched, a picture.

- `Journal`: a replica's durable records and snapshots.  `on_durable(write)` means: on the disk, whatever happens next.
- `MemoryJournal`: the same promise on a simulated disk that can crash, for the simulator.
- `shelf.Shelf`: a client's results, with spill; `publish.publish`: a folder of results, all of it or nothing.
- `programs`: a job's files as bytes, checked on the way in and out.

Every error is a StorageError: one line that says what was wrong, where, and what to do.
"""

from tasksprint.storage.errors import Corrupt, InUse, JournalFailed, NotOurs, StorageError
from tasksprint.storage.journal import Journal
from tasksprint.storage.memory import MemoryJournal
from tasksprint.storage.recovery import check_place

__all__ = [
    "Corrupt",
    "InUse",
    "Journal",
    "JournalFailed",
    "MemoryJournal",
    "NotOurs",
    "StorageError",
    "check_place",
]
