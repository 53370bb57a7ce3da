"""A user's real programs, written with the Python SDK, in the simulated world.

Everything between a handler and the log is what it is in a real job: events become lines of the protocol, the SDK
delivers them, its desk writes the decisions, the lines are checked and read by the coordinator's own state table, and
the SDK saves and restores.  A task is a line for the SDK's node, which really computes it; an exception is a failed
try.  Only the processes and pipes are missing: each copy and each node is an object, made from a class that is loaded
anew for it, so that what a program keeps outside `self` is lost with the process here as well.

How long a task takes is up to `takes`: it sees the attempt and its result.  Without it a task takes as long as the
world says; what it slept (`time.sleep`) comes on top.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasksprint.client.effects import Input
from tasksprint.sdk import node_loop, saving, scheduler_loop
from tasksprint.sdk.faults import HandlerFailed, whole
from tasksprint.sdk.loading import Unloadable
from tasksprint.sdk.node import Node
from tasksprint.sdk.scheduler import Scheduler
from tasksprint.sim.patch import Patch
from tasksprint.sim.programs import NodeFailure, SchedulerFailure, value_piece
from tasksprint.sim.surroundings import Surroundings
from tasksprint.sim.world import World
from tasksprint.view import Event
from tasksprint.view.operations import AnyAction, JobSpec
from tasksprint.view.part import Assign
from tasksprint.wire import node_talk, scheduler_talk
from tasksprint.wire.node_talk import FilePiece
from tasksprint.wire.results import Piece
from tasksprint.wire.scheduler_talk import Part, Ready, SchedulerError, SchedulerTalk

if TYPE_CHECKING:
    from tasksprint.sim.clients import ClientHost

Takes = Callable[[Assign, dict[str, Piece]], int]  # microseconds


class SdkPrograms:
    """The programs of one job; used as a context, which has the folder of the tasks' files."""

    def __init__(
        self,
        scheduler: Callable[[], type[Scheduler]],
        node: Callable[[], type[Node]],
        takes: Takes | None = None,
        *,
        hidden: str = "",
    ):
        """`scheduler`, `node`: load the class, for a new process of it.  `hidden`: what no error shall show."""
        self.load_scheduler, self.load_node, self.takes = scheduler, node, takes
        self.hidden = hidden
        self.surroundings = Surroundings()
        self.folder = Path()
        self.longest_us = 0  # of the tasks that were begun in this run
        self.work: Work

    def __enter__(self) -> SdkPrograms:
        self.folder = Path(tempfile.mkdtemp(prefix="tasksprint-sim-"))
        self._finders, self._random = list(sys.meta_path), random.getstate()
        self.work = Work()
        return self

    def __exit__(self, *error: object) -> None:
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder in self._finders]
        random.setstate(self._random)
        shutil.rmtree(self.folder, ignore_errors=True)

    def enter(self, world: World, patch: Patch) -> None:
        """A run begins."""
        self.longest_us = 0
        self.surroundings.enter(world, patch)

    def scheduler(self, spec: JobSpec, luck: int) -> SdkScheduler:
        return SdkScheduler(self, spec.seed)

    def node(self, host: ClientHost) -> SdkNode:
        return SdkNode(self, host)

    def repeatable(self, spec: JobSpec) -> bool:
        return True

    def said(self, error: BaseException | str) -> str:
        """For a person, and the same in every run: without the folders of this one."""
        text = (error if isinstance(error, str) else whole(error)).replace(f"{self.folder}/", "").strip()
        return text.replace(self.hidden, "") if self.hidden else text


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Programs print to a log; here nobody reads it.  Where one goes with `chdir`, the others do not follow."""
    out, errors = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with contextlib.chdir(os.curdir), out, errors:
        yield


# --- the scheduler -----------------------------------------------------------------------------------


class SdkScheduler:
    """One copy, as the process around it would be."""

    can_save = True

    def __init__(self, programs: SdkPrograms, seed: int):
        self._programs = programs
        self._lines: list[str] = []
        self._talk = SchedulerTalk()
        with self._failing(), quiet():
            kind = programs.load_scheduler()
            self._scheduler = scheduler_loop.made(kind, seed, self._lines.append)
        self.ordered = kind.ordered
        self._talk.ready = Ready(kind.ordered, True)

    def on(self, event: Event) -> list[AnyAction]:
        line = scheduler_talk.events([event])
        self._talk.restored(event.seq - 1)
        self._talk.asked_events(event.seq)
        actions: list[AnyAction] = []
        with self._failing(), quiet():
            scheduler_loop.answer(self._scheduler, json.loads(line)["events"])
            for text in self._lines:
                part = self._talk.hear(text.encode())
                assert isinstance(part, Part)
                for _, rows in part.answers:
                    actions += rows
        self._lines.clear()
        return actions

    def save(self) -> bytes | None:
        try:
            return saving.save(self._scheduler).encode()
        except saving.CannotSave:
            return None

    def restore(self, state: bytes) -> None:
        saving.restore(self._scheduler, json.loads(state))

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Whatever ends a scheduler's process."""
        try:
            yield
        except SchedulerError as error:
            raise SchedulerFailure(f"the scheduler broke the protocol: {error}", nonsense=True) from None
        except HandlerFailed as error:
            raise SchedulerFailure(self._programs.said(str(error))) from None
        except Unloadable as error:
            raise SchedulerFailure(str(error)) from None
        except (Exception, SystemExit) as error:
            raise SchedulerFailure(self._programs.said(error)) from None


