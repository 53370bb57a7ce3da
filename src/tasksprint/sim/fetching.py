"""Fetching pieces from clients, as the shell does it: a link to each address, a few tries, then a reason why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tasksprint import limits
from tasksprint.sim.network import End, Session
from tasksprint.sim.world import MS_US, Process
from tasksprint.wire import messages as wire

if TYPE_CHECKING:
    from tasksprint.sim.cluster import Cluster


class Supplier(End, Protocol):
    """A client whose results can be fetched."""

    running: bool

    def accept_fetcher(self, session: Session) -> None: ...


@dataclass(slots=True)
class Request:
    number: int
    address: str
    fetch: wire.Fetch
    done: Callable[[wire.Piece], None]
    failed: Callable[[str, str], None]
    tries: int = 0


class Fetcher:
    """The requests of one process; one of `done` and `failed` is called once for each that is not stopped."""

    def __init__(self, process: Process, cluster: Cluster):
        self.process = process
        self.name = process.name
        self.cluster = cluster
        self.requests: dict[int, Request] = {}
        self._sessions: dict[str, Session] = {}
        self._next = 0

    def fetch(
        self,
        address: str,
        what: tuple[str, int, int, str],
        done: Callable[[wire.Piece], None],
        failed: Callable[[str, str], None],
    ) -> int:
        self._next += 1
        request = Request(self._next, address, wire.Fetch(self._next, *what), done, failed)
        self.requests[self._next] = request
        self._try(request)
        return self._next

    def stop(self, number: int) -> None:
        request = self.requests.pop(number, None)
        session = self._sessions.get(request.address) if request else None
        if session is not None:
            session.send(self, wire.encode(wire.StopFetch(number)))

    def close(self) -> None:
        """The process ends."""
        for session in self._sessions.values():
            session.close(self)
        self._sessions.clear()
        self.requests.clear()

    def _try(self, request: Request) -> None:
        if request.number not in self.requests:
            return
        request.tries += 1
        session = self._sessions.get(request.address)
        if session is None:
            supplier = self.cluster.suppliers.get(request.address)
            if supplier is None or not supplier.running or not self.cluster.connects(self.name, supplier.name):
                self._again(request)
                return
            session = self._sessions[request.address] = self.cluster.network.open(self, supplier)
            supplier.accept_fetcher(session)
        session.send(self, wire.encode(request.fetch))

    def _again(self, request: Request) -> None:
        if request.tries >= limits.FETCH_TRIES:
            self.requests.pop(request.number, None)
            self.process.later(MS_US, request.failed, "unreachable", "several tries were made")
            return
        delay_ms = limits.RECONNECT_MIN_MS << request.tries
        self.process.later(delay_ms * MS_US, self._try, request)

    # --- the other end speaks --------------------------------------------------------------------------

    def session_message(self, session: Session, payload: bytes) -> None:
        self.process.happen(self.process.life, self._message, (session, payload))

    def _message(self, session: Session, payload: bytes) -> None:
        message = wire.decode_from_supplier(payload)
        self.process.world.note(f"→{self.name}", payload, lambda: repr(message))
        if isinstance(message, wire.Chunk):
            return
        request = self.requests.pop(message.request, None)
        if request is None:
            return
        if isinstance(message, wire.Piece):
            request.done(message)
        else:
            request.failed(message.kind, message.reason)

    def session_closed(self, session: Session) -> None:
        self.process.happen(self.process.life, self._closed, (session,))

    def _closed(self, session: Session) -> None:
        for address in [a for a, known in self._sessions.items() if known is session]:
            del self._sessions[address]
            for request in [r for r in self.requests.values() if r.address == address]:
                self._again(request)
