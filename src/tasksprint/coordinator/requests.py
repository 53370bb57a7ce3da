"""Who waits for an answer from this coordinator: held polls of clients, watches and requests of commands.  Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tasksprint import limits
from tasksprint.coordinator.progress import Progress, sentence
from tasksprint.coordinator.whole_job import why_job
from tasksprint.view import JobState, Machine
from tasksprint.view.part import AnyChange, Assign
from tasksprint.wire.messages import JobUpdate, Output, Registered, Unregistered, View

ACKS_PER_ANSWER = 2  # an acknowledgement alone is worth an answer when this many reports wait, else at the next tick

VIEW_BYTES = limits.FRAME_BYTES // 4  # changes in one message, about
CHANGE_BYTES = 128
REFERENCE_BYTES = 12

Answer = Registered | Unregistered | View | JobUpdate


@dataclass(slots=True)
class HeldPoll:
    """One a link: a client asks once, and is told of every change until its link or its session ends."""

    link: int
    known: int
    deadline_ms: int


@dataclass(slots=True)
class HeldWatch:
    link: int
    request: int
    job_id: str
    known: int
    deadline_ms: int


def cut(changes: list[AnyChange], start: int) -> int:
    """How far the changes from `start` on fit into one message; at least one does."""
    size = 0
    for place in range(start, len(changes)):
        change = changes[place]
        size += CHANGE_BYTES
        if isinstance(change, Assign):
            size += len(change.args) + sum(REFERENCE_BYTES + len(key) for _, key in change.prerequisites)
        if size > VIEW_BYTES and place > start:
            return place
    return len(changes)


ENDED = frozenset(["finishing", "done", "failed", "cancelled"])


def job_update(machine: Machine, request: int, job_id: str) -> JobUpdate:
    """What a command that follows a job is told."""
    number = machine.job_number(job_id)
    state: JobState | None = machine.job(number) if number is not None else None
    if state is None:
        return JobUpdate(request, job_id, 0, "unknown", "", 0, 0, 0, 0, 0, b"", [], False)
    outputs = []
    if state.state == "finishing":
        outputs = [Output(*row, state.tasks[row[0]].start.name) for row in machine.outputs(state.number)]
    elif state.state == "done":  # nobody keeps them any more: whoever asks now must not take the job for one without
        outputs = [Output(task, key, 0, []) for task, key in state.outputs]
    values = state.values if state.state in ("finishing", "done") else b""
    return JobUpdate(
        request,
        job_id,
        state.changed,
        state.state,
        state.error,
        state.started,
        state.done,
        state.failed,
        state.read,
        machine.living,
        values,
        outputs,
        state.nondeterministic,
    )


@dataclass(slots=True)
class Waiting:
    """Held polls, registrations and watches; `send` is called with (link, message)."""

    send: Callable[[int, Answer], None]
    polls: dict[str, HeldPoll] = field(default_factory=dict)
    registering: dict[str, tuple[int, int]] = field(default_factory=dict)  # client → (link, nonce)
    acked_sent: dict[str, int] = field(default_factory=dict)
    unacked: dict[str, None] = field(default_factory=dict)  # clients whose last reports were not acknowledged yet
    watches: dict[str, list[HeldWatch]] = field(default_factory=dict)  # by job id
    moved: dict[str, None] = field(default_factory=dict)  # watched jobs with progress to tell at the next tick

    def poll(self, machine: Machine, client: str, link: int, known: int, now_ms: int) -> None:
        held = self.polls[client] = HeldPoll(link, known, now_ms + limits.POLL_HELD_MS)
        state = machine.client(client)
        if state is None:
            return
        if known == 0:
            self.acked_sent.pop(client, None)
        if state.number > held.known or state.acked - self.acked_sent.get(client, -2) >= ACKS_PER_ANSWER:
            self.answer_poll(machine, client)

    def answer_poll(self, machine: Machine, client: str) -> None:
        """Tell what changed; the poll stands, and is answered again when more does."""
        held = self.polls.get(client)
        state = machine.client(client)
        if held is None or state is None:
            return
        number, whole, changes = machine.changes(client, held.known)
        held.known = number
        self.acked_sent[client] = state.acked
        start = 0
        while True:
            end = cut(changes, start)
            self.send(held.link, View(number, state.acked, whole, changes[start:end], end < len(changes)))
            if end == len(changes):
                return
            start = end

    def client_changed(self, machine: Machine, client: str) -> None:
        """Something in the client's record moved: its part, its acknowledged reports, or its life."""
        state = machine.client(client)
        registering = self.registering.get(client)
        if registering is not None and state is not None and state.alive and state.nonce == registering[1]:
            del self.registering[client]
            self.send(registering[0], Registered(state.nonce, state.incarnation))
        held = self.polls.get(client)
        if held is None:
            return
        if state is None or not state.alive:
            del self.polls[client]
            self.send(held.link, Unregistered(client))
        elif state.number > held.known or state.acked - self.acked_sent.get(client, -2) >= ACKS_PER_ANSWER:
            self.answer_poll(machine, client)
        elif state.acked > self.acked_sent.get(client, -2):
            self.unacked[client] = None

    def watch(self, machine: Machine, watch: HeldWatch) -> None:
        update = job_update(machine, watch.request, watch.job_id)
        if update.number > watch.known or update.state == "unknown":
            self.send(watch.link, update)
        else:
            self.watches.setdefault(watch.job_id, []).append(watch)

    def job_changed(self, machine: Machine, job: JobState) -> None:
        """An end is told at once, progress at the next tick."""
        if job.job_id in self.watches:
            self.moved[job.job_id] = None
            if job.state in ENDED:
                self.tell_moved(machine)

    def acknowledge(self, machine: Machine) -> None:
        """Answer those polls whose only news is that reports took effect."""
        unacked, self.unacked = self.unacked, {}
        for client in unacked:
            state = machine.client(client)
            if state is not None and state.acked > self.acked_sent.get(client, -2):
                self.answer_poll(machine, client)

    def tell_moved(self, machine: Machine) -> None:
        moved, self.moved = self.moved, {}
        for job_id in moved:
            for watch in self.watches.pop(job_id, ()):
                self.send(watch.link, job_update(machine, watch.request, job_id))

    def expire(self, machine: Machine, now_ms: int) -> None:
        """Answer what was held long enough: it shows that the leader lives."""
        for client, held in list(self.polls.items()):
            if now_ms >= held.deadline_ms:
                held.deadline_ms = now_ms + limits.POLL_HELD_MS
                self.answer_poll(machine, client)
        for job_id, watches in list(self.watches.items()):
            due = [watch for watch in watches if now_ms >= watch.deadline_ms]
            if due:
                self.watches[job_id] = [watch for watch in watches if now_ms < watch.deadline_ms]
                for watch in due:
                    self.send(watch.link, job_update(machine, watch.request, job_id))
            if not self.watches[job_id]:
                del self.watches[job_id]

    def drop_link(self, link: int) -> None:
        self.polls = {client: held for client, held in self.polls.items() if held.link != link}
        self.registering = {client: who for client, who in self.registering.items() if who[0] != link}
        for job_id, watches in list(self.watches.items()):
            self.watches[job_id] = [watch for watch in watches if watch.link != link]
            if not self.watches[job_id]:
                del self.watches[job_id]

    def drop_all(self) -> list[int]:
        """Leadership is lost: everybody who waits must ask somebody else.  Returns their links."""
        links = {held.link: None for held in self.polls.values()}
        links.update({link: None for link, _ in self.registering.values()})
        links.update({watch.link: None for watches in self.watches.values() for watch in watches})
        self.polls.clear()
        self.registering.clear()
        self.watches.clear()
        self.moved.clear()
        self.unacked.clear()
        self.acked_sent.clear()
        return list(links)


