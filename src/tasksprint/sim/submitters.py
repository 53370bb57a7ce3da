"""`tasksprint submit`, scripted: a command submits a job, follows it, fetches its outputs and says that it has them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasksprint.sim.fetching import Fetcher
from tasksprint.sim.network import Session
from tasksprint.sim.scripts import SCRIPTS, Answer, text, undisturbed
from tasksprint.sim.world import MS_US, Process, Violation
from tasksprint.view.operations import JobSpec
from tasksprint.wire import messages as wire

if TYPE_CHECKING:
    from tasksprint.sim.cluster import Cluster

ANSWER_US = 1_500 * MS_US  # then another coordinator is tried


@dataclass(slots=True)
class Plan:
    """The job that a submitter asks for."""

    spec: JobSpec
    job_id: str
    expected: Answer | None  # None: what it answers is not known
    cancel_us: int = 0  # after the start; 0: never
    program: tuple[bytes, ...] = ()  # the parts of its packed files

    @classmethod
    def of_script(
        cls, script: str, args: Any, seed: int, job_id: str, cancel_us: int = 0, program: tuple[bytes, ...] = ()
    ) -> Plan:
        hash = hashlib.sha256(b"".join(program)).hexdigest() if program else ""
        spec = JobSpec(script, [script], ["node"], text(args), seed, hash)
        expected = undisturbed(script, args, seed) if SCRIPTS[script].repeatable else None
        return cls(spec, job_id, expected, cancel_us, program)


class Submitter(Process):
    """Ends in `ended`: the state, the values and the outputs that the job was seen to have."""

    def __init__(self, cluster: Cluster, name: str, plan: Plan):
        super().__init__(cluster.world, name)
        self.cluster = cluster
        self.plan = plan
        self.ended: wire.JobUpdate | None = None
        self.began_us = self.ended_us = 0
        self.values = b""
        self.outputs: dict[tuple[int, str], bytes] = {}
        self.named: list[tuple[int, str]] = []  # the outputs, in the order in which the scheduler named them
        self.submitted = False  # acknowledged
        self.cancelled = False
        self.fetcher: Fetcher
        self._fetching: dict[tuple[int, str], int] = {}
        self._session: Session | None = None
        self._target = 0
        self._known = 0
        self._request = 0
        self._sent = 0  # parts of the program that were acknowledged
        self._awaited: dict[int, str] = {}
        self._heard_us = 0

    # --- life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        super().start()
        self.began_us = self.world.now_us
        self.fetcher = Fetcher(self, self.cluster)
        self._dial()
        self._patrol()
        if self.plan.cancel_us:
            self.later(self.plan.cancel_us, self._want_cancel)

    def _want_cancel(self) -> None:
        self.cancelled = True
        if self.submitted:
            self._ask("cancel", wire.CancelRequest(self._number(), self.plan.job_id))

    def _patrol(self) -> None:
        """Nothing heard for a while: try another coordinator."""
        if self.ended is not None:
            return
        if self.world.now_us - self._heard_us > ANSWER_US:
            self._switch("")
        self.later(100 * MS_US, self._patrol)

    # --- the link ------------------------------------------------------------------------------------

    def _switch(self, address: str) -> None:
        if self._session is not None:
            self._session.close(self)
            self._session = None
        addresses = list(self.cluster.addresses)
        self._target = addresses.index(address) if address in addresses else (self._target + 1) % len(addresses)
        self._heard_us = self.world.now_us
        self.later(self.world.between(5, 60) * MS_US, self._dial)

    def _dial(self) -> None:
        if self._session is not None or self.ended is not None:
            return
        target = list(self.cluster.addresses.values())[self._target]
        self._heard_us = self.world.now_us
        if not target.running or not self.cluster.connects(self.name, target.name):
            self._switch("")
            return
        self._session = self.cluster.network.open(self, target)
        target.accept(self._session)
        self._awaited.clear()
        if not self.submitted:
            self._submit()
        else:
            self._watch()

    def _number(self) -> int:
        self._request += 1
        return self._request

    def _ask(self, what: str, message: Any) -> None:
        if self._session is not None:
            self._awaited[message.request] = what
            self._session.send(self, wire.encode(message))

    def _submit(self) -> None:
        plan = self.plan
        if self._sent < len(plan.program):  # a submit follows when every part of its program is acknowledged
            part, parts = self._sent, len(plan.program)
            data = plan.program[part]
            self._ask("program", wire.PutProgram(self._number(), plan.spec.program, part, parts, data))
            return
        times = 2 if self.world.chance(200) else 1  # said twice, it is still one job
        for _ in range(times):
            self._ask("submit", wire.SubmitJob(self._number(), plan.job_id, plan.spec))

    def _watch(self) -> None:
        if self.cancelled:
            self._ask("cancel", wire.CancelRequest(self._number(), self.plan.job_id))
        self._ask("watch", wire.WatchJob(self._number(), self.plan.job_id, self._known))
        self._ask("status", wire.StatusRequest(self._number(), f"job:{self.plan.job_id}"))

    def session_closed(self, session: Session) -> None:
        self.happen(self.life, self._closed, (session,))

    def _closed(self, session: Session) -> None:
        if session is self._session:
            self._session = None
            self._switch("")

    # --- answers -------------------------------------------------------------------------------------

    def session_message(self, session: Session, payload: bytes) -> None:
        self.happen(self.life, self._message, (session, payload))

    def _message(self, session: Session, payload: bytes) -> None:
        if session is not self._session or self.ended is not None:
            return
        message = wire.decode_from_coordinator(payload)
        self.world.note(f"→{self.name}", payload, lambda: repr(message))
        self._heard_us = self.world.now_us
        match message:
            case wire.NotLeader():
                self._switch(message.address)
            case wire.Answer():
                self._answered(self._awaited.pop(message.request, ""), message)
            case wire.JobUpdate():
                if self._awaited.pop(message.request, ""):
                    self._update(message)

    def _answered(self, what: str, answer: wire.Answer) -> None:
        if answer.error and what == "status" and self.submitted:
            raise Violation("reads", f"{self.name}: the job was acknowledged, and a read says: {answer.error}")
        if answer.error:
            self.world.counters.hit(f"refused: {what}")
            self.later(50 * MS_US, self._switch, "")
        elif what == "program":
            self._sent += 1
            self._submit()
        elif what == "submit" and not self.submitted:
            self.submitted = True
            self.cluster.submitted(self)
            self._watch()
        elif what == "status":
            self.world.counters.hit("status answered")

    def _update(self, update: wire.JobUpdate) -> None:
        if update.state == "unknown":
            self.world.counters.hit("stale watch")
            self.cluster.missed(self)
            self.later(100 * MS_US, self._watch)
            return
        self._known = max(self._known, update.number)
        if update.state in ("failed", "cancelled", "done"):
            self._end(update)
            return
        if update.state == "finishing":
            self.values = update.values
            self._collect(update)
        self._ask("watch", wire.WatchJob(self._number(), self.plan.job_id, self._known))

    def _end(self, update: wire.JobUpdate) -> None:
        self.ended, self.ended_us = update, self.world.now_us
        if update.state == "done":
            self.values = update.values
        self.fetcher.close()
        if self._session is not None:
            self._session.close(self)
            self._session = None
        self.world.note(f"{self.name} ends", text=lambda: repr(update))

    # --- outputs ---------------------------------------------------------------------------------------

    def _collect(self, update: wire.JobUpdate) -> None:
        self.named = [(output.task, output.key) for output in update.outputs]
        for output in update.outputs:
            name = (output.task, output.key)
            if name in self.outputs or name in self._fetching or not output.holders:
                continue
            _, address = output.holders[self.world.between(0, len(output.holders) - 1)]
            what = (self.plan.job_id, output.task, output.attempt, output.key)
            self._fetching[name] = self.fetcher.fetch(address, what, self._got(name), self._failed(name))
        if all((output.task, output.key) in self.outputs for output in update.outputs):
            self._ask("collected", wire.CollectedRequest(self._number(), self.plan.job_id))

    def _got(self, name: tuple[int, str]) -> Any:
        def done(piece: wire.Piece) -> None:
            self._fetching.pop(name, None)
            self.outputs[name] = piece.data
            self._known = 0  # ask for the whole again

        return done

    def _failed(self, name: tuple[int, str]) -> Any:
        def failed(kind: str, reason: str) -> None:
            self._fetching.pop(name, None)
            self._known = 0

        return failed

    # --- was it right? -----------------------------------------------------------------------------------

    def judge(self) -> None:
        """Promise 6: the answer is the undisturbed one, byte for byte."""
        ended, expected, who = self.ended, self.plan.expected, f"{self.name} ({self.plan.spec.name})"
        if ended is None:
            raise Violation("answer", f"{who} has not ended")
        if ended.state == "cancelled":
            if not self.cancelled:
                raise Violation("answer", f"{who}: cancelled, and nobody asked for it")
            return
        if expected is None:
            return
        if ended.state != expected.state:
            raise Violation("answer", f"{who} ended {ended.state}: {ended.error[:500]}")
        if ended.state == "done" and self.values != expected.values:
            raise Violation("answer", f"{who} answers {_shown(self.values)}, and undisturbed {_shown(expected.values)}")
        for name, piece in zip(self.named, expected.outputs.values(), strict=True):
            made = self.outputs[name]
            if made != piece:
                raise Violation("answer", f"{who}: output {name} is {_shown(made)}, and undisturbed {_shown(piece)}")


def _shown(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    return text if len(text) <= 300 else f"{text[:300]}..."
