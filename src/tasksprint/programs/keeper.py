"""The keeper: what ends our children when we no longer can.

A process that is killed with ``kill -9`` runs no handler, and Linux's parent-death signal reaches one process,
not its group.  So each owner starts one tiny shell in a session of its own and tells it, through a pipe, which
process groups live (``+pid``, ``-pid``).  When the owner dies, however it dies, the kernel closes the pipe; the
shell reads the end of its input and kills every group that is still listed.  An owner that works in a temporary folder
tells that too (``/folder``): it goes last, when those who wrote into it are dead.

Invariant: the pipe's write end is in no other process (it is not inheritable), or the end would never come.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

_SCRIPT = r"""
groups=" "
folder=
while IFS= read -r line; do
  pid=${line#?}
  case $line in
    /*) folder=$line ;;
    +*) groups="$groups$pid " ;;
    -*) case $groups in *" $pid "*) groups="${groups%%" $pid "*} ${groups#*" $pid "}" ;; esac ;;
  esac
done
for pid in $groups; do kill -9 "-$pid"; done
[ -n "$folder" ] || exit 0
for try in 1 2 3 4 5; do
  rm -rf -- "$folder"
  [ -e "$folder" ] || break
  sleep 0.2
done
"""


class Keeper:
    """One a process; `add` each group right after its start. Blocking calls of a few microseconds."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._folder = ""
        self._shell: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    def add(self, pid: int) -> None:
        self._groups.add(pid)
        if self._shell is None:
            self._start()  # which tells every group
        else:
            self._tell(f"+{pid}\n")

    def remove(self, pid: int) -> None:
        if pid in self._groups:
            self._groups.discard(pid)
            self._tell(f"-{pid}\n")

    def remove_folder(self, folder: Path) -> None:
        """In the end, this whole folder: only ever a temporary one, made by the caller for itself alone."""
        if not folder.is_absolute() or len(folder.parts) < 3 or "\n" in str(folder):
            return  # nothing that a script should delete
        self._folder = str(folder)
        if self._shell is None:
            self._start()
        else:
            self._tell(f"{self._folder}\n")

    def close(self) -> None:
        """Ends every group that is still listed, removes the folder, and ends the keeper."""
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
        except OSError:
            os.close(self._pipe)
            self._pipe = -1
            raise
        finally:
            os.close(reader)
        if self._folder:
            self._write(f"{self._folder}\n")
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
