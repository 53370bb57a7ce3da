"""Scripted programs: schedulers and nodes as plain functions, and what each job must answer.

A node's result is a function of (name, arguments, inputs, seed) alone, a scheduler's decisions do not
depend on the order of its events (or it is `ordered`), and so the answer of every job is known before
it runs: `undisturbed` computes it by running the tasks one after another, with nothing around them.
What the cluster answers under fire must equal that, byte for byte (promise 6).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tasksprint.codec import seed64
from tasksprint.sim.programs import NodeFailure, value_piece
from tasksprint.view.operations import AnyAction, Fail, Finish, JobSpec, KillTask, Release, SetTimer, StartTask
from tasksprint.wire.results import Piece

if TYPE_CHECKING:
    from tasksprint.client.effects import Input
    from tasksprint.sim.clients import ClientHost
    from tasksprint.view.part import Assign


class Happening(Protocol):
    """What a script reads of an event of the view."""

    @property
    def seq(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def task(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def values(self) -> dict[str, bytes]: ...
    @property
    def error(self) -> str: ...


def text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


# --- nodes -------------------------------------------------------------------------------------------


def work(name: str, args: bytes, inputs: Sequence[bytes], seed: int) -> int:
    """A number that depends on everything that a task may depend on."""
    state = hashlib.blake2b(digest_size=6)
    for part in (name.encode(), args, str(seed).encode(), *inputs):
        state.update(len(part).to_bytes(4, "little"))
        state.update(part)
    return int.from_bytes(state.digest(), "little")


def run_node(name: str, args: bytes, inputs: Sequence[bytes], seed: int, luck: Callable[[], int]) -> dict[str, bytes]:
    """The pieces of the result.  `luck` (0 to 999) is what differs from try to try."""
    given = json.loads(args)
    if name == "fail" or (name == "flaky" and luck() < 300):
        raise NodeFailure(f"{name} {given}")
    number = work(name, args, inputs, seed)
    if name == "noise":
        number += luck()
    if name == "map":
        return {f"part-{part}": text([given["path"], part, number + part]) for part in range(given["parts"])}
    if name in ("merge", "reduce"):
        total = sum(json.loads(one)[-1] for one in inputs) % (1 << 50)
        return {"table": text(total), "rows": text([0, number])}
    return {"value": text(number)}


# --- schedulers --------------------------------------------------------------------------------------


@dataclass
class Script:
    """A scheduler: plain attributes, one `on` for every event.  Saved and restored as JSON of its attributes."""

    size: int = 0
    started: int = 0
    done: dict[str, Any] = field(default_factory=dict)
    finished: bool = False

    ordered = False
    can_save = True
    repeatable = True  # the answer is the same, whatever happens
    luck = 0  # differs from copy to copy; only a script that is meant to part from others looks at it

    def on(self, event: Happening) -> list[AnyAction]:
        if self.finished:
            return []
        if event.kind == "init":
            return self.init(json.loads(event.values["args"]))
        if event.kind in ("task_done", "task_failed"):
            result = "failed" if event.kind == "task_failed" else {k: json.loads(v) for k, v in event.values.items()}
            self.done[str(event.task)] = result
            return self.ended(event.task, result)
        if event.kind == "timer":
            return self.timer(event.name)
        return []

    def init(self, args: Any) -> list[AnyAction]:
        raise NotImplementedError

    def ended(self, task: int, result: Any) -> list[AnyAction]:
        return self.finish() if len(self.done) == self.size else []

    def timer(self, name: str) -> list[AnyAction]:
        return []

    def start(self, name: str, args: Any = None, **options: Any) -> StartTask:
        self.started += 1
        return StartTask(task=self.started, name=name, args=text(args), **options)

    def finish(self, answer: Any = None, files: Sequence[tuple[int, str]] = ()) -> list[AnyAction]:
        self.finished = True
        return [Finish(values=text(self.done if answer is None else answer), files=list(files))]

    def save(self) -> bytes:
        return text(self.__dict__)

    def restore(self, state: bytes) -> None:
        self.__dict__.update(json.loads(state))


class Independent(Script):
    def init(self, args: Any) -> list[AnyAction]:
        self.size = args["n"]
        return [self.start("square", index, keys=["value"]) for index in range(self.size)]


class Ordered(Independent):
    """As Independent, and each end starts one more task, so that the ids depend on the order of events."""

    ordered = True

    def init(self, args: Any) -> list[AnyAction]:
        actions = super().init(args)
        self.size = 2 * args["n"]
        return actions

    def ended(self, task: int, result: Any) -> list[AnyAction]:
        if task <= self.size // 2:
            return [self.start("again", result, keys=["value"])]
        return super().ended(task, result)


class DeclaredChain(Script):
    def init(self, args: Any) -> list[AnyAction]:
        self.size = args["n"]
        actions: list[AnyAction] = [self.start("step", 0, keys=["value"])]
        rest = range(1, self.size)
        return actions + [self.start("step", index, prerequisites=[(index, "value")], keys=["value"]) for index in rest]


class EventChain(Script):
    """Each end starts the next task and releases the one before."""

    def init(self, args: Any) -> list[AnyAction]:
        self.size = args["n"]
        return [self.start("step", 0, keys=["value"])]

    def ended(self, task: int, result: Any) -> list[AnyAction]:
        if task == self.size:
            return self.finish(result)
        actions: list[AnyAction] = [self.start("step", result, prerequisites=[(task, "value")], keys=["value"])]
        if task > 1:
            actions.append(Release(task=task - 1))
        return actions


class Shuffle(Script):
    """Maps, reduces and a merge, declared at once; the merge's table is an output to collect."""

    ordered = True

    def init(self, args: Any) -> list[AnyAction]:
        maps, parts = args["n"], 3
        self.size = maps + parts + 1
        actions: list[AnyAction] = [self.start("map", {"path": f"f{m}", "parts": parts}) for m in range(maps)]
        for part in range(parts):
            wanted = [(m + 1, f"part-{part}") for m in range(maps)]
            actions.append(self.start("reduce", part, prerequisites=wanted))
        rows = [(maps + part + 1, "rows") for part in range(parts)]
        actions.append(self.start("merge", prerequisites=rows, keys=["table"]))
        return actions

    def ended(self, task: int, result: Any) -> list[AnyAction]:
        return self.finish(result, [(self.size, "table"), (1, "part-0")]) if task == self.size else []


