"""One coordinator's copies on a bench: a real machine and its log, and a scheduler that the test plays by hand."""

from __future__ import annotations

from tasksprint import limits
from tasksprint.coordinator import effects
from tasksprint.coordinator.copies import Copies, Copy
from tasksprint.view import Machine
from tasksprint.view.operations import (
    AnyAction,
    AnyOperation,
    Ballot,
    Begin,
    Decide,
    JobSpec,
    Register,
    StartTask,
    Submit,
    pack_actions,
    pack_entry,
)

JOB = 1
BALLOT: Ballot = (1, 1)


def start(first: int, count: int = 1, name: str = "t") -> list[AnyAction]:
    """The actions that start `count` tasks, numbered from `first`."""
    return [StartTask(number, name, b"{}") for number in range(first, first + count)]


class Bench:
    """Events are made by clients that register; each is one `client_joined` of the job."""

    def __init__(self, *, events: int = 0, can_save: bool = False, ordered: bool = False) -> None:
        self.machine = Machine()
        self.copies = Copies(self.machine)
        self.can_save, self.ordered = can_save, ordered
        self.ballot = BALLOT
        self.clients = 0
        self.apply(Begin(BALLOT), Submit("j" * 32, JobSpec("test", ["s"], ["n"], b"{}", 5)))
        self.ready()
        if events:
            self.decide((1, []))
            self.join(events)

    # --- the log

    def apply(self, *operations: AnyOperation, told: bool = True) -> None:
        """One entry; `told=False`: it is applied, but what it changed is told with the next one."""
        self.machine.apply(self.machine.index + 1, pack_entry(list(operations)))
        if told:
            self.tell()

    def tell(self) -> None:
        """As the core does, after a batch of entries."""
        changed = self.machine.take()
        for job in changed.started:
            self.copies.start(job)
        for job in changed.restarted:
            self.copies.restarted(job)
            self.ready()
        for job in changed.ended:
            self.copies.stop(job, ended=True)
        for job in dict.fromkeys(job for job, _ in changed.decided):
            self.copies.decided(job)
        for job in sorted(changed.events):
            self.copies.feed(job)

    def join(self, count: int = 1) -> None:
        for _ in range(count):
            self.clients += 1
            self.apply(Register(f"c{self.clients}", 1, "a:1", 1, [], []))

    def decide(self, *answers: tuple[int, list[AnyAction]], seq: int = 0, part: int = 0, more: bool = False) -> None:
        """Another leader's copy has answered, and it was logged."""
        self.apply(self.decision(*answers, seq=seq, part=part, more=more))

    def decision(
        self, *answers: tuple[int, list[AnyAction]], seq: int = 0, part: int = 0, more: bool = False
    ) -> Decide:
        packed = [(number, pack_actions(actions)) for number, actions in answers if actions or more]
        return Decide(self.ballot, JOB, self.job.generation, seq or answers[-1][0], part, more, self.ordered, packed)

    @property
    def job(self):  # type: ignore[no-untyped-def]  # JobState
        state = self.machine.job(JOB)
        assert state is not None
        return state

    # --- the copy

    @property
    def copy(self) -> Copy:
        return self.copies.copies[JOB]

    def ready(self) -> None:
        self.copies.ready(JOB, self.copy.copy, ordered=self.ordered, can_save=self.can_save)

    def say(self, *answers: tuple[int, list[AnyAction]], seq: int = 0, more: bool = False) -> None:
        """What the scheduler's process answers."""
        said = [(number, actions) for number, actions in answers if actions]
        self.copies.answered(JOB, self.copy.copy, said, seq or answers[-1][0], more)

    def crash(self, error: str = "boom", *, nonsense: bool = False, leading: bool = True) -> None:
        self.copies.failed(JOB, self.copy.copy, error, nonsense=nonsense, leading=leading, ballot=self.ballot)

    def propose(self, *, idle: bool = False) -> list[AnyOperation]:
        """What the leader would log now."""
        self.copies.propose(JOB, self.ballot, idle=idle)
        return self.take()

    def take(self) -> list[AnyOperation]:
        operations, self.copies.operations = self.copies.operations, []
        return operations

    def lead(self, *, idle: bool = True) -> list[AnyOperation]:
        """Log what we propose until there is nothing more; returns all of it."""
        logged: list[AnyOperation] = []
        while operations := self.propose(idle=idle):
            logged += operations
            assert len(logged) < 10_000, "it never ends"
            for operation in operations:
                self.apply(operation)
        return logged

    def did(self, kind: type) -> list[effects.Effect]:
        """The effects of this kind since the last look; all others go as well."""
        found = [effect for effect in self.copies.effects if isinstance(effect, kind)]
        self.copies.effects.clear()
        return found

    def states(self) -> tuple[str, int, int, int]:
        return self.job.state, self.job.decided, self.job.next_part, self.job.refused


FULL = limits.PART_ACTIONS
