"""The program around a user's node: runs in, tasks called, results out.

Runs are queued ahead, so that a node need not wait for its client between two short tasks.  Before each of them
(and when a task looks at `self.cancelled`) the input is looked at without waiting: a `cancel` may have come for it.
An outcome is written at once: what follows in the queue may take long.
"""

from __future__ import annotations

import gc
import io
import json
import os
import select
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from tasksprint.limits import LINE_BYTES, MIB, NODE_PROTOCOL_VERSION
from tasksprint.sdk import seeding, streams
from tasksprint.sdk.files import File
from tasksprint.sdk.node import Node
from tasksprint.sdk.plain import NotPlain, dumps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

READ_BYTES = 1 << 18
PROGRESS_S = 0.1  # between two progress lines
LOG_CHARS = 1 << 16  # in one log line
SHOWN_CHARS = 100  # of what is wrong


class Inbox:
    """The client's messages: runs in order, cancels as soon as they are seen."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._poll = select.poll()
        self._poll.register(reader, select.POLLIN)
        self._rest = b""
        self.runs: deque[dict[str, Any]] = deque()
        self.cancelled: set[tuple[int, int]] = set()
        self.current = (0, 0)  # (task, attempt) at hand
        self.over = False

    def look(self) -> None:
        """Reads what is there, without waiting."""
        while not self.over and self._poll.poll(0):
            self._read()

    def wait(self) -> None:
        self._read()

    def _read(self) -> None:
        data = os.read(self._reader, READ_BYTES)
        if not data:
            self.over = True
            data = b"\n"  # the last line is one, even without its end
        if b"\n" not in data:
            data = self._whole_line(data)
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        try:
            messages = json.loads(f"[{b','.join(filter(None, lines)).decode()}]")
        except (ValueError, RecursionError):
            messages = _each(lines)
        for message in messages:
            self._take(message)

    def _whole_line(self, data: bytes) -> bytes:
        """A long line: gathered piece by piece, joined once."""
        pieces = [data]
        while b"\n" not in pieces[-1]:
            pieces.append(os.read(self._reader, READ_BYTES))
            if not pieces[-1]:
                self.over = True
                break
        return b"".join(pieces)

    def _take(self, message: dict[str, Any]) -> None:
        kind = message.get("type") if isinstance(message, dict) else None
        if (kind == "run" and "task" in message) or kind == "hello":
            self.runs.append(message)
        elif kind == "cancel":
            name = (message["task"], message.get("attempt", 0))
            waiting = ((run["task"], run.get("attempt", 0)) for run in self.runs if run["type"] == "run")
            if name == self.current or name in waiting:
                self.cancelled.add(name)
        elif kind == "bye":
            self.over = True
        else:
            raise streams.Unknown(_refusal(message))


def _each(lines: list[bytes]) -> Iterator[Any]:
    """Lines one by one, since one of them is wrong."""
    for line in filter(None, lines):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            raise streams.Unknown(f"a line that is no JSON: {_shown(line.decode('utf-8', 'replace'))}") from None


def _refusal(message: Any) -> str:
    if not isinstance(message, dict):
        return f"a message is a JSON object with a type, not {_shown(message)}"
    if message.get("type") == "run":
        return "a run without a task: its number names it in the answer"
    return f"a message of the unknown type {_shown(message.get('type'))}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


class Work:
    """The task at hand: what stands behind the properties of `Node`."""

    def __init__(self, inbox: Inbox, writer: int) -> None:
        self._inbox = inbox
        self._writer = writer
        self._random: Random | None = None
        self._random_is_seeded = False
        self._path = ""
        self._folder_made = False
        self._progress_at = 0.0
        self.seed = 0
        self.read = 0
        self._seeded = seeding.watch(lambda: self.seed)

    def begin(self, run: dict[str, Any]) -> None:
        if "seed" not in run or "folder" not in run:
            raise ValueError(f"the run has no {'folder' if 'seed' in run else 'seed'}")
        self.seed = int(run["seed"], 16)
        self._path = run["folder"]
        self._folder_made = self._random_is_seeded = False
        self.read = 0
        for seed in self._seeded:
            seed(self.seed)

    def send(self, text: str) -> None:
        streams.write(self._writer, text.encode())

    def random(self) -> Random:
        if self._random is None:
            from random import Random

            self._random = Random(0)
        if not self._random_is_seeded:
            self._random.seed(self.seed)
            self._random_is_seeded = True
        return self._random

    def folder(self) -> Path:
        from pathlib import Path

        if not self._folder_made:
            os.makedirs(self._path, exist_ok=True)
            self._folder_made = True
        return Path(self._path)

    def is_cancelled(self) -> bool:
        self._inbox.look()
        return self._inbox.current in self._inbox.cancelled

    def progress(self, fraction: float | None, read: int) -> None:
        self.read += read
        now = time.monotonic()
        if now - self._progress_at < PROGRESS_S:
            return
        self._progress_at = now
        share = "" if fraction is None else f'"fraction":{dumps(float(fraction))},'
        self.send(f'{{"type":"progress","task":{self._inbox.current[0]},{share}"read":{self.read}}}\n')

    def log(self, text: str) -> None:
        task = self._inbox.current[0]
        for start in range(0, len(text) or 1, LOG_CHARS):
            line = json.dumps(_valid(text[start : start + LOG_CHARS]))
            about = f'"task":{task},' if task else ""
            self.send(f'{{"type":"log",{about}"text":{line}}}\n')

    def pieces(self, result: Any) -> str:
        """The result as JSON text."""
        if result is None:
            return "{}"
        if not isinstance(result, dict):
            raise TypeError(f"a task returns a dict of pieces, {{key: value or File}}, not {type(result).__name__}")
        for key, value in result.items():
            if not isinstance(key, str) or not key:
                raise TypeError(f"the key of a piece is a string, not {key!r}")
            if isinstance(value, File) or (isinstance(value, dict) and "$file" in value):
                return self._with_files(result)
        try:
            return dumps(result)
        except NotPlain:
            for key, value in result.items():
                _piece_text(key, value)
            raise

    def _with_files(self, result: dict[str, Any]) -> str:
        parts = (f"{dumps(key)}:{self._piece(key, value)}" for key, value in result.items())
        return f"{{{','.join(parts)}}}"

    def _piece(self, key: str, value: Any) -> str:
        if isinstance(value, File):
            return f'{{"$file":{dumps(self._name(key, os.fspath(value)))}}}'
        if isinstance(value, dict) and "$file" in value:
            raise TypeError(f'the piece {key!r} has a key "$file", which stands for a file: return a File')
        return _piece_text(key, value)

    def _name(self, key: str, path: str) -> str:
        """The file's name inside the task's folder."""
        whole = os.path.normpath(os.path.join(self._path, path))
        if not whole.startswith(self._path.rstrip("/") + "/"):
            raise ValueError(f"the piece {key!r} is the file {path}, which does not lie in self.folder: write it there")
        if not os.path.isfile(whole):
            raise FileNotFoundError(f"the piece {key!r} is the file {path}, which does not exist")
        return whole[len(self._path.rstrip("/")) + 1 :]


def _piece_text(key: str, value: Any) -> str:
    try:
        return dumps(value)
    except NotPlain as error:
        raise NotPlain(f"the piece {key!r}: {error}") from None


class Printed(io.TextIOBase):
    """What `print` writes: whole lines become log messages of the task."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work
        self._line = ""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1

    def write(self, text: str) -> int:
        lines = (self._line + text).split("\n")
        self._line = lines.pop()
        if lines:
            self._work.log("\n".join(lines))
        return len(text)

    def finish(self) -> None:
        """The task is over: what stands on the last line goes out."""
        if self._line:
            self._work.log(self._line)
            self._line = ""


