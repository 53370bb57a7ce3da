from __future__ import annotations

from collections.abc import Callable

import pytest

from tasksprint.paxos import acceptor, proposer, replica, snapshot_transfer


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Messages, windows and tails so small that a few entries exercise every cut."""

    def shrink() -> None:
        for room in (acceptor, proposer, replica):
            monkeypatch.setattr(room, "MESSAGE_BYTES", 120)
        monkeypatch.setattr(proposer, "UNANSWERED_BYTES", 600)
        monkeypatch.setattr(snapshot_transfer, "SNAPSHOT_CHUNK_BYTES", 300)
        monkeypatch.setattr(replica, "KEPT_ENTRIES", 3)

    return shrink
