"""One child process on pipes: started clean, fed and read without blocking, ended with its whole group.

The descriptors are read and written straight from the loop (`add_reader`, `add_writer`), which behaves the same
on asyncio's loop and on uvloop, and lets us bound every buffer: output waits in the pipe when its owner pauses
it, input that the child does not read is capped, stderr keeps a tail.

The end of a child has an order.  The pidfd becomes readable; its group is killed while the dead leader still
holds the number (so that no stranger's group can be hit); it is reaped; what is left in its pipes is read; and
then, once, `on_exit` is called.  Nothing is called after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import site
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tasksprint.limits import CHILD_BUFFER_BYTES, MIB, STDERR_TAIL_BYTES
from tasksprint.programs.keeper import Keeper

READ_BYTES = 256 << 10
WRITE_BYTES = 256 << 10
DRAIN_READS = 64  # after the end: what a pipe holds, with room to spare, but not what a runaway writes for ever
CLOSED_GRACE_S = 0.5  # a child that closes its output must be gone after this
LOWER_TRIES, LOWER_AGAIN_S = 100, 0.11
PYTHON = "@python"


class StartError(Exception):
    """The program could not be started; the text says why, for a person."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a user's program finds in its environment: little, and the same on every machine."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    environment.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    environment["LANG"] = os.environ.get("LANG", "C.UTF-8")
    environment["PYTHONHASHSEED"] = "0"
    root = str(Path(__file__).resolve().parents[2])
    if root not in site.getsitepackages():
        environment["PYTHONPATH"] = root
    environment.update((name, value) for name, value in os.environ.items() if name.startswith("TASKSPRINT_"))
    environment.update(extra or {})
    return environment


def expanded(command: Sequence[str]) -> list[str]:
    """The command with "@python" replaced by this machine's interpreter."""
    if not command or not command[0]:
        raise StartError("the command is empty")
    return [sys.executable if word == PYTHON else word for word in command]


def describe_exit(code: int) -> str:
    """An exit code as Popen gives it, for a person."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")


@contextlib.contextmanager
def no_core_dumps() -> Iterator[None]:
    """What is started meanwhile leaves none, from its first instruction on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


