"""The whole state of the view, and the few ways in which every part of the room writes to it.

`note` feeds the digest: whatever an operation brings about that is not plainly in its own bytes is noted, so that
two replicas that part are found at the next tick.  `tell` adds to a client's part.  `touch` marks a job for watchers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tasksprint.limits import CHANGES_KEPT
from tasksprint.view.operations import Ballot
from tasksprint.view.part import AnyChange
from tasksprint.view.records import Client, JobState, Lane, Need, Program

DIGESTS_KEPT = 4_096


class Corrupt(Exception):
    """An entry of the log, or a snapshot, is not what it should be."""


class Diverged(Exception):
    """This replica's state is not the leader's: it must stop, never serve."""


@dataclass(slots=True)
class Changed:
    """What the entries applied since the last take() touched."""

    clients: set[str] = field(default_factory=set)  # their part changed, or their session
    jobs: set[int] = field(default_factory=set)  # state, counts or outputs
    events: set[int] = field(default_factory=set)  # jobs with new events
    decided: list[tuple[int, int]] = field(default_factory=list)  # (job, event): the log moved by a decision
    started: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)  # no scheduler is needed any more: finishing, or over
    restarted: list[int] = field(default_factory=list)
    programs_refused: dict[str, str] = field(default_factory=dict)  # hash → why its last chunk was not taken


class World:
    def __init__(self) -> None:
        # --- what a snapshot holds
        self.index = 0
        self.digest = b""
        self.time_ms = 0
        self.ballot: Ballot = (0, 0)
        self.amnesty_ms = 0  # cluster time of the last Begin: nobody counts as unheard for longer
        self.clients: dict[str, Client] = {}
        self.silence: dict[str, None] = {}  # live clients, the longest unheard first
        self.dead: dict[str, None] = {}  # remembered ones, the longest dead first
        self.jobs: dict[int, JobState] = {}
        self.numbers: dict[str, int] = {}  # job id → number
        self.ended: dict[int, None] = {}  # jobs that are over, the oldest first
        self.ended_count = 0
        self.programs: dict[str, Program] = {}
        self.next_job = 1
        self.order = 0  # counts timers: equal times fire in the order in which they were set
        self.served: list[Lane] = [(0, 0, (0, ())), (1, 0, (0, ())), (2, 0, (0, ()))]  # the lane served last, by kind
        self.refused = 0  # operations that were refused
        # --- what follows from it
        self.lanes: dict[Lane, list[int]] = {}  # heaps of task numbers; entries may be out of date
        self.rooms: dict[tuple[int, Need], list[tuple[int, str]]] = {}  # heaps of (load, client); may be out of date
        self.fresh: dict[str, None] = {}  # clients whose load is not in `rooms` yet
        self.crowd: list[tuple[int, str]] = []  # heap of (-ready, client) where ready tasks wait; may be out of date
        self.urgent: dict[tuple[int, int], None] = {}  # tasks that are placed whatever the windows say
        self.urgent_due = False
        self.timers: list[tuple[int, int, int, str]] = []  # heap of (due, order, job, name); may be out of date
        self.working: dict[str, None] = {}  # clients to look at in the next tick
        # --- what lives for one entry
        self.outcomes: list[tuple[int | str | bytes, ...]] = []
        self.moved: dict[tuple[int, int], None] = {}  # tasks whose supplier row must be told again
        self.judged: dict[tuple[int, int], None] = {}  # tasks whose parked reports must be looked at
        self.doomed: dict[int, str] = {}  # jobs that this operation fails, with the reason
        self.changed = Changed()
        self.digests: deque[tuple[int, bytes]] = deque(maxlen=DIGESTS_KEPT)
        self.rubbish: list[dict[int, object]] = []  # freed a little at a time: a million records at once is a pause

    def note(self, *outcome: int | str | bytes) -> None:
        self.outcomes.append(outcome)

    def refuse(self, why: str, job: JobState | None = None) -> None:
        self.outcomes.append(("refused", why))
        self.refused += 1
        if job is not None:
            job.refused += 1

    def tell(self, client: Client, change: AnyChange) -> None:
        log = client.log
        if log is None:
            log = client.log = deque()
        elif len(log) == CHANGES_KEPT:
            client.floor = log.popleft()[0]
        log.append((self.index, change))
        client.number = self.index
        self.changed.clients.add(client.id)

    def refuse_program(self, name: str, why: str, text: str) -> None:
        """`text` is for the person who brings the program."""
        self.changed.programs_refused[name] = text
        self.refuse(why)

    def touch(self, job: JobState) -> None:
        job.changed = self.index
        self.changed.jobs.add(job.number)

    def doom(self, job: JobState, error: str) -> None:
        """The job fails when the present operation is through."""
        self.doomed.setdefault(job.number, error)
