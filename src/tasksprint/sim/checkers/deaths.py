"""Invariant 14: no client is declared dead unless a timeout of cluster time passed since it was last heard from,
or since the last change of ballot."""

from __future__ import annotations

from collections.abc import Sequence

from tasksprint import limits
from tasksprint.paxos.messages import ZERO
from tasksprint.sim.checkers.base import Checker
from tasksprint.view import Machine
from tasksprint.view.operations import AnyOperation, Begin, Leave, Register, Tick


def began_here(machine: Machine, client: str) -> bool:
    """Whether the client's session began with the present entry."""
    state = machine.client(client)
    return state is not None and state.incarnation == machine.index


class Deaths(Checker):
    name = "deaths"
    promise = "no client is declared dead before its timeout, counted anew after each change of ballot"

    def __init__(self) -> None:
        self._ballot = ZERO
        self._time_ms = 0
        self._begun_ms = 0
        self._heard: dict[str, int] = {}
        self._living: dict[str, int] = {}  # client → incarnation

    def after_entry(self, machine: Machine, operations: Sequence[AnyOperation]) -> None:
        excused: set[tuple[str, int]] = set()
        for operation in operations:
            match operation:
                case Begin():
                    self._ballot = max(self._ballot, operation.ballot)
                    self._begun_ms = self._time_ms
                case Tick() if operation.ballot == self._ballot:
                    self._time_ms += max(0, min(operation.step_ms, limits.TICK_STEP_MAX_MS))
                    self._heard.update(dict.fromkeys(operation.heard, self._time_ms))
                case Register() if began_here(machine, operation.client):  # a retry changes nothing
                    excused.add((operation.client, self._living.get(operation.client, 0)))
                    self._heard[operation.client] = self._time_ms
                case Leave():
                    excused.add((operation.client, operation.incarnation))
                case _:
                    continue
        for client, incarnation in list(self._living.items()):
            state = machine.client(client)
            if state is not None and state.alive and state.incarnation == incarnation:
                continue
            del self._living[client]
            silent_ms = self._time_ms - max(self._heard[client], self._begun_ms)
            if (client, incarnation) not in excused and silent_ms < limits.CLIENT_TIMEOUT_MS:
                self.fail(f"entry {machine.index}: {client} is dead after {silent_ms} ms of silence")
        for client in self._heard:
            state = machine.client(client)
            if state is not None and state.alive:
                self._living[client] = state.incarnation
