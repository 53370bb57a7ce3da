"""A whole client in the simulated world: its core, its nodes, its shelf, its links.

A crash takes the nodes and whatever was under way; the results on the shelf come back with the next start,
or do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasksprint import limits
from tasksprint.client import effects
from tasksprint.client.core import Client
from tasksprint.sim.fetching import Fetcher
from tasksprint.sim.network import Session
from tasksprint.sim.nodes import NodeProcess
from tasksprint.sim.programs import value_piece
from tasksprint.sim.world import MS_US, SECOND_US, Process
from tasksprint.storage.shelf import result_digest
from tasksprint.view.operations import Held
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece, Result

if TYPE_CHECKING:
    from tasksprint.sim.cluster import Cluster

ShelfId = tuple[str, int, int]  # (job id, task, attempt)


class ClientHost(Process):
    """The agent's part, in virtual time."""

    def __init__(self, cluster: Cluster, name: str):
        super().__init__(cluster.world, name)
        self.cluster = cluster
        self.slots = cluster.world.between(1, 3)
        self.mean_us = cluster.world.between(5, 400) * MS_US
        self.labels: list[str] = []
        self.core: Client
        self.shelf: dict[ShelfId, tuple[Held, Result]] = {}
        self.nodes: dict[int, NodeProcess] = {}
        self.fetcher: Fetcher
        self.ends_for_good = False
        self._address = ""
        self._session: Session | None = None
        self._number = 0
        self._fetchers: dict[Session, int] = {}
        self._fetcher_sessions: dict[int, Session] = {}
        self._next_link = 0
        self._fetching: dict[tuple[int, int, int, str], int] = {}

    # --- life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        super().start()
        world = self.world
        if self.shelf and world.chance(300):
            world.counters.hit("results gone after restart")
            self.shelf.clear()
        if self.shelf:
            world.counters.hit("results kept over restart")
        self._address = f"{self.name}:{self.life}".replace(" ", "-")
        self.cluster.suppliers[self._address] = self
        self.nodes.clear()
        self._fetchers.clear()
        self._fetcher_sessions.clear()
        self._fetching.clear()
        self._session = None
        self.fetcher = Fetcher(self, self.cluster)
        coordinators = list(self.cluster.addresses)
        world.random.shuffle(coordinators)
        self.core = Client(
            self.name, world.between(1, 1 << 50), self._address, self.slots, self.labels, coordinators, self.now_ms(),
            list(self.shelf.values()),
        )  # fmt: skip
        self.turn()

    def crash(self) -> None:
        super().crash()
        self.cluster.suppliers.pop(self._address, None)
        within_us = 20 * MS_US if self.world.chance(700) else 3 * SECOND_US
        for session in [self._session, *self._fetchers]:
            if session is not None:
                session.close(self, within_us=within_us)
        self._session = None
        self.fetcher.close()

    def leave(self) -> None:
        """SIGTERM."""
        self.happen(self.life, self._leave, ())

    def _leave(self) -> None:
        self.core.leave(self.now_ms())

    def wake(self) -> None:
        self.core.advance(self.now_ms())

    def turn(self) -> None:
        for effect in self.core.take():
            self._perform(effect)
            if not self.running:
                return
        self.wake_at(self.core.next_wake())

    # --- effects -------------------------------------------------------------------------------------

    def _perform(self, effect: effects.Effect) -> None:
        match effect:
            case effects.SendCoordinator():
                if self._session is not None:
                    self._session.send(self, wire.encode(effect.message))
            case effects.Dial():
                self._hang_up()
                self._number = effect.number
                self.later(effect.delay_ms * MS_US + self.world.between(50, 500), self._dial, effect)
            case effects.StartNode():
                self.nodes[effect.node] = NodeProcess(self, effect.node)
            case effects.Run():
                self.cluster.ran(self, effect.assign)
                self.nodes[effect.node].run(effect.assign, effect.inputs)
            case effects.CancelRun():
                if effect.node in self.nodes:
                    self.nodes[effect.node].cancel((effect.job, effect.task, effect.attempt))
            case effects.StopNode():
                if effect.node in self.nodes:
                    self.nodes.pop(effect.node).end()
            case effects.FetchPiece() | effects.StopFetching():
                self._fetch(effect)
            case effects.Serve() | effects.ServeGone():
                self._serve(effect)
            case effects.KeepResult():
                held = Held(effect.job_id, effect.task, effect.attempt, effect.result.digest, effect.result.size)
                self.shelf[effect.job_id, effect.task, effect.attempt] = (held, effect.result)
            case effects.DropResult():
                for shelf_id in [s for s in self.shelf if s[1:] == (effect.task, effect.attempt)]:
                    if self.cluster.shadow.job_number(shelf_id[0]) == effect.job:
                        del self.shelf[shelf_id]
            case effects.DropJob():
                for shelf_id in [s for s in self.shelf if s[0] == effect.job_id]:
                    del self.shelf[shelf_id]
            case effects.DropLeftovers():
                for shelf_id in [s for s in self.shelf if s[0] not in effect.jobs or s in effect.results]:
                    self.world.counters.hit("leftover dropped")
                    del self.shelf[shelf_id]
            case effects.Left():
                self.world.counters.hit("client left")
                self.cluster.left(self)

    # --- the link to a coordinator ---------------------------------------------------------------------

    def _dial(self, dial: effects.Dial) -> None:
        if dial.number != self._number:
            return
        target = self.cluster.addresses[dial.address]
        if not self.cluster.connects(self.name, target.name):
            self.later(limits.CONNECT_MS * MS_US, self.core_disconnected, dial.number)
        elif not target.running:
            self.core_disconnected(dial.number)
        else:
            self._session = self.cluster.network.open(self, target)
            target.accept(self._session)
            self.core.connected(dial.number, self.now_ms())

    def core_disconnected(self, number: int) -> None:
        self.core.disconnected(number, self.now_ms())

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.close(self)
            self._session = None

    def session_message(self, session: Session, payload: bytes) -> None:
        self.happen(self.life, self._message, (session, payload))

    def _message(self, session: Session, payload: bytes) -> None:
        if session is self._session:
            message = wire.decode_from_coordinator(payload)
            self.world.note(f"→{self.name}", payload, lambda: repr(message))
            self.core.message(message, self.now_ms())
        elif session in self._fetchers:
            asked = wire.decode_to_supplier(payload)
            self.world.note(f"→{self.name}", payload, lambda: f"from {session.other(self).name} {asked!r}")
            if isinstance(asked, wire.Fetch):
                self.core.fetch_requested(self._fetchers[session], asked, self.now_ms())
            elif isinstance(asked, wire.StopFetch):
                self.core.fetch_stopped(self._fetchers[session], asked.request)

    def session_closed(self, session: Session) -> None:
        self.happen(self.life, self._closed, (session,))

    def _closed(self, session: Session) -> None:
        if session is self._session:
            self._session = None
            self.core.disconnected(self._number, self.now_ms())
        elif session in self._fetchers:
            link = self._fetchers.pop(session)
            del self._fetcher_sessions[link]
            self.core.fetch_stopped(link, None)

    def made(self, attempt_id: tuple[int, int, int], pieces: dict[str, Piece], run_us: int) -> None:
        """The files of a result are hashed."""
        size = sum(piece.size for piece in pieces.values())
        self.core.result_made(attempt_id, Result(result_digest(pieces), pieces, size, 0, run_us), self.now_ms())

    # --- pieces ----------------------------------------------------------------------------------------

    def accept_fetcher(self, session: Session) -> None:
        self._next_link += 1
        self._fetchers[session] = self._next_link
        self._fetcher_sessions[self._next_link] = session

    def _fetch(self, effect: effects.FetchPiece | effects.StopFetching) -> None:
        piece_id = (effect.job, effect.task, effect.attempt, effect.key)
        if isinstance(effect, effects.StopFetching):
            number = self._fetching.pop(piece_id, None)
            if number is not None:
                self.fetcher.stop(number)
            return

        def done(piece: wire.Piece) -> None:
            self._fetching.pop(piece_id, None)
            self.world.counters.hit("piece fetched")
            fetched = value_piece(piece.data, is_file=piece.is_file)
            self.core.fetched_piece(piece_id, piece.result_digest, fetched, self.now_ms())

        def failed(kind: str, reason: str) -> None:
            self._fetching.pop(piece_id, None)
            self.world.counters.hit(f"fetch failed: {kind}")
            self.core.fetch_failed(piece_id, kind, reason, self.now_ms())

        what = (effect.job_id, effect.task, effect.attempt, effect.key)
        self._fetching[piece_id] = self.fetcher.fetch(effect.address, what, done, failed)

    def _serve(self, effect: effects.Serve | effects.ServeGone) -> None:
        session = self._fetcher_sessions.get(effect.link)
        if session is None:
            return
        if isinstance(effect, effects.ServeGone):
            session.send(self, wire.encode(wire.Gone(effect.request, effect.kind, effect.reason)))
            return
        piece = effect.piece
        message = wire.Piece(
            effect.request, effect.result_digest, piece.digest, piece.is_file, piece.size, piece.read()
        )  # fmt: skip
        session.send(self, wire.encode(message))

    def lose_result(self) -> None:
        """A file of the shelf cannot be read any more."""
        if self.shelf and self.running and not self.paused:
            shelf_id = list(self.shelf)[self.world.between(0, len(self.shelf) - 1)]
            number = self.cluster.shadow.job_number(shelf_id[0])
            if number is not None:
                self.world.counters.hit("result lost")
                del self.shelf[shelf_id]
                self.happen(self.life, self._lost, (number, *shelf_id[1:]))

    def _lost(self, job: int, task: int, attempt: int) -> None:
        self.core.result_lost(job, task, attempt, self.now_ms())