def serve(kind: type[Node]) -> None:
    """Runs a node of this class on stdin and stdout, until `bye` or the end of the input."""
    reader, writer = streams.take()
    inbox = Inbox(reader)
    work = Work(inbox, writer)
    printed = Printed(work)
    sys.stdout = printed
    messages = _messages(inbox)
    if next(messages, {}).get("type") != "hello":
        raise streams.Unknown("expected `hello`: a client starts this program, `tasksprint check-node` tries it")
    tasks = made(kind, work)
    ready = {"type": "ready", "version": NODE_PROTOCOL_VERSION, "tasks": list(tasks), "folders": "lazy"}
    gc.freeze()  # what is there now stays: it need not be looked at again and again
    work.send(json.dumps({**ready, "name": kind.__name__}) + "\n")
    for run in messages:
        inbox.current = name = (run["task"], run.get("attempt", 0))
        if name in inbox.cancelled:
            line = _failed(name[0], "cancelled", "")
        else:
            line = outcome(tasks, run, work)
        if printed._line:
            printed.finish()
        inbox.cancelled.discard(name)
        inbox.current = (0, 0)
        work.send(line)


def made(kind: type[Node], work: Work) -> dict[str, Any]:
    """The tasks of a node of this class, which sees `work` as its task at hand."""
    node = kind.__new__(kind)
    node._sprint = work
    node.__init__()  # type: ignore[misc]
    return {name: getattr(node, name) for name in kind.tasks()}


def _messages(inbox: Inbox) -> Iterator[dict[str, Any]]:
    while True:
        if inbox.runs:
            inbox.look()
        while not inbox.runs and not inbox.over:
            inbox.wait()
        if not inbox.runs:
            return
        yield inbox.runs.popleft()


def outcome(tasks: dict[str, Any], run: dict[str, Any], work: Work) -> str:
    """The task's outcome, as a line."""
    number = run["task"]
    try:
        work.begin(run)
        call = tasks.get(run["name"])
        if call is None:
            return _failed(number, f"this node has no task {run['name']!r}; it has: {', '.join(tasks)}", "")
        args = run.get("args") or {}
        if not isinstance(args, dict):
            return _failed(number, f"the arguments of a task are keywords: an object, not {type(args).__name__}", "")
        inputs = [each["value"] if "value" in each else File(each["$file"]) for each in run.get("inputs", ())]
        pieces = work.pieces(call(*inputs, **args))
        read = f',"read":{work.read}' if work.read else ""
        line = f'{{"type":"done","task":{number},"result":{pieces}{read}}}\n'
        if len(line) * 4 > LINE_BYTES and len(line.encode()) > LINE_BYTES:
            return _failed(number, f"the result takes more than {LINE_BYTES // MIB} MiB as JSON: return a File", "")
        return line
    except Exception as error:
        from tasksprint.sdk.faults import described

        return _failed(number, *described(error))


def _failed(number: int, error: str, trace: str) -> str:
    return json.dumps({"type": "failed", "task": number, "error": _valid(error), "trace": _valid(trace)}) + "\n"


def _valid(text: str) -> str:
    """Text that JSON can carry: half characters (of file names that are not UTF-8) spelled out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
