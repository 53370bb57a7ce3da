"""Tries a scheduler program against the protocol, and whether its answer depends on who was faster.

A whole job is played on it, several times: `Play` keeps the tasks that it starts, ends them in an order drawn from
a seed, and feeds the ends as events, one a line or many.  Results come from the job's own node, when its command is
given, or are made up: for each key that the scheduler wants, a small number that depends only on the task.  What the
scheduler finishes with, and what it has asked for on the way, must be the same in every play.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from tasksprint import codec
from tasksprint.programs.check_node import NodeProbe, content
from tasksprint.programs.child import StartError
from tasksprint.programs.probe import UNKNOWN_TYPE, Finding, Probe, Wrong, temporary_folder
from tasksprint.view import Event
from tasksprint.view.operations import AnyAction, Fail, Finish, KillTask, Release, SetTimer, StartTask
from tasksprint.wire import node_talk, scheduler_talk
from tasksprint.wire.node_talk import Failed, FilePiece, Input, InputFile, InputValue
from tasksprint.wire.scheduler_talk import Part, Ready, Saved, SchedulerError, SchedulerTalk

EVENTS_PLAYED = 5_000  # of one play; a longer job is judged by its beginning
ENDING_AT_ONCE = 200
ORDERS = ("first started first", "last started first", "drawn from a seed", "drawn from another seed")

Piece = bytes | FilePiece


@dataclass(slots=True)
class Played:
    """What came of a play."""

    end: str = ""  # "finish" | "fail" | "long": more than EVENTS_PLAYED
    values: bytes = b""
    files: list[bytes] = field(default_factory=list)
    asked: Counter[tuple[str, bytes]] = field(default_factory=Counter)  # (name, args) of every task
    decided: list[tuple[int, list[AnyAction]]] = field(default_factory=list)  # (event, actions)
    events: list[Event] = field(default_factory=list)  # that were fed
    ordered: bool = False
    cannot_save: str = ""


class SchedulerProbe:
    """A scheduler under check: what it says is held against the state table."""

    def __init__(self, probe: Probe, folder: Path, seed: int) -> None:
        self._probe, self._folder, self._seed = probe, folder, seed
        self.talk = SchedulerTalk()

    async def begin(self, saved: Saved | None = None) -> Ready:
        self._probe.say(scheduler_talk.hello("0" * 32, self._seed, str(self._folder)))
        if saved is not None and saved.state is not None:
            self._probe.say(scheduler_talk.restore(saved.state, saved.seq))
            self.talk.restored(saved.seq)
        message = await self._message()
        if not isinstance(message, Ready):
            raise Wrong("something else before `ready`")
        return message

    async def _message(self) -> Ready | Part | Saved:
        try:
            return self.talk.hear(await self._probe.line())
        except SchedulerError as error:
            raise Wrong(f"{error}{self._probe.stderr()}") from None

    async def answer(self, events: Sequence[Event]) -> list[tuple[int, list[AnyAction]]]:
        self._probe.say(scheduler_talk.events(events))
        self.talk.asked_events(events[-1].seq)
        rows: list[tuple[int, list[AnyAction]]] = []
        while True:
            part = await self._message()
            if not isinstance(part, Part):
                raise Wrong("something else than answers")
            rows += part.answers
            if not part.more:
                return rows

    async def save(self) -> Saved:
        self._probe.say(scheduler_talk.save())
        self.talk.asked_save()
        saved = await self._message()
        if not isinstance(saved, Saved):
            raise Wrong("something else than `saved`")
        return saved

    async def end(self) -> None:
        self._probe.say(scheduler_talk.bye())
        await self._probe.ends_well()


class Results:
    """Where the results of tasks come from: made up, or from a node."""

    def __init__(self, node: NodeProbe | None, probe: Probe | None) -> None:
        self._node, self._probe = node, probe
        self._runs = 0

    async def of(self, start: StartTask, seed: int, inputs: list[Input]) -> tuple[dict[str, Piece], Path, str]:
        """(pieces, the folder of their files, error)."""
        if self._node is None or self._probe is None:
            number = codec.seed64(start.name, start.args) % 1000
            return dict.fromkeys(start.keys, b"%d" % number), Path(), ""
        self._runs += 1
        self._probe.say(self._node.run_line(self._runs, start.name, start.args, inputs, seed))
        outcome = await self._node.outcome()
        folder = self._node.task_folder(self._runs)
        if isinstance(outcome, Failed):
            return {}, folder, outcome.error
        missing = [key for key in start.keys if key not in outcome.result]
        return outcome.result, folder, f"its result has no piece {missing[0]!r}" if missing else ""


class Play:
    """One job, from `init` to its end."""

    def __init__(self, scheduler: SchedulerProbe, results: Results, args: bytes, seed: int, order: str) -> None:
        self._scheduler, self._results, self._args, self._seed, self._order = scheduler, results, args, seed, order
        self._random = Random(order)
        self._starts: list[StartTask] = []
        self._seeds: list[int] = []
        self._caused: Counter[tuple[int | str, ...]] = Counter()
        self._open: dict[int, StartTask] = {}  # neither ended nor killed
        self._made: dict[int, tuple[dict[str, Piece], Path]] = {}
        self._failed: set[int] = set()
        self._timers: list[str] = []
        self._events: list[Event] = []
        self.played = Played()

    async def run(self, ready: Ready) -> Played:
        self.played.ordered = ready.ordered
        self._add("init", values={"args": self._args})
        if not ready.ordered:
            self._add("client_joined", client="client-1")
        fed = 0
        while not self.played.end and fed < EVENTS_PLAYED:
            batch = self._events[fed : fed + (self._random.choice((1, 3, 50)) if self._order != ORDERS[0] else 1)]
            if not batch:
                await self._go_on(ready.ordered)
                continue
            fed += len(batch)
            self._decide(await self._scheduler.answer(batch))
        self.played.events = self._events[:fed]
        self.played.end = self.played.end or "long"
        return self.played

    def _add(self, kind: str, **fields: Any) -> None:
        seq = len(self._events) + 1
        self._events.append(Event(seq, kind, 1000 + 10 * seq, **fields))

    # --- what the scheduler decides ------------------------------------------------------------------------

    def _decide(self, rows: list[tuple[int, list[AnyAction]]]) -> None:
        self.played.decided += rows
        for seq, actions in rows:
            for action in actions:
                if not self.played.end:
                    self._act(seq, action)

    def _act(self, seq: int, action: AnyAction) -> None:
        if isinstance(action, StartTask):
            self._start(seq, action)
        elif isinstance(action, KillTask):
            self._known(action.task, "kill_task")
            self._open.pop(action.task, None)
        elif isinstance(action, Release):
            self._known(action.task, "release")
        elif isinstance(action, SetTimer):
            if self.played.ordered:
                raise Wrong("it says that it is ordered, and sets a timer")
            self._timers.append(action.name)
        elif isinstance(action, Fail):
            self.played.end, self.played.values = "fail", action.error.encode()
        else:
            self._finish(action)

    def _start(self, seq: int, start: StartTask) -> None:
        expected = len(self._starts) + 1
        if start.task != expected:
            raise Wrong(f"`start_task` with the number {start.task}; the next number is {expected}")
        for task, key in start.prerequisites:
            if not 0 < task < start.task:
                raise Wrong(f"task {start.task} names the piece {key!r} of task {task}, which is no earlier one")
        if start.cause >= 0:
            self._known(start.cause, "the cause of a `start_task`")
        event = self._events[seq - 1]
        cause: tuple[int | str, ...] = (start.cause,) if start.cause >= 0 else (event.task or f"{event.kind} {seq}",)
        self._seeds.append(codec.seed64(self._seed, "task", *cause, self._caused[cause]))
        self._caused[cause] += 1
        self._starts.append(start)
        self._open[start.task] = start
        self.played.asked[start.name, start.args] += 1

    def _known(self, task: int, what: str) -> None:
        if not 0 < task <= len(self._starts):
            raise Wrong(f"{what} names task {task}, which was never started")

    def _finish(self, action: Finish) -> None:
        self.played.end, self.played.values = "finish", action.values
        for task, key in action.files:
            self._known(task, "`finish`")
            pieces, folder = self._made.get(task, ({}, Path()))
            if task in self._made and key in pieces:
                self.played.files.append(content(folder, pieces[key]))

    # --- what happens then -----------------------------------------------------------------------------------

    async def _go_on(self, ordered: bool) -> None:
        """The scheduler has seen everything: some tasks end, or a timer fires."""
        ready = self._ready(ordered)
        if not ready:
            self._idle()
            return
        if not ordered and self._order == ORDERS[1]:
            ready.reverse()
        elif not ordered and self._order != ORDERS[0]:
            self._random.shuffle(ready)
        some = ready[: self._random.randint(1, len(ready))] if self._order != ORDERS[0] else ready
        for task in some:
            await self._end(self._open.pop(task))

    def _ready(self, ordered: bool) -> list[int]:
        """Some tasks that could end now; of an ordered scheduler's, without leaving one out."""
        ready = []
        for task, start in self._open.items():
            if self._has_all(start):
                ready.append(task)
            elif ordered:
                break
            if len(ready) == ENDING_AT_ONCE:
                break
        return ready

    def _has_all(self, start: StartTask) -> bool:
        return all(task in self._made or task not in self._open for task, _ in start.prerequisites)

    def _idle(self) -> None:
        if self._timers:
            self._add("timer", name=self._timers.pop(0))
            return
        started = len(self._starts)
        raise Wrong(f"all tasks have ended ({started} were started), and it has not finished: the job would hang")

    async def _end(self, start: StartTask) -> None:
        inputs: list[Input] = []
        for task, key in start.prerequisites:
            pieces, folder = self._made.get(task, ({}, Path()))
            piece = pieces.get(key, b"1" if task in self._made else None)
            if piece is None:
                self._add("task_failed", task=start.task, name=start.name, error=f"prerequisite_failed: task {task}")
                return
            inputs.append(
                InputValue(key, piece) if isinstance(piece, bytes) else InputFile(key, str(folder / piece.name))
            )
        pieces, folder, error = await self._results.of(start, self._seeds[start.task - 1], inputs)
        if error:
            self._add("task_failed", task=start.task, name=start.name, error=error)
            return
        self._made[start.task] = (pieces, folder)
        values = {key: _value(pieces[key]) for key in start.keys}
        self._add("task_done", task=start.task, name=start.name, values=values)


