"""Jobs: submitted, finishing, over; and the programs that they bring along."""

from __future__ import annotations

import hashlib

from tasksprint.limits import (
    ERROR_BYTES,
    FINISHING_MS,
    JOBS_KEPT,
    MIB,
    NAME_CHARS,
    PROGRAM_BYTES,
    PROGRAM_CHUNK_BYTES,
    PROGRAMS_SPARE,
)
from tasksprint.view import attempts, events, supply, tasks
from tasksprint.view.operations import Finish, JobSpec, ProgramChunk, Submit
from tasksprint.view.part import JobEnded
from tasksprint.view.records import DONE, OPEN, JobState, Program, Task
from tasksprint.view.world import World

# --- programs ---------------------------------------------------------------------------------------

TOO_LARGE = f"its files, packed, take more than {PROGRAM_BYTES // MIB} MiB: name large files by their paths instead"
NOT_YET_USED = 1 << 62  # Program.ended of a program that is being put, or whose submit is to come


def program_chunk(world: World, chunk: ProgramChunk) -> None:
    """Chunks come in order; one that came before changes nothing."""
    program = world.programs.get(chunk.hash)
    if program is None:
        if chunk.part != 0:
            world.refuse_program(chunk.hash, "program chunk", "its first part is not here any more: submit again")
            return
        if not 1 <= chunk.parts <= PROGRAM_BYTES // PROGRAM_CHUNK_BYTES * 2:
            world.refuse_program(chunk.hash, "program chunk", TOO_LARGE)
            return
        drop_spare_programs(world)
        program = world.programs[chunk.hash] = Program([], chunk.parts, ended=NOT_YET_USED)
    if program.complete or chunk.part < len(program.parts):
        return
    if chunk.part != len(program.parts) or chunk.parts != program.expected:
        expected = f"part {len(program.parts) + 1} of {program.expected} is the next"
        world.refuse_program(chunk.hash, "program chunk", f"{expected}, not {chunk.part + 1} of {chunk.parts}")
        return
    program.parts.append(chunk.data)
    if sum(map(len, program.parts)) > PROGRAM_BYTES:
        del world.programs[chunk.hash]
        world.refuse_program(chunk.hash, "program too large", TOO_LARGE)
        return
    if len(program.parts) == program.expected:
        complete_program(world, chunk.hash, program)


def complete_program(world: World, name: str, program: Program) -> None:
    whole = b"".join(program.parts)
    if hashlib.sha256(whole).hexdigest() != name:
        del world.programs[name]
        world.refuse_program(name, "program hash", "what has arrived has another hash: submit again")
        return
    program.parts, program.complete = [whole], True


def has_chunk(world: World, name: str, part: int) -> bool:
    program = world.programs.get(name)
    return program is not None and (program.complete or part < len(program.parts))


def drop_spare_programs(world: World) -> None:
    """Programs that nobody has submitted a job for must not pile up."""
    spare = [name for name, program in world.programs.items() if program.ended >= 0]
    for name in spare[: max(0, len(spare) - PROGRAMS_SPARE + 1)]:
        del world.programs[name]


def drop_programs(world: World) -> None:
    """A program that no job uses is kept until one more job ends: the next submit often names it again.

    One that no job has used yet is on its way, or its submit is; only `drop_spare_programs` ends it.
    """
    used = {job.spec.program for job in world.jobs.values() if job.state in ("running", "finishing")}
    for name, program in list(world.programs.items()):
        if name in used:
            program.ended = -1
        elif program.ended < 0:
            program.ended = world.ended_count
        elif program.ended < world.ended_count:
            del world.programs[name]


# --- submitted --------------------------------------------------------------------------------------


def submit(world: World, operation: Submit) -> None:
    if operation.job_id in world.numbers:
        return  # the submitter tries again: it is the same job
    number = world.next_job
    world.next_job += 1
    job = JobState(number, operation.job_id, operation.spec, started_ms=world.time_ms, answers=[(0, b"")])
    world.jobs[number] = job
    world.numbers[operation.job_id] = number
    world.touch(job)
    world.note("job", number)
    wrong = refuse_spec(world, operation.spec)
    if wrong:
        job.state, job.error = "failed", wrong
        ended(world, job)
        return
    if operation.spec.program:
        world.programs[operation.spec.program].ended = -1
    world.changed.started.append(number)
    events.emit(world, job, "init", values={"args": operation.spec.args})
    for client in world.silence:
        events.client_event(world, job, "client_joined", client)


