"""The simulated network: datagrams between coordinators, sessions between everybody else.

Real links are TCP.  Between coordinators a link may break and come back between any two messages, and
the old connection's last bytes may arrive after the new one's first: so peers get the harsher model
of datagrams, which are lost, doubled, late and out of order.  A client's core is told when its link
closes, and counts on order until then: so it gets sessions, which keep order, stall under a cut, and
may break at any moment, when each direction loses a suffix of its own.

Links have a direction.  Cutting one direction alone is the fault that finds what symmetric cuts do
not; so does FoundationDB's trick of stopping a random subset of links one by one and restoring them in
another order (`faults.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tasksprint.sim.world import MS_US, World


class Link:
    """One direction between two names."""

    __slots__ = (
        "bytes_per_ms", "clogged_until_us", "cuts", "delay_us", "duplicate", "jitter_us", "last_us", "loss", "straggle"
    )  # fmt: skip

    def __init__(self) -> None:
        self.loss = 0  # per mille
        self.duplicate = 0  # per mille
        self.straggle = 0  # per mille of messages that take up to a second
        self.delay_us = 50
        self.jitter_us = 500
        self.bytes_per_ms = 0  # 0: however long a message is, it is there at once
        self.cuts = 0  # how many faults hold this direction cut
        self.clogged_until_us = 0
        self.last_us = 0  # latest planned delivery, to see reordering


    def length_us(self, payload: bytes) -> int:
        """How long the message takes to pass."""
        return len(payload) * MS_US // self.bytes_per_ms if self.bytes_per_ms else 0


class Network:
    """All links, made on first use with the network's current manners."""

    def __init__(self, world: World):
        self.world = world
        self.manners: Callable[[Link], None] = lambda link: None
        self._links: dict[tuple[str, str], Link] = {}
        self._sessions: list[Session] = []

    def link(self, source: str, target: str) -> Link:
        found = self._links.get((source, target))
        if found is None:
            found = self._links[source, target] = Link()
            self.manners(found)
        return found

    def links(self) -> list[tuple[tuple[str, str], Link]]:
        return sorted(self._links.items(), key=lambda item: item[0])

    # --- datagrams -----------------------------------------------------------------------------------

    def send(self, source: str, target: str, deliver: Callable[[bytes], None], payload: bytes) -> None:
        """Deliver `payload` some time later, perhaps twice, perhaps never."""
        world, link = self.world, self.link(source, target)
        if link.cuts:
            return
        if link.loss and world.chance(link.loss):
            world.counters["message lost"] += 1
            return
        world.after(self._delay_us(link) + link.length_us(payload), deliver, payload)
        if link.duplicate and world.chance(link.duplicate):
            world.counters["message duplicated"] += 1
            world.after(self._delay_us(link) + world.between(0, 300 * MS_US), deliver, payload)

    def _delay_us(self, link: Link) -> int:
        world = self.world
        delay = link.delay_us + int(world.random.random() * link.jitter_us)
        if link.straggle and world.chance(link.straggle):
            delay += world.between(0, 1_000 * MS_US)
        arrival = max(world.now_us + delay, link.clogged_until_us)
        if arrival < link.last_us:
            world.counters["message reordered"] += 1
        link.last_us = max(link.last_us, arrival)
        return arrival - world.now_us

    # --- cuts ----------------------------------------------------------------------------------------

    def cut(self, source: str, target: str) -> None:
        self.link(source, target).cuts += 1
        for session in self.sessions():
            names = (session.ends[0].name, session.ends[1].name)
            if names in ((source, target), (target, source)):
                self.world.after(self.world.between(100, 5_000) * MS_US, self._give_up, session, source, target)

    def _give_up(self, session: Session, source: str, target: str) -> None:
        """A link that moves nothing for long is closed by one of its ends, sooner or later."""
        if session.is_open and self.link(source, target).cuts:
            session.close()

    def restore(self, source: str, target: str) -> None:
        link = self.link(source, target)
        assert link.cuts > 0
        link.cuts -= 1
        if not link.cuts:
            self._resume_sessions()

    def clog(self, source: str, target: str, length_us: int) -> None:
        """Nothing arrives for a while; then everything does."""
        link = self.link(source, target)
        link.clogged_until_us = max(link.clogged_until_us, self.world.now_us + length_us)

    def heal(self) -> None:
        """Every link works, at once and without loss."""
        self.manners = lambda link: None
        for link in self._links.values():
            link.loss = link.duplicate = link.straggle = link.cuts = link.clogged_until_us = 0
            link.delay_us, link.jitter_us = 50, 500
        self._resume_sessions()

    # --- sessions ------------------------------------------------------------------------------------

    def open(self, first: End, second: End) -> Session:
        session = Session(self, first, second)
        self._sessions.append(session)
        return session

    def sessions(self) -> list[Session]:
        self._sessions = [session for session in self._sessions if session.is_open]
        return self._sessions

    def _resume_sessions(self) -> None:
        for session in self.sessions():
            session.resume()


