"""Tries a node program against the protocol, and says what it gets wrong.

Each trial starts the program anew, so that one mistake does not hide the next.  Most need no knowledge of the
program's tasks: a task that it cannot have must fail politely.  With the name of a task and its arguments the check
also runs it, and compares the results of two runs with one seed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from tasksprint.programs.child import StartError
from tasksprint.programs.probe import UNKNOWN_TYPE, Finding, Probe, Wrong, temporary_folder
from tasksprint.wire import node_talk
from tasksprint.wire.node_talk import Done, Failed, FilePiece, Input, Log, NodeError, NodeTalk, Progress, Ready

NO_TASK = "no-such-task"
LONG_ARGS = b'{"text":"%b"}' % (b"x" * (1 << 20))


class NodeProbe:
    """A node under check: what it says is held against the state table."""

    def __init__(self, probe: Probe, folder: Path) -> None:
        self._probe = probe
        self._folder = folder
        self.talk = NodeTalk()

    async def begin(self, *, extra: bytes = b"") -> Ready:
        hello = node_talk.hello("0" * 32, str(self._folder), 0)
        self._probe.say(hello.replace(b"}\n", extra + b"}\n"))
        while True:
            message = await self.message()
            if isinstance(message, Ready):
                return message

    async def message(self) -> node_talk.Message:
        try:
            message = node_talk.decode(await self._probe.line())
            self.talk.heard(message)
        except NodeError as error:
            raise Wrong(f"{error}{self._probe.stderr()}") from None
        return message

    def run_line(
        self, task: int, name: str = NO_TASK, args: bytes = b"{}", inputs: Sequence[Input] = (), seed: int = 7
    ) -> bytes:
        """The line of a run, which counts as sent."""
        folder = self.task_folder(task)
        if self.talk.ready is not None and self.talk.ready.folders != "lazy":
            folder.mkdir(parents=True, exist_ok=True)
        self.talk.sent_run(task)
        return node_talk.run(task, name, args, inputs, seed, str(folder), attempt=1)

    def task_folder(self, task: int) -> Path:
        return self._folder / "tasks" / f"{task}.1"

    async def outcome(self) -> Done | Failed:
        while True:
            message = await self.message()
            if not isinstance(message, Log | Progress | Ready):
                return message

    async def outcomes(self, count: int) -> list[Done | Failed]:
        return [await self.outcome() for _ in range(count)]

    async def end(self) -> None:
        self._probe.say(node_talk.bye())
        await self._probe.ends_well()


Trial = Callable[[NodeProbe, Probe], Awaitable[str]]


async def _ready(node: NodeProbe, _: Probe) -> str:
    ready = await node.begin(extra=b',"unknown_field":[1,{"a":null}]')
    return "tasks " + ", ".join(ready.tasks)


async def _unknown_task(node: NodeProbe, probe: Probe) -> str:
    await node.begin()
    probe.say(node.run_line(1).replace(b"}\n", b',"unknown_field":{"b":1}}\n'))
    (outcome,) = await node.outcomes(1)
    if isinstance(outcome, Done):
        raise Wrong(f"the task {NO_TASK!r}, which it does not name in `ready`, was answered with `done`")
    if not outcome.error.strip():
        raise Wrong("`failed` without an error text")
    return ""


async def _queued(node: NodeProbe, probe: Probe) -> str:
    await node.begin()
    probe.say(*[node.run_line(task) for task in (3, 1, 2)])
    await node.outcomes(3)  # the state table checks their order
    return ""


async def _split(node: NodeProbe, probe: Probe) -> str:
    await node.begin()
    line = node.run_line(1) + node.run_line(2)
    for cut in (line[:10], line[10:-30], line[-30:]):
        probe.say(cut)
        await asyncio.sleep(0.02)  # the program sees three pieces, not one
    await node.outcomes(2)
    return ""


async def _cancelled(node: NodeProbe, probe: Probe) -> str:
    await node.begin()
    probe.say(node.run_line(1), node.run_line(2), node_talk.cancel(2, attempt=1), node_talk.cancel(9, attempt=1))
    await node.outcomes(2)
    probe.say(node.run_line(3))
    await node.outcome()
    return ""


async def _long(node: NodeProbe, probe: Probe) -> str:
    await node.begin()
    probe.say(node.run_line(1, args=LONG_ARGS), node.run_line(2, args='{"text":"ä\\n\\"{}[]"}'.encode()))
    await node.outcomes(2)
    return ""


async def _bye(node: NodeProbe, probe: Probe) -> str:
    await node.begin()
    await node.end()
    left = probe.left()
    if left:
        raise Wrong(f"it said something after `bye`: {node_talk.quoted(left[0])}")
    return ""


async def _end_of_input(node: NodeProbe, probe: Probe) -> str:
    await node.begin()
    probe.child.close_input()
    await probe.exit_code()
    return ""


async def _unknown_type(node: NodeProbe, probe: Probe) -> str:
    await node.begin()
    probe.say(b'{"type":"%b","task":1}\n' % UNKNOWN_TYPE.encode())
    probe.child.close_input()
    await probe.exit_code()
    said = b"\n".join(probe.left()).decode("utf-8", "replace") + probe.child.tail
    if UNKNOWN_TYPE not in said:
        raise Wrong(f"no error on stderr, or in a log, named the type {UNKNOWN_TYPE!r} of a message")
    return ""


_TRIALS: tuple[tuple[str, Trial], ...] = (
    ("answers `hello` with `ready`, and ignores unknown fields", _ready),
    ("answers a task that it does not have with `failed`", _unknown_task),
    ("answers runs that are queued ahead, each once, in order", _queued),
    ("reads lines that come in pieces", _split),
    ("answers a run that was cancelled, ignores the cancel of one that it does not have", _cancelled),
    ("reads a line of a mebibyte, and any characters", _long),
    ("ends with code 0 after `bye`", _bye),
    ("ends at the end of its input", _end_of_input),
    ("names a message type that it does not know", _unknown_type),
)


def check_node(
    command: Sequence[str], *, task: str = "", args: Any = None, folder: Path | None = None
) -> list[Finding]:
    """Every trial's finding. With `task`, that task is run twice with `args`, and must give the same result.

    `folder`: where the program runs, here by default.
    """
    return asyncio.run(_check(command, task, args, folder or Path.cwd()))


async def _check(command: Sequence[str], task: str, args: Any, folder: Path) -> list[Finding]:
    trials = _TRIALS
    if task:
        text = json.dumps(args).encode()
        trials = (*_TRIALS, (f"runs {task}, with the same result for the same seed", _real(task, text)))
    findings = []
    for what, trial in trials:
        findings.append(await _tried(command, folder, what, trial))
        if not findings[0].ok:
            break  # a program that is not even ready has nothing else to show
    return findings


async def _tried(command: Sequence[str], where: Path, what: str, trial: Trial) -> Finding:
    with temporary_folder() as name:
        folder = Path(name)
        try:
            async with Probe(command, where) as probe:
                return Finding(True, what, await trial(NodeProbe(probe, folder), probe))
        except (Wrong, StartError) as error:
            return Finding(False, what, str(error))


def _real(task: str, args: bytes) -> Trial:
    async def trial(node: NodeProbe, probe: Probe) -> str:
        ready = await node.begin()
        if task not in ready.tasks:
            raise Wrong(f"`ready` does not name it, but {', '.join(ready.tasks)}")
        results = []
        for number in (1, 2):
            probe.say(node.run_line(number, task, args))
            outcome = await node.outcome()
            if isinstance(outcome, Failed):
                raise Wrong(f"it failed: {node_talk.shortened(outcome)}")
            results.append({key: content(node.task_folder(number), piece) for key, piece in outcome.result.items()})
        if results[0] != results[1]:
            key = next(key for key in {**results[0], **results[1]} if results[0].get(key) != results[1].get(key))
            raise Wrong(f"the piece {key!r} differs between two runs with the same seed")
        return "pieces " + (", ".join(results[0]) or "none")

    return trial


def content(folder: Path, piece: bytes | FilePiece) -> bytes:
    """What a piece holds: its JSON text, or the digest of its file. Wrong when there is no such file."""
    if isinstance(piece, bytes):
        return piece
    path = folder / piece.name
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise Wrong(f"the file {piece.name!r} is not there, in the task's folder")
    return hashlib.sha256(path.read_bytes()).digest()
