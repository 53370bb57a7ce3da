"""The machine: entries of the log in, the view out.  The one class of this room that others touch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import msgspec

from tasksprint import codec
from tasksprint.limits import FINISHING_MS
from tasksprint.view import (
    attempts,
    clients,
    decisions,
    events,
    invariants,
    jobs,
    liveness,
    parts,
    placement,
    reports,
    snapshot,
    status,
    supply,
)
from tasksprint.view.operations import (
    AnyOperation,
    Begin,
    CancelJob,
    Collected,
    Decide,
    FailJob,
    Leave,
    ProgramChunk,
    Register,
    Reports,
    Restart,
    Save,
    Submit,
    Tick,
    unpack_entry,
)
from tasksprint.view.part import AnyChange
from tasksprint.view.records import Client, Event, JobState
from tasksprint.view.world import Changed, Corrupt, World

FREED_PER_ENTRY = 5_000  # records of ended jobs that are freed with each entry


class Machine:
    """apply() entries in the order of the log; everything else only reads.

    The same entries give the same state, on every replica: nothing here depends on time, chance, the environment or
    the order of a set.  `digest` covers the entries and what they brought about.
    """

    def __init__(self) -> None:
        self.world = World()
        self._unsealed: bytes | None = None  # the last entry, until the digest covers it

    @property
    def index(self) -> int:
        return self.world.index

    @property
    def digest(self) -> bytes:
        self.seal()
        return self.world.digest

    @property
    def time_ms(self) -> int:
        """Cluster time."""
        return self.world.time_ms

    @property
    def living(self) -> int:
        """How many clients are alive."""
        return len(self.world.silence)

    # --- applying ----------------------------------------------------------------------------------

    def apply(self, index: int, data: bytes) -> None:
        """Apply the log's entry.  Raises Corrupt for bytes that are none, Diverged when the leader's state differs."""
        self.seal()
        world = self.world
        assert index == world.index + 1, f"entry {index} cannot follow {world.index}"
        try:
            operations = unpack_entry(data)
        except msgspec.DecodeError as error:
            raise Corrupt(f"entry {index} of the log cannot be read: {error}") from error
        world.index = index
        for operation in operations:
            HANDLERS[type(operation)](world, operation)
            if world.judged:
                reports.judge_parked(world)
            if world.doomed:
                jobs.end_doomed(world)
        placement.place(world)
        if world.moved:
            attempts.tell_moves(world)
        self._unsealed = data

    def seal(self) -> None:
        """Bring the digest up to the last entry.  Nobody waits for that, so it is done when there is time."""
        data, self._unsealed = self._unsealed, None
        if data is not None:
            self._seal(data)

    def _seal(self, data: bytes) -> None:
        world = self.world
        world.digest = codec.digest(world.digest, data, codec.pack(world.outcomes))
        world.outcomes.clear()
        world.digests.append((world.index, world.digest))
        if world.rubbish:
            free_some(world)

    def take(self) -> Changed:
        """What the entries since the last take() touched."""
        changed, self.world.changed = self.world.changed, Changed()
        return changed

    def digest_at(self, index: int) -> bytes | None:
        """The digest after one of the last entries."""
        self.seal()
        for known, digest in reversed(self.world.digests):
            if known <= index:
                return digest if known == index else None
        return None

    # --- clients -----------------------------------------------------------------------------------

    def client(self, client: str) -> Client | None:
        return self.world.clients.get(client)

    def changes(self, client: str, known: int) -> tuple[int, bool, list[AnyChange]]:
        """(number, whether these are the whole part, what to tell a client that knows its part up to `known`)."""
        state = self.world.clients.get(client)
        return (0, True, []) if state is None else parts.changes(self.world, state, known)

    # --- jobs --------------------------------------------------------------------------------------

    def job(self, number: int) -> JobState | None:
        return self.world.jobs.get(number)

    def job_number(self, job_id: str) -> int | None:
        return self.world.numbers.get(job_id)

    def next_timer_ms(self) -> int:
        """Until a timer may be due, of cluster time; FINISHING_MS when none is sooner."""
        timers = self.world.timers
        return min(FINISHING_MS, timers[0][0] - self.world.time_ms) if timers else FINISHING_MS

    def running_jobs(self) -> list[JobState]:
        return [job for job in self.world.jobs.values() if job.state == "running"]

    def events(self, job: int, after: int, limit: int, limit_bytes: int) -> list[Event]:
        state = self.world.jobs.get(job)
        return [] if state is None else events.after(state, after, limit, limit_bytes)

    def answer_digest(self, job: int, seq: int) -> bytes | None:
        """`rolling` over the decided actions up to event `seq`; None when not decided, or too long ago."""
        state = self.world.jobs.get(job)
        return None if state is None else decisions.answer_digest(state, seq)

    def outputs(self, job: int) -> list[tuple[int, str, int, list[tuple[str, str]]]]:
        """(task, key, attempt, [(client, address)]) of what a finishing job offers to its submitter."""
        state = self.world.jobs.get(job)
        if state is None or state.state != "finishing":
            return []
        return [output(self.world, state, task, key) for task, key in state.outputs]

    def program(self, name: str) -> bytes | None:
        """The packed files with this hash, when they are here whole."""
        program = self.world.programs.get(name)
        return program.parts[0] if program is not None and program.complete else None

    def why_refused(self, name: str, part: int) -> str:
        """Why a chunk of this program, of an entry since the last take(), is not here; empty when it is."""
        if jobs.has_chunk(self.world, name, part):
            return ""
        why = self.world.changed.programs_refused.get(name, "others have taken its place: submit again")
        return f"the program {name[:12]} is refused: {why}"

    # --- for people --------------------------------------------------------------------------------

    def status_cluster(self) -> dict[str, Any]:
        return status.cluster(self.world)

    def status_jobs(self) -> list[dict[str, Any]]:
        return status.jobs(self.world)

    def status_job(self, job: int) -> dict[str, Any]:
        return status.job(self.world, self.world.jobs[job])

    def why(self, job: int, task: int) -> str:
        """What the task waits for, in one sentence."""
        return status.why(self.world, self.world.jobs[job], task)

    def check(self) -> list[str]:
        """Which invariants do not hold.  Slow: it looks at every record."""
        return invariants.check(self.world)

    # --- snapshots ---------------------------------------------------------------------------------

    def snapshot(self) -> Iterator[bytes]:
        """Pieces of the state as bytes; the machine must not apply anything until the last is taken."""
        self.seal()
        return snapshot.write(self.world)

    @classmethod
    def restore(cls, data: bytes) -> Machine:
        machine = cls()
        machine.world = snapshot.read(data)
        return machine


def output(world: World, job: JobState, number: int, key: str) -> tuple[int, str, int, list[tuple[str, str]]]:
    task = job.tasks[number]
    names = supply.holders(world, job, task)
    attempt = world.clients[names[0]].holds[job.number][number] if names else 0
    same = [name for name in names if world.clients[name].holds[job.number][number] == attempt]
    return number, key, attempt, [(name, world.clients[name].address) for name in same]


def cancel_job(world: World, operation: CancelJob) -> None:
    job = world.jobs.get(world.numbers.get(operation.job_id, 0))
    if job is not None and job.state in ("running", "finishing"):
        jobs.over(world, job, "cancelled", "it was cancelled")


def collected(world: World, operation: Collected) -> None:
    job = world.jobs.get(world.numbers.get(operation.job_id, 0))
    if job is not None:
        jobs.collected(world, job)


def free_some(world: World) -> None:
    """Records of an ended job go a few at a time: a million at once would be a pause."""
    records = world.rubbish[-1]
    for key in list(islice(records, FREED_PER_ENTRY)):
        del records[key]
    if not records:
        world.rubbish.pop()


HANDLERS: dict[type[AnyOperation], Callable[[World, Any], None]] = {
    Begin: liveness.begin,
    Tick: liveness.tick,
    Register: clients.register,
    Leave: clients.leave,
    Reports: reports.apply,
    ProgramChunk: jobs.program_chunk,
    Submit: jobs.submit,
    Decide: decisions.decide,
    Save: decisions.save,
    Restart: decisions.restart,
    FailJob: decisions.fail_job,
    CancelJob: cancel_job,
    Collected: collected,
}
