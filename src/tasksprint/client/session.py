"""The client's session with the coordinators: dialling, registering, polling, reports that arrive once.  Pure.

One link at a time, to one coordinator; only the leader answers with anything but NotLeader.  A link that breaks, or
from which nothing fresh came for CLIENT_SWITCH_MS, is given up for the next coordinator in the list (or for the
leader that was named).  Nothing is revoked by that: reports without an acknowledgement are sent again, in order,
and the view takes each sequence once.
"""

from __future__ import annotations

from collections import deque

from tasksprint import limits
from tasksprint.client.effects import Dial, Effect, SendCoordinator
from tasksprint.client.records import AttemptId
from tasksprint.view.operations import AnyReport, Done, Held
from tasksprint.wire import messages as wire

BATCHES_IN_FLIGHT = 4


def weight(report: AnyReport) -> int:
    """About how many bytes the report takes in a slot."""
    if isinstance(report, Done):
        return 64 + sum(map(len, report.values.values())) + 24 * len(report.inputs)
    return 64


class Session:
    def __init__(
        self, client: str, nonce: int, address: str, slots: int, labels: list[str], coordinators: list[str], now_ms: int
    ) -> None:
        self.client = client
        self.nonce = nonce
        self.address = address
        self.slots = slots
        self.labels = labels
        self.coordinators = coordinators
        self.effects: list[Effect] = []
        self.incarnation = 0  # 0: not registered
        self.known = 0  # view number
        self.leaving = False
        self.link_up = False
        self.switches = 0
        self._target = 0
        self._number = 0  # of the current dial
        self._refusals = 0  # in a row, without anything fresh
        self._fresh_ms = now_ms
        self._alive_ms = now_ms
        self.progress: dict[AttemptId, int] = {}  # in thousandths, not yet told
        self._outbox: deque[AnyReport] = deque()
        self._outbox_ms = now_ms
        self._batches: deque[tuple[int, list[AnyReport]]] = deque()  # sent, not acknowledged
        self._sequence = 0

    # --- the link ---------------------------------------------------------------------------------

    def dial(self, now_ms: int, *, delay_ms: int = 0) -> None:
        self._number += 1
        self.link_up = False
        self._fresh_ms = now_ms + delay_ms
        self.effects.append(Dial(self._number, self.coordinators[self._target], delay_ms))

    def connected(self, number: int, held: list[Held], now_ms: int) -> None:
        if number != self._number:
            return
        self.link_up = True
        self._fresh_ms = now_ms
        self.introduce(held)

    def introduce(self, held: list[Held]) -> None:
        """Register, or go on with the session that we have."""
        if not self.incarnation:
            self._send(wire.RegisterClient(self.client, self.nonce, self.address, self.slots, self.labels, held))
            return
        for sequence, reports in self._batches:
            self._send(wire.SendReports(self.client, self.incarnation, sequence, reports))
        if self.leaving:
            self._send(wire.LeaveCluster(self.client, self.incarnation))
        self.poll()

    def disconnected(self, number: int, now_ms: int) -> None:
        if number == self._number:
            self.next_coordinator(now_ms)

    def next_coordinator(self, now_ms: int, address: str = "") -> None:
        """Try the leader that was named, or the next in the list; slower when all were tried in vain."""
        self.switches += 1
        self._refusals += 1
        if address in self.coordinators and self.coordinators.index(address) != self._target:
            self._target = self.coordinators.index(address)
        else:
            self._target = (self._target + 1) % len(self.coordinators)
        rounds = self._refusals // len(self.coordinators)
        delay = min(limits.RECONNECT_MIN_MS * rounds, limits.RECONNECT_MAX_MS // 5)
        self.dial(now_ms, delay_ms=delay)

    def fresh(self, now_ms: int) -> None:
        """The leader spoke."""
        self._fresh_ms = now_ms
        self._refusals = 0

    def advance(self, now_ms: int) -> None:
        if now_ms - self._fresh_ms >= limits.CLIENT_SWITCH_MS:
            self.next_coordinator(now_ms)
        if self.link_up and self.incarnation and now_ms - self._alive_ms >= limits.ALIVE_MS:
            self._alive_ms = now_ms
            self._send(wire.Alive(self.client, self.incarnation, self._progress()))
        self.flush(now_ms)

    def _progress(self) -> list[tuple[int, int, int, int]]:
        """News of how far tasks are; what is too much for one message goes with the next."""
        attempts = list(self.progress)[: limits.PROGRESS_ROWS]
        return [(*attempt_id, self.progress.pop(attempt_id)) for attempt_id in attempts]

    def next_wake(self) -> int:
        wake = self._fresh_ms + limits.CLIENT_SWITCH_MS
        if self.link_up and self.incarnation:
            wake = min(wake, self._alive_ms + limits.ALIVE_MS)
        if self._outbox and len(self._batches) < BATCHES_IN_FLIGHT and self.link_up:
            wake = min(wake, self._outbox_ms + limits.GATHER_MS)
        return wake

    # --- registering --------------------------------------------------------------------------------

    def registered(self, message: wire.Registered) -> bool:
        """True when this begins a new session."""
        if message.nonce != self.nonce or self.incarnation == message.incarnation:
            return False
        self.incarnation = message.incarnation
        self.known = 0
        self.poll()
        return True

    def expired(self) -> None:
        """The cluster counts us as dead: what was reported under the old session is void, a new one is needed."""
        self.nonce += 1
        self.incarnation = 0
        self.known = 0
        self._sequence = 0
        self._outbox.clear()
        self._batches.clear()
        self.progress.clear()

    # --- the view and the reports -------------------------------------------------------------------

    def poll(self) -> None:
        self._send(wire.Poll(self.client, self.incarnation, self.known))

    def acknowledged(self, sequence: int) -> None:
        while self._batches and self._batches[0][0] <= sequence:
            self._batches.popleft()

    def report(self, report: AnyReport, now_ms: int) -> None:
        if not self._outbox:
            self._outbox_ms = now_ms
        self._outbox.append(report)

    def flush(self, now_ms: int) -> None:
        """Idle: at once.  Loaded: gather for up to GATHER_MS."""
        if not (self.link_up and self.incarnation):
            return
        while self._outbox and len(self._batches) < BATCHES_IN_FLIGHT:
            if (
                self._batches
                and len(self._outbox) < limits.REPORTS_PER_BATCH
                and now_ms - self._outbox_ms < limits.GATHER_MS
            ):
                return
            batch: list[AnyReport] = []
            size = 0
            while self._outbox and len(batch) < limits.REPORTS_PER_BATCH:
                size += weight(self._outbox[0])
                if batch and size > limits.SLOT_BYTES // 4:
                    break
                batch.append(self._outbox.popleft())
            self._sequence += 1
            self._batches.append((self._sequence, batch))
            self._outbox_ms = now_ms
            self._send(wire.SendReports(self.client, self.incarnation, self._sequence, batch))

    def leave(self) -> None:
        self.leaving = True
        if self.incarnation and self.link_up:
            self._send(wire.LeaveCluster(self.client, self.incarnation))

    @property
    def unacknowledged(self) -> int:
        return len(self._outbox) + sum(len(reports) for _, reports in self._batches)

    def _send(self, message: wire.ToCoordinator) -> None:
        if self.link_up:
            self.effects.append(SendCoordinator(message))
