from __future__ import annotations

import pytest

from tasksprint.paxos import acceptor as room
from tasksprint.paxos.acceptor import Acceptor
from tasksprint.paxos.messages import AnyRecord, Appended, Decided, Promised, Snapshotted

LOW, MIDDLE, HIGH = (1, 1), (2, 2), (3, 3)


def holding(ballot: tuple[int, int], *entries: bytes, decided: int = 0) -> Acceptor:
    return Acceptor([Promised(ballot), Appended(ballot, 1, list(entries)), Decided(decided)])


def written(acceptor: Acceptor) -> list[AnyRecord]:
    records = acceptor.take_records()
    acceptor.written(acceptor.write)
    return records


def entries(acceptor: Acceptor) -> list[bytes]:
    return acceptor.log.slice(acceptor.log.first, acceptor.log.length)


def test_a_promise_only_grows_and_is_recorded() -> None:
    acceptor = Acceptor()
    acceptor.promise(MIDDLE)
    assert acceptor.refuses(LOW)
    assert not acceptor.refuses(MIDDLE)
    assert written(acceptor) == [Promised(MIDDLE)]
    with pytest.raises(AssertionError, match="only grows"):
        acceptor.promise(MIDDLE)


def test_entries_of_one_turn_are_one_record() -> None:
    acceptor = holding(LOW)
    assert acceptor.accept(1, [b"a"])
    assert acceptor.accept(2, [b"b", b"c"])
    assert written(acceptor) == [Appended(LOW, 1, [b"a", b"b", b"c"])]
    assert written(acceptor) == []


def test_a_late_or_repeated_accept_cuts_nothing() -> None:
    acceptor = holding(LOW, b"a", b"b", b"c")
    assert acceptor.accept(1, [b"a"])
    assert acceptor.accept(2, [b"b", b"c", b"d"])
    assert acceptor.accept(1, [])
    assert entries(acceptor) == [b"a", b"b", b"c", b"d"]
    assert written(acceptor) == [Appended(LOW, 4, [b"d"])]


def test_a_hole_is_refused() -> None:
    acceptor = holding(LOW, b"a")
    assert not acceptor.accept(3, [b"c"])
    assert entries(acceptor) == [b"a"]


def test_half_of_a_first_log_is_no_acceptance() -> None:
    """Or it would beat, in the next election, a longer log of a lower ballot that holds what is chosen."""
    acceptor = holding(LOW, b"a", b"old", b"old")
    acceptor.promise(HIGH)
    assert acceptor.accept_sync(HIGH, 2, 4, 2, [b"b", b"c"])
    assert acceptor.accepted == LOW
    assert entries(acceptor) == [b"a", b"old", b"old"]
    assert acceptor.accept_sync(HIGH, 2, 4, 3, [b"c", b"d"])
    assert acceptor.accepted == HIGH
    assert entries(acceptor) == [b"a", b"b", b"c", b"d"]
    assert written(acceptor) == [Promised(HIGH), Appended(HIGH, 2, [b"b", b"c", b"d"], 4)]


def test_pieces_of_a_first_log_must_follow() -> None:
    acceptor = holding(LOW, b"a")
    acceptor.promise(HIGH)
    assert not acceptor.accept_sync(HIGH, 2, 5, 3, [b"c"]), "not its beginning"
    assert not acceptor.accept_sync(HIGH, 3, 5, 3, [b"c"]), "it would leave a hole"
    assert acceptor.accept_sync(HIGH, 2, 5, 2, [b"b"])
    assert not acceptor.accept_sync(HIGH, 2, 5, 4, [b"d"])
    assert acceptor.accepted == LOW


def test_a_higher_promise_forgets_the_pieces() -> None:
    acceptor = holding(LOW, b"a")
    acceptor.promise(MIDDLE)
    acceptor.accept_sync(MIDDLE, 2, 3, 2, [b"b"])
    acceptor.promise(HIGH)
    assert acceptor.sync is None


def test_what_is_decided_is_never_cut() -> None:
    acceptor = holding(LOW, b"a", b"b", b"c", decided=2)
    acceptor.promise(HIGH)
    acceptor.adopt(HIGH, 1, [b"A", b"B", b"C"])
    assert entries(acceptor) == [b"a", b"b", b"C"]


def test_an_empty_first_log_is_an_acceptance_too() -> None:
    acceptor = holding(LOW, b"a")
    acceptor.promise(HIGH)
    assert acceptor.accept_sync(HIGH, 2, 1, 2, [])
    assert acceptor.accepted == HIGH
    assert written(acceptor)[-1] == Appended(HIGH, 2, [], 1)


def test_only_what_is_written_is_durable() -> None:
    acceptor = holding(LOW, b"a")
    acceptor.accept(2, [b"b"])
    assert acceptor.next_write() == 1
    acceptor.take_records()
    acceptor.promise(HIGH)
    acceptor.adopt(HIGH, 2, [b"B", b"C"])
    assert acceptor.next_write() == 2
    acceptor.take_records()
    assert acceptor.durable == (LOW, 1)
    acceptor.written(1)
    assert acceptor.durable == (LOW, 2)
    acceptor.written(2)
    assert acceptor.durable == (HIGH, 3)


