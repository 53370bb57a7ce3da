"""Operations that wait to be proposed, and how they are gathered into slots of the log.  Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tasksprint import limits
from tasksprint.view.operations import AnyOperation, Done, ProgramChunk, Reports, Submit

SLOT_FILL_BYTES = limits.SLOT_BYTES // 2  # a slot is closed when the next operation would pass this
OPERATION_BYTES = 64  # what we count for an operation beside its payload


def weight(operation: AnyOperation) -> int:
    """About how many bytes the operation takes in a slot."""
    match operation:
        case Reports():
            values = sum(sum(map(len, r.values.values())) for r in operation.reports if isinstance(r, Done))
            return OPERATION_BYTES * (1 + len(operation.reports)) + values
        case ProgramChunk():
            return OPERATION_BYTES + len(operation.data)
        case Submit():
            return OPERATION_BYTES + len(operation.spec.args)
    answers = getattr(operation, "answers", ())
    return OPERATION_BYTES + sum(len(actions) for _, actions in answers) + len(getattr(operation, "state", b""))


@dataclass(slots=True)
class Pending:
    """Idle: a slot at once.  Loaded: one when the slot before is chosen, when it is full, or after GATHER_MS."""

    waiting: deque[tuple[AnyOperation, int, Callable[[], None] | None]] = field(default_factory=deque)
    size: int = 0
    since_ms: int = 0

    def add(self, operation: AnyOperation, after: Callable[[], None] | None, now_ms: int) -> None:
        """`after` is called when the operation is applied, while we still lead."""
        weighs = weight(operation)
        if not self.waiting:
            self.since_ms = now_ms
        self.waiting.append((operation, weighs, after))
        self.size += weighs

    def is_due(self, in_flight: int, now_ms: int) -> bool:
        if not self.waiting:
            return False
        return not in_flight or self.size >= SLOT_FILL_BYTES or now_ms - self.since_ms >= limits.GATHER_MS

    def slot(self, now_ms: int) -> tuple[list[AnyOperation], list[Callable[[], None]]]:
        """The operations of the next slot, and what to call when they are applied."""
        operations: list[AnyOperation] = []
        callbacks: list[Callable[[], None]] = []
        size = 0
        while self.waiting and (not operations or size + self.waiting[0][1] <= SLOT_FILL_BYTES):
            operation, weighs, after = self.waiting.popleft()
            operations.append(operation)
            size += weighs
            if after is not None:
                callbacks.append(after)
        self.size -= size
        self.since_ms = now_ms
        return operations, callbacks

    def clear(self) -> None:
        self.waiting.clear()
        self.size = 0
