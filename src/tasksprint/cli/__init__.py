"""The commands.

`main` is the `tasksprint` program.  Each command lives in a module of this room that is imported only when the
command is used, so that `--help` answers at once; what a command needs from heavier packages it imports itself.
Exit codes: 0 done, 1 it failed (and says why in one line), 2 the command line was wrong, 130 interrupted.
"""

from __future__ import annotations


def main() -> None:
    """The `tasksprint` program."""
    from tasksprint.cli.commands import run_program

    run_program(ends_process=True)
