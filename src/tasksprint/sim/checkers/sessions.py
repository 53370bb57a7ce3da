"""Promise 3: each client operation takes effect once, in order, however often it is sent (invariant 11).

The last sequence that took effect is computed here a second time; it never goes back within an incarnation.
A submit is one job, however often it is said.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasksprint.sim.checkers.base import Checker
from tasksprint.view import Machine
from tasksprint.view.operations import AnyOperation, Register, Reports, Submit
from tasksprint.wire.messages import FromCoordinator, View


class Sessions(Checker):
    name = "sessions"
    promise = "each client operation takes effect once, in order"

    def __init__(self) -> None:
        self._acked: dict[tuple[str, int], int] = {}
        self._jobs: dict[str, int] = {}

    def after_entry(self, machine: Machine, operations: Sequence[AnyOperation]) -> None:
        touched = []
        for operation in operations:
            if isinstance(operation, Reports):
                session = (operation.client, operation.incarnation)
                acked = self._acked.get(session, 0)
                if operation.sequence == acked + 1 and self._lives(machine, *session):
                    self._acked[session] = operation.sequence
                touched.append(session)
            elif isinstance(operation, Submit):
                self._one_job(machine, operation.job_id)
            elif isinstance(operation, Register):
                touched.append((operation.client, machine.index))
        for client, incarnation in touched:
            state = machine.client(client)
            if state is not None and state.incarnation == incarnation and state.alive:
                expected = self._acked.get((client, incarnation), 0)
                if state.acked != expected:
                    self.fail(f"entry {machine.index}: reports of {client} are at {state.acked}, not at {expected}")

    @staticmethod
    def _lives(machine: Machine, client: str, incarnation: int) -> bool:
        state = machine.client(client)
        return state is not None and state.alive and state.incarnation == incarnation

    def _one_job(self, machine: Machine, job_id: str) -> None:
        number = machine.job_number(job_id)
        if number is not None and self._jobs.setdefault(job_id, number) != number:
            self.fail(f"entry {machine.index}: job {job_id} was {self._jobs[job_id]} and is {number}")

    def told(self, machine: Machine, client: str, message: FromCoordinator) -> None:
        if isinstance(message, View):
            most = max((n for (name, _), n in self._acked.items() if name == client), default=0)
            if message.acked > most:
                self.fail(f"{client} was told that its reports up to {message.acked} count; the log says {most}")
