"""What a scheduler decided, checked against the state and applied.

A decision is refused, which harms nobody, when it is not the next one: an old leader's, an old generation's, one
that was applied before.  An action that makes no sense fails the job instead, with an error for its author.

The digest of a job's answers is a chain over the parts of its answers.  A coordinator's warm copy of the scheduler
makes the same chain with `rolling` from what its copy says.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right

import msgspec

from tasksprint.codec import DIGEST_BYTES
from tasksprint.limits import (
    ARGS_BYTES,
    KEYS_MAX,
    LABELS_MAX,
    NAME_CHARS,
    PREREQUISITES_MAX,
    RETRIES_MAX,
    SAVE_BYTES,
    TASK_REPLICAS_MAX,
    TIMERS_MAX,
)
from tasksprint.view import events, jobs, tasks
from tasksprint.view.operations import (
    Action,
    Ballot,
    Decide,
    Fail,
    FailJob,
    Finish,
    KillTask,
    Release,
    Restart,
    Save,
    SetTimer,
    StartTask,
    unpack_actions,
)
from tasksprint.view.records import JobState
from tasksprint.view.supply import wanted
from tasksprint.view.world import World

ANSWERS_KEPT = 4_096
RESTARTS = 3  # at the same decided event: the job fails
CORES_MAX = 4_096


def rolling(previous: bytes, seq: int, actions: bytes) -> bytes:
    """The digest of a job's answers after one more part of the answer to event `seq`."""
    return hashlib.blake2b(actions, digest_size=DIGEST_BYTES, key=previous, salt=seq.to_bytes(8, "little")).digest()


# --- which decisions count --------------------------------------------------------------------------


def from_leader(world: World, ballot: Ballot) -> bool:
    """Only what the leader that began last proposed counts."""
    return ballot == world.ballot


def is_generation(job: JobState, generation: int) -> bool:
    return generation == job.generation


def is_next(job: JobState, operation: Decide) -> bool:
    """A part of an answer counts once, in its turn."""
    if operation.part != job.next_part or not job.decided < operation.seq <= job.last_event:
        return False
    return operation.part == 0 or operation.seq == job.answering


def running(world: World, operation: Decide | Save | Restart | FailJob) -> JobState | None:
    """The job that a leader's operation is about, if it counts."""
    job = world.jobs.get(operation.job)
    if job is None or job.state != "running" or not from_leader(world, operation.ballot):
        world.refuse("not running, or not the leader's", job)
        return None
    if not isinstance(operation, FailJob) and not is_generation(job, operation.generation):
        world.refuse("generation", job)
        return None
    return job


# --- a decision -------------------------------------------------------------------------------------


def decide(world: World, operation: Decide) -> None:
    job = running(world, operation)
    if job is None:
        return
    if not is_next(job, operation):
        world.refuse("not the next decision", job)
        return
    if job.decided == 0:
        job.ordered = operation.ordered
    for seq, packed in operation.answers:
        wrong = answer(world, job, operation.seq, seq, packed)
        if wrong:
            world.doom(job, wrong)
            return
        if job.state != "running":
            break
    advance(world, job, operation)


def advance(world: World, job: JobState, operation: Decide) -> None:
    """The answer, or its part, is applied."""
    job.answering = operation.seq
    if operation.more:
        job.next_part += 1
    else:
        first = job.decided == 0
        job.next_part = 0
        events.answered(job, operation.seq)
        if first and job.state == "running":
            events.first_answered(world, job)
    world.changed.decided.append((job.number, operation.seq))
    world.touch(job)


def is_idle(job: JobState) -> bool:
    """Every task has ended, every event is answered, no timer is set: only a client event could move the job."""
    answered = job.decided == job.last_event and job.next_part == 0
    return job.state == "running" and answered and not job.open and not job.timers


def answer(world: World, job: JobState, last: int, seq: int, packed: bytes) -> str:
    """Apply the actions that answer one event; returns what is wrong with them, or nothing."""
    before = job.answers[-1]
    if not job.decided < seq <= last or seq < before[0]:
        return f"the scheduler answered event {seq} out of order"
    try:
        actions = unpack_actions(packed)
    except msgspec.DecodeError as error:
        return f"the answer to event {seq} cannot be read: {error}"
    if seq != before[0]:
        job.caused = 0
    note_answer(job, seq, rolling(before[1], seq, packed))
    for action in actions:
        wrong = act(world, job, seq, action)
        if wrong:
            return f"the scheduler's answer to event {seq} is wrong: {wrong}"
        if job.state != "running":
            break
    return ""


def note_answer(job: JobState, seq: int, digest: bytes) -> None:
    answers = job.answers
    if answers and answers[-1][0] == seq:
        answers[-1] = (seq, digest)
        return
    answers.append((seq, digest))
    if len(answers) >= 2 * ANSWERS_KEPT:
        saved = max(bisect_right(answers, (job.saved[0] + 1,)) - 1, 0)
        del answers[: min(saved, ANSWERS_KEPT)]


def answer_digest(job: JobState, seq: int) -> bytes | None:
    """Of the decided actions up to event `seq`; None when they are not decided, or too long ago."""
    if seq > job.decided:
        return None
    place = bisect_right(job.answers, (seq + 1,)) - 1
    return job.answers[place][1] if place >= 0 else None


# --- actions ----------------------------------------------------------------------------------------


