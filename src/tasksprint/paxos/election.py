"""When to stand: silence, patience drawn by lot, and asking before disturbing.

A replica that hears no leader for its own, randomly drawn time first asks the others whether they would
promise (pre-vote).  One that still hears a leader says no (stickiness), so a replica behind a cut can
come back without an election, and a leader that half of the cluster hears is not overthrown by the
other half.  Nothing here is durable and nothing here is needed for safety; ballots are made unique by
the replica's id, and by the promise that a candidate makes to itself, durably, before it asks others.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasksprint.paxos.messages import ZERO, Ballot

NEVER = -(1 << 60)


@dataclass(frozen=True)
class Timing:
    heartbeat_ms: int
    election_ms: int  # silence for this long, to twice this, makes a replica stand


class Dice:
    """A counter and a seed make the numbers (splitmix64): the same seed, the same elections."""

    __slots__ = ("_counter", "_seed")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._counter = 0

    def below(self, bound: int) -> int:
        self._counter += 1
        mask = (1 << 64) - 1
        value = (self._seed + self._counter * 0x9E3779B97F4A7C15) & mask
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & mask
        value = (value ^ value >> 27) * 0x94D049BB133111EB & mask
        return (value ^ value >> 31) % bound


class Election:
    """The timers of one replica, and its pre-vote while it holds one."""

    __slots__ = ("_dice", "_patience_ms", "asked", "deadline_ms", "granted", "heard_ms", "id", "seen", "timing")

    def __init__(self, id: int, timing: Timing, seed: int, now_ms: int) -> None:
        self.id = id
        self.timing = timing
        self._dice = Dice(seed * 1_000_003 + id)
        self.seen: Ballot = ZERO  # the highest ballot that anybody mentioned
        self.heard_ms = NEVER  # a leader, or a candidate that we promised
        self.asked: Ballot = ZERO  # our pre-vote
        self.granted: set[int] = set()
        self.wait(now_ms)

    def heard(self, now_ms: int) -> None:
        self.heard_ms = now_ms
        self.deadline_ms = now_ms + self._patience_ms

    def wait(self, now_ms: int, extra_ms: int = 0) -> None:
        """Draw a new patience."""
        self._patience_ms = self.timing.election_ms + self._dice.below(self.timing.election_ms)
        self.deadline_ms = now_ms + self._patience_ms + extra_ms

    def hurry(self, now_ms: int) -> None:
        """There is surely no leader: it said that it resigned, or the cluster is new."""
        self.heard_ms = NEVER
        self.deadline_ms = now_ms + self._dice.below(self.timing.heartbeat_ms)

    def hears(self, now_ms: int) -> bool:
        return now_ms - self.heard_ms < self.timing.election_ms

    def saw(self, ballot: Ballot) -> None:
        self.seen = max(self.seen, ballot)

    def next_ballot(self, promised: Ballot) -> Ballot:
        return (max(promised[0], self.seen[0]) + 1, self.id)

    def ask(self, promised: Ballot, now_ms: int) -> Ballot:
        """Begin a pre-vote; it is asked anew after a heartbeat's time, as long as nobody leads."""
        self.asked = self.next_ballot(promised)
        self.granted = {self.id}
        self.deadline_ms = now_ms + self.timing.heartbeat_ms
        return self.asked
