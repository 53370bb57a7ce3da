"""Exceptions of a user's code, as the user wants to read them: without the frames of those who called it."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing takes longer to import than this module
if TYPE_CHECKING:
    from traceback import TracebackException

_OURS = os.path.dirname(os.path.abspath(__file__))
_SIMULATOR = os.path.join(os.path.dirname(_OURS), "sim")  # calls a user's code, too
_CALLERS = (_OURS + os.sep, _SIMULATOR + os.sep, "<frozen ")
_NO_MODULE = (
    "\n(it is not among the job's files, and not installed here. `run FILE.py` takes that file alone: for several, use "
    "a folder with a tasksprint.toml)"
)


class TaskFailed(Exception):
    """Raised by a task that cannot do its work for a reason that its text says: no bug, so no traceback is sent."""


class HandlerFailed(Exception):
    """A handler of a scheduler has raised; the text says which one, at which event, and where."""


def described(error: BaseException) -> tuple[str, str]:
    """(what happened, the traceback or ""). Only frames of the user's code and of what it calls are in it."""
    if isinstance(error, TaskFailed):
        return str(error) or type(error).__name__, ""
    from traceback import TracebackException

    told = TracebackException.from_exception(error)
    what = "".join(told.format_exception_only()).strip()
    own = _trim(told)
    return what + _hint(error), "".join(told.format()) if own else ""


def whole(error: BaseException) -> str:
    """The same as one text, for stderr."""
    what, trace = described(error)
    return trace.rstrip() + _hint(error) if trace else what


def _hint(error: BaseException) -> str:
    return _NO_MODULE if isinstance(error, ModuleNotFoundError) else ""


def _trim(told: TracebackException) -> int:
    """Drops the frames of callers, here and in what led to it. Returns how many frames are left here."""
    from traceback import StackSummary

    for before in (told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())):
        if before is not None:
            _trim(before)
    frames = [frame for frame in told.stack if not frame.filename.startswith(_CALLERS)]
    told.stack = StackSummary.from_list(frames)
    return len(frames)