def _value(piece: Piece) -> bytes:
    if isinstance(piece, bytes):
        return piece
    raise Wrong(f"it wants to see the piece {piece.name!r}, which is a file: only JSON values go to a scheduler")


class Check:
    """All plays and trials on one command."""

    def __init__(self, command: Sequence[str], node: Sequence[str] | None, args: Any, seed: int, folder: Path) -> None:
        self._command, self._node, self._seed, self._folder = command, node, seed, folder
        self._args = json.dumps(args).encode()
        self.findings: list[Finding] = []

    async def all(self) -> list[Finding]:
        first = await self._note("answers `hello` with `ready`, and plays a job to its end", self._play(ORDERS[0]))
        if first is None:
            return self.findings
        for order in ORDERS[1:]:
            again = await self._note(f"plays it with the ends of tasks in another order ({order})", self._play(order))
            if again is not None:
                self._compare(order, first, again)
        await self._note("decides the same a second time", self._twice(first))
        await self._note("goes on from its saved state as if nothing had happened", self._restored(first))
        await self._note("ends at the end of its input", self._input_ends())
        await self._note("names a message that it does not know", self._unknown())
        return self.findings

    async def _note(self, what: str, trial: Any) -> Any:
        try:
            result = await trial
        except (Wrong, StartError) as error:
            self.findings.append(Finding(False, what, str(error)))
            return None
        self.findings.append(Finding(True, what, result if isinstance(result, str) else _told(result)))
        return result

    async def _play(self, order: str) -> Played:
        with temporary_folder() as name:
            folder = Path(name)
            async with Probe(self._command, self._folder) as probe:
                scheduler = SchedulerProbe(probe, folder, self._seed)
                ready = await scheduler.begin()
                if self._node is None:
                    played = await self._played(scheduler, Results(None, None), ready, order)
                else:
                    async with Probe(self._node, self._folder) as node_probe:
                        node = NodeProbe(node_probe, folder)
                        await node.begin()
                        played = await self._played(scheduler, Results(node, node_probe), ready, order)
                if ready.save:
                    played.cannot_save = (await scheduler.save()).error
                else:
                    played.cannot_save = "it says that it cannot"
                await scheduler.end()
        return played

    async def _played(self, scheduler: SchedulerProbe, results: Results, ready: Ready, order: str) -> Played:
        return await Play(scheduler, results, self._args, self._seed, order).run(ready)

    def _compare(self, order: str, first: Played, again: Played) -> None:
        what = f"gives the same answer in that order ({order})"
        if "long" in (first.end, again.end):
            self.findings.append(Finding(True, what, f"not compared: the job has more than {EVENTS_PLAYED} events"))
        elif first.asked != again.asked:
            name, args = next(iter((first.asked - again.asked) + (again.asked - first.asked)))
            text = f"other tasks were started, such as {name} {node_talk.quoted(args)}"
            self.findings.append(Finding(False, what, text))
        elif (first.end, first.values) != (again.end, again.values):
            text = f"{first.end} {node_talk.quoted(first.values)}, and {again.end} {node_talk.quoted(again.values)}"
            self.findings.append(Finding(False, what, text))
        else:
            same = first.files == again.files
            self.findings.append(Finding(same, what, "" if same else "its output files differ"))

    async def _twice(self, first: Played) -> str:
        """The same events in one line must give the same decisions, byte for byte: copies are compared so."""
        rows = await self._fed(first.events, None)
        if _flat(rows) != _flat(first.decided):
            raise Wrong("the same events, once one a line and once all in one line, gave different decisions")
        return ""

    async def _restored(self, first: Played) -> str:
        if first.cannot_save:
            return f"not tried: {first.cannot_save}"
        events = first.events
        half = max(1, len(events) // 2)
        with temporary_folder() as name:
            async with Probe(self._command, self._folder) as probe:
                scheduler = SchedulerProbe(probe, Path(name), self._seed)
                await scheduler.begin()
                rows = await scheduler.answer(events[:half])
                saved = await scheduler.save()
        if saved.state is None:
            return f"cannot be saved after {half} events: {saved.error}"
        if events[half:]:
            rows += await self._fed(events[half:], saved)
        if _flat(rows) != _flat(first.decided):
            raise Wrong(f"saved after {half} events and restored, it decided otherwise than without")
        return f"saved after {half} of {len(events)} events"

    async def _fed(self, events: list[Event], saved: Saved | None) -> list[tuple[int, list[AnyAction]]]:
        with temporary_folder() as name:
            async with Probe(self._command, self._folder) as probe:
                scheduler = SchedulerProbe(probe, Path(name), self._seed)
                await scheduler.begin(saved)
                return await scheduler.answer(events)

    async def _input_ends(self) -> str:
        async with Probe(self._command, self._folder) as probe:
            await SchedulerProbe(probe, self._folder, self._seed).begin()
            probe.child.close_input()
            await probe.exit_code()
        return ""

    async def _unknown(self) -> str:
        async with Probe(self._command, self._folder) as probe:
            await SchedulerProbe(probe, self._folder, self._seed).begin()
            probe.say(b'{"%b":true}\n' % UNKNOWN_TYPE.encode())
            probe.child.close_input()
            await probe.exit_code()
            if UNKNOWN_TYPE not in probe.child.tail:
                raise Wrong(f"no error on its stderr named the message {UNKNOWN_TYPE!r}")
        return ""


def _flat(rows: list[tuple[int, list[AnyAction]]]) -> list[tuple[int, bytes]]:
    """Decisions one by one: where parts are cut does not count."""
    return [(seq, msgspec.msgpack.encode(action)) for seq, actions in rows for action in actions]


def _told(played: Played) -> str:
    how = {"finish": "it finished", "fail": "it failed the job", "long": "it goes on"}[played.end]
    what = f" with {node_talk.quoted(played.values)}" if played.end != "long" else ""
    return f"{played.asked.total()} tasks, {len(played.events)} events; {how}{what}"


def check_scheduler(
    command: Sequence[str],
    *,
    node: Sequence[str] | None = None,
    args: Any = None,
    seed: int = 1,
    folder: Path | None = None,
) -> list[Finding]:
    """Every trial's finding. `node`: the command of the job's node, for real results; otherwise they are made up.

    `folder`: where the programs run, here by default.
    """
    return asyncio.run(Check(command, node, args, seed, folder or Path.cwd()).all())
