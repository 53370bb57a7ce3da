"""What a client holds of a job goes when the job does, also where the client was away at that time."""

from __future__ import annotations

from typing import Any

from tasksprint.sim.checkers.base import Checker


def leftovers(cluster: Any) -> list[str]:
    """Results that running clients hold of jobs that are over, or forgotten."""
    found = []
    for client in cluster.clients:
        for job_id, task, attempt in client.shelf if client.running else ():
            number = cluster.shadow.job_number(job_id)
            job = cluster.shadow.job(number) if number is not None else None
            if job is None or job.state not in ("running", "finishing"):
                found.append(f"{client.name} holds attempt {attempt} of task {task} of job {job_id}")
    return found


class Leftovers(Checker):
    name = "leftovers"
    promise = "no client keeps results of a job that is over: it is told, at the latest when it comes back"

    def finish(self, world: Any) -> None:
        """Every job has ended, and clients had time to hear of it."""
        found = leftovers(world)
        if found:
            self.fail("; ".join(found[:5]))
