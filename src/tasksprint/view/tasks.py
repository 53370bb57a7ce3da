"""The life of a task, from its start to its end, and what the end of one means for others.

    OPEN ──done──▶ DONE ──its needed result is lost──▶ DONE, again ──done──▶ DONE
      │ └─failed─▶ FAILED                                    └─failed──▶ GONE
      └───kill───▶ KILLED

Whatever spreads from task to task (failures to dependents, lost results to lost inputs) goes over a list of work,
never by recursion: a chain may be a million tasks long.
"""

from __future__ import annotations

from tasksprint import codec
from tasksprint.limits import CLIENT_DEATHS, ERROR_BYTES
from tasksprint.view import attempts, events, supply
from tasksprint.view.lanes import enqueue
from tasksprint.view.operations import Done, StartTask
from tasksprint.view.part import Drop
from tasksprint.view.records import DONE, FAILED, GONE, KILLED, OPEN, Attempt, Client, JobState, Task
from tasksprint.view.world import World

# --- start ------------------------------------------------------------------------------------------


def start(world: World, job: JobState, action: StartTask, cause: tuple[int | str, ...]) -> None:
    """Start a task whose action was found good."""
    number = action.task
    seed = codec.seed64(job.spec.seed, "task", *cause)
    task = Task(number, action, seed)
    job.tasks[number] = task
    job.open[number] = None
    job.started += 1
    if action.prerequisites:
        link_inputs(world, job, task)
        broken = next((one for one in task.inputs if job.tasks[one].state in (FAILED, KILLED, GONE)), 0)
        if broken:
            fail(world, job, task, blame(job.tasks[broken]))
            return
    enqueue(world, job, task)


def link_inputs(world: World, job: JobState, task: Task) -> None:
    """Count what the task needs, and see to it that lost inputs are made again."""
    task.inputs = tuple(dict.fromkeys([number for number, _ in task.start.prerequisites]))
    activate(world, job, task)


def activate(world: World, job: JobState, first: Task) -> None:
    """The task is active from now on: its inputs are needed; those that are done but lost become active, too."""
    work = [first]
    while work:
        task = work.pop()
        task.missing = task.unsupplied = 0
        for number in task.inputs:
            supplier = job.tasks[number]
            attempts.add_consumer(supplier, task.number)
            supplier.needed += 1
            if supply.available(world, job, supplier):
                if supplier.needed == 1:
                    supply.guard(world, job, supplier)
                continue
            task.missing += 1
            if not supplier.attempts:
                task.unsupplied += 1
            if supplier.state == DONE and not supplier.again:
                mark_again(world, job, supplier)
                work.append(supplier)
        if task is not first:
            enqueue(world, job, task)


def mark_again(world: World, job: JobState, task: Task) -> None:
    task.again = True
    task.holders = ()
    task.tries = task.deaths = 0
    job.reruns += 1
    world.outcomes.append(("again", job.number, task.number))


def deactivate(world: World, job: JobState, first: Task) -> None:
    """The task does not need its inputs any more; those that were made again for it alone need not be either."""
    work = [first]
    while work:
        for number in work.pop().inputs:
            supplier = job.tasks[number]
            supplier.needed -= 1
            if supply.wanted(supplier):
                continue
            supply.unguard(world, job, supplier)
            if supplier.again:
                stop(world, job, supplier)
                work.append(supplier)
            if supplier.released:
                drop(world, job, supplier)


def stop(world: World, job: JobState, task: Task) -> None:
    """Nobody needs the task's result made again."""
    task.again = False
    for attempt in task.attempts:
        attempts.detach(world, job, task, attempt, cancel=True)


# --- done -------------------------------------------------------------------------------------------


def done(world: World, job: JobState, task: Task, attempt: Attempt, client: Client, report: Done) -> None:
    """The attempt's result counts."""
    supplied = bool(task.attempts)
    attempts.close(world, job, task, attempt)
    changed = False
    if task.again:
        changed = record_again(world, job, task, report)
    else:
        record(world, job, task, report)
    supply.hold(world, job, task, client, report.attempt)
    result_here(world, job, task, supplied=supplied, changed=changed)


def record(world: World, job: JobState, task: Task, report: Done) -> None:
    """The first result of the task: it is counted, and the scheduler is told, this once."""
    task.state = DONE
    task.digest, task.size = report.digest, report.size
    job.done += 1
    job.read += report.read
    job.open.pop(task.number, None)
    world.outcomes.append(("done", job.number, task.number, report.attempt, report.digest))
    if task.inputs:
        deactivate(world, job, task)
    events.task_ended(world, job, task.number, "task_done", task.start.name, report.values, "")
    world.touch(job)


def record_again(world: World, job: JobState, task: Task, report: Done) -> bool:
    """A lost result was made again; whether it is another one than before."""
    task.again = False
    world.outcomes.append(("done again", job.number, task.number, report.attempt, report.digest))
    deactivate(world, job, task)
    world.touch(job)
    if same_result(task, report):
        return False
    job.nondeterministic = True
    if job.spec.strict:
        name = f"task {task.number} ({task.start.name})"
        world.doom(job, f"{name} was run again and gave another result: it is not deterministic")
    task.digest, task.size = report.digest, report.size
    return True


def same_result(task: Task, report: Done) -> bool:
    return task.digest == report.digest