def act(world: World, job: JobState, seq: int, action: Action) -> str:
    if isinstance(action, StartTask):
        return start_task(world, job, seq, action)
    if isinstance(action, KillTask | Release):
        task = job.tasks.get(action.task)
        if task is None:
            return f"task {action.task} was never started"
        if isinstance(action, KillTask):
            tasks.kill(world, job, task)
        elif not task.released:
            task.released = True
            if not wanted(task):
                tasks.drop(world, job, task)
        return ""
    if isinstance(action, SetTimer):
        return set_timer(world, job, action)
    if isinstance(action, Finish):
        return jobs.finish(world, job, action)
    assert isinstance(action, Fail)
    jobs.over(world, job, "failed", action.error)
    return ""


def start_task(world: World, job: JobState, seq: int, action: StartTask) -> str:
    if action.task == 0 and job.next_task == 1 and not job.started:
        job.next_task = job.next_end = 0  # a scheduler may count from 0
    wrong = refuse_task(job, action)
    if wrong:
        return f"start_task {action.task} ({action.name[:NAME_CHARS]}): {wrong}"
    job.next_task += 1
    tasks.start(world, job, action, cause_of(job, seq, action))
    return ""


def cause_of(job: JobState, seq: int, action: StartTask) -> tuple[int | str, ...]:
    """What a task's seed is made of: the task whose end started it, or the event, and the place among its like."""
    event = job.events[seq - job.last_event - 1] if action.cause < 0 else None
    number = action.cause if event is None else event.task
    if event is None or event.kind in ("task_done", "task_failed"):
        cause = job.tasks[number]
        cause.caused += 1
        return number, cause.caused - 1
    job.caused += 1
    return event.kind, seq, job.caused - 1


def refuse_task(job: JobState, action: StartTask) -> str:
    """What is wrong with a start_task; empty when nothing is."""
    if action.task != job.next_task:
        return f"the next task of the job is {job.next_task}"
    if not 1 <= len(action.name) <= NAME_CHARS:
        return f"its name must have 1 to {NAME_CHARS} characters"
    if len(action.args) > ARGS_BYTES:
        return f"its arguments have {len(action.args)} bytes, the limit is {ARGS_BYTES}"
    if action.cause >= 0 and action.cause not in job.tasks:
        return f"its cause, task {action.cause}, was never started"
    if action.cores < 0 or action.timeout_ms < 0 or not 0 <= action.retries <= RETRIES_MAX:
        return f"cores and timeout must not be negative, retries must be 0 to {RETRIES_MAX}"
    if not 1 <= action.replicas <= TASK_REPLICAS_MAX or action.cores > CORES_MAX:
        return f"replicas must be 1 to {TASK_REPLICAS_MAX}, cores at most {CORES_MAX}"
    if action.keys or action.labels:
        if len(action.keys) > KEYS_MAX or len(action.labels) > LABELS_MAX:
            return f"more than {KEYS_MAX} keys or {LABELS_MAX} labels"
        if any(len(name) > NAME_CHARS for name in (*action.keys, *action.labels)):
            return f"a key or label has more than {NAME_CHARS} characters"
    return refuse_prerequisites(job, action) if action.prerequisites else ""


def refuse_prerequisites(job: JobState, action: StartTask) -> str:
    if len(action.prerequisites) > PREREQUISITES_MAX:
        return f"more than {PREREQUISITES_MAX} prerequisites"
    for number, key in action.prerequisites:
        task = job.tasks.get(number)
        if task is None:
            return f"prerequisite {number} was not started before it"
        if task.released:
            return f"prerequisite {number} was released"
        if len(key) > NAME_CHARS:
            return f"a key of prerequisite {number} has more than {NAME_CHARS} characters"
    return ""


def set_timer(world: World, job: JobState, action: SetTimer) -> str:
    if job.ordered:
        return "set_timer: an ordered scheduler has no timers (time would decide its answers)"
    if not 1 <= len(action.name) <= NAME_CHARS or not 0 <= action.delay_ms < 1 << 53:
        return f"set_timer: the name must have 1 to {NAME_CHARS} characters, the delay must not be negative"
    if len(job.timers) >= TIMERS_MAX and action.name not in job.timers:
        return f"set_timer: more than {TIMERS_MAX} timers"
    events.set_timer(world, job, action.name, action.delay_ms)
    return ""


# --- saves, restarts, failures ----------------------------------------------------------------------


def save(world: World, operation: Save) -> None:
    job = running(world, operation)
    if job is None:
        return
    seq, parts = job.saving if operation.part and job.saving[0] == operation.seq else (operation.seq, [])
    size = sum(map(len, parts)) + len(operation.state)
    if not job.saved[0] < seq <= job.decided or size > SAVE_BYTES or operation.part != len(parts):
        world.refuse("save", job)
        return
    job.saving = (seq, [*parts, operation.state])
    if operation.part + 1 == operation.parts:
        events.saved(job, seq, b"".join(job.saving[1]))
        job.saving = (0, [])
        world.note("saved", job.number, seq)


def restart(world: World, operation: Restart) -> None:
    """No copy agrees with the log: the scheduler goes on from its last save; what is decided stands."""
    job = running(world, operation)
    if job is None:
        return
    job.restarts = job.restarts + 1 if job.restarted_at == job.decided else 1
    job.restarted_at = job.decided
    if job.restarts >= RESTARTS:
        often = f"the scheduler was restarted {RESTARTS} times after event {job.decided}"
        world.doom(job, f"{often}: {operation.reason}")
        return
    job.generation += 1
    job.trusted = (job.decided + 1, job.next_part)
    job.trusted_digest = job.answers[-1][1]
    world.changed.restarted.append(job.number)
    world.note("generation", job.number, job.generation)
    world.touch(job)


def fail_job(world: World, operation: FailJob) -> None:
    job = running(world, operation)
    if job is not None:
        world.doom(job, operation.error)
