from __future__ import annotations

import pytest

from tasksprint.paxos import snapshot_transfer
from tasksprint.paxos.messages import SnapshotChunk, SnapshotReply
from tasksprint.paxos.snapshot_transfer import Receiver, Sender, Snapshot

BALLOT = (4, 1)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_transfer, "SNAPSHOT_CHUNK_BYTES", 10)


def sent(sender: Sender) -> list[SnapshotChunk]:
    return list(sender.chunks(1, BALLOT))


def answer(offset: int) -> SnapshotReply:
    return SnapshotReply(1, BALLOT, 7, offset, False)


def test_it_comes_whole() -> None:
    state = bytes(range(95))
    sender, receiver = Sender(Snapshot(7, state)), Receiver()
    whole = None
    while whole is None:
        chunks = sent(sender)
        assert 0 < len(chunks) <= 4
        for chunk in chunks:
            offset, whole = receiver.take(chunk)
            sender.answered(answer(offset))
    assert whole == state
    assert sent(sender) == []


def test_an_empty_snapshot_is_one_chunk() -> None:
    sender = Sender(Snapshot(7, b""))
    (chunk,) = sent(sender)
    assert Receiver().take(chunk) == (0, b"")
    assert sent(sender) == []


def test_lost_chunks_are_sent_again_at_a_heartbeat() -> None:
    sender = Sender(Snapshot(7, b"x" * 25))
    assert [chunk.offset for chunk in sent(sender)] == [0, 10, 20]
    sender.heartbeat()
    assert sent(sender) == [], "the answers may be on their way"
    sender.answered(answer(10))
    sender.heartbeat()
    sender.heartbeat()
    assert [chunk.offset for chunk in sent(sender)] == [10, 20]


def test_a_receiver_that_restarted_gets_it_from_the_start() -> None:
    sender = Sender(Snapshot(7, b"x" * 25))
    sent(sender)
    sender.answered(answer(20))
    sender.heartbeat()
    sender.answered(answer(0))
    assert sent(sender) == [], "an old answer may look like this"
    sender.heartbeat()
    assert [chunk.offset for chunk in sent(sender)] == [0, 10, 20]


def test_a_new_leader_goes_on_where_the_old_one_stopped() -> None:
    snapshot, receiver = Snapshot(7, bytes(range(60))), Receiver()
    for chunk in sent(Sender(snapshot))[:3]:
        receiver.take(chunk)
    second = Sender(snapshot)
    offset, _ = receiver.take(sent(second)[0])
    assert offset == 30
    second.answered(answer(offset))
    assert [chunk.offset for chunk in sent(second)] == [40, 50]


def test_another_snapshot_starts_anew() -> None:
    receiver = Receiver()
    receiver.take(sent(Sender(Snapshot(7, b"x" * 40)))[0])
    older = sent(Sender(Snapshot(5, b"y" * 15)))
    assert receiver.take(older[0]) == (10, None)
    assert receiver.take(older[1]) == (15, b"y" * 15)


def test_a_wrong_digest_is_not_used() -> None:
    receiver = Receiver()
    chunk = SnapshotChunk(1, BALLOT, 7, 0, 5, b"0" * 16, b"hello")
    assert receiver.take(chunk) == (0, None)


def test_chunks_may_overtake_each_other_and_come_twice() -> None:
    first, second, third = sent(Sender(Snapshot(7, bytes(range(30)))))
    receiver = Receiver()
    assert receiver.take(second) == (0, None)
    assert receiver.take(second) == (0, None)
    assert receiver.take(first) == (20, None)
    assert receiver.take(first) == (20, None)
    assert receiver.take(third) == (30, bytes(range(30)))
