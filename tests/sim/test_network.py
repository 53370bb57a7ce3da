"""Datagrams and sessions under the faults that they model."""

from tasksprint.sim.network import Network, Session
from tasksprint.sim.world import MS_US, SECOND_US, World


class Peer:
    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[bytes] = []
        self.closed = 0

    def session_message(self, session: Session, payload: bytes) -> None:
        assert not self.closed, "nothing arrives after the end"
        self.seen.append(payload)

    def session_closed(self, session: Session) -> None:
        self.closed += 1


def pair(seed: int = 1) -> tuple[World, Network, Peer, Peer, Session]:
    world = World(seed)
    network = Network(world)
    one, other = Peer("one"), Peer("other")
    return world, network, one, other, network.open(one, other)


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_datagrams_are_lost_doubled_and_reordered() -> None:
    world = World(1)
    network, seen = Network(world), list[bytes]()
    link = network.link("one", "other")
    link.loss, link.duplicate, link.straggle = 200, 200, 100
    for payload in numbered(200):
        network.send("one", "other", seen.append, payload)
    world.run(5 * SECOND_US)
    assert len(set(seen)) < 200 < len(seen) + world.counters["message lost"]
    assert seen != sorted(seen, key=int)
    assert world.counters["message duplicated"]
    assert world.counters["message reordered"]


def test_a_cut_has_a_direction() -> None:
    world = World(1)
    network, there, back = Network(world), list[bytes](), list[bytes]()
    network.cut("one", "other")
    network.send("one", "other", there.append, b"x")
    network.send("other", "one", back.append, b"y")
    world.run(SECOND_US)
    assert (there, back) == ([], [b"y"])
    network.restore("one", "other")
    network.send("one", "other", there.append, b"x")
    world.run(2 * SECOND_US)
    assert there == [b"x"]


def test_a_clog_delays_everything_until_its_end() -> None:
    world = World(1)
    network, seen = Network(world), list[bytes]()
    network.clog("one", "other", 300 * MS_US)
    network.send("one", "other", seen.append, b"x")
    world.run(299 * MS_US)
    assert seen == []
    world.run(301 * MS_US)
    assert seen == [b"x"]


def test_a_session_keeps_order_over_a_link_that_loses_and_delays() -> None:
    world, network, one, other, session = pair()
    for names in (("one", "other"), ("other", "one")):
        network.link(*names).loss = 300
        network.link(*names).jitter_us = 20_000
    for payload in numbered(100):
        session.send(one, payload)
    session.send(other, b"back")
    world.run(5 * SECOND_US)
    assert other.seen == numbered(100)
    assert one.seen == [b"back"]


def test_a_session_that_breaks_loses_a_suffix_and_tells_both_ends_once() -> None:
    cut_short = 0
    for seed in range(30):
        world, network, one, other, session = pair(seed)
        network.link("one", "other").jitter_us = 20_000
        for payload in numbered(50):
            session.send(one, payload)
        world.after(5 * MS_US, session.close)
        world.run(5 * SECOND_US)
        assert other.seen == numbered(50)[: len(other.seen)]
        cut_short += len(other.seen) < 50
        assert (one.closed, other.closed) == (1, 1)
        session.send(one, b"late")
        world.run(6 * SECOND_US)
        assert b"late" not in other.seen
    assert cut_short > 5


def test_who_closes_hears_nothing_more() -> None:
    world, _, one, other, session = pair()
    session.send(other, b"on its way")
    session.close(one)
    world.run(SECOND_US)
    assert (one.seen, one.closed, other.closed) == ([], 0, 1)


def test_a_session_stalls_under_a_cut_and_goes_on_after_it() -> None:
    world, network, one, other, session = pair()
    network.cut("one", "other")
    session.send(one, b"first")
    session.send(one, b"second")
    world.run(50 * MS_US)
    assert other.seen == []
    network.restore("one", "other")
    world.run(SECOND_US)
    assert other.seen == [b"first", b"second"]


def test_a_session_under_a_long_cut_is_given_up() -> None:
    world, network, one, other, _ = pair()
    network.cut("one", "other")
    world.run(10 * SECOND_US)
    assert (one.closed, other.closed) == (1, 1)
