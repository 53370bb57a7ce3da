"""Why a job as a whole is not done yet, in one sentence for a person.  Pure."""

from __future__ import annotations

from tasksprint.coordinator.progress import Progress, sentence
from tasksprint.view import JobState, Machine


def why_job(machine: Machine, job: JobState, progress: Progress) -> str:
    """Its state, and the first thing that it waits for."""
    head = f"job {job.job_id} is {job.state}"
    if job.state == "finishing":
        return f"{head}: {_outputs(machine, job, progress)}"
    if job.state != "running":
        return f"{head}: {job.error}" if job.error else head
    failed = f", {job.failed} failed" if job.failed else ""
    return f"{head}, {job.done} of {job.started} tasks are done{failed}: {_obstacle(machine, job, progress)}"


def _outputs(machine: Machine, job: JobState, progress: Progress) -> str:
    rows = machine.outputs(job.number)
    missing = [(task, key) for task, key, _, holders in rows if not holders]
    if not missing:
        what = "its answer is" if not rows else "its output is" if len(rows) == 1 else f"its {len(rows)} outputs are"
        return f"{what} there, to be brought by `submit --job {job.job_id}`"
    task, key = missing[0]
    return f"{len(missing)} of {len(rows)} outputs are missing, first {key!r}; {_task(machine, job, task, progress)}"


def _obstacle(machine: Machine, job: JobState, progress: Progress) -> str:
    status = machine.status_job(job.number)
    unanswered = job.last_event - job.decided
    waiting = f"{unanswered} event{'' if unanswered == 1 else 's'} for the scheduler to answer"
    if status["unplaceable"]:
        return str(status["unplaceable"][0])
    if status["idle"]:
        return str(status["idle"])
    if job.open and not status["held_back"]:
        return _task(machine, job, next(iter(job.open)), progress)
    if unanswered:
        return f"it waits with {waiting}"
    return "every task has ended, and the scheduler waits for its timer"


def _task(machine: Machine, job: JobState, task: int, progress: Progress) -> str:
    return machine.why(job.number, task) + sentence(progress.rows(job, task))
