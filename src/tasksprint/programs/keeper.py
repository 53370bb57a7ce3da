"""The keeper: what ends our children when we no longer can.

A process that is killed with ``kill -9`` runs no handler, and Linux's parent-death signal reaches one process,
not its group.  So each owner starts one tiny shell in a session of its own and tells it, through a pipe, which
process groups live (``+pid``, ``-pid``).  When the owner dies, however it dies, the kernel closes the pipe; the
shell reads the end of its input and kills every group that is still listed.

Invariant: the pipe's write end is in no other process (it is not inheritable), or the end would never come.
"""

from __future__ import annotations

import contextlib
import os
import subprocess

_SCRIPT = r"""
groups=" "
while read -r line; do
  pid=${line#?}
  case $line in
    +*) groups="$groups$pid " ;;
    -*) case $groups in *" $pid "*) groups="${groups%%" $pid "*} ${groups#*" $pid "}" ;; esac ;;
  esac
done
for pid in $groups; do kill -9 "-$pid"; done
"""


class Keeper:
    """One a process; `add` each group right after its start. Blocking calls of a few microseconds."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._shell: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    def add(self, pid: int) -> None:
        self._groups.add(pid)
        if self._shell is None:
            self._start()
        else:
            self._tell(f"+{pid}\n")

    def remove(self, pid: int) -> None:
        if pid in self._groups:
            self._groups.discard(pid)
            self._tell(f"-{pid}\n")

    def close(self) -> None:
        """Ends every group that is still listed, and the keeper."""
        self._groups.clear()
        self._stop()

    def _start(self) -> None:
        reader, self._pipe = os.pipe()
        try:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "tasksprint-keeper"],
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={"PATH": "/usr/bin:/bin"},
            )
        finally:
            os.close(reader)
        for pid in sorted(self._groups):
            self._write(f"+{pid}\n")

    def _tell(self, line: str) -> None:
        if self._shell is not None and not self._write(line):
            self._stop()  # somebody killed it: the next one is told of every group
            self._start()

    def _write(self, line: str) -> bool:
        try:
            os.write(self._pipe, line.encode())
        except BrokenPipeError:
            return False
        return True

    def _stop(self) -> None:
        if self._shell is None:
            return
        os.close(self._pipe)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._shell.wait(2)
        self._shell, self._pipe = None, -1
