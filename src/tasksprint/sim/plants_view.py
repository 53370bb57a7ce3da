"""Bugs planted into the view: what of the log counts, and what is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from tasksprint import limits
from tasksprint.codec import seed64
from tasksprint.coordinator.core import Coordinator
from tasksprint.coordinator.pending import Pending
from tasksprint.sim.patch import Patch
from tasksprint.sim.planting import plant
from tasksprint.view import Machine, decisions, events, jobs, liveness, reports, tasks
from tasksprint.view.operations import Done, Reports, StartTask
from tasksprint.view.records import DONE, KILLED, Attempt, Client, JobState, Task
from tasksprint.view.world import World
from tasksprint.wire import messages as wire

Old = Callable[..., Any]


@plant("tick-by-non-leader", "a deposed leader's tick counts, once it leads again")
def tick_by_non_leader(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def stop_leading(self: Coordinator) -> None:
            self._tick()
            old(self)

        return stop_leading

    patch.wrap(Coordinator, "_stop_leading", make)
    patch.set(Pending, "clear", lambda self: None)
    patch.set(liveness, "from_leader", lambda world, ballot: True)


@plant("time-jumps", "a tick moves time by whatever it names")
def time_jumps(patch: Patch) -> None:
    patch.set(liveness, "capped_step", lambda operation: operation.step_ms + 1_000)


@plant("dead-on-leader-change", "a new leader, which has heard nobody yet, declares clients dead")
def dead_on_leader_change(patch: Patch) -> None:
    patch.set(liveness, "grant_amnesty", lambda world: None)


@plant("dead-too-early", "a client is dead after half its timeout")
def dead_too_early(patch: Patch) -> None:
    patch.set(liveness, "CLIENT_TIMEOUT_MS", limits.CLIENT_TIMEOUT_MS // 2)


def any_session(patch: Patch) -> None:
    """Neither the leader nor the view looks which incarnation of a client speaks."""
    patch.set(Coordinator, "_known", lambda self, link, client, incarnation: self.machine.client(client) is not None)
    patch.set(reports, "session", lambda world, name, incarnation: world.clients.get(name))


@plant("stale-attempt-accepted", "a report of an attempt that has ended counts for the task's live one")
def stale_attempt_accepted(patch: Patch) -> None:
    def live(task: Task, number: int, client: Client) -> Attempt | None:
        return task.attempts[0] if task.attempts else None

    any_session(patch)
    patch.set(reports, "live_attempt", live)


@plant("old-session-accepted", "reports of a session that has ended still count, whatever their number")
def old_session_accepted(patch: Patch) -> None:
    any_session(patch)
    patch.set(reports, "is_next", lambda client, sequence: True)


@plant("retry-applied-twice", "reports that are sent again take effect again")
def retry_applied_twice(patch: Patch) -> None:
    def received(self: Coordinator, link: int, message: wire.SendReports) -> None:
        if self._known(link, message.client, message.incarnation):
            self._offer(Reports(message.client, message.incarnation, message.sequence, message.reports))

    patch.set(Coordinator, "_HANDLERS", {**Coordinator._HANDLERS, wire.SendReports: received})
    patch.set(reports, "is_next", lambda client, sequence: sequence <= client.acked + 1)


@plant("killed-task-ends", "the report of a task that was killed is accepted")
def killed_task_ends(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def done(world: World, job: JobState, task: Task, client: Client, report: Done) -> None:
            if task.state != KILLED or job.state != "running":
                old(world, job, task, client, report)
                return
            task.state = DONE
            events.task_ended(world, job, task.number, "task_done", task.start.name, report.values, "")

        return done

    patch.wrap(reports, "done", make)


@plant("inputs-not-judged", "a result counts, whatever it was made of")
def inputs_not_judged(patch: Patch) -> None:
    patch.set(reports, "judge_inputs", lambda job, task, report: reports.GOOD)


@plant("result-never-rerun", "a result that is lost and needed is not made again")
def result_never_rerun(patch: Patch) -> None:
    patch.set(tasks, "must_rerun", lambda world, job, task: False)


@plant("part-applied-twice", "a part of an answer counts again when a new leader says it again")
def part_applied_twice(patch: Patch) -> None:
    patch.set(decisions, "is_next", lambda job, operation: job.decided < operation.seq <= job.last_event)


@plant("ends-as-they-come", "an ordered scheduler hears of ends as they come")
def ends_as_they_come(patch: Patch) -> None:
    def told(
        world: World, job: JobState, task: int, kind: str, name: str, values: dict[str, bytes], error: str
    ) -> None:
        if job.state == "running":
            events.emit(world, job, kind, task, name, values, error)

    patch.set(events, "task_ended", told)


@plant("seed-follows-order", "a task's seed depends on the order in which tasks ended")
def seed_follows_order(patch: Patch) -> None:
    def cause(job: JobState, seq: int, action: StartTask) -> tuple[int | str, ...]:
        return ("event", seed64(seq), action.task)

    patch.set(decisions, "cause_of", cause)


@plant("snapshot-loses-sessions", "a snapshot does not hold which reports took effect")
def snapshot_loses_sessions(patch: Patch) -> None:
    def restore(cls: type[Machine], data: bytes) -> Machine:
        machine: Machine = plain.__func__(cls, data)
        for client in machine.world.clients.values():
            client.acked = 0
        return machine

    plain: Any = Machine.__dict__["restore"]
    patch.set(Machine, "restore", classmethod(restore))


@plant("upload-forgotten", "the end of a job drops the programs that are being put")
def upload_forgotten(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def drop(world: World) -> None:
            for name, program in list(world.programs.items()):
                if program.ended == jobs.NOT_YET_USED:
                    del world.programs[name]
            old(world)

        return drop

    patch.wrap(jobs, "drop_programs", make)


@plant("replica-decides", "an outcome depends on something that differs between replicas")
def replica_decides(patch: Patch) -> None:
    made = count()

    def begin(old: Old) -> Old:
        def init(self: World) -> None:
            old(self)
            self.replica = next(made)  # type: ignore[attr-defined]

        return init

    def make(old: Old) -> Old:
        def seal(self: Machine, data: bytes) -> None:
            if self.world.index % 50 == 0 and self.world.replica % 2:  # type: ignore[attr-defined]
                self.world.note("here")
            old(self, data)

        return seal

    patch.wrap(World, "__init__", begin)
    patch.wrap(Machine, "_seal", make)
