"""A journal that grows over segments, is rotated, and loses its power at each step of that."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.storage.desk import Desk, Power, recovered

from tasksprint.storage import Corrupt, Journal, NotOurs, snapshots

pytestmark = pytest.mark.usefixtures("_small_segments", "_syncer")


def test_the_log_runs_over_segments_and_a_large_record_gets_a_large_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    records = [b"%03d" % i * 5_000 for i in range(20)]
    records[10] = b"large" * 50_000
    for record in records:
        desk.put(record)
    assert desk.journal.bytes_since_rotation > sum(map(len, records))
    desk.die()
    files = sorted(tmp_path.glob("journal-*"))
    assert len(files) > 5
    assert recovered(tmp_path)[0] == records
    middle = files[2].read_bytes()
    files[2].unlink()
    with pytest.raises(Corrupt, match="the segment before it is gone"):
        Journal.open(tmp_path, cluster="c", replica=1)
    files[2].write_bytes(middle[:5_000] + bytes(len(middle) - 5_000))
    with pytest.raises(Corrupt, match="blocks that were durable are missing"):
        Journal.open(tmp_path, cluster="c", replica=1)
    files[2].write_bytes(middle)
    files[0].unlink()
    with pytest.raises(Corrupt, match="the segments before it are gone"):
        Journal.open(tmp_path, cluster="c", replica=1)


def test_a_new_segment_may_fail_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power = Power(monkeypatch)
    for step in range(100):
        folder = tmp_path / str(step)
        desk = Desk(folder)
        desk.put(b"x" * 50_000)
        power.cut_after(step)
        desk.put(b"y" * 50_000)
        gone = power.gone
        power.restore()
        desk.die()
        records, _ = recovered(folder)
        assert records[0] == b"x" * 50_000
        assert records[1:] in ([], [b"y" * 50_000])
        if not gone:
            assert records[1:] == [b"y" * 50_000]
            return
    raise AssertionError("the power was cut for ever")


def test_rotation_replaces_the_log(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for i in range(10):
        desk.put(b"old %d" % i * 5_000)
    desk.rotate(7, b"state" * 1_000, [b"base 1", b"base 2"])
    desk.put(b"new")
    assert sorted(path.name.partition("-")[0] for path in tmp_path.iterdir()) == ["journal", "lock", "snapshot"]
    desk.rotate(9, b"state 9", [])
    desk.put(b"newer")
    desk.die()
    assert recovered(tmp_path) == ([b"newer"], (9, b"state 9"))


def test_what_is_appended_while_the_snapshot_is_written_is_durable_at_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, real = threading.Event(), snapshots.write

    def slow(*args: object) -> None:
        assert gate.wait(10)
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshots, "write", slow)
    for finish in (False, True):
        folder = tmp_path / str(finish)
        gate.clear()
        desk = Desk(folder)
        desk.put(b"before")
        desk.journal.rotate(5, b"state", [b"base"])
        desk.put(b"meanwhile 1")
        desk.put(b"meanwhile 2")
        if not finish:
            desk.die()
            gate.set()
            assert recovered(folder) == ([b"before", b"meanwhile 1", b"meanwhile 2"], None)
            continue
        gate.set()
        desk.until(lambda: not desk.journal.rotating)  # noqa: B023
        desk.put(b"after")
        desk.die()
        assert recovered(folder) == ([b"base", b"meanwhile 1", b"meanwhile 2", b"after"], (5, b"state"))


def test_a_rotation_may_fail_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power = Power(monkeypatch)
    seen = set()
    for step in range(200):
        folder = tmp_path / str(step)
        desk = Desk(folder)
        desk.put(b"x" * 50_000)
        desk.put(b"y" * 50_000)
        desk.rotate(3, b"three", [b"base 3"])
        desk.put(b"tail 3")
        power.cut_after(step)
        desk.rotate(8, b"eight", [b"base 8"])
        gone = power.gone
        power.restore()
        desk.die()
        assert bool(desk.failures) == gone
        found = recovered(folder)
        assert found in (([b"base 3", b"tail 3"], (3, b"three")), ([b"base 8"], (8, b"eight")))
        assert len(list(folder.iterdir())) == 3, "what a crash left behind is cleared away"
        desk = Desk(folder)
        desk.put(b"goes on")
        desk.die()
        assert recovered(folder) == ([*found[0], b"goes on"], found[1])
        seen.add(found[1])
        if not gone:
            assert found[1] == (8, b"eight")
            assert len(seen) == 2
            return
    raise AssertionError("the power was cut for ever")


def test_an_installed_snapshot_comes_into_force_with_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    power = Power(monkeypatch)
    seen = set()
    for step in range(100):
        folder = tmp_path / str(step)
        desk = Desk(folder)
        desk.put(b"old", snapshot=(4, b"four"))
        power.cut_after(step)
        desk.put(b"Snapshotted 9", snapshot=(9, b"nine"))
        gone = power.gone
        power.restore()
        desk.die()
        found = recovered(folder)
        assert found in (([b"old"], (4, b"four")), ([b"old", b"Snapshotted 9"], (9, b"nine")))
        seen.add(found[1])
        if not gone:
            assert len(seen) == 2
            return
    raise AssertionError("the power was cut for ever")


def test_a_snapshot_installed_during_a_rotation_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, real = threading.Event(), snapshots.write

    def slow(folder: Path, cluster: str, replica: int, index: int, state: bytes) -> None:
        assert index != 5 or gate.wait(10)
        real(folder, cluster, replica, index, state)

    monkeypatch.setattr(snapshots, "write", slow)
    desk = Desk(tmp_path)
    desk.journal.rotate(5, b"five", [b"base 5"])
    desk.put(b"Snapshotted 9", snapshot=(9, b"nine"))
    gate.set()
    desk.until(lambda: not desk.journal.rotating)
    desk.die()
    assert recovered(tmp_path) == ([b"base 5", b"Snapshotted 9"], (9, b"nine"))


def test_a_rotation_with_a_write_number_holds_up_what_comes_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    power = Power(monkeypatch)
    seen = set()
    for step in range(200):
        folder = tmp_path / str(step)
        desk = Desk(folder)
        desk.put(b"old")
        power.cut_after(step)
        desk.write += 1
        desk.journal.rotate(9, b"nine", [b"base"], write=desk.write)
        desk.append(b"behind")
        desk.settle()
        gone = power.gone
        power.restore()
        desk.die()
        found = recovered(folder)
        if found[1] is None:
            assert found == ([b"old"], None)
            assert desk.durable == [1]
        else:
            assert found in (([b"base"], (9, b"nine")), ([b"base", b"behind"], (9, b"nine")))
        seen.add(found[1])
        if not gone:
            assert desk.durable[-1] == 3
            assert len(seen) == 2
            return
    raise AssertionError("the power was cut for ever")


def test_a_rotation_waits_for_the_one_before(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for index in range(1, 6):
        desk.append(b"record %d" % index)
        desk.journal.rotate(index, b"state %d" % index, [b"base %d" % index])
        desk.append(b"tail %d" % index)
    desk.until(lambda: not desk.journal.rotating)
    desk.settle()
    desk.die()
    assert recovered(tmp_path) == ([b"base 5", b"tail 5"], (5, b"state 5"))


def test_a_damaged_missing_or_foreign_snapshot_is_said_so(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.rotate(3, b"three", [])
    desk.die()
    (path,) = tmp_path.glob("snapshot-*")
    whole = path.read_bytes()
    for at in (0, 20, 40, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises((Corrupt, NotOurs)):
            Journal.open(tmp_path, cluster="c", replica=1)
    path.write_bytes(whole[:-1])
    with pytest.raises(Corrupt, match="length or checksum"):
        Journal.open(tmp_path, cluster="c", replica=1)
    path.unlink()
    with pytest.raises(Corrupt, match="the journal names this snapshot, and it is gone"):
        Journal.open(tmp_path, cluster="c", replica=1)
    path.write_bytes(whole)
    assert recovered(tmp_path) == ([], (3, b"three"))


def test_the_block_that_a_rotated_segment_was_made_with_is_never_taken_for_a_torn_tail(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.rotate(3, b"three", [b"promise"])
    desk.die()
    (path,) = tmp_path.glob("journal-*")
    data = bytearray(path.read_bytes())
    data[4096 + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="the block that it was made with"):
        Journal.open(tmp_path, cluster="c", replica=1)