class Child:
    """A running program. Made inside a running loop; all callbacks come from that loop, none from the constructor."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: str | Path,
        keeper: Keeper,
        on_output: Callable[[bytes], None] | None,
        on_stderr: Callable[[bytes], None] | None,
        on_exit: Callable[[int], None],
        environment: Mapping[str, str] | None = None,
        nice: int = 0,
    ) -> None:
        """Starts the program. `on_output` None: its stdout is thrown away. StartError when it cannot be started."""
        self._loop = asyncio.get_running_loop()
        self._keeper = keeper
        self._on_output, self._on_stderr, self._on_exit = on_output, on_stderr, on_exit
        self._tail = b""
        self._waiting: deque[bytes | memoryview] = deque()
        self._waiting_bytes = 0
        self._flushing = False  # a flush is scheduled, or waits for the pipe
        self._closing_input = False
        self._paused = False
        self._closed_timer: asyncio.TimerHandle | None = None
        self.exit_code: int | None = None
        self.trouble = ""  # why we ended it, where the child itself gave the reason
        self._stdin = self._stdout = self._stderr = self._pidfd = -1
        self._process = self._popen(command, folder, environment)
        self.pid = self._process.pid
        try:
            self._adopt(nice)
        except OSError as error:  # no descriptors left, say
            self._abandon()
            raise StartError(f"cannot start {command[0]!r}: {error.strerror}") from None

    # --- starting ----------------------------------------------------------------------------------------

    def _adopt(self, nice: int) -> None:
        self._keeper.add(self.pid)
        self._limit(nice)
        self._stdin = self._take("stdin")
        self._stdout = self._take("stdout")
        self._stderr = self._take("stderr")
        for descriptor, reader in ((self._stdout, self._read_output), (self._stderr, self._read_stderr)):
            if descriptor >= 0:
                self._loop.add_reader(descriptor, reader)
        self._pidfd = self._watch()

    def _abandon(self) -> None:
        """It runs, but we cannot hold it: as if it had never been started."""
        self.kill()
        self._process.wait()
        self._keeper.remove(self.pid)
        self._drop_input()
        self._stdout, self._stderr = self._close_reader(self._stdout), self._close_reader(self._stderr)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _popen(
        self, command: Sequence[str], folder: str | Path, environment: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]:
        words = expanded(command)
        variables = clean_environment(environment)
        where = str(folder)
        if not os.path.isdir(where):
            raise StartError(f"cannot start {words[0]!r}: its folder {where} does not exist")
        try:
            with no_core_dumps():
                return subprocess.Popen(
                    words,
                    cwd=where,
                    env=variables,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE if self._on_output else subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if isinstance(error, FileNotFoundError) and shutil.which(words[0], path=variables["PATH"]) is None:
                reason = "no such program"
            raise StartError(f"cannot start {words[0]!r}: {reason}") from None

    def _take(self, name: str) -> int:
        """The descriptor of one pipe, ours from now on, non-blocking; -1 when there is none."""
        pipe = getattr(self._process, name)
        if pipe is None:
            return -1
        descriptor = os.dup(pipe.fileno())
        pipe.close()
        setattr(self._process, name, None)
        os.set_blocking(descriptor, False)
        return descriptor

    def _limit(self, nice: int) -> None:
        with contextlib.suppress(OSError, AttributeError):
            if nice:
                os.setpriority(os.PRIO_PROCESS, self.pid, nice)
            resource.prlimit(self.pid, resource.RLIMIT_CORE, (0, 0))
        if nice:
            self._lower_session(nice, LOWER_TRIES)

    def _lower_session(self, nice: int, tries: int) -> None:
        """Where Linux weighs whole sessions against each other (autogroup), `nice` counts inside of them only.

        A child leads a session of its own, so without this it would get as much of the processor as we do.  Everybody
        without privileges together may do it ten times a second, so it is tried again.
        """
        if self.exit_code is not None:
            return
        try:
            file = os.open(f"/proc/{self.pid}/autogroup", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(file, b"%d" % nice)
            finally:
                os.close(file)
        except BlockingIOError:
            if tries:
                self._loop.call_later(LOWER_AGAIN_S, self._lower_session, nice, tries - 1)
        except OSError:
            return  # there is no such thing on this machine

    def _watch(self) -> int:
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # no Linux, or an old one
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
            return -1
        self._loop.add_reader(descriptor, self._ended)
        return descriptor

    def _wait_in_thread(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._ended)

    # --- writing -------------------------------------------------------------------------------------------

    @property
    def backlog(self) -> int:
        """Bytes that wait for the child to read them."""
        return self._waiting_bytes

    def write(self, data: bytes, now: bool = False) -> None:
        """Queues bytes for the child's stdin; all of one turn of the loop leave in one write, or at once when `now`."""
        if self._stdin < 0 or self._closing_input:
            return
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > CHILD_BUFFER_BYTES:
            self.trouble = f"it does not read its input ({CHILD_BUFFER_BYTES // MIB} MiB wait for it)"
            self._drop_input()
            self.kill()
        elif now and not self._flushing:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def close_input(self) -> None:
        """The child reads the end of its input after what was written."""
        self._closing_input = True
        if not self._waiting:
            self._drop_input()

    def _flush(self) -> None:
        if self._stdin < 0:
            return
        self._flushing = False
        try:
            while self._waiting:
                self._send(self._next_batch())
        except BlockingIOError:
            self._flushing = True
            self._loop.add_writer(self._stdin, self._flush)
            return
        except OSError:  # it closed its input: its exit, or its silence, will tell
            self._drop_input()
            return
        self._loop.remove_writer(self._stdin)
        if self._closing_input:
            self._drop_input()

    def _next_batch(self) -> bytes | memoryview:
        """About WRITE_BYTES of what waits, taken out of the queue."""
        first = self._waiting.popleft()
        if not self._waiting or len(first) >= WRITE_BYTES:
            return first
        batch = [first]
        size = len(first)
        while self._waiting and size < WRITE_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1])
        return b"".join(batch)

    def _send(self, data: bytes | memoryview) -> None:
        try:
            sent = os.write(self._stdin, data)
        except BlockingIOError:
            self._waiting.appendleft(data)
            raise
        self._waiting_bytes -= sent
        if sent < len(data):
            self._waiting.appendleft(memoryview(data)[sent:])

    def _drop_input(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._stdin >= 0:
            self._loop.remove_writer(self._stdin)
            os.close(self._stdin)
            self._stdin = -1

    # --- reading -------------------------------------------------------------------------------------------

    @property
    def tail(self) -> str:
        """The end of its stderr."""
        return self._tail.decode("utf-8", "replace").strip()

    def pause(self) -> None:
        """Leaves its output in the pipe until `resume`."""
        if not self._paused and self._stdout >= 0:
            self._loop.remove_reader(self._stdout)
        self._paused = True

    def resume(self) -> None:
        if self._paused and self._stdout >= 0:
            self._loop.add_reader(self._stdout, self._read_output)
        self._paused = False

    def _read_output(self) -> None:
        data = _read(self._stdout)
        if data:
            assert self._on_output is not None
            self._on_output(data)
        elif data is not None:
            self._stdout = self._close_reader(self._stdout)
            if self.exit_code is None:
                self._closed_timer = self._loop.call_later(CLOSED_GRACE_S, self._closed_its_output)

    def _read_stderr(self) -> None:
        data = _read(self._stderr)
        if data:
            self._tail = (self._tail + data)[-STDERR_TAIL_BYTES:]
            if self._on_stderr is not None:
                self._on_stderr(data)
        elif data is not None:
            self._stderr = self._close_reader(self._stderr)

    def _closed_its_output(self) -> None:
        self.trouble = "it closed its output and went on"
        self.kill()

    def _close_reader(self, descriptor: int) -> int:
        if descriptor >= 0:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        return -1

    # --- ending ----------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Ends the whole group at once; `on_exit` follows."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Asks the program to end."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _ended(self) -> None:
        if self.exit_code is not None:
            return
        self.kill()
        self.exit_code = self._process.wait()
        self._keeper.remove(self.pid)
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        if self._closed_timer:
            self._closed_timer.cancel()
        self._drop_input()
        for _ in range(DRAIN_READS):
            if self._stderr >= 0:
                self._read_stderr()
            if self._stdout >= 0 and not self._paused:
                self._read_output()
        self._stdout, self._stderr = self._close_reader(self._stdout), self._close_reader(self._stderr)
        self._on_exit(self.exit_code)


def _read(descriptor: int) -> bytes | None:
    """What is there; b"" at the end, None when nothing is there yet."""
    try:
        return os.read(descriptor, READ_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""
