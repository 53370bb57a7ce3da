"""Where other processes dial in: one listening socket, links of the kinds that it serves."""

from __future__ import annotations

import asyncio
import errno
import ssl as tls
from collections.abc import Mapping

from tasksprint.limits import LINKS_MAX
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


class Server:
    """`handlers`: kind of link → what its links are told.  Other kinds are refused by name."""

    def __init__(
        self,
        identity: Identity,
        handlers: Mapping[str, Handlers],
        *,
        ssl: tls.SSLContext | None = None,
        links_max: int = LINKS_MAX,
    ) -> None:
        self._identity = identity
        self._handlers = dict(handlers)
        self._ssl = ssl
        self._links_max = links_max
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
        link = Link(accepting(self._identity, self._handlers), self._handlers.__getitem__, self._ended)
        if len(self._connections) >= self._links_max:
            link.turn_away(f"{self._links_max} links are open here: try again later, or elsewhere")
        self._connections.add(link)
        return link

    def _ended(self, link: Link, reason: str) -> None:
        self._connections.discard(link)
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
