"""No message leaves before the write that it waits for, and who writes quietly is told when somebody waits."""

from __future__ import annotations

from tasksprint.coordinator.effects import Await, Rotate, SendPeer, Write
from tasksprint.coordinator.outbox import Outbox
from tasksprint.paxos import Output
from tasksprint.paxos.messages import Accept, Accepted, Appended, Decided, Promised, Snapshotted

BALLOT = (1, 1)
ENTRY = Appended(BALLOT, 1, [b"x"])
ACCEPT = Accept(1, BALLOT, 1, [b"x"], 0)
ACCEPTED = Accepted(1, BALLOT, 1)


def test_a_message_waits_for_its_write() -> None:
    box = Outbox()
    (write,) = box.put(Output([ENTRY], 1, [(2, ACCEPTED, 1)]), None, others_decide=False)
    assert isinstance(write, Write) and (write.write, write.sync, write.quiet) == (1, True, False)
    assert box.put(Output(messages=[(2, ACCEPTED, 2), (3, ACCEPT, 0)]), None, others_decide=False) == [
        SendPeer(3, ACCEPT)
    ]
    assert box.written(1) == [SendPeer(2, ACCEPTED)]
    assert box.written(2) == [SendPeer(2, ACCEPTED)]
    assert box.written(2) == []


def test_a_leaders_own_entry_is_written_quietly_until_somebodys_word_comes() -> None:
    box = Outbox()
    write, sent = box.put(Output([ENTRY, Decided(0)], 1, [(2, ACCEPT, 0)]), None, others_decide=True)
    assert isinstance(write, Write) and write.quiet and write.sync
    assert sent == SendPeer(2, ACCEPT)
    assert box.wanted() == [Await()]
    assert box.wanted() == [], "it was asked for"
    box.put(Output([ENTRY], 2), None, others_decide=True)
    box.written(2)
    assert box.wanted() == [], "it is known to be durable"


def test_what_decides_alone_or_is_no_entry_is_never_quiet() -> None:
    for records, others_decide in (([ENTRY], False), ([Promised(BALLOT)], True), ([ENTRY, Promised(BALLOT)], True)):
        (write,) = Outbox().put(Output(list(records), 1), None, others_decide=others_decide)
        assert isinstance(write, Write) and not write.quiet
    write, *_ = Outbox().put(Output([ENTRY], 1, [(2, ACCEPTED, 1)]), None, others_decide=True)
    assert isinstance(write, Write) and not write.quiet, "a message hangs on it"


def test_a_later_message_that_hangs_on_a_quiet_write_asks_for_it() -> None:
    box = Outbox()
    box.put(Output([ENTRY], 1), None, others_decide=True)
    assert box.put(Output(messages=[(2, ACCEPTED, 1)]), None, others_decide=False) == [Await()]
    assert box.written(1) == [SendPeer(2, ACCEPTED)]


def test_a_received_snapshot_brings_a_new_beginning() -> None:
    box = Outbox()
    out = Output([Snapshotted(5)], 1, [(2, ACCEPTED, 1)], install=(5, b"state"))
    (rotate,) = box.put(out, [Snapshotted(5), Promised(BALLOT)], others_decide=False)
    assert isinstance(rotate, Rotate) and (rotate.write, rotate.index, len(rotate.records)) == (1, 5, 2)
    assert box.written(1) == [SendPeer(2, ACCEPTED)]