# --- the node ----------------------------------------------------------------------------------------


class Unasked(node_loop.Inbox):
    """The messages of a client that says nothing while a task runs."""

    def __init__(self) -> None:
        self.cancelled = set()
        self.current = (0, 0)

    def look(self) -> None:
        pass


class Work(node_loop.Work):
    """The task at hand; what it says of its progress, and its lines for the log, go nowhere."""

    def __init__(self) -> None:
        super().__init__(Unasked(), -1)

    def send(self, text: str) -> None:
        pass


class SdkNode:
    """One node process."""

    def __init__(self, programs: SdkPrograms, host: ClientHost):
        self._programs, self._host = programs, host
        self._tasks: dict[str, Any] | None = None
        self._outcome: dict[str, Piece] | NodeFailure = {}

    def begin(self, assign: Assign, inputs: Sequence[Input]) -> int:
        """It is computed now, since how long it takes may depend on what comes out."""
        programs = self._programs
        programs.surroundings.slept_us()
        try:
            self._outcome = self._compute(assign, inputs)
        except NodeFailure as failure:
            self._outcome = failure
        length_us = programs.surroundings.slept_us()
        if programs.takes is None or isinstance(self._outcome, NodeFailure):
            length_us += self._host.world.exponential(self._host.mean_us)
        else:
            length_us += programs.takes(assign, self._outcome)
        programs.longest_us = max(programs.longest_us, length_us)
        return length_us

    def end(self, assign: Assign, inputs: Sequence[Input]) -> dict[str, Piece]:
        if isinstance(self._outcome, NodeFailure):
            raise self._outcome
        return self._outcome

    def _compute(self, assign: Assign, inputs: Sequence[Input]) -> dict[str, Piece]:
        folder = self._programs.folder / f"{assign.task}.{assign.attempt}"
        try:
            given = [self._given(one) for one in inputs]
            line = node_talk.run(assign.task, assign.name, assign.args, given, assign.seed, str(folder))
            message = node_talk.decode(self._answer(json.loads(line)).encode())
            if isinstance(message, node_talk.Failed):
                raise NodeFailure(self._programs.said(node_talk.shortened(message)))
            assert isinstance(message, node_talk.Done)
            return {key: _piece(made, folder) for key, made in message.result.items()}
        except (ValueError, OSError, node_talk.NodeError) as error:
            raise NodeFailure(self._programs.said(str(error))) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _given(self, one: Input) -> node_talk.Input:
        data = one.piece.read()
        if not one.piece.is_file:
            return node_talk.InputValue(one.key, data)
        path = self._programs.folder / one.piece.digest.hex()
        if not path.exists():
            path.write_bytes(data)
        return node_talk.InputFile(one.key, str(path))

    def _answer(self, run: dict[str, Any]) -> str:
        """The node's line."""
        work = self._programs.work
        try:
            with quiet():
                if self._tasks is None:
                    self._tasks = node_loop.made(self._programs.load_node(), work)
                return node_loop.outcome(self._tasks, run, work)
        except (Exception, SystemExit) as error:
            raise NodeFailure(self._programs.said(error)) from None


def _piece(made: bytes | FilePiece, folder: Path) -> Piece:
    if isinstance(made, bytes):
        return value_piece(made)
    return value_piece((folder / made.name).read_bytes(), is_file=True)
