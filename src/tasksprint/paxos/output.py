"""What a replica asks of its shell."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasksprint.paxos.messages import AnyMessage, AnyRecord


@dataclass(slots=True)
class Output:
    """What the shell must do after a turn."""

    records: list[AnyRecord] = field(default_factory=list)  # to the journal, in this order ...
    write: int = 0  # ... as the write of this number; 0 when there are none
    messages: list[tuple[int, AnyMessage, int]] = field(default_factory=list)  # (to, message, after which write)
    committed: list[tuple[int, bytes]] = field(default_factory=list)  # newly decided, in order, each once
    install: tuple[int, bytes] | None = None  # (index, state): store it before `records`; load it before `committed`
    reads: list[tuple[int, int]] = field(default_factory=list)  # (token, index): serve when applied >= index
    role_changed: bool = False  # is_leader or leader differ; a former leader has forgotten its unanswered reads


NOTHING = Output()  # always the same one, which nobody changes
