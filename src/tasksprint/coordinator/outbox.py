"""What Paxos writes and says, in the order that its promises need: nothing leaves before its write is durable.  Pure.

A leader seldom needs to know at once that its own disk has an entry: a quorum needs another's word as well, and that
comes later.  Such a write is `quiet`, which spares the leader a wake-up.  When somebody's word has come, or a message
hangs on that write, `Await` asks to be told after all.
"""

from __future__ import annotations

from collections import deque

import msgspec

from tasksprint.coordinator.effects import Await, Effect, Rotate, SendPeer, Write
from tasksprint.paxos import Output
from tasksprint.paxos.messages import AnyMessage, AnyRecord, Appended, Decided

_encode = msgspec.msgpack.Encoder().encode


def encoded(records: list[AnyRecord]) -> list[bytes]:
    return [_encode(record) for record in records]


class Outbox:
    def __init__(self) -> None:
        self._held: deque[tuple[int, int, AnyMessage]] = deque()  # (after, to, message)
        self._durable = 0
        self._quiet = 0  # the last write of which we are told only when we ask, until we have asked

    def put(self, out: Output, whole: list[AnyRecord] | None, *, others_decide: bool) -> list[Effect]:
        """The effects of this output.  `whole`: what a journal begins with behind the snapshot that came with it.

        `others_decide`: we lead, and our own acceptance alone decides nothing.
        """
        effects: list[Effect] = []
        if out.install is not None and whole is not None:
            effects.append(Rotate(out.write, *out.install, encoded(whole)))
        elif out.records:
            kinds = {type(record) for record in out.records}
            waits = any(after >= out.write for _, _, after in out.messages)
            quiet = others_decide and not waits and kinds <= {Appended, Decided}
            if quiet:
                self._quiet = out.write
            effects.append(Write(out.write, encoded(out.records), kinds != {Decided}, quiet))
        for to, message, after in out.messages:
            if after <= self._durable:
                effects.append(SendPeer(to, message))
                continue
            self._held.append((after, to, message))
            if after <= self._quiet:
                effects += self.wanted()
        return effects

    def wanted(self) -> list[Effect]:
        """Somebody waits for what was written quietly."""
        if self._quiet <= self._durable:
            return []
        self._quiet = 0
        return [Await()]

    def written(self, write: int) -> list[Effect]:
        """All up to this write is durable: what may leave now."""
        self._durable = max(self._durable, write)
        effects: list[Effect] = []
        while self._held and self._held[0][0] <= self._durable:
            _, to, message = self._held.popleft()
            effects.append(SendPeer(to, message))
        return effects
