"""The conversation between a client and a node: one JSON object a line, as a pure state table.

The rules, in prose (docs/protocol.md has them in full):

1. The client speaks first: ``hello``.  The node answers ``ready``, once, before anything else but ``log``.
2. After that the client sends ``run`` lines, several ahead if it likes; the node works on them in order and
   answers each with exactly one ``done`` or ``failed``, in the same order.  So an outcome belongs to the
   oldest run that has none yet, and one that names another task is an error.
3. ``cancel`` names a run without an outcome.  It too is answered, by ``failed`` or (when it was too late) by
   ``done``; the client passes neither on.
4. ``progress`` names the oldest run; ``log`` may come at any time.
5. ``bye``, or the end of its input, ends the node.

Values are never decoded here: a piece of a result is its JSON text, as the node wrote it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Annotated, NoReturn

import msgspec
from msgspec import Meta, Raw, Struct

from tasksprint.limits import ERROR_BYTES, KEYS_MAX, LINE_BYTES, MIB, NAME_CHARS, NODE_PROTOCOL_VERSION
from tasksprint.sdk.plain import unsafe_number

QUOTED_BYTES = 120  # of a line that is no message, in the error

Count = Annotated[int, Meta(ge=0, le=1 << 53)]


class NodeError(Exception):
    """The node broke the protocol; the text says how, for a person."""


# --- what the client says ------------------------------------------------------------------------------

_text = msgspec.json.Encoder().encode


class InputValue(Struct, frozen=True, gc=False):
    """A prerequisite that is a JSON value: its text, untouched."""

    key: str
    value: bytes


class InputFile(Struct, frozen=True, gc=False):
    """A prerequisite that is a file, at this absolute path."""

    key: str
    path: str


Input = InputValue | InputFile


def hello(job: str, folder: str, node: int) -> bytes:
    """`folder` is where the job's program lies (and the node's working directory); `node` counts a client's nodes."""
    message = {"type": "hello", "version": NODE_PROTOCOL_VERSION, "job": job, "folder": folder, "node": node}
    return _text(message) + b"\n"


def run(
    task: int, name: str, args: bytes, inputs: Iterable[Input], seed: int, folder: str, *, attempt: int = 0
) -> bytes:
    """One line that asks for a task; args and values are spliced in as they are. ValueError when it is too long."""
    parts = b",".join(_input(each) for each in inputs)
    line = b'{"type":"run","task":%d,"attempt":%d,"name":%b,"args":%b,"inputs":[%b],"seed":"%016x","folder":%b}\n' % (
        task, attempt, _text(name), args or b"null", parts, seed, _text(folder)
    )  # fmt: skip
    if len(line) > LINE_BYTES:
        raise ValueError(
            f"the task's arguments and inputs take {len(line) / MIB:.1f} MiB as JSON, "
            f"more than {LINE_BYTES // MIB} MiB: return large pieces as files"
        )
    return line


def _input(each: Input) -> bytes:
    if isinstance(each, InputValue):
        return b'{"key":%b,"value":%b}' % (_text(each.key), each.value)
    return b'{"key":%b,"$file":%b}' % (_text(each.key), _text(each.path))


def cancel(task: int, *, attempt: int = 0) -> bytes:
    return b'{"type":"cancel","task":%d,"attempt":%d}\n' % (task, attempt)


def bye() -> bytes:
    return b'{"type":"bye"}\n'


# --- what the node says --------------------------------------------------------------------------------


class Ready(Struct, tag_field="type", tag="ready"):
    version: int
    tasks: list[str]
    name: str = ""
    folders: str = ""  # "lazy": the node makes a task's folder itself, when it needs it


class Progress(Struct, tag_field="type", tag="progress"):
    task: int
    fraction: float | None = None
    read: Count | None = None  # bytes of input worked through so far


class Log(Struct, tag_field="type", tag="log"):
    text: str
    task: int | None = None


class _Done(Struct, tag_field="type", tag="done"):
    task: int
    result: dict[str, Raw]
    read: Count = 0


class Failed(Struct, tag_field="type", tag="failed"):
    task: int
    error: str
    trace: str = ""


class FilePiece(Struct, frozen=True, gc=False):
    """A piece that is a file: a plain relative name inside the task's folder.

    The name is checked, the file is not: whoever opens it must not follow links out of the folder.
    """

    name: str


class Done(Struct):
    task: int
    result: dict[str, bytes | FilePiece]  # JSON text, or a file
    read: int  # bytes of input that the task worked through


class _FileForm(Struct, forbid_unknown_fields=True):
    file: str = msgspec.field(name="$file")


Message = Ready | Progress | Log | Done | Failed
_decode = msgspec.json.Decoder(Ready | Progress | Log | _Done | Failed).decode
_decode_file = msgspec.json.Decoder(_FileForm).decode


class _AnyForm(Struct):
    type: str | None = None


_TYPES = ("ready", "progress", "log", "done", "failed")


def decode(line: bytes) -> Message:
    """One line of the node, typed and checked; NodeError says what is wrong with it."""
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError:
            raise NodeError(f"a line that is not UTF-8: {quoted(line)}") from None
    try:
        message: Ready | Progress | Log | _Done | Failed = _decode(line)
    except msgspec.DecodeError as error:
        _refuse(line, error)
    if not isinstance(message, _Done):
        return message
    wrong = unsafe_number(line)
    if wrong:
        raise NodeError(f"the result of task {message.task}: {wrong}")
    if len(message.result) > KEYS_MAX:
        raise NodeError(f"the result of task {message.task} has {len(message.result)} keys, more than {KEYS_MAX}")
    pieces = {key: _piece(message.task, key, raw) for key, raw in message.result.items()}
    return Done(message.task, pieces, message.read)