@dataclass
class Killer(Script):
    """Kills every third task, each on a timer of its own; what the others give is the answer."""

    total: int = 0
    killed: int = 0

    def init(self, args: Any) -> list[AnyAction]:
        self.total = args["n"]
        actions: list[AnyAction] = [self.start("step", index, keys=["value"]) for index in range(self.total)]
        victims = range(3, self.total + 1, 6)
        actions += [self.start("after", victim, prerequisites=[(victim, "value")]) for victim in victims]
        delay_ms = args.get("delay_ms", 150)
        kills = range(3, self.total + 1, 3)
        return actions + [SetTimer(name=str(task), delay_ms=delay_ms + 40 * task) for task in kills]

    def timer(self, name: str) -> list[AnyAction]:
        self.killed += 1
        return [KillTask(task=int(name)), *self._end()]

    def ended(self, task: int, result: Any) -> list[AnyAction]:
        return self._end()

    def _end(self) -> list[AnyAction]:
        survivors = {t: r for t, r in self.done.items() if int(t) % 3 and int(t) <= self.total}
        whole = len(survivors) == self.total - self.total // 3
        return self.finish(survivors) if self.killed == self.total // 3 and whole else []


class Failing(Script):
    """Some tasks always fail, some often; dependents of the first kind fail with them."""

    def init(self, args: Any) -> list[AnyAction]:
        actions: list[AnyAction] = []
        for index in range(args["n"]):
            if index % 4 == 1:
                actions.append(self.start("fail", index, retries=index % 3))
            elif index % 4 == 2:
                actions.append(self.start("step", index, prerequisites=[(self.started, "value")]))
            else:
                actions.append(self.start("flaky", index, retries=30, keys=["value"]))
        self.size = self.started
        return actions


class Twins(Script):
    """Every task on two clients at once, where there are two."""

    def init(self, args: Any) -> list[AnyAction]:
        self.size = args["n"]
        return [self.start("square", index, keys=["value"], replicas=2) for index in range(self.size)]


class Noise(Script):
    """Results that differ from run to run: the answer counts the tasks only."""

    def init(self, args: Any) -> list[AnyAction]:
        self.size = args["n"]
        actions: list[AnyAction] = [self.start("noise", 0)]
        rest = range(1, self.size)
        return actions + [self.start("noise", index, prerequisites=[(index, "value")]) for index in rest]

    def ended(self, task: int, result: Any) -> list[AnyAction]:
        return self.finish(len(self.done)) if len(self.done) == self.size else []


class Moody(Script):
    """Each copy starts the tasks in an order of its own: copies part, and the answer does not depend on it."""

    repeatable = False

    def init(self, args: Any) -> list[AnyAction]:
        self.size = args["n"]
        first = self.luck % self.size
        order = [(first + index) % self.size for index in range(self.size)]
        return [self.start("square", index, keys=["value"]) for index in order]


class Aside(Script):
    """Tasks that take no slot, beside those that take one."""

    def init(self, args: Any) -> list[AnyAction]:
        self.size = args["n"]
        return [
            self.start("square", index, keys=["value"], cores=index % 2, side_effects=index % 2 == 0)
            for index in range(self.size)
        ]


