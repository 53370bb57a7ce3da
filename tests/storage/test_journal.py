"""What was called durable is there after any crash; what is damaged is never taken for a crash."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import uvloop
from tests.storage.desk import Desk, Power, recovered

from tasksprint.storage import (
    Corrupt,
    InUse,
    Journal,
    JournalFailed,
    NotOurs,
    StorageError,
)

FIRST = "journal-0000000001"


pytestmark = pytest.mark.usefixtures("_small_segments", "_syncer")


def three_groups(folder: Path) -> tuple[bytes, list[int]]:
    """The bytes of a journal of three groups after a kill, and where each group ends."""
    desk = Desk(folder)
    ends = []
    for group in ([b"one"], [b"two", b"2"], [b"three" * 20]):
        desk.put(*group)
        ends.append(desk.journal._segments.end)
    desk.die()
    return (folder / FIRST).read_bytes(), ends


# --- the promise -----------------------------------------------------------------------------------------


def test_what_is_durable_comes_back_in_order(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a" / "b")
    assert desk.journal.records == []
    assert desk.journal.snapshot is None
    for i in range(200):
        desk.append(b"record %d" % i, b"")
    desk.settle()
    assert desk.durable == sorted(set(desk.durable)), "grows, and each call says something new"
    assert desk.journal.sync_median_ms() > 0
    desk.die()
    expected = [record for i in range(200) for record in (b"record %d" % i, b"")]
    assert recovered(tmp_path / "a" / "b") == (expected, None)


def test_a_journal_goes_on_over_many_lives(tmp_path: Path) -> None:
    for life in range(5):
        desk = Desk(tmp_path)
        assert desk.journal.records == [b"life %d" % i for i in range(life)]
        desk.put(b"life %d" % life)
        desk.die() if life % 2 else desk.journal.close()


def test_writes_that_need_no_sync_go_with_the_next_in_order(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.append(b"lazy 1", sync=False)
    desk.append(b"lazy 2", sync=False)
    assert desk.journal.oldest_unsynced_ms() == 0
    assert desk.journal.syncs == 0
    desk.put(b"eager")
    assert desk.durable[-1] == 3
    desk.append(b"last", sync=False)
    desk.journal.close()
    assert recovered(tmp_path)[0] == [b"lazy 1", b"lazy 2", b"eager", b"last"]


def test_many_writes_share_a_sync(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.append(b"holds the disk")
    begin, desk.journal._syncer.result = desk.journal._syncer.result, lambda: None
    for _ in range(100):
        desk.append(b"gathers")
    assert desk.journal.oldest_unsynced_ms() >= 0
    desk.journal._syncer.result = begin
    desk.settle()
    assert desk.durable == [1, 101]
    assert desk.journal.syncs == 2
    assert desk.journal.oldest_unsynced_ms() == 0
    desk.journal.close()


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_callbacks_come_in_the_loop_from_a_real_disk(tmp_path_factory: pytest.TempPathFactory, factory: object) -> None:
    tmp_path = tmp_path_factory.mktemp("journal")

    async def check() -> None:
        loop = asyncio.get_running_loop()
        log = Journal.open(tmp_path, cluster="c", replica=1)
        done: asyncio.Future[int] = loop.create_future()
        thread: list[object] = []

        def on_durable(write: int) -> None:
            thread.append(threading.current_thread())
            if write == 2:
                done.set_result(write)

        log.start(loop, on_durable, done.set_exception)
        log.append(1, [b"a"])
        log.append(2, [b"b"])
        await asyncio.wait_for(done, 10)
        assert set(thread) == {threading.main_thread()}
        log.append(3, [b"c"])
        log.close()
        log.close()

    with asyncio.Runner(loop_factory=factory) as runner:  # type: ignore[arg-type]
        runner.run(check())
    assert recovered(tmp_path)[0] == [b"a", b"b", b"c"]


# --- torn writes and damage -------------------------------------------------------------------------------


def test_a_tail_torn_at_any_byte_is_cut_and_the_journal_goes_on(tmp_path: Path) -> None:
    whole, ends = three_groups(tmp_path)
    for cut in range(ends[1], ends[2]):
        for torn in (
            whole[:cut] + bytes(len(whole) - cut),  # the rest never came
            whole[: ends[1]] + bytes(cut - ends[1]) + whole[cut:],  # only the rest came
        ):
            if torn == whole:
                continue
            (tmp_path / FIRST).write_bytes(torn)
            found = Journal.open(tmp_path, cluster="c", replica=1)
            assert found.records == [b"one", b"two", b"2"]
            assert found.torn == (cut > ends[1] or torn[ends[1] :] != bytes(len(whole) - ends[1]))
            found.close()
            assert (tmp_path / FIRST).read_bytes() == whole[: ends[1]] + bytes(len(whole) - ends[1])
    desk = Desk(tmp_path)
    desk.put(b"after")
    desk.die()
    assert recovered(tmp_path)[0] == [b"one", b"two", b"2", b"after"]


def test_a_flipped_bit_below_the_end_is_damage_and_nothing_is_changed(tmp_path: Path) -> None:
    whole, ends = three_groups(tmp_path)
    for at in range(4096, ends[1]):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        (tmp_path / FIRST).write_bytes(damaged)
        with pytest.raises(Corrupt, match="do not start this coordinator from it") as error:
            Journal.open(tmp_path, cluster="c", replica=1)
        assert (tmp_path / FIRST).read_bytes() == damaged
        # The group before the last is known to have been durable by its successor alone; the first by both.
        assert error.value.offset in (4096, ends[0])
        assert str(tmp_path / FIRST) in str(error.value)


def test_a_lost_write_below_the_end_is_damage(tmp_path: Path) -> None:
    whole, ends = three_groups(tmp_path)
    (tmp_path / FIRST).write_bytes(whole[: ends[0]] + bytes(ends[1] - ends[0]) + whole[ends[1] :])
    with pytest.raises(Corrupt, match=f"at byte {ends[0]} "):
        Journal.open(tmp_path, cluster="c", replica=1)


def test_after_an_orderly_close_damage_to_the_last_records_shows(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.put(b"promise")
    end = desk.journal._segments.end
    desk.journal.close()
    data = bytearray((tmp_path / FIRST).read_bytes())
    data[end - 1] ^= 1
    (tmp_path / FIRST).write_bytes(data)
    with pytest.raises(Corrupt):
        Journal.open(tmp_path, cluster="c", replica=1)


def test_a_damaged_header_is_damage(tmp_path: Path) -> None:
    whole, _ = three_groups(tmp_path)
    for at in (0, 9, 20, 40, 55, 59):
        damaged = bytearray(whole)
        damaged[at] ^= 4
        (tmp_path / FIRST).write_bytes(damaged)
        with pytest.raises((Corrupt, NotOurs)):
            Journal.open(tmp_path, cluster="c", replica=1)


def test_a_journal_stored_inside_a_record_is_not_taken_for_later_blocks(tmp_path: Path) -> None:
    inner, ends = three_groups(tmp_path / "inner")
    desk = Desk(tmp_path / "outer")
    desk.put(inner[4096 : ends[2]])
    end = desk.journal._segments.end
    desk.die()
    data = bytearray((tmp_path / "outer" / FIRST).read_bytes())
    data[end - 1] ^= 1
    (tmp_path / "outer" / FIRST).write_bytes(data)
    assert recovered(tmp_path / "outer") == ([], None), "a torn tail, whatever was in it"


# --- whose folder -----------------------------------------------------------------------------------------


def test_another_cluster_or_id_is_refused(tmp_path: Path) -> None:
    Desk(tmp_path).journal.close()
    for cluster, replica in (("d", 1), ("c", 2)):
        with pytest.raises(NotOurs, match=f"belongs to coordinator 1 of cluster 'c', this is coordinator {replica} of"):
            Journal.open(tmp_path, cluster=cluster, replica=replica)
    assert recovered(tmp_path) == ([], None)


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tasksprint.storage.blocks.JOURNAL_VERSION", 7)
        Desk(tmp_path).journal.close()
    with pytest.raises(NotOurs, match="journal of version 7, this release reads version 1"):
        Journal.open(tmp_path, cluster="c", replica=1)


def test_two_processes_cannot_have_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tasksprint.storage import Journal\n"
        "journal = Journal.open(Path(sys.argv[1]), cluster='c', replica=1); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(InUse, match=f"in use by process {other.pid}: stop it, or choose another folder"):
            Journal.open(tmp_path, cluster="c", replica=1)
        other.kill()
        other.communicate()
    assert recovered(tmp_path) == ([], None)


def test_a_file_in_the_folders_place_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match="choose another one"):
            Journal.open(folder, cluster="c", replica=1)


# --- failures ---------------------------------------------------------------------------------------------


def test_after_a_failed_sync_nothing_is_durable_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path)
    desk.put(b"good")
    with monkeypatch.context() as patch:
        power = Power(patch)
        power.cut_after(0)
        desk.put(b"fails")
        power.restore()
        desk.append(b"never")
        desk.journal.close()
    assert desk.durable == [1]
    (failure,) = desk.failures
    assert isinstance(failure, JournalFailed)
    assert "free or mend the disk" in str(failure)
    assert recovered(tmp_path)[0] == [b"good"]


# --- writes that nobody waits for --------------------------------------------------------------------------


def ended(desk: Desk) -> None:
    """The block that is under way is on the disk; nobody has looked yet."""
    syncer = desk.journal._syncer
    assert syncer is not None
    syncer.wait()


def test_a_quiet_write_is_on_the_disk_before_anybody_asks(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.put(b"first")
    desk.append(b"quiet", quiet=True)
    ended(desk)
    assert desk.durable == [1], "nobody was told"
    desk.journal.look()
    assert desk.durable == [1, 2]
    desk.journal.look()
    assert desk.durable == [1, 2]
    desk.die()
    assert recovered(tmp_path)[0] == [b"first", b"quiet"]


def test_who_looks_while_it_is_under_way_is_told_at_its_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for _ in range(200):  # some are found durable, some show later
        desk.append(b"quiet", quiet=True)
        desk.journal.look()
        desk.settle()
    assert desk.durable == list(range(1, 201))
    desk.die()


def test_a_write_that_is_waited_for_tells_of_the_quiet_ones_before_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for _ in range(100):
        desk.append(b"quiet", quiet=True)
        desk.append(b"quiet, too", quiet=True)
        desk.put(b"loud")
    assert desk.durable[-1] == 300
    desk.append(b"the last", quiet=True)
    desk.die()
    assert len(recovered(tmp_path)[0]) == 301, "closing waits for it"


def test_a_quiet_write_that_fails_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path)
    with monkeypatch.context() as patch:
        Power(patch).cut_after(0)
        desk.append(b"quiet", quiet=True)
        desk.until(lambda: bool(desk.failures))
    assert desk.durable == []
    desk.journal.close()
