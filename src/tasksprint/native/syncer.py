"""Writes that are on the disk: the face of the compiled module `_syncer`.

A thread of Python that writes for an event loop needs the interpreter's lock before and after each write, and a busy
loop gives it away only every few milliseconds.  The compiled thread never asks for it.

    class Syncer:                        one thread, one write at a time; used by one other thread
        begin(file, offset, data)        `data` (bytes) is to be durable in the file of this descriptor; returns
                                         at once.  The result of the write before must have been taken.
        result() -> (errno, seconds)     of the write that ended, once; errno 0: it is durable.  None while it is
                 or None                 under way.  No system call.
        fileno()                         a descriptor that is readable when a write has ended, until `clear()`.
                                         Clear first, then ask for the result: so nothing is missed.
        show(wanted)                     whether the end of a write shows at the descriptor; a failure always does.
                                         Wanted after all while one is under way: ask for the result behind that,
                                         since what has ended before shows no more
        wait()                           returns when the write that was begun, if any, has ended
        close()                          ... and the thread has ended; again: nothing

After `close` the other methods raise ValueError.  The descriptor is not inherited by programs that are started.  The
thread does not hold up the end of the process.

    write_synced(file, data, offset)     the same in the calling thread; raises OSError

`syncer_plain` has both in plain Python; where nothing was compiled it stands in, and `COMPILED` is false.
"""

from tasksprint.native import syncer_plain
from tasksprint.native.syncer_plain import write_synced

try:
    from tasksprint.native import _syncer as _kernel
except ImportError:
    _kernel = syncer_plain  # type: ignore[misc]

COMPILED = _kernel is not syncer_plain
Syncer = _kernel.Syncer

__all__ = ["COMPILED", "Syncer", "write_synced"]
