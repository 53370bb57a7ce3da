"""A replica on the real journal: power goes at each step of a rotation that writes overtake, and nothing is missing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.storage.desk import SYNCERS, Desk, Power, recovered, use_syncer

from tasksprint.paxos import AnyRecord, Replica, Timing
from tasksprint.storage import recovery, segments

TIMING = Timing(heartbeat_ms=10, election_ms=100)
_encode = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(AnyRecord).decode
_decode_state = msgspec.msgpack.Decoder(list[bytes]).decode


class Alone:
    """The only voter, with the duties of its shell."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.replica = Replica(1, (1,), TIMING, 3, 0)
        self.applied: list[bytes] = []
        self.told = 0  # entries that are chosen: they must survive everything
        self.turn()
        self.settle()
        assert self.replica.is_leader

    def turn(self) -> None:
        output = self.replica.take()
        self.applied += [data for _, data in output.committed]
        if output.write:
            self.desk.write = output.write
            self.desk.journal.append(output.write, [_encode(record) for record in output.records])

    def propose(self, *entries: bytes) -> None:
        for data in entries:
            assert self.replica.propose(data)
        self.turn()

    def settle(self) -> None:
        self.desk.settle()
        if self.desk.durable:
            self.replica.written(self.desk.durable[-1], 0)
            self.turn()
        self.told = len(self.applied)

    def compact(self) -> None:
        state = _encode(self.applied)
        records = [_encode(record) for record in self.replica.compact(len(self.applied), state)]
        self.desk.journal.rotate(len(self.applied), state, records)


def after_a_crash(folder: Path) -> tuple[list[bytes], int]:
    """(every entry that is there, index of the snapshot)."""
    records, snapshot = recovered(folder)
    again = Replica(1, (1,), TIMING, 3, 0, records=[_decode_record(record) for record in records], snapshot=snapshot)
    index, state = snapshot or (0, b"\x90")
    log = again.acceptor.log
    return _decode_state(state) + log.slice(index + 1, log.length), index


def a_life(folder: Path, power: Power, steps: int) -> tuple[Alone, bool]:
    """Entries 0 to 11; the log is cut at 3 and at 7, and writes go on meanwhile.  The power goes after `steps`."""
    alone = Alone(Desk(folder))
    power.cut_after(steps)
    for number in range(12):
        alone.propose(b"%d" % number)
        if number % 3 or number > 9:
            alone.settle()
        if number in (3, 7) and not alone.desk.failures:
            alone.compact()
        if alone.desk.failures:
            break
    if not alone.desk.failures:
        alone.desk.until(lambda: bool(alone.desk.failures) or not alone.desk.journal.rotating)
    gone = power.gone
    power.restore()
    alone.desk.die()
    return alone, gone


@pytest.mark.parametrize("kind", SYNCERS)
def test_power_may_go_at_each_step_of_a_rotation_that_writes_overtake(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_syncer(monkeypatch, kind)
    for room in (segments, recovery):
        monkeypatch.setattr(room, "JOURNAL_SEGMENT_BYTES", 64 * 1024)
    power = Power(monkeypatch)
    snapshots = set()
    for steps in range(300):
        alone, gone = a_life(tmp_path / str(steps), power, steps)
        entries, index = after_a_crash(tmp_path / str(steps))
        assert alone.told <= len(entries) <= 12
        assert entries == [b"%d" % number for number in range(len(entries))]
        snapshots.add(index)
        if not gone:
            assert len(entries) == alone.told == 12
            assert len(snapshots) >= 3, "crashes before, between and behind both"
            return
    raise AssertionError("the power was cut for ever")
