"""A client's part of the view, and snapshots."""

from __future__ import annotations

import pytest
from tests.view.stage import Stage, spec, task

from tasksprint import limits
from tasksprint.view import Corrupt, Machine
from tasksprint.view.operations import Finish, Lost, SetTimer, Submit
from tasksprint.view.part import Assign, JobInfo, Keep, Supplier


def test_a_poll_is_told_what_changed() -> None:
    stage = Stage()
    client = stage.join("a")
    job = stage.submit()
    number, whole, changes = stage.machine.changes("a", 0)
    assert (whole, changes) == (True, [])
    assert number == client.incarnation
    stage.start(job, task(1), task(2, 1))
    known, whole, changes = stage.machine.changes("a", number)
    assert not whole
    assert [type(change) for change in changes] == [JobInfo, Assign, Supplier, Assign]
    assert known == stage.machine.index
    assert stage.machine.changes("a", known) == (known, False, [])
    stage.start(job, task(3))
    _, _, changes = stage.machine.changes("a", known)
    assert [type(change) for change in changes] == [Assign], "the job is known"


def test_a_supplier_is_told_once_to_a_client_that_needs_it() -> None:
    stage = Stage()
    client = stage.join("a", slots=4)
    job = stage.submit()
    stage.start(job, task(1), task(2, 1), task(3, 1), task(4, 1, 1))
    client.poll()
    assert [change.task for change in client.log if isinstance(change, Supplier)] == [1]
    client.done(1)
    client.poll()
    assert [change.task for change in client.log if isinstance(change, Supplier)] == [1], "clients tell each other"
    client.report(Lost(job, 1, 1))
    client.poll()
    rows = [change for change in client.log if isinstance(change, Supplier)]
    assert [(row.attempt, row.done) for row in rows[1:]] == [(2, False)]


def test_a_client_that_is_far_behind_gets_its_whole_part() -> None:
    stage = Stage(checked=False)
    client = stage.join("a")
    job = stage.submit()
    client.poll()
    known = client.known
    last = limits.CHANGES_KEPT + 200
    stage.start(job, *[task(number) for number in range(1, last)], task(last, last - 1))
    while stage.job().done < limits.CHANGES_KEPT:
        client.done(*client.numbers()[:100], run_us=1)
    _, whole, changes = stage.machine.changes("a", known)
    assert whole
    kinds = {type(change) for change in changes}
    assert kinds == {JobInfo, Assign, Supplier, Keep}
    assert len([change for change in changes if isinstance(change, Keep)]) == stage.job().done
    assert isinstance(changes[0], JobInfo)


def test_a_client_from_another_life_gets_its_whole_part() -> None:
    stage = Stage()
    stage.join("a")
    assert stage.machine.changes("a", stage.machine.index + 5)[1]
    assert stage.machine.changes("nobody", 0) == (0, True, [])


# --- snapshots ------------------------------------------------------------------------------------------


def rich() -> Stage:
    stage = Stage()
    client = stage.join("a", slots=4, labels=["x"])
    stage.join("b")
    job = stage.submit(ordered=True)
    stage.start(job, *[task(number, *([number - 1] if number > 1 else []), keys=["k"]) for number in range(1, 9)])
    owner = client if 1 in client.numbers() else stage.actors["b"]
    owner.done(1)
    stage.apply(Submit("second", spec()))
    third = stage.submit("third")
    stage.decide(third, task(1), SetTimer("t", 1_000))
    stage.decide(third, Finish(b"1", [(1, "out")]))
    return stage


def test_a_restored_machine_is_the_same() -> None:
    stage = rich()
    data = b"".join(stage.machine.snapshot())
    other = Machine.restore(data)
    assert b"".join(other.snapshot()) == data
    assert (other.index, other.digest) == (stage.machine.index, stage.machine.digest)
    assert other.time_ms == stage.machine.time_ms
    assert other.check() == []
    stage.tick("a", "b", times=30)
    for index, entry in enumerate(stage.entries[other.index :], other.index + 1):
        other.apply(index, entry)
    assert other.digest == stage.machine.digest


def test_a_restored_client_goes_on_from_the_number_that_it_knows() -> None:
    stage = rich()
    other = Machine.restore(b"".join(stage.machine.snapshot()))
    state = other.client("a")
    assert state is not None
    assert other.changes("a", state.number) == (state.number, False, [])
    assert other.changes("a", state.number - 1)[1]


def test_what_is_no_snapshot_is_refused() -> None:
    data = b"".join(rich().machine.snapshot())
    spoiled = data[:4] + b"\x90" + data[5:]
    for wrong in (b"", data[:-3], data[: len(data) // 2], data + b"\0\0\0\0", b"\xff" * 40, spoiled):
        with pytest.raises(Corrupt, match="snapshot"):
            Machine.restore(wrong)


def test_a_snapshot_comes_in_small_pieces() -> None:
    stage = Stage(checked=False)
    job = stage.submit()
    for first in range(1, 10_001, 1_000):
        stage.start(job, *[task(number) for number in range(first, first + 1_000)])
    pieces = list(stage.machine.snapshot())
    assert max(map(len, pieces)) < 200_000
    assert Machine.restore(b"".join(pieces)).status_jobs() == stage.machine.status_jobs()
