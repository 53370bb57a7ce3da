"""The client's conversation with the coordinators: dialling, registering, reports that take effect once."""

from __future__ import annotations

from tasksprint import limits
from tasksprint.client.effects import Dial, SendCoordinator
from tasksprint.client.session import BATCHES_IN_FLIGHT, Session
from tasksprint.view.operations import Done, Lost
from tasksprint.wire import messages as wire

NAMES = ["k1:1", "k2:1", "k3:1"]


def make(*, registered: bool = True, now: int = 1_000) -> Session:
    session = Session("me", 1, "me:1", 2, [], NAMES, now)
    session.dial(now)
    if registered:
        session.connected(1, [], now)
        session.registered(wire.Registered(1, 7))
        session.effects.clear()
    return session


def dials(session: Session) -> list[Dial]:
    found = [effect for effect in session.effects if isinstance(effect, Dial)]
    session.effects.clear()
    return found


def sent(session: Session) -> list[wire.ToCoordinator]:
    found = [effect.message for effect in session.effects if isinstance(effect, SendCoordinator)]
    session.effects.clear()
    return found


def batches(session: Session) -> list[tuple[int, int]]:
    """(sequence, reports) of what was sent."""
    return [(m.sequence, len(m.reports)) for m in sent(session) if isinstance(m, wire.SendReports)]


def test_it_goes_round_the_coordinators_slower_after_each_round() -> None:
    session = make(registered=False)
    seen = dials(session)
    for _ in range(9):
        session.disconnected(seen[-1].number, 1_000)
        seen += dials(session)
    assert [dial.address for dial in seen[:4]] == ["k1:1", "k2:1", "k3:1", "k1:1"]
    delays = [dial.delay_ms for dial in seen]
    assert delays[:3] == [0, 0, 0] and delays == sorted(delays)
    assert delays[-1] <= limits.RECONNECT_MAX_MS


def test_the_leader_that_was_named_is_asked_next() -> None:
    session = make()
    session.next_coordinator(1_000, "k3:1")
    session.next_coordinator(1_000, "k3:1")
    session.next_coordinator(1_000, "stranger:1")
    assert [dial.address for dial in dials(session)] == ["k3:1", "k1:1", "k2:1"], "never the one that just refused"


def test_news_of_an_earlier_dial_changes_nothing() -> None:
    session = make()
    session.next_coordinator(1_000)
    session.connected(1, [], 1_000)
    assert not session.link_up
    session.disconnected(1, 1_000)
    assert len(dials(session)) == 1


def test_a_silent_coordinator_is_left_in_time() -> None:
    session = make()
    session.fresh(1_000)
    session.advance(1_000 + limits.CLIENT_SWITCH_MS - 1)
    assert not dials(session)
    assert session.next_wake() <= 1_000 + limits.CLIENT_SWITCH_MS
    session.advance(1_000 + limits.CLIENT_SWITCH_MS)
    assert [dial.address for dial in dials(session)] == ["k2:1"]


def test_it_says_that_it_lives_whatever_polls_are_held() -> None:
    session = make()
    said = []
    for now in range(1_000, 2_500, 10):
        session.fresh(now)
        session.advance(now)
        said += [now for message in sent(session) if isinstance(message, wire.Alive)]
    assert said == [1_000 + number * limits.ALIVE_MS for number in range(1, 5)]


def test_reports_go_at_once_when_idle_and_gather_when_not() -> None:
    session = make()
    session.report(Lost(1, 1, 1), 1_000)
    session.flush(1_000)
    assert batches(session) == [(1, 1)]
    for task in range(5):
        session.report(Lost(1, task, 1), 1_000)
        session.flush(1_000)
    assert batches(session) == []
    assert session.next_wake() == 1_000 + limits.GATHER_MS
    session.flush(1_000 + limits.GATHER_MS)
    assert batches(session) == [(2, 5)]


def test_batches_are_bounded_in_number_count_and_bytes() -> None:
    session = make()
    large = Done(1, 1, 1, b"d", 1, 0, 1, {"v": b"x" * (limits.SLOT_BYTES // 8)}, [])
    for _ in range(4):
        session.report(large, 1_000)
    for _ in range(10 * limits.REPORTS_PER_BATCH):
        session.report(Lost(1, 1, 1), 1_000)
    for now in range(1_000, 1_100, limits.GATHER_MS):
        session.flush(now)
    found = batches(session)
    assert len(found) == BATCHES_IN_FLIGHT
    assert [sequence for sequence, _ in found] == [1, 2, 3, 4]
    assert max(count for _, count in found) <= limits.REPORTS_PER_BATCH
    assert found[0][1] < 4, "several large ones do not fit"


def test_what_was_not_acknowledged_is_sent_again_in_order_under_the_same_numbers() -> None:
    session = make()
    for now in (1_000, 1_010, 1_020):
        session.report(Lost(1, now, 1), now)
        session.flush(now + limits.GATHER_MS)
    first = sent(session)
    session.acknowledged(1)
    session.disconnected(1, 1_030)
    session.report(Lost(1, 9, 1), 1_030)
    session.flush(1_030)
    assert not sent(session), "no link"
    session.connected(2, [], 1_040)
    again = sent(session)
    assert again[:2] == first[1:]
    assert isinstance(again[2], wire.Poll)
    session.flush(1_050)
    assert batches(session) == [(4, 1)]
    assert session.unacknowledged == 3


def test_an_expired_session_forgets_its_reports() -> None:
    """They were made under an incarnation that is over: the view would refuse them."""
    session = make()
    session.report(Lost(1, 1, 1), 1_000)
    session.flush(1_000)
    session.report(Lost(1, 2, 1), 1_000)
    session.expired()
    assert (session.nonce, session.incarnation, session.known, session.unacknowledged) == (2, 0, 0, 0)
    session.introduce([])
    assert isinstance(sent(session)[-1], wire.RegisterClient)


def test_a_registration_counts_once() -> None:
    session = make()
    assert not session.registered(wire.Registered(1, 7)), "a late copy"
    assert not session.registered(wire.Registered(5, 9)), "somebody else's nonce"
    assert session.incarnation == 7
