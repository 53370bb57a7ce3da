"""What stands for a job's two programs in the simulated world: scripts, or somebody's own scheduler and node.

The world decides when a program is started, told, saved, cancelled and killed; the program decides what is answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tasksprint.client.effects import Input
from tasksprint.storage.shelf import piece_digest
from tasksprint.view import Event
from tasksprint.view.operations import AnyAction, JobSpec
from tasksprint.view.part import Assign
from tasksprint.wire.results import Piece

if TYPE_CHECKING:
    from tasksprint.sim.clients import ClientHost


class NodeFailure(Exception):
    """The node fails this try."""


class SchedulerFailure(Exception):
    """The scheduler's process ends; `nonsense`: because it broke the protocol."""

    def __init__(self, error: str, *, nonsense: bool = False):
        super().__init__(error)
        self.nonsense = nonsense


class SchedulerCopy(Protocol):
    """One process of a scheduler."""

    @property
    def ordered(self) -> bool: ...
    @property
    def can_save(self) -> bool: ...

    def on(self, event: Event) -> list[AnyAction]:
        """What it decides, event by event.  Raises SchedulerFailure."""

    def save(self) -> bytes | None:
        """Its state; None: it cannot be saved."""

    def restore(self, state: bytes) -> None: ...


class NodeCopy(Protocol):
    """One process of a node; a task is begun and then either ended or forgotten."""

    def begin(self, assign: Assign, inputs: Sequence[Input]) -> int:
        """How long the task takes, in microseconds."""

    def end(self, assign: Assign, inputs: Sequence[Input]) -> dict[str, Piece]:
        """The result.  Raises NodeFailure."""


class Programs(Protocol):
    """All programs of one world."""

    def scheduler(self, spec: JobSpec, luck: int) -> SchedulerCopy:
        """`luck` (0 to 999) differs from process to process.  Raises SchedulerFailure."""

    def node(self, host: ClientHost) -> NodeCopy: ...

    def repeatable(self, spec: JobSpec) -> bool:
        """Whether all copies of the scheduler decide alike, as they should."""


def value_piece(value: bytes, *, is_file: bool = False) -> Piece:
    return Piece(len(value), piece_digest(value), is_file, value)
