"""A program on its way is not dropped because some other job ends meanwhile."""

import hashlib

from tasksprint.view import Machine
from tasksprint.view.operations import AnyOperation, CancelJob, JobSpec, ProgramChunk, Submit, pack_entry

PARTS = (b"first ", b"second ", b"third")
HASH = hashlib.sha256(b"".join(PARTS)).hexdigest()


def test_a_program_outlives_the_jobs_that_end_while_it_is_put() -> None:
    machine = Machine()

    def apply(operation: AnyOperation) -> None:
        machine.apply(machine.index + 1, pack_entry([operation]))

    def end_a_job(job_id: str) -> None:
        apply(Submit(job_id, JobSpec("other", ["s"], ["n"], b"{}", 1)))
        apply(CancelJob(job_id))

    for part, data in enumerate(PARTS):
        apply(ProgramChunk(HASH, part, len(PARTS), data))
        end_a_job(f"{part}")
    end_a_job("one more")
    apply(Submit("job", JobSpec("name", ["s"], ["n"], b"{}", 1, HASH)))
    job = machine.job(machine.job_number("job") or 0)
    assert job is not None
    assert (job.state, job.error) == ("running", "")
    assert machine.program(HASH) == b"".join(PARTS)
