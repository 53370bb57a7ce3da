"""The storms are worth something only if they find bugs: each of these is planted and must be found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.paxos.world import storm

from tasksprint.paxos.acceptor import Acceptor
from tasksprint.paxos.election import Election
from tasksprint.paxos.proposer import Proposer
from tasksprint.paxos.replica import Replica


def cutting_accept(self: Acceptor, start: int, entries: list[bytes]) -> bool:
    if start > self.log.length + 1:
        return False
    self._flush()
    self.log.cut(max(start, self.log.first) - 1)
    self._recorded = min(self._recorded, self.log.length)
    self.log.extend(entries[max(0, self.log.first - start) :])
    return True


def accept_with_hole(self: Acceptor, start: int, entries: list[bytes]) -> bool:
    self.log.extend(entries[max(0, self.log.length + 1 - start) :])
    return True


def decide_what_is_told(self: Acceptor) -> None:
    if self.told > self.decided:
        self.decide(min(self.told, self.log.length))


def longest(self: Proposer, promised: list[Any]) -> Any:
    best = max(promised, key=lambda follower: follower.promise.length, default=None)
    return best if best is not None and best.promise.length > self.acceptor.log.length else None


def minority(self: Proposer) -> None:
    matches = sorted([follower.match for follower in self.followers.values()] + [self.own_match()], reverse=True)
    if len(matches) > 2 and matches[self.quorum - 2] > self.acceptor.decided:
        self.acceptor.decide(matches[self.quorum - 2])


def agreeing_prefix(self: Proposer, follower: Any, promise: Any) -> None:
    follower.begin = follower.next = min(promise.length, self.first_length) + 1


PLANTS: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "a promise that is not recorded": (Acceptor, "_record_promise", lambda self, ballot: None),
    "acceptance below the promise": (Acceptor, "refuses", lambda self, ballot: False),
    "the log is cut by a late Accept": (Acceptor, "accept", cutting_accept),
    "a log with a hole": (Acceptor, "accept", accept_with_hole),
    "decided further than our disk": (Acceptor, "follow_decided", decide_what_is_told),
    "reply before sync": (Replica, "durable_after", lambda self: 0),
    "the highest accepted log is ignored": (Proposer, "best", lambda self, promised: None),
    "the longest log instead of the highest": (Proposer, "best", longest),
    "acceptances of older ballots count": (Proposer, "first_match", lambda self, promise: promise.length),
    "the leader counts itself before it has written": (Proposer, "own_match", lambda self: self.acceptor.log.length),
    "commit by a minority": (Proposer, "commit", minority),
    "logs of different ballots are taken to agree": (Proposer, "_admit", agreeing_prefix),
    "a read index of this ballot alone": (
        Proposer, "read", lambda self, token: self.reads_waiting.append((token, self.acceptor.decided))
    ),
    "two leaders in one ballot": (
        Election, "next_ballot", lambda self, promised: (max(promised[0], self.seen[0]) + 1, 1)
    ),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    room, attribute, wrong = PLANTS[name]
    assert callable(getattr(room, attribute))
    monkeypatch.setattr(room, attribute, wrong)
    for seed in range(300):
        try:
            storm(seed)
        except AssertionError:
            return
    pytest.fail(f"no storm found it: {name}")