class Hopeless(Script):
    """Decides that its own job fails."""

    def init(self, args: Any) -> list[AnyAction]:
        return [self.start("fail", 0, retries=1)]

    def ended(self, task: int, result: Any) -> list[AnyAction]:
        self.finished = True
        return [Fail(error="hopeless, as planned")]


SCRIPTS: dict[str, type[Script]] = {
    "independent": Independent,
    "ordered": Ordered,
    "declared_chain": DeclaredChain,
    "event_chain": EventChain,
    "shuffle": Shuffle,
    "killer": Killer,
    "failing": Failing,
    "twins": Twins,
    "noise": Noise,
    "moody": Moody,
    "aside": Aside,
    "hopeless": Hopeless,
}


# --- as programs of the world ---------------------------------------------------------------------------


class ScriptedNode:
    """Takes as long as its client's nodes usually do."""

    def __init__(self, host: ClientHost):
        self.host = host

    def begin(self, assign: Assign, inputs: Sequence[Input]) -> int:
        return self.host.world.exponential(self.host.mean_us)

    def end(self, assign: Assign, inputs: Sequence[Input]) -> dict[str, Piece]:
        given = [one.piece.read() for one in inputs]
        values = run_node(assign.name, assign.args, given, assign.seed, lambda: self.host.world.between(0, 999))
        return {key: value_piece(value) for key, value in values.items()}


class Scripted:
    """The programs of a world whose jobs are scripts: a job's scheduler command is the script's name."""

    def scheduler(self, spec: JobSpec, luck: int) -> Script:
        script = SCRIPTS[spec.scheduler[0]]()
        script.luck = luck
        return script

    def node(self, host: ClientHost) -> ScriptedNode:
        return ScriptedNode(host)

    def repeatable(self, spec: JobSpec) -> bool:
        return SCRIPTS[spec.scheduler[0]].repeatable


# --- the undisturbed run -----------------------------------------------------------------------------


@dataclass
class Told:
    """An event as the undisturbed run makes them."""

    seq: int
    kind: str
    task: int = 0
    name: str = ""
    values: dict[str, bytes] = field(default_factory=dict)
    error: str = ""


@dataclass
class Answer:
    state: str  # done | failed
    values: bytes
    outputs: dict[tuple[int, str], bytes]
    pieces: dict[int, dict[str, bytes]]


def undisturbed(script: str, args: Any, job_seed: int) -> Answer:
    """The answer of a job whose tasks run one after another, in id order, each as soon as it is ready."""
    return _Undisturbed(SCRIPTS[script](), job_seed).run(args)


class _Undisturbed:
    def __init__(self, script: Script, job_seed: int):
        self.script = script
        self.job_seed = job_seed
        self.seq = 0
        self.tasks: dict[int, tuple[StartTask, int]] = {}
        self.pieces: dict[int, dict[str, bytes]] = {}
        self.failed: set[int] = set()
        self.timers: list[str] = []
        self.end: Finish | Fail | None = None

    def run(self, args: Any) -> Answer:
        self._tell(Told(self._next(), "init", values={"args": text(args)}))
        while self.end is None:
            if self.timers:
                self._tell(Told(self._next(), "timer", name=self.timers.pop(0)))
            else:
                self._work(min(self.tasks))
        if isinstance(self.end, Fail):
            return Answer("failed", b"", {}, self.pieces)
        outputs = {(task, key): self.pieces[task][key] for task, key in self.end.files}
        return Answer("done", self.end.values, outputs, self.pieces)

    def _next(self) -> int:
        self.seq += 1
        return self.seq

    def _tell(self, event: Told) -> None:
        ended = event.kind in ("task_done", "task_failed")
        cause: tuple[int | str, ...] = (event.task,) if ended else (event.kind, event.seq)
        place = 0
        for action in self.script.on(event):
            if isinstance(action, StartTask):
                self.tasks[action.task] = (action, seed64(self.job_seed, "task", *cause, place))
                place += 1
            elif isinstance(action, KillTask):
                self.tasks.pop(action.task, None)
            elif isinstance(action, SetTimer):
                self.timers.append(action.name)
            elif isinstance(action, Finish | Fail):
                self.end = action

    def _work(self, number: int) -> None:
        task, seed = self.tasks.pop(number)
        try:
            if any(needed in self.failed for needed, _ in task.prerequisites):
                raise NodeFailure("prerequisite_failed")
            inputs = [self.pieces[needed][key] for needed, key in task.prerequisites]
            self.pieces[number] = run_node(task.name, task.args, inputs, seed, lambda: 999)
        except (NodeFailure, KeyError) as error:
            self.failed.add(number)
            self._tell(Told(self._next(), "task_failed", number, error=str(error)))
        else:
            values = {key: self.pieces[number][key] for key in task.keys}
            self._tell(Told(self._next(), "task_done", number, values=values))
