"""The acceptor: what this replica has promised and accepted, and how it becomes durable.

The intuition.  In Sequence Paxos an acceptor does not hold a value per index but one log, accepted as
a whole in one ballot.  Two facts make that safe, and every line below serves them:

1.  Logs accepted in one ballot are prefixes of one another: only the ballot's leader makes them, and it
    only appends.
2.  A log accepted in ballot b holds every entry that was chosen in any ballot before b.

So the longest log of the highest ballot in a quorum holds everything that was ever chosen, and a
new leader starts from it.

The complications.

*   Fact 2 forbids to accept a *part* of the leader's first log: a replica with half of it, in the higher
    ballot, would beat one that holds all chosen entries in a lower one.  A first log that is too long for
    one message is therefore gathered in memory (`Sync`) and takes the old log's place in one step, and
    its records in the journal count together or not at all (`Appended.until`).
*   Once a ballot's first log is accepted, its entries only follow at the end.  A late or repeated message
    never cuts the log; one that would leave a hole is refused.
*   A snapshot may arrive while the log is of an older ballot.  It replaces what it covers and nothing
    else: entries after it stay as they were accepted, since one of them may be chosen.  The replica then
    says that it holds in ballot k more than ballot k's leader ever made.  That is harmless: whoever is
    chosen above k is known to every quorum, which then does not use logs of ballot k.
*   Nothing is true before it is on disk.  Records gather in `records`; `take_records` gives them the next
    write number; `written` tells how far the disk is.  `durable` is the (ballot, length) that the disk
    holds, and the only pair that the leader may count.

Invariants: `promised` never goes back; accepted <= promised; `decided` never goes back and no entry up
to it is ever cut; within one accepted ballot `log.length` never shrinks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tasksprint.limits import SLOT_BYTES
from tasksprint.paxos.log import Log
from tasksprint.paxos.messages import ZERO, AnyRecord, Appended, Ballot, Decided, Promised, Snapshotted

MESSAGE_BYTES = 2 * SLOT_BYTES  # entries of one message or record, unless a single one is larger


class Sync:
    """The leader's first log, as far as it has come."""

    __slots__ = ("ballot", "begin", "entries", "until")

    def __init__(self, ballot: Ballot, begin: int, until: int) -> None:
        self.ballot = ballot
        self.begin = begin
        self.until = until
        self.entries: list[bytes] = []

    @property
    def end(self) -> int:
        return self.begin + len(self.entries) - 1