def test_decided_follows_the_disk_in_the_ballot_of_who_said_it() -> None:
    acceptor = holding(LOW, b"a", b"b", b"c")
    acceptor.promise(HIGH)
    acceptor.told = 3
    acceptor.follow_decided()
    assert acceptor.decided == 0, "our three entries are of another ballot"
    acceptor.adopt(HIGH, 3, [b"C"])
    acceptor.accept(4, [b"D"])
    acceptor.follow_decided()
    assert acceptor.decided == 0, "not yet on the disk"
    written(acceptor)
    acceptor.follow_decided()
    assert acceptor.decided == 3
    acceptor.told = 9
    acceptor.follow_decided()
    assert acceptor.decided == 4


def test_what_a_candidate_lacks() -> None:
    acceptor = holding(MIDDLE, b"a", b"b", b"c")
    assert acceptor.suffix_start(HIGH, 1, 0) == 0
    assert acceptor.suffix_start(MIDDLE, 3, 0) == 0
    assert acceptor.suffix_start(MIDDLE, 2, 0) == 3
    assert acceptor.suffix_start(LOW, 9, 1) == 2


def test_a_snapshot_leaves_what_comes_after_it() -> None:
    """One of the entries after it may be chosen, in the old ballot."""
    acceptor = holding(LOW, b"a", b"b", b"c", b"d")
    acceptor.promise(HIGH)
    acceptor.install(2)
    assert (acceptor.accepted, acceptor.log.first, entries(acceptor)) == (LOW, 3, [b"c", b"d"])
    assert acceptor.decided == 2
    assert written(acceptor) == [Promised(HIGH), Snapshotted(2), Decided(2)]
    acceptor.install(9)
    assert (acceptor.log.first, acceptor.log.length, acceptor.decided) == (10, 9, 9)


def test_the_records_give_the_same_acceptor_back() -> None:
    records: list[AnyRecord] = []
    acceptor = Acceptor()
    acceptor.promise(LOW)
    acceptor.adopt(LOW, 1, [])
    acceptor.accept(1, [b"a", b"b", b"c"])
    records += written(acceptor)
    acceptor.decide(2)
    acceptor.accept(4, [b"d"])
    acceptor.promise(HIGH)
    acceptor.adopt(HIGH, 3, [b"C", b"D", b"E"])
    records += written(acceptor)
    again = Acceptor(records)
    assert (again.promised, again.accepted, again.decided) == (HIGH, HIGH, 2)
    assert entries(again) == [b"a", b"b", b"C", b"D", b"E"]
    assert again.durable == (HIGH, 5)
    assert again.take_records() == []


def test_records_of_a_large_first_log_count_together_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MESSAGE_BYTES", 4)
    acceptor = holding(LOW, b"aa", b"bb", b"cc")
    acceptor.promise(HIGH)
    acceptor.adopt(HIGH, 2, [b"BB", b"CC", b"DD", b"EE"])
    records = [Appended(LOW, 1, [b"aa", b"bb", b"cc"]), *written(acceptor)]
    assert records[2:] == [Appended(HIGH, 2, [b"BB", b"CC"], 5), Appended(HIGH, 4, [b"DD", b"EE"], 5)]
    torn = Acceptor(records[:-1])
    assert (torn.promised, torn.accepted, entries(torn)) == (HIGH, LOW, [b"aa", b"bb", b"cc"])
    whole = Acceptor(records)
    assert (whole.accepted, entries(whole)) == (HIGH, [b"aa", b"BB", b"CC", b"DD", b"EE"])


def test_a_compacted_log_and_its_new_segment() -> None:
    acceptor = holding(LOW, b"a", b"b", b"c", b"d", b"e", decided=4)
    records = acceptor.compact(4, 3)
    assert records == [Snapshotted(4), Appended(LOW, 3, [b"c", b"d", b"e"], 5), Promised(LOW), Decided(4)]
    again = Acceptor(records, 4)
    for one in (acceptor, again):
        assert (one.log.first, entries(one), one.decided, one.promised) == (3, [b"c", b"d", b"e"], 4, LOW)


def test_a_snapshot_that_was_stored_before_its_record() -> None:
    acceptor = Acceptor([Appended(LOW, 1, [b"a", b"b", b"c"])], 2)
    assert (acceptor.log.first, acceptor.decided, entries(acceptor)) == (3, 2, [b"c"])


def test_what_is_written_after_such_a_snapshot_stands_behind_it_when_it_is_read_again() -> None:
    """The journal ends at 1, the snapshot at 5: an entry 6 with nothing between them would be read as the second."""
    records: list[AnyRecord] = [Promised(LOW), Appended(LOW, 1, [b"a"])]
    acceptor = Acceptor(records, 5)
    acceptor.promise(HIGH)
    acceptor.adopt(HIGH, 6, [b"f"])
    records += written(acceptor)
    assert records[2:] == [Snapshotted(5), Promised(HIGH), Appended(HIGH, 6, [b"f"], 6)]
    again = Acceptor(records, 5)
    assert (again.log.first, entries(again), again.accepted) == (6, [b"f"], HIGH)
    with pytest.raises(AssertionError, match="a hole in the journal: 6 after 1"):
        Acceptor([records[1], records[4]], 5)
