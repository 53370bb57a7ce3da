"""The shipped applications, each a scheduler and a node, found by name.

Promises: an app imports only `sdk` and `native` of ours, as a user's would; nothing of an app is imported
before it is asked for, so that the command line starts quickly.  What an app brings for the command line
(how arguments are made, how the answer is shown) is in its `command` module.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # whoever starts an app's program waits for these imports: they are few
if TYPE_CHECKING:
    from types import ModuleType

PYTHON = "@python"  # stands for the interpreter of the machine that the program runs on


class UnknownApp(ValueError):
    """No shipped app has this name; the text lists those that there are."""


class App:
    """A shipped application: how its two programs are started, and where its command-line part is."""

    def __init__(self, name: str, summary: str, room: str) -> None:
        """`room`: the package with the modules `scheduler`, `node` and `command`."""
        self.name = name
        self.summary = summary
        self.room = room

    @property
    def scheduler(self) -> list[str]:
        return [PYTHON, "-m", "tasksprint.sdk", f"{self.room}.scheduler", "scheduler"]

    @property
    def node(self) -> list[str]:
        return [PYTHON, "-m", "tasksprint.sdk", f"{self.room}.node", "node"]

    def command(self) -> ModuleType:
        """The app's `command` module, imported now."""
        return importlib.import_module(f"{self.room}.command")


APPS = {
    app.name: app
    for app in (
        App("wordcount", "count the words of files and folders", "tasksprint.apps.mapreduce"),
        App("miner", "mine Bitcoin blocks with a full node's work", "tasksprint.apps.miner"),
        App("roots", "find all roots of a function or a system in a box", "tasksprint.apps.roots"),
    )
}


def find(name: str) -> App:
    """The app of this name; UnknownApp when there is none."""
    if name not in APPS:
        raise UnknownApp(f"no app is named {name!r}; there are: {', '.join(sorted(APPS))}")
    return APPS[name]