def refuse_spec(world: World, spec: JobSpec) -> str:
    """What is wrong with it; empty when nothing is."""
    program = world.programs.get(spec.program)
    if spec.program and (program is None or not program.complete):
        return f"the program {spec.program[:12]} is not here whole: submit again"
    if not spec.scheduler or not spec.node:
        return "a job needs a scheduler and a node"
    if len(spec.name) > NAME_CHARS:
        return f"the job's name has more than {NAME_CHARS} characters"
    return ""


# --- finishing --------------------------------------------------------------------------------------


def finish(world: World, job: JobState, action: Finish) -> str:
    """The scheduler is through; returns what is wrong with its action, or nothing."""
    for number, _ in action.files:
        task = job.tasks.get(number)
        if task is None:
            return f"finish names task {number}, which was never started"
        if task.released:
            return f"finish names task {number}, which was released"
        if task.state not in (DONE, OPEN):
            return f"finish names task {number}, which has no result: {task.error or 'it was killed'}"
    job.state, job.values = "finishing", action.values
    job.outputs = list(action.files)
    job.early, job.withheld, job.timers, job.withheld_bytes = [], {}, {}, 0
    world.changed.ended.append(job.number)
    world.note("finishing", job.number)
    world.touch(job)
    for number in dict.fromkeys(number for number, _ in action.files):
        pin(world, job, job.tasks[number])
    stop_others(world, job)
    events.set_timer(world, job, "", FINISHING_MS)
    return ""


def pin(world: World, job: JobState, task: Task) -> None:
    task.pinned = True
    if supply.available(world, job, task):
        supply.guard(world, job, task)
    elif tasks.must_rerun(world, job, task):
        tasks.run_again(world, job, task)


def stop_others(world: World, job: JobState) -> None:
    """Kill what no output depends on."""
    kept: dict[int, None] = {}
    work = [number for number, _ in job.outputs]
    while work:
        number = work.pop()
        if number in kept or job.tasks[number].state != OPEN:
            continue
        kept[number] = None
        work += job.tasks[number].inputs
    for number in sorted(job.open, reverse=True):  # so that each is killed before one that it depends on
        if number not in kept:
            tasks.kill(world, job, job.tasks[number])


def collected(world: World, job: JobState) -> None:
    if job.state == "finishing":
        over(world, job, "done", "")


# --- over -------------------------------------------------------------------------------------------


def over(world: World, job: JobState, state: str, error: str) -> None:
    """The job ends: everything but a summary is freed."""
    if job.state == "running":
        world.changed.ended.append(job.number)
    job.state, job.error = state, error[:ERROR_BYTES]
    if state != "done":
        job.outputs = []
    world.note("over", job.number, state)
    world.touch(job)
    for name in job.clients:
        leave_client(world, job, name)
    ended(world, job)


def leave_client(world: World, job: JobState, name: str) -> None:
    """Nothing of the job stays at the client."""
    client = world.clients.get(name)
    if client is None:
        return
    for number, attempt in client.attempts.pop(job.number, {}).items():
        attempts.count(world, client, attempt.kind, -1)
        client.args_bytes -= len(job.tasks[number].start.args)
    discard(world, client.holds.pop(job.number, {}))
    for table in (client.vital, client.uses, client.avoids):
        table.pop(job.number, None)
    if client.told.pop(job.number, 0) is None and client.alive:
        world.tell(client, JobEnded(job.number))


def discard(world: World, records: dict[int, int] | dict[int, Task] | dict[int, None]) -> None:
    if records:
        world.rubbish.append(records)  # type: ignore[arg-type]


def ended(world: World, job: JobState) -> None:
    """Keep a summary of it, for a while."""
    job.ended_ms = world.time_ms
    discard(world, job.tasks)
    discard(world, job.open)
    job.tasks, job.open, job.events, job.clients = {}, {}, [], {}
    job.parked, job.withheld, job.timers, job.early, job.answers = {}, {}, {}, [], []
    job.parked_count = job.withheld_bytes = job.unanswered_bytes = 0
    job.saved, job.saving = (job.saved[0], b""), (0, [])
    for lane in [key for key in world.lanes if key[1] == job.number]:
        del world.lanes[lane]
    for urgent in [key for key in world.urgent if key[0] == job.number]:
        del world.urgent[urgent]
    world.rooms.clear()
    world.ended[job.number] = None
    world.ended_count += 1
    drop_programs(world)
    while len(world.ended) > JOBS_KEPT:
        oldest = next(iter(world.ended))
        del world.ended[oldest]
        del world.numbers[world.jobs.pop(oldest).job_id]


def end_doomed(world: World) -> None:
    """Fail the jobs that the last operation found wrong."""
    for number, error in world.doomed.items():
        job = world.jobs[number]
        if job.state in ("running", "finishing"):
            over(world, job, "failed", error)
    world.doomed.clear()