class Acceptor:
    __slots__ = (
        "_marks", "_recorded", "_recorded_decided", "accepted", "decided", "durable", "durable_write", "log",
        "promised", "records", "snapshot_index", "sync", "told", "write",
    )

    def __init__(self, records: Iterable[AnyRecord] = (), snapshot_index: int = 0) -> None:
        self.promised: Ballot = ZERO
        self.accepted: Ballot = ZERO
        self.log = Log()
        self.decided = 0
        self.snapshot_index = 0
        self.records: list[AnyRecord] = []  # not yet taken
        self.write = 0  # number of the last batch of records taken
        self.durable_write = 0
        self.told = 0  # decided, as the leader of `promised` says
        self.sync: Sync | None = None
        self._marks: deque[tuple[int, Ballot, int]] = deque()  # (write, accepted, length), not yet durable
        self._recover(records, snapshot_index)
        self._recorded = self.log.length  # entries up to here are in `records` or beyond
        self._recorded_decided = self.decided
        self.durable: tuple[Ballot, int] = (self.accepted, self.log.length)

    # --- promises ---------------------------------------------------------------------------------
    def refuses(self, ballot: Ballot) -> bool:
        """Nothing below the promise is ever accepted."""
        return ballot < self.promised

    def promise(self, ballot: Ballot) -> None:
        assert ballot > self.promised, f"a promise only grows: {ballot} after {self.promised}"
        self.promised = ballot
        self.told = 0
        self.sync = None
        self._record_promise(ballot)

    def _record_promise(self, ballot: Ballot) -> None:
        self._flush()
        self.records.append(Promised(ballot))

    def suffix_start(self, accepted: Ballot, length: int, decided: int) -> int:
        """The first index that a candidate with such a log lacks and we hold; 0 when we have nothing for it."""
        if (self.accepted, self.log.length) <= (accepted, length):
            return 0
        return length + 1 if self.accepted == accepted else decided + 1

    # --- acceptances ------------------------------------------------------------------------------
    def is_synced(self, ballot: Ballot) -> bool:
        """Our log is of that ballot, so that it holds the leader's first log and only grows."""
        return self.accepted == ballot

    def accept(self, start: int, entries: list[bytes]) -> bool:
        """Append what is new of entries of the accepted ballot.  False: a hole would be left."""
        have = self.log.length + 1 - start
        if have < 0:
            return False
        self.log.extend(entries[have:] if have else entries)
        return True

    def accept_sync(self, ballot: Ballot, begin: int, until: int, start: int, entries: list[bytes]) -> bool:
        """Gather a piece of the leader's first log.  False: it does not follow what is here."""
        sync = self.sync
        if sync is None or sync.ballot != ballot or sync.begin != begin:
            if start != begin or begin > self.log.length + 1:
                return False
            sync = self.sync = Sync(ballot, begin, until)
        have = sync.end + 1 - start
        if have < 0:
            return False
        sync.entries.extend(entries[have:] if have else entries)
        if sync.end >= until:
            self.sync = None
            self.adopt(ballot, begin, sync.entries)
        return True

    def adopt(self, ballot: Ballot, begin: int, entries: list[bytes]) -> None:
        """The log becomes `entries` from `begin` on, accepted in `ballot`: the whole first log of its leader."""
        self._flush()
        known = self._first_cut(begin)
        begin, entries = known, entries[known - begin :]
        self.log.cut(begin - 1)
        self.log.extend(entries)
        self.accepted = ballot
        self._recorded = self.log.length
        self.records.extend(appended(ballot, begin, entries, self.log.length))

    def _first_cut(self, begin: int) -> int:
        """What is decided is the same for ever: it is not touched."""
        return max(begin, self.decided + 1)

    # --- decisions --------------------------------------------------------------------------------
    def decide(self, index: int) -> None:
        assert index <= self.log.length, f"{index} is decided, but the log ends at {self.log.length}"
        if index > self.decided:
            self.decided = index

    def follow_decided(self) -> None:
        """Take over what the leader said, as far as it is on our disk in that leader's ballot."""
        ballot, length = self.durable
        if ballot == self.promised and self.told > self.decided:
            self.decide(min(self.told, length))

    # --- snapshots --------------------------------------------------------------------------------
    def install(self, index: int) -> None:
        """A snapshot of the state after `index` came: entries after it stay as they are."""
        self._flush()
        self._forget(index)
        self._recorded = self.log.length
        self.records.append(Snapshotted(index))

    def _forget(self, index: int) -> None:
        self.log.drop(index)
        self.snapshot_index = max(self.snapshot_index, index)
        self.decided = max(self.decided, index)

    def compact(self, index: int, first: int) -> list[AnyRecord]:
        """A snapshot of ours covers `index`; entries from `first` on are kept.  What a new segment begins with."""
        self.snapshot_index = max(self.snapshot_index, index)
        self.log.drop(first - 1)
        log = self.log
        tail = appended(self.accepted, log.first, log.slice(log.first, log.length), log.length)
        return [Snapshotted(self.snapshot_index), *tail, Promised(self.promised), Decided(self.decided)]

    # --- the disk ---------------------------------------------------------------------------------
    def take_records(self) -> list[AnyRecord]:
        """Everything that is to be written now; its write number is `write` afterwards."""
        self._flush()
        records = self.records
        if not records:
            return records
        if self.decided > self._recorded_decided:
            self._recorded_decided = self.decided
            records.append(Decided(self.decided))
        self.records = []
        self.write += 1
        self._marks.append((self.write, self.accepted, self.log.length))
        return records

    def next_write(self) -> int:
        """The write that makes durable what was promised and accepted until now."""
        return self.write + 1 if self.has_records else self.write

    @property
    def has_records(self) -> bool:
        """Something waits for `take_records`."""
        return bool(self.records) or self._recorded < self.log.length

    def written(self, write: int) -> None:
        self.durable_write = max(self.durable_write, write)
        marks = self._marks
        while marks and marks[0][0] <= write:
            _, ballot, length = marks.popleft()
            self.durable = (ballot, length)

    def _flush(self) -> None:
        """Entries appended since the last record become one (several, when they are large)."""
        log = self.log
        if self._recorded < log.length:
            start = self._recorded + 1
            self._recorded = log.length
            self.records.extend(appended(self.accepted, start, log.slice(start, log.length), 0))

    # --- after a restart --------------------------------------------------------------------------
    def _recover(self, records: Iterable[AnyRecord], snapshot_index: int) -> None:
        parts: list[Appended] = []
        decided = 0
        for record in records:
            if isinstance(record, Appended):
                self._recover_appended(record, parts)
                continue
            parts.clear()
            if isinstance(record, Promised):
                self.promised = max(self.promised, record.ballot)
            elif isinstance(record, Decided):
                decided = max(decided, record.index)
            else:
                self._forget(record.index)
        if snapshot_index > self.snapshot_index:  # it was stored, but not its record: what follows builds on it
            self._forget(snapshot_index)
            self.records.append(Snapshotted(snapshot_index))
        self.decided = min(max(self.decided, decided), self.log.length)

    def _recover_appended(self, record: Appended, parts: list[Appended]) -> None:
        if parts and (parts[0].ballot != record.ballot or parts[-1].start + len(parts[-1].entries) != record.start):
            parts.clear()
        parts.append(record)
        if record.until >= record.start + len(record.entries):
            return  # the rest follows, or none of it counts
        self._recover_log(parts[0].start, [entry for part in parts for entry in part.entries])
        parts.clear()
        self.accepted = record.ballot
        self.promised = max(self.promised, record.ballot)

    def _recover_log(self, start: int, entries: list[bytes]) -> None:
        log = self.log
        if start < log.first and log.length < log.first:  # a kept tail that begins before its snapshot's index
            log.reset(start - 1)
        skip = max(0, log.first - start)
        assert start <= log.length + 1, f"a hole in the journal: {start} after {log.length}"
        log.cut(min(log.length, start + skip - 1))
        log.extend(entries[skip:])
        if log.length < self.snapshot_index:
            log.reset(self.snapshot_index)


def appended(ballot: Ballot, start: int, entries: list[bytes], until: int) -> list[AnyRecord]:
    """Records of at most MESSAGE_BYTES for these entries: at least one, though there be no entry."""
    records: list[AnyRecord] = []
    first = size = 0
    for place, entry in enumerate(entries):
        if size and size + len(entry) > MESSAGE_BYTES:
            records.append(Appended(ballot, start + first, entries[first:place], until))
            first, size = place, 0
        size += len(entry)
    records.append(Appended(ballot, start + first, entries[first:] if first else entries, until))
    return records
