"""What a checker may watch.

A checker overrides the hooks that it needs and raises `Violation` when its invariant does not hold.
`Watch` calls only hooks that somebody overrode, so that a hook that nobody needs costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol

from tasksprint.paxos.messages import AnyMessage, AnyRecord
from tasksprint.sim.world import Violation, World
from tasksprint.view import Event, Machine
from tasksprint.view.operations import AnyOperation
from tasksprint.view.part import Assign
from tasksprint.wire.messages import FromCoordinator

if TYPE_CHECKING:
    from tasksprint.paxos import Replica
    from tasksprint.sim.truth import JournalModel, Truth


class Seat(Protocol):
    """A replica's place in a world: the process that hosts it."""

    voter: int
    life: int
    world: World
    truth: Truth
    asked: JournalModel  # the journal with everything that was asked of the disk, synced or not

    @property
    def replica(self) -> Replica: ...
    @property
    def applied_index(self) -> int: ...


class Checker:
    """One invariant.  `name` is the file's, `promise` what must hold, in a sentence."""

    name: ClassVar[str]
    promise: ClassVar[str]

    def fail(self, detail: str) -> NoReturn:
        raise Violation(self.name, detail)

    # --- agreement -----------------------------------------------------------------------------------
    def started(self, seat: Seat) -> None:
        """A replica was made from what its disk holds."""

    def crashed(self, seat: Seat) -> None:
        """The process died; its disk keeps what was synced."""

    def turn(self, seat: Seat) -> None:
        """The replica has handled something, and what it asked for was taken."""

    def stored(self, seat: Seat, records: Sequence[AnyRecord], fresh: bool) -> None:
        """Records reached the platter; `fresh`: they begin a journal that replaces the old one."""

    def sent(self, seat: Seat, target: int, message: AnyMessage) -> None:
        """A message leaves for another replica."""

    def applied(self, seat: Seat, index: int, data: bytes, digest: bytes) -> None:
        """An entry was applied; `digest` is of the state after it."""

    def restored(self, seat: Seat, index: int, digest: bytes) -> None:
        """A state was loaded from a snapshot."""

    def acknowledged(self, index: int, data: bytes) -> None:
        """Somebody outside was told that the operation has taken effect."""

    def read_asked(self, seat: Seat, token: int) -> None:
        """A read began."""

    def read_served(self, seat: Seat, token: int, index: int) -> None:
        """The read may be answered from the state at `index`."""

    # --- the view: the world's own machine, which applies every chosen entry first --------------------
    def before_entry(self, machine: Machine, operations: Sequence[AnyOperation]) -> None:
        """The entry is about to be applied."""

    def after_entry(self, machine: Machine, operations: Sequence[AnyOperation]) -> None:
        """The entry was applied; `machine.index` is its index."""

    def fed(self, job: int, event: Event) -> None:
        """A scheduler's copy, any of them, got the event."""

    def ran(self, client: str, incarnation: int, assign: Assign) -> None:
        """A client gave the attempt to a node."""

    def told(self, machine: Machine, client: str, message: FromCoordinator) -> None:
        """A coordinator answered a client or a command."""

    # --- the end -------------------------------------------------------------------------------------
    def finish(self, world: Any) -> None:
        """The run is over and should have converged."""


class Watch:
    """All checkers of a world, called hook by hook."""

    def __init__(self, checkers: Sequence[Checker]):
        self.checkers = list(checkers)
        self._hooks = {
            name: [getattr(one, name) for one in checkers if _overrides(type(one), name)] for name in _hook_names()
        }

    def tell(self, hook: str, *arguments: Any) -> None:
        for call in self._hooks[hook]:
            call(*arguments)


def _hook_names() -> list[str]:
    return [name for name, value in vars(Checker).items() if callable(value) and name != "fail" and name[0] != "_"]


def _overrides(kind: type[Checker], name: str) -> bool:
    return getattr(kind, name) is not getattr(Checker, name)
