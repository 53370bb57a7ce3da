"""`tasksprint-node APP`: a shipped node alone, for somebody's own pipeline."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Become the app's node: JSON lines on standard input and output, as docs/protocol.md says."""
    from tasksprint.apps import APPS, PYTHON, UnknownApp, find

    words = sys.argv[1:]
    if words in (["-h"], ["--help"]):
        print(
            "usage: tasksprint-node APP\n\nRuns a shipped node alone: JSON lines on standard input and output.\n\napps:"
        )
        for app in APPS.values():
            print(f"  {app.name:<12} {app.summary}")
        return
    if len(words) != 1:
        print(f"usage: tasksprint-node APP  (apps: {', '.join(sorted(APPS))})", file=sys.stderr)
        sys.exit(2)
    try:
        command = find(words[0]).node
    except UnknownApp as error:
        print(f"tasksprint-node: {error}", file=sys.stderr)
        sys.exit(2)
    argv = [sys.executable if word == PYTHON else word for word in command]
    os.execv(argv[0], argv)
