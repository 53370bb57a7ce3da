"""What the disks say: the ground truth that checkers compare the replicas with.

Each replica's journal is replayed here a second time, by code of the simulator's own, record by record
as it becomes durable.  From that follows what Paxos has chosen: an index is chosen when a majority
of disks holds it in a log that was accepted in one and the same ballot.  Nothing that a replica says
about itself is used.
"""

from __future__ import annotations

import msgspec

from tasksprint.paxos.messages import ZERO, AnyRecord, Appended, Ballot, Decided, Promised, Snapshotted
from tasksprint.sim.disk import Write
from tasksprint.sim.world import Violation

decode_record = msgspec.msgpack.Decoder(AnyRecord).decode
encode_record = msgspec.msgpack.Encoder().encode


class JournalModel:
    """The state that a sequence of records means."""

    def __init__(self) -> None:
        self.promised: Ballot = ZERO
        self.accepted: Ballot = ZERO
        self.base = 0  # entries up to here are not in the journal any more
        self.snapshot = 0
        self.entries: list[bytes] = []
        self.overwritten = 0  # accepted entries that gave way to others
        self.reached: dict[Ballot, int] = {}  # longest log that was accepted in each ballot
        self._parts: list[Appended] = []

    @property
    def length(self) -> int:
        return self.base + len(self.entries)

    def entry(self, index: int) -> bytes | None:
        """The entry, or None when it is in the snapshot or was never here."""
        return self.entries[index - self.base - 1] if self.base < index <= self.length else None

    def apply(self, record: AnyRecord) -> Appended | None:
        """Apply the next record; returns the append that took effect with it, several records' worth of it joined."""
        if isinstance(record, Appended):
            return self._append(record)
        self._parts.clear()
        if isinstance(record, Promised):
            self.promised = record.ballot
        elif isinstance(record, Snapshotted):
            self.snapshot = max(self.snapshot, record.index)
            if record.index > self.base:
                self.entries = self.entries[record.index - self.base :]
                self.base = record.index
        else:
            assert isinstance(record, Decided)
        return None

    def _append(self, record: Appended) -> Appended | None:
        parts = self._parts
        if parts and (parts[0].ballot != record.ballot or parts[-1].start + len(parts[-1].entries) != record.start):
            parts.clear()
        parts.append(record)
        if record.until >= record.start + len(record.entries):
            return None  # the rest follows, or none of it counts
        whole = Appended(record.ballot, parts[0].start, [entry for part in parts for entry in part.entries])
        parts.clear()
        self._replace(whole)
        return whole

    def _replace(self, record: Appended) -> None:
        start = record.start - 1 - self.base
        if start < 0 or start > len(self.entries):
            if self.entries or (self.base and record.start - 1 > self.base):
                raise Violation("journal", f"a record at {record.start} leaves a hole after {self.length}")
            self.base, start = record.start - 1, 0
        old = self.entries[start:]
        self.overwritten += sum(1 for one, other in zip(old, record.entries, strict=False) if one != other)
        self.overwritten += max(0, len(old) - len(record.entries))
        self.entries[start:] = record.entries
        if self.length < self.snapshot:
            self.base, self.entries = self.snapshot, []
        self.accepted = record.ballot
        self.promised = max(self.promised, record.ballot)
        self._reach()

    def _reach(self) -> None:
        if self.length > self.reached.get(self.accepted, 0):
            self.reached[self.accepted] = self.length


class Truth:
    """The durable journals of all replicas, and the entries that they have chosen."""

    def __init__(self, voters: tuple[int, ...]):
        self.voters = voters
        self.quorum = len(voters) // 2 + 1
        self.journals = {voter: JournalModel() for voter in voters}
        self.chosen: list[bytes] = []  # chosen[i] is the entry of index i + 1
        self.chosen_in: list[Ballot] = []
        self.late = 0  # chosen two ballots or more after the first acceptance
        self._first: dict[tuple[int, bytes], Ballot] = {}

    def stored(self, voter: int, write: Write) -> list[AnyRecord]:
        """A write is on the platter of `voter`."""
        records = [decode_record(record) for record in write.records]
        if write.fresh:
            self._renew(voter, records)
        else:
            journal = self.journals[voter]
            if write.snapshot:
                journal.apply(Snapshotted(write.snapshot[0]))  # a restart that finds the snapshot alone uses it
            for record in records:
                length = journal.length
                append = journal.apply(record)
                if append is not None:
                    self._agree(voter, append)
                    self._choose(voter, append.ballot)
                self._hold(journal.length, length)
        return records

    def _renew(self, voter: int, records: list[AnyRecord]) -> None:
        """A rotated journal must say what the old one said."""
        old, new = self.journals[voter], JournalModel()
        for record in records:
            new.apply(record)
        new.overwritten = old.overwritten
        new.reached = {**old.reached, **{b: max(n, old.reached.get(b, 0)) for b, n in new.reached.items()}}
        if (new.promised, new.accepted, new.length) != (old.promised, old.accepted, max(old.length, new.snapshot)):
            raise Violation(
                "journal",
                f"replica {voter}: the compacted journal says promised {new.promised} accepted {new.accepted}"
                f" length {new.length}, the old one {old.promised} {old.accepted} {old.length}",
            )
        for index in range(new.base + 1, new.length + 1):
            if old.entry(index) is not None and old.entry(index) != new.entry(index):
                raise Violation("journal", f"replica {voter}: compaction changed entry {index}")
        self.journals[voter] = new

    def _agree(self, voter: int, record: Appended) -> None:
        """What is accepted in the choosing ballot or a later one equals what was chosen."""
        for index in range(record.start, min(len(self.chosen), record.start + len(record.entries) - 1) + 1):
            entry = record.entries[index - record.start]
            if record.ballot >= self.chosen_in[index - 1] and entry != self.chosen[index - 1]:
                what = f"another entry {index} than {self.chosen_in[index - 1]} chose"
                raise Violation("chosen", f"replica {voter} accepted in {record.ballot} {what}")
        for index in range(max(record.start, len(self.chosen) + 1), record.start + len(record.entries)):
            self._first.setdefault((index, record.entries[index - record.start]), record.ballot)

    def _choose(self, voter: int, ballot: Ballot) -> None:
        """Advance what is chosen in `ballot`: the quorum-th longest log that was ever accepted in it."""
        lengths = sorted((journal.reached.get(ballot, 0) for journal in self.journals.values()), reverse=True)
        while len(self.chosen) < lengths[self.quorum - 1]:
            index = len(self.chosen) + 1
            entry = self.journals[voter].entry(index)
            if entry is None:
                raise Violation("chosen", f"nobody holds the entry {index} that {ballot} chose")
            self.chosen.append(entry)
            self.chosen_in.append(ballot)
            first = self._first.pop((index, entry), ballot)
            self.late += ballot[0] > first[0] + 1

    def _hold(self, length: int, old_length: int) -> None:
        """A log was cut: what is chosen must still be on a majority of the disks."""
        for index in range(length + 1, min(old_length, len(self.chosen)) + 1):
            if self.holders(index) < self.quorum:
                raise Violation("quorum", f"the chosen entry {index} is on {self.holders(index)} disks only")

    @property
    def overwritten(self) -> int:
        return sum(journal.overwritten for journal in self.journals.values())

    def holders(self, index: int) -> int:
        """How many disks hold the chosen entry `index`, in the journal or in a snapshot."""
        return sum(
            1
            for journal in self.journals.values()
            if index <= journal.base or journal.entry(index) == self.chosen[index - 1]
        )
