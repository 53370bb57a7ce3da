"""The life of a node: started, ready, fed with runs, and ended; everything that it does becomes an outcome.

A node works on its runs in order, so the oldest run without an outcome (the head) is the one it is working on,
and time limits belong to the head: `timeout_ms` counts from the moment when it became the head.  A run that is
over for us while the node still works on it (cancelled, or out of time) gives the node CANCEL_GRACE_MS to answer;
then its process group is killed.  When a node ends, the head has crashed, and the runs behind it never started:
they are handed back, so that another node can have them.

Callbacks, in order: `node_ready`, then for every run exactly one of `node_done`, `node_failed`, `node_cancelled`, or
its place in `node_ended`'s list; and `node_ended` once, last.  None of them is called from inside a method that the
owner calls, but for `node_ended` after a `start` that could not start the program.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tasksprint.limits import CANCEL_GRACE_MS, NODE_NICE, STDERR_TAIL_BYTES
from tasksprint.programs.child import Child
from tasksprint.programs.keeper import Keeper
from tasksprint.programs.user_process import UserProcess, with_tail
from tasksprint.wire import node_talk
from tasksprint.wire.lines import LineTooLong
from tasksprint.wire.node_talk import Done, Failed, Log, NodeError, NodeTalk, Progress, Ready


@dataclass(slots=True, eq=False)
class Run:
    """One attempt, as a node is asked to run it."""

    task: int
    attempt: int
    name: str
    args: bytes  # JSON text
    inputs: Sequence[node_talk.Input]  # in the order of the prerequisites
    seed: int
    folder: str  # absolute; made before the run, unless the node makes it itself
    timeout_ms: int = 0  # 0: none
    cancelled: bool = field(default=False, init=False)
    timed_out: bool = field(default=False, init=False)


class NodeOwner(Protocol):
    def node_ready(self, node: NodeProcess, ready: Ready) -> None: ...

    def node_done(self, node: NodeProcess, run: Run, done: Done, run_us: int) -> None: ...

    def node_failed(self, node: NodeProcess, run: Run, kind: str, error: str) -> None:
        """`kind`: error (the task said so) | timeout | crash | protocol."""

    def node_cancelled(self, node: NodeProcess, run: Run) -> None:
        """The cancelled run is over: nothing of it counts."""

    def node_progress(self, node: NodeProcess, run: Run, progress: Progress) -> None: ...

    def node_log(self, node: NodeProcess, run: Run | None, text: str) -> None:
        """What the node said for a person: `log` messages, and its stderr."""

    def node_ended(self, node: NodeProcess, kind: str, error: str, unstarted: list[Run]) -> None:
        """`kind`: closed (as asked) | killed (after a cancel or a time-out) | start | crash | protocol."""


class NodeProcess(UserProcess):
    NOUN = "the node"
    talk: NodeTalk

    def __init__(
        self,
        command: Sequence[str],
        *,
        job: str,
        folder: str | Path,
        number: int,
        owner: NodeOwner,
        keeper: Keeper,
        environment: Mapping[str, str] | None = None,
        nice: int = NODE_NICE,
    ) -> None:
        """`nice`: how far its priority is below ours, which must keep saying that we live."""
        super().__init__(command, folder=folder, keeper=keeper, environment=environment)
        self.NICE = nice
        self.number = number
        self.talk = NodeTalk()
        self.runs: deque[Run] = deque()  # without an outcome, oldest first
        self._job, self._owner = job, owner
        self._head_since = 0.0
        self._head_said = b""  # the end of its stderr since then

    # --- what the owner asks -----------------------------------------------------------------------------

    @property
    def lazy_folders(self) -> bool:
        return self.talk.ready is not None and self.talk.ready.folders == "lazy"

    def run(self, run: Run) -> None:
        """Sends a run, behind those that the node has. ValueError when its line would be too long (nothing is sent)."""
        assert self._child is not None
        assert self.is_ready, "a run for a node that is not ready"
        line = node_talk.run(run.task, run.name, run.args, run.inputs, run.seed, run.folder, attempt=run.attempt)
        if not self.lazy_folders:
            os.makedirs(run.folder, exist_ok=True)
        self._child.write(line, now=not self.runs)  # an idle node begins at once, a busy one gets many in one write
        self.talk.sent_run(run.task)
        self.runs.append(run)
        if len(self.runs) == 1:
            self._new_head()

    def cancel(self, task: int, attempt: int) -> bool:
        """Cancels a run that has no outcome yet; `node_cancelled` follows. False when there is none such."""
        for run in self.runs:
            if run.task == task and run.attempt == attempt:
                break
        else:
            return False
        if not run.cancelled:
            run.cancelled = True
            self._tell_cancel(run)
            if run is self.runs[0]:
                self._limit_head()
        return True

    # --- what is said ------------------------------------------------------------------------------------

    def _greet(self, child: Child) -> None:
        child.write(node_talk.hello(self._job, self._folder, self.number))

    def _say_bye(self, child: Child) -> None:
        self.talk.sent_bye()
        child.write(node_talk.bye())

    def _heard_bytes(self, data: bytes) -> None:
        if self._verdict is not None and self._verdict[0] == "protocol":
            return
        try:
            for line in self._lines.feed(data):
                self._heard(node_talk.decode(line))
        except (NodeError, LineTooLong) as error:
            self._end("protocol", f"the node broke the protocol: {error}")

    def _heard(self, message: node_talk.Message) -> None:
        self.talk.heard(message)
        if isinstance(message, Done | Failed):
            self._outcome(self.runs.popleft(), message)
        elif isinstance(message, Log):
            run = self.runs[0] if self.runs and self.runs[0].task == message.task else None
            self._owner.node_log(self, run, message.text)
        elif isinstance(message, Progress):
            self._owner.node_progress(self, self.runs[0], message)
        else:
            self._stop_timer()
            self._owner.node_ready(self, message)

    def _outcome(self, run: Run, message: Done | Failed) -> None:
        run_us = round((self._loop.time() - self._head_since) * 1e6)
        said = self._head_said
        if self._timer is not None or self.runs:
            self._new_head()
        if run.cancelled:
            self._owner.node_cancelled(self, run)
        elif run.timed_out:
            self._owner.node_failed(self, run, "timeout", _timeout_text(run, said))
        elif isinstance(message, Done):
            self._owner.node_done(self, run, message, run_us)
        else:
            self._owner.node_failed(self, run, "error", node_talk.shortened(message))

    def _heard_stderr(self, data: bytes) -> None:
        self._head_said = (self._head_said + data)[-STDERR_TAIL_BYTES:]
        self._owner.node_log(self, self.runs[0] if self.runs else None, data.decode("utf-8", "replace"))

    # --- time ----------------------------------------------------------------------------------------------

    def _new_head(self) -> None:
        self._head_since, self._head_said = self._loop.time(), b""
        if self.closing:
            return
        if self.runs:
            self._limit_head()
        else:
            self._stop_timer()

    def _limit_head(self) -> None:
        head = self.runs[0]
        if head.cancelled or head.timed_out:
            self._set_timer(CANCEL_GRACE_MS, self._deaf)
        elif head.timeout_ms:
            self._set_timer(head.timeout_ms, self._out_of_time)
        else:
            self._stop_timer()

    def _out_of_time(self) -> None:
        head = self.runs[0]
        head.timed_out = True
        self._tell_cancel(head)
        self._limit_head()

    def _tell_cancel(self, run: Run) -> None:
        if self._child is not None:
            self._child.write(node_talk.cancel(run.task, attempt=run.attempt))

    def _deaf(self) -> None:
        self._end("killed", "it did not answer `cancel`")

    # --- the end ---------------------------------------------------------------------------------------------

    def _gone(self, kind: str, error: str) -> None:
        runs = list(self.runs)
        self.runs.clear()
        if runs and self._fail_head(runs[0], kind, error):
            runs.pop(0)
        for run in [run for run in runs if run.cancelled]:
            self._owner.node_cancelled(self, run)
        self._owner.node_ended(self, kind, error, [run for run in runs if not run.cancelled])

    def _at(self) -> str:
        return "" if self.runs else " without a task"

    def _fail_head(self, head: Run, kind: str, error: str) -> bool:
        """Tells the owner what became of the run that the node was working on. False: it counts as unstarted."""
        if head.cancelled:
            self._owner.node_cancelled(self, head)
        elif head.timed_out:
            self._owner.node_failed(self, head, "timeout", _timeout_text(head, self._head_said))
        elif kind in ("crash", "protocol"):
            self._owner.node_failed(self, head, kind, error)
        else:
            return False
        return True


def _timeout_text(run: Run, said: bytes) -> str:
    text = f"no result within its timeout_s of {run.timeout_ms / 1000:g} s"
    return with_tail(text, said.decode("utf-8", "replace").strip())
