from hypothesis import given
from hypothesis import strategies as st

from tasksprint.storage import MemoryJournal


def test_what_is_synced_survives_and_the_rest_is_a_prefix() -> None:
    for kept in range(4):
        journal = MemoryJournal()
        journal.append(1, [b"a"])
        journal.append(2, [b"b", b"c"])
        journal.sync_to(1)
        assert (journal.records, journal.durable, journal.unsynced, journal.last) == ([b"a"], 1, 1, 2)
        journal.append(3, [b"d"], sync=False)
        choices = iter([[0, 0], [0, 1], [1, 0], [2]][kept])
        journal.crash(lambda _: next(choices))  # noqa: B023
        assert journal.records == [[b"a"], [b"a", b"b"], [b"a", b"b", b"c"], [b"a", b"b", b"c", b"d"]][kept]
        assert journal.torn == (kept == 1)
        journal.append(1, [b"next life"])


def test_a_rotation_is_done_or_not_begun() -> None:
    for kept, expected in ((1, ([b"a"], None)), (2, ([b"base"], (5, b"state"))), (3, ([b"base", b"c"], (5, b"state")))):
        journal = MemoryJournal()
        journal.append(1, [b"a"])
        journal.rotate(5, b"state", [b"base"])
        journal.append(2, [b"c"])
        choices = iter([kept, 0])
        journal.crash(lambda _: next(choices))  # noqa: B023
        assert (journal.records, journal.snapshot) == expected


def test_syncing_to_a_write_takes_the_rotations_before_it() -> None:
    journal = MemoryJournal()
    journal.rotate(5, b"state", [b"base"])
    journal.append(1, [b"a"])
    journal.rotate(6, b"later", [])
    journal.sync_to(1)
    assert (journal.records, journal.snapshot) == ([b"base", b"a"], (5, b"state"))
    journal.sync()
    assert (journal.records, journal.snapshot) == ([], (6, b"later"))


def test_an_installed_snapshot_comes_with_its_write_and_an_older_rotation_does_not_undo_it() -> None:
    journal = MemoryJournal()
    journal.append(1, [b"a"], snapshot=(9, b"nine"))
    journal.crash(lambda _: 0)
    assert (journal.records, journal.snapshot) == ([], None)
    journal.append(1, [b"a"], snapshot=(9, b"nine"))
    journal.rotate(5, b"five", [b"base"])
    journal.sync()
    assert (journal.records, journal.snapshot) == ([b"base"], (9, b"nine"))


@given(st.data())
def test_never_less_than_what_was_synced_never_more_than_what_was_written(data: st.DataObject) -> None:
    journal, written, synced = MemoryJournal(), [], []
    number = 0
    for _ in range(data.draw(st.integers(0, 20))):
        match data.draw(st.sampled_from(["append", "sync", "crash"])):
            case "append":
                number += 1
                records = [b"%d" % (len(written) + i) for i in range(data.draw(st.integers(0, 3)))]
                journal.append(number, records)
                written += records
            case "sync":
                journal.sync_to(number)
                synced = list(written)
            case "crash":
                journal.crash(lambda n: data.draw(st.integers(0, n)))
                assert journal.records[: len(synced)] == synced
                assert journal.records == written[: len(journal.records)]
                written, synced = list(journal.records), list(journal.records)
                number = 0