def result_here(world: World, job: JobState, task: Task, *, supplied: bool, changed: bool) -> None:
    """The result exists from now on: end what else was making it, go on with what waited for it."""
    if task.needed and (task.attempts or not supplied):
        world.moved[job.number, task.number] = None  # consumers were told of another attempt, or of none
    for other in task.attempts:
        attempts.detach(world, job, task, other, cancel=True)
    if task.number in job.parked:
        world.judged[job.number, task.number] = None
    if task.consumers:
        attempts.arrived(world, job, task, was_supplied=supplied)
        if changed:
            void_consumers(world, job, task)
    if task.released and not supply.wanted(task):
        drop(world, job, task)


def void_consumers(world: World, job: JobState, task: Task) -> None:
    """The result is another one than before: what unfinished tasks made of the old one must not count."""
    for consumer in attempts.consumers(job, task):
        for attempt in consumer.attempts:
            attempts.detach(world, job, consumer, attempt, cancel=True)
        attempts.place_again(world, job, consumer)


def drop(world: World, job: JobState, task: Task) -> None:
    """The result is not needed any more: its holders may forget it."""
    for name in supply.holders(world, job, task):
        client = world.clients[name]
        world.tell(client, Drop(job.number, task.number, client.holds[job.number][task.number]))
        supply.unhold(world, job, task, client)


# --- failed, killed ---------------------------------------------------------------------------------


def try_failed(world: World, job: JobState, task: Task, attempt: Attempt, kind: str, error: str) -> None:
    """A try that counts: the task runs again while it has retries left."""
    attempts.detach(world, job, task, attempt, cancel=False)
    task.tries += 1
    task.error = f"{kind}: {error}"[:ERROR_BYTES]
    if out_of_tries(task):
        tries = "the only try" if task.tries == 1 else f"the last of {task.tries} tries"
        fail(world, job, task, f"{task.error} ({tries})")
    else:
        attempts.place_again(world, job, task)


def out_of_tries(task: Task) -> bool:
    return task.tries > task.start.retries


def client_died(world: World, job: JobState, task: Task, attempt: Attempt, *, counts: bool) -> None:
    """The attempt's client is gone.  It is no try, but a task must not take one client after another with it."""
    attempts.detach(world, job, task, attempt, cancel=False)
    if counts:
        task.deaths += 1
    if task.deaths >= CLIENT_DEATHS:
        fail(world, job, task, f"client_died: {task.deaths} clients died while they had this task")
    else:
        attempts.place_again(world, job, task)


def blame(task: Task) -> str:
    """Why a task that has this one among its inputs cannot run."""
    killed = task.state == KILLED or task.error.startswith("prerequisite_killed")
    what = {KILLED: "was killed", FAILED: "failed"}.get(task.state, "was lost and could not be made again")
    return f"prerequisite_{'killed' if killed else 'failed'}: task {task.number} ({task.start.name}) {what}"


def fail(world: World, job: JobState, first: Task, error: str) -> None:
    """The task has failed, and with it every unfinished one that depends on it."""
    end(world, job, first, FAILED, error)
    fail_dependents(world, job, first)


def kill(world: World, job: JobState, task: Task) -> None:
    """The scheduler wants it no more: no report of it is accepted from now on, no event tells of it."""
    if task.state != OPEN:
        return
    end(world, job, task, KILLED, "")
    fail_dependents(world, job, task)
    if job.ordered and job.state == "running":
        events.release_ordered(world, job)


def fail_dependents(world: World, job: JobState, first: Task) -> None:
    work = [first]
    for task in work:  # grows while we go
        for consumer in attempts.consumers(job, task):
            end(world, job, consumer, FAILED, blame(task))
            work.append(consumer)


def end(world: World, job: JobState, task: Task, state: int, error: str) -> None:
    """End an active task without a result."""
    if task.pinned:
        world.doom(job, f"output {task.number} ({task.start.name}): {error}")
    again, task.again = task.again, False
    task.state = GONE if again else state
    task.error = error
    job.open.pop(task.number, None)
    for attempt in task.attempts:
        attempts.detach(world, job, task, attempt, cancel=True)
    deactivate(world, job, task)
    world.outcomes.append(("end", job.number, task.number, task.state))
    if task.state == FAILED:
        job.failed += 1
        events.task_ended(world, job, task.number, "task_failed", task.start.name, {}, error)
    world.touch(job)


# --- lost -------------------------------------------------------------------------------------------


def lost_at(world: World, job: JobState, task: Task, client: Client) -> None:
    """The client does not have the result any more."""
    supply.unhold(world, job, task, client)
    world.touch(job)
    if not must_rerun(world, job, task):
        world.moved[job.number, task.number] = None
        return
    run_again(world, job, task)


def must_rerun(world: World, job: JobState, task: Task) -> bool:
    """Whether somebody needs the result and nobody has it."""
    return task.state == DONE and not task.again and supply.wanted(task) and not supply.available(world, job, task)


def run_again(world: World, job: JobState, task: Task) -> None:
    """Make a lost result once more, and whatever lost results that takes."""
    attempts.vanished(world, job, task)
    mark_again(world, job, task)
    activate(world, job, task)
    enqueue(world, job, task)


def found(world: World, job: JobState, task: Task, client: Client, attempt: int) -> None:
    """The client has kept the recorded result over its restart."""
    again, supplied = task.again, bool(task.attempts)
    exists = supply.available(world, job, task)
    supply.hold(world, job, task, client, attempt)
    if again:
        task.again = False
        deactivate(world, job, task)
        result_here(world, job, task, supplied=supplied, changed=False)
    elif exists and task.needed:
        world.moved[job.number, task.number] = None