def _piece(task: int, key: str, raw: Raw) -> bytes | FilePiece:
    if not 0 < len(key) <= NAME_CHARS:
        raise NodeError(f"the result of task {task} has a key of {len(key)} characters; 1 to {NAME_CHARS} are allowed")
    text = bytes(raw)
    if text[:1] != b"{" or b'"$file"' not in text[:QUOTED_BYTES]:
        return text
    try:
        name = _decode_file(text).file
    except msgspec.ValidationError as error:
        if not _has_file_field(text):
            return text  # the words stand deeper inside: data like any other
        raise NodeError(f'the piece {key!r} of task {task} is no {{"$file": "name"}}: {error}') from None
    wrong = wrong_name(name)
    if wrong:
        raise NodeError(f"the piece {key!r} of task {task} names the file {name[:NAME_CHARS]!r}: {wrong}")
    return FilePiece(name)


def _has_file_field(text: bytes) -> bool:
    return "$file" in msgspec.json.decode(text, type=dict[str, Raw])


def wrong_name(name: str) -> str:
    """Why `name` is no plain relative file name, or ""."""
    if not name or len(name.encode()) > 4 * NAME_CHARS or "\0" in name:
        return "a name has 1 to 800 bytes and no NUL"
    if name.startswith("/"):
        return "it must be relative to the task's folder"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "it must stay inside the task's folder, without '.' and '..'"
    return ""


def _refuse(line: bytes, error: msgspec.DecodeError) -> NoReturn:
    if not isinstance(error, msgspec.ValidationError):
        raise NodeError(f"a line that is no JSON object: {quoted(line)}") from None
    try:
        kind = msgspec.json.decode(line, type=_AnyForm).type
    except msgspec.DecodeError:
        raise NodeError(f"a line that is no message: {quoted(line)}") from None
    if kind is None:
        raise NodeError(f'a message without "type": {quoted(line)}') from None
    if kind not in _TYPES:
        raise NodeError(f"a message of the unknown type {kind[:NAME_CHARS]!r} (known: {', '.join(_TYPES)})") from None
    raise NodeError(f"a {kind!r} message with a wrong field: {error}: {quoted(line)}") from None


def quoted(line: bytes) -> str:
    """The beginning of a line, for an error."""
    text = repr(line[:QUOTED_BYTES].decode("utf-8", "backslashreplace"))
    return text if len(line) <= QUOTED_BYTES else f"{text}... ({len(line)} bytes)"


# --- what is allowed when -------------------------------------------------------------------------------


class NodeTalk:
    """Where the conversation stands: refuses what is not allowed now. It holds no bytes and sends none."""

    def __init__(self) -> None:
        self.ready: Ready | None = None
        self.runs: deque[int] = deque()  # tasks without an outcome, oldest first
        self.over = False

    def sent_run(self, task: int) -> None:
        if self.ready is None or self.over:
            raise AssertionError("a run before `ready` or after `bye`")
        self.runs.append(task)

    def sent_bye(self) -> None:
        self.over = True

    def heard(self, message: Message) -> None:
        """Checks the message against the state, and moves on. NodeError when it is not allowed now."""
        if isinstance(message, Log):
            return
        if isinstance(message, Ready):
            self._heard_ready(message)
            return
        if self.ready is None:
            raise NodeError(f"{_kind(message)!r} before 'ready'")
        if not self.runs:
            raise NodeError(f"{_kind(message)!r} for task {message.task}, but no task was asked for")
        if message.task != self.runs[0]:
            raise NodeError(f"{_kind(message)!r} for task {message.task}, but the task at hand is {self.runs[0]}")
        if not isinstance(message, Progress):
            self.runs.popleft()

    def _heard_ready(self, message: Ready) -> None:
        if self.ready is not None:
            raise NodeError("'ready' a second time")
        if message.version != NODE_PROTOCOL_VERSION:
            raise NodeError(
                f"the node speaks version {message.version} of the protocol, this client {NODE_PROTOCOL_VERSION}"
            )
        if not message.tasks or any(not 0 < len(name) <= NAME_CHARS for name in message.tasks):
            raise NodeError(f"'ready' must name at least one task, each with 1 to {NAME_CHARS} characters")
        if message.folders not in ("", "lazy"):
            raise NodeError(f"'ready' has folders={message.folders[:NAME_CHARS]!r}; only \"lazy\" is known")
        self.ready = message


def _kind(message: Progress | Done | Failed) -> str:
    return type(message).__name__.lower()


def shortened(failed: Failed) -> str:
    """The error of a failed task with its trace, cut to what goes through the log."""
    half = ERROR_BYTES // 8
    text = f"{failed.error}\n{failed.trace}" if failed.trace else failed.error
    if len(text) <= 2 * half:
        return text
    return f"{failed.error[:half]}\n...{failed.trace[-half:]}"


__all__ = [
    "Done", "Failed", "FilePiece", "Input", "InputFile", "InputValue", "Log", "Message", "NodeError", "NodeTalk",
    "Progress", "Ready", "bye", "cancel", "decode", "hello", "quoted", "run", "shortened", "wrong_name",
]  # fmt: skip
