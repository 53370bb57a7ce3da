"""Bugs planted into agreement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tasksprint.paxos import Output, Replica
from tasksprint.paxos.acceptor import Acceptor
from tasksprint.paxos.messages import AnyRecord, Promise, Promised
from tasksprint.paxos.proposer import Follower, Proposer
from tasksprint.sim.patch import Patch
from tasksprint.sim.planting import plant

Old = Callable[..., Any]


@plant("reply-before-sync", "promises and acceptances are told before they are on the disk")
def reply_before_sync(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def take(self: Replica) -> Output:
            output: Output = old(self)
            output.messages = [(to, message, 0) for to, message, _ in output.messages]
            return output

        return take

    patch.wrap(Replica, "take", make)


@plant("forgotten-promise", "a promise is made and not written down")
def forgotten_promise(patch: Patch) -> None:
    patch.set(Acceptor, "_record_promise", lambda self, ballot: self._flush())


@plant("promise-not-recovered", "a restarted replica does not read its last promise")
def promise_not_recovered(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def recover(self: Acceptor, records: list[AnyRecord], snapshot_index: int) -> None:
            old(self, [record for record in records if not isinstance(record, Promised)], snapshot_index)

        return recover

    patch.wrap(Acceptor, "_recover", make)


@plant("accepted-value-ignored", "a new leader keeps its own log, whatever the promises brought")
def accepted_value_ignored(patch: Patch) -> None:
    patch.set(Proposer, "best", lambda self, promised: None)


@plant("longest-log-wins", "a new leader adopts the longest log instead of that of the highest ballot")
def longest_log_wins(patch: Patch) -> None:
    def best(self: Proposer, promised: list[Follower]) -> Follower | None:
        found, length = None, self.acceptor.log.length
        for follower in promised:
            if follower.promise is not None and follower.promise.length > length:
                found, length = follower, follower.promise.length
        return found

    patch.set(Proposer, "best", best)


@plant("accept-below-promise", "an acceptor does not look at its promise")
def accept_below_promise(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def hear(self: Replica, source: int, ballot: Any, now_ms: int) -> bool:
            old(self, source, ballot, now_ms)
            return self.role == "follower"

        return hear

    patch.set(Acceptor, "refuses", lambda self, ballot: False)
    patch.wrap(Replica, "_hear", make)


@plant("old-ballot-counts", "the leader counts what was accepted in older ballots")
def old_ballot_counts(patch: Patch) -> None:
    patch.set(Proposer, "first_match", lambda self, promise: promise.length)


@plant("own-unsynced-counts", "the leader counts its own log before it is on its disk")
def own_unsynced_counts(patch: Patch) -> None:
    patch.set(Proposer, "own_match", lambda self: self.acceptor.log.length)


@plant("minority-decides", "one less than a majority is enough")
def minority_decides(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def init(self: Proposer, *arguments: Any) -> None:
            old(self, *arguments)
            self.quorum = max(1, self.quorum - 1)

        return init

    patch.wrap(Proposer, "__init__", make)


@plant("first-log-in-parts", "a part of the leader's first log counts as an acceptance")
def first_log_in_parts(patch: Patch) -> None:
    def accept_sync(self: Acceptor, ballot: Any, begin: int, until: int, start: int, entries: list[bytes]) -> bool:
        if start > self.log.length + 1 or (not self.is_synced(ballot) and start != begin):
            return False
        self.adopt(ballot, start, entries)
        return True

    patch.set(Acceptor, "accept_sync", accept_sync)


@plant("late-message-cuts", "a late or repeated message cuts the log back")
def late_message_cuts(patch: Patch) -> None:
    def accept(self: Acceptor, start: int, entries: list[bytes]) -> bool:
        if start > self.log.length + 1:
            return False
        if start > self.decided:
            self.adopt(self.accepted, start, entries)
        return True

    patch.set(Acceptor, "accept", accept)


@plant("decides-foreign-log", "a follower takes the leader's decided index for a log of another ballot")
def decides_foreign_log(patch: Patch) -> None:
    def follow_decided(self: Acceptor) -> None:
        self.decide(max(self.decided, min(self.told, self.log.length)))

    patch.set(Acceptor, "follow_decided", follow_decided)


@plant("read-without-quorum", "a read is served at once, without asking whether we still lead")
def read_without_quorum(patch: Patch) -> None:
    def confirm(self: Proposer) -> list[tuple[int, int]]:
        waiting, self.reads_waiting = self.reads_waiting, []
        return waiting

    patch.set(Proposer, "confirm_reads", confirm)


@plant("compaction-forgets-promise", "a compacted journal lacks the promise")
def compaction_forgets_promise(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def compact(self: Acceptor, index: int, first: int) -> list[AnyRecord]:
            records: list[AnyRecord] = old(self, index, first)
            return [record for record in records if not isinstance(record, Promised)]

        return compact

    patch.wrap(Acceptor, "compact", make)


@plant("suffix-after-length", "a promise omits entries that differ below the candidate's length")
def suffix_after_length(patch: Patch) -> None:
    def suffix_start(self: Acceptor, accepted: Any, length: int, decided: int) -> int:
        return 0 if (self.accepted, self.log.length) <= (accepted, length) else length + 1

    def wanted(self: Proposer, promise: Promise) -> int:
        return self.acceptor.log.length + 1

    patch.set(Acceptor, "suffix_start", suffix_start)
    patch.set(Proposer, "_wanted", wanted)