def no_such_job(machine: Machine, job_id: str) -> str:
    """The error of a request that names a job; empty when the job is here."""
    here = machine.job_number(job_id) is not None
    return "" if here else f"no job {job_id} here; `tasksprint status` lists the jobs"


def status_answer(machine: Machine, coordinator: dict[str, object], what: str, progress: Progress) -> tuple[str, bytes]:
    """(error, JSON) of a status request, as of what is applied; `coordinator`: what the leader says of itself."""
    kind, _, rest = what.partition(":")
    if kind == "cluster":
        return "", json.dumps({"coordinator": coordinator, **machine.status_cluster()}).encode()
    if kind == "jobs":
        return "", json.dumps(machine.status_jobs()).encode()
    job_id, of_task, task = rest.partition(":")
    number = machine.job_number(job_id)
    if kind not in ("job", "why") or not job_id or (kind == "why" and of_task and not task.isdecimal()):
        return f"unknown status request {what!r}", b""
    job = machine.job(number) if number is not None else None
    if number is None or job is None:
        return no_such_job(machine, job_id), b""
    if kind == "job":
        return "", json.dumps({**machine.status_job(number), "running": progress.rows(job)}).encode()
    if not of_task:
        return "", json.dumps(why_job(machine, job, progress)).encode()
    why = machine.why(number, int(task)) + sentence(progress.rows(job, int(task)))
    return "", json.dumps(why).encode()
