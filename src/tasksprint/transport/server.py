"""Where other processes dial in: one listening socket, links of the kinds that it serves.

Anybody may connect, and hold a descriptor of ours until HANDSHAKE_MS are over.  So connections that have not shown
the secret are counted apart from links: above `half_open_max` the oldest of them is cut off, which leaves descriptors
for everything else that this process does.  Above `links_max` links newcomers are asked to try again.  (When
descriptors run out all the same, uvloop accepts and closes what it cannot keep, asyncio waits a second; neither spins.)
"""

from __future__ import annotations

import asyncio
import errno
import resource
import ssl as tls
from collections.abc import Mapping

from tasksprint.limits import FILES_MAX, HALF_OPEN_MAX, LINKS_MAX
from tasksprint.transport.link import Handlers, Identity, Link, LinkError, accepting, plainly

LOCALHOST = "127.0.0.1"


class CannotListen(LinkError):
    """The address is taken, not ours, or not allowed."""


def parse_address(text: str) -> tuple[str, int]:
    """`host:port`, or `[v6]:port`, as two values.  Raises LinkError that shows what was wrong."""
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65_535:
        raise LinkError(f"{text!r} is no address: write host:port, for example 127.0.0.1:7101")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def room() -> tuple[int, int]:
    """(links, half-open connections) that this process can have: at most five eighths of its descriptors."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not 0 <= files <= FILES_MAX:  # unlimited
        files = FILES_MAX
    return min(LINKS_MAX, files // 2), min(HALF_OPEN_MAX, files // 8)


class Server:
    """`handlers`: kind of link → what its links are told.  Other kinds are refused by name."""

    def __init__(
        self,
        identity: Identity,
        handlers: Mapping[str, Handlers],
        *,
        ssl: tls.SSLContext | None = None,
        links_max: int | None = None,
        half_open_max: int | None = None,
    ) -> None:
        self._identity = identity
        self._handlers = dict(handlers)
        self._ssl = ssl
        links, half_open = room()
        self._links_max = links if links_max is None else links_max
        self._half_open_max = half_open if half_open_max is None else half_open_max
        self._half_open: dict[Link, None] = {}  # oldest first
        self._server: asyncio.Server | None = None
        self._connections: set[Link] = set()
        self._someone_left = asyncio.Event()
        self.host = ""
        self.port = 0
        self.refused = 0  # connections that never became links

    async def listen(self, host: str = LOCALHOST, port: int = 0) -> None:
        """Port 0: any free one, then told by `port`.  Raises CannotListen."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, host, port, ssl=self._ssl, backlog=512)
        except OSError as error:
            raise CannotListen(_cannot_listen(join_address(host, port), error)) from error
        self.host = host
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        return join_address(self.host, self.port)

    @property
    def links(self) -> list[Link]:
        return [link for link in self._connections if link.up]

    async def close(self, reason: str = "the process ends") -> None:
        """Stop listening and close every link; returns when the port is free and all links have ended."""
        if self._server is not None:
            self._server.close()
        for link in list(self._connections):
            link.close(reason)
        while self._connections:
            self._someone_left.clear()
            await self._someone_left.wait()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def _accept(self) -> Link:
        link = Link(accepting(self._identity, self._handlers), lambda kind: self._is_up(link, kind), self._ended)
        if len(self._connections) - len(self._half_open) >= self._links_max:
            link.turn_away(f"{self._links_max} links are open here: try again later, or elsewhere")
        if len(self._half_open) >= self._half_open_max:
            oldest = next(iter(self._half_open))
            del self._half_open[oldest]
            oldest.abort("too many connections without a handshake")
        self._connections.add(link)
        self._half_open[link] = None
        return link

    def _is_up(self, link: Link, kind: str) -> Handlers:
        self._half_open.pop(link, None)
        return self._handlers[kind]

    def _ended(self, link: Link, reason: str) -> None:
        self._connections.discard(link)
        self._half_open.pop(link, None)
        self._someone_left.set()
        if not link.kind:
            self.refused += 1


def _cannot_listen(address: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{address} is in use: choose another port, or stop what listens there"
    if error.errno == errno.EACCES:
        return f"{address} may not be opened by this user: choose a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is no address of this machine: choose one that is"
    return f"cannot listen on {address}: {plainly(error)}"
