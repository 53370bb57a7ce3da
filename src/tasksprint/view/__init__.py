"""What the log means: the replicated state machine.  Pure and deterministic.

`Machine.apply(index, data)` applies one entry of the log; everything else reads.  Sessions, jobs, tasks, placement,
liveness and the schedulers' events all follow from the entries alone, so that every replica has the same view at the
same index, and `digest` proves it.  Nothing here walks what did not change.
"""

from tasksprint.view.decisions import is_idle, rolling
from tasksprint.view.machine import Machine
from tasksprint.view.records import Client as ClientState
from tasksprint.view.records import Event, JobState
from tasksprint.view.world import Changed, Corrupt, Diverged

__all__ = ["Changed", "ClientState", "Corrupt", "Diverged", "Event", "JobState", "Machine", "is_idle", "rolling"]