class End(Protocol):
    """Who stands at one end of a session."""

    @property
    def name(self) -> str: ...
    def session_message(self, session: Session, payload: bytes) -> None: ...
    def session_closed(self, session: Session) -> None: ...


class Session:
    """An ordered stream of messages in each direction, until it breaks."""

    __slots__ = ("_gone_us", "_last_us", "_stalled", "_told", "ends", "is_open", "network")

    def __init__(self, network: Network, first: End, second: End):
        self.network = network
        self.ends = (first, second)
        self.is_open = True
        self._stalled: tuple[list[bytes], list[bytes]] = ([], [])
        self._last_us = [0, 0]  # planned arrival of the last message towards each end
        self._gone_us = [-1, -1]  # what would arrive at an end after this is lost
        self._told = [False, False]

    def send(self, sender: End, payload: bytes) -> None:
        if not self.is_open:
            return
        target = 1 if sender is self.ends[0] else 0
        if self._link(target).cuts or self._stalled[target]:
            self._stalled[target].append(payload)
            return
        self._fly(target, payload)

    def other(self, end: End) -> End:
        return self.ends[1] if end is self.ends[0] else self.ends[0]

    def resume(self) -> None:
        """A cut ended: what waited in the sender's buffers flies on."""
        for target in (0, 1):
            if self._stalled[target] and not self._link(target).cuts:
                waiting = self._stalled[target][:]
                self._stalled[target].clear()
                for payload in waiting:
                    self._fly(target, payload)

    def _link(self, target: int) -> Link:
        return self.network.link(self.ends[1 - target].name, self.ends[target].name)

    def _fly(self, target: int, payload: bytes) -> None:
        world, link = self.network.world, self._link(target)
        delay = link.delay_us + int(world.random.random() * link.jitter_us) + link.length_us(payload)
        if link.loss and world.chance(link.loss):
            delay += world.between(0, 200 * MS_US)  # TCP sends again
        arrival = max(world.now_us + delay, link.clogged_until_us, self._last_us[target])
        self._last_us[target] = arrival
        world.after(arrival - world.now_us, self._arrive, target, payload)

    def _arrive(self, target: int, payload: bytes) -> None:
        gone_us = self._gone_us[target]
        if self._told[target] or (gone_us >= 0 and self.network.world.now_us > gone_us):
            return
        self.ends[target].session_message(self, payload)

    def close(self, closer: End | None = None, *, within_us: int = 20 * MS_US) -> None:
        """Break: each end hears of it within `within_us`; what is in flight then is lost, a suffix each way.

        `closer` is an end that closes by itself or died: it hears nothing more.
        """
        if not self.is_open:
            return
        self.is_open = False
        world = self.network.world
        for target in (0, 1):
            if self.ends[target] is closer:
                self._told[target] = True
                continue
            delay = world.between(0, within_us)
            self._gone_us[target] = world.now_us + delay
            world.after(delay, self._tell, target)

    def _tell(self, target: int) -> None:
        if not self._told[target]:
            self._told[target] = True
            self.ends[target].session_closed(self)
