"""Links that we open: one kept for as long as it is wanted (`Dialer`), or one for a command (`connect_once`)."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl as tls
from collections.abc import Callable

from tasksprint.limits import CONNECT_MS, RECONNECT_MAX_MS, RECONNECT_MIN_MS, REFUSED_RETRY_MS
from tasksprint.transport.link import Handlers, Identity, Link, LinkError, LinkRefused, dialing, plainly
from tasksprint.transport.server import parse_address


async def connect_once(
    address: str,
    kind: str,
    identity: Identity,
    handlers: Handlers,
    *,
    ssl: tls.SSLContext | None = None,
    timeout_ms: int = CONNECT_MS,
) -> Link:
    """A link that is up.  Raises LinkRefused when the two sides do not belong together, LinkError for all else."""
    loop = asyncio.get_running_loop()
    host, port = parse_address(address)
    up: asyncio.Future[None] = loop.create_future()

    def is_up(link: Link) -> None:
        handlers.on_up(link)
        if not up.done():
            up.set_result(None)

    def ended(link: Link, reason: str) -> None:
        if not up.done():
            up.set_exception((LinkRefused if link.refused else LinkError)(f"{address}: {reason}"))
            up.exception()  # looked at, should nobody wait any more

    told = dataclasses.replace(handlers, on_up=is_up)
    link = Link(dialing(identity, kind), lambda _: told, ended)
    try:
        async with asyncio.timeout(timeout_ms / 1_000):
            await _connect(link, host, port, ssl)
            await up
    except TimeoutError:
        link.abort("given up")
        raise LinkError(f"{address}: no answer within {timeout_ms / 1_000:g} s") from None
    except OSError as error:
        raise LinkError(f"{address}: {plainly(error)}") from error
    except BaseException:
        link.abort("given up")
        raise
    return link


async def _connect(link: Link, host: str, port: int, ssl: tls.SSLContext | None) -> None:
    """The first address of the host that answers.

    The name is looked up here: a look-up inside of `create_connection` goes on when that is cancelled, and on uvloop
    its error is then told to nobody but the log.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    trouble: OSError | None = None
    for address in dict.fromkeys(str(row[4][0]) for row in found):
        try:
            await loop.create_connection(lambda: link, address, port, ssl=ssl, server_hostname=host if ssl else None)
            return
        except OSError as error:
            trouble = trouble or error
    raise trouble or OSError(f"the name {host} stands for no address")


class Dialer:
    """Keeps one link to an address, and dials again, each time a little later, when there is none.

    `on_down(reason, final)` tells of each try that failed and each link that broke; `final`: the other side refused
    us for good (secret, version, cluster, kind).  A final refusal is not given up, since the other side may be mended,
    but is tried again only every REFUSED_RETRY_MS.
    """

    def __init__(
        self,
        address: str,
        kind: str,
        identity: Identity,
        handlers: Handlers,
        on_down: Callable[[str, bool], None],
        *,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.link: Link | None = None
        self._kind = kind
        self._identity = identity
        self._ssl = ssl
        self._on_down = on_down
        self._user = handlers
        self._handlers = dataclasses.replace(handlers, on_up=self._up, on_closed=self._closed)
        self._task: asyncio.Task[None] | None = None
        self._broken = asyncio.Event()
        self._hurry = asyncio.Event()

    def start(self) -> None:
        parse_address(self.address)  # a bad one is told now
        self._task = asyncio.get_running_loop().create_task(self._keep())
        self._task.add_done_callback(_tell_failure)

    def hurry(self) -> None:
        """There is reason to think that the other side is back: do not wait for the next try."""
        self._hurry.set()

    def close(self, reason: str = "closed here") -> None:
        """No callback follows but the link's own `on_closed`."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self.link is not None:
            self.link.close(reason)

    async def _keep(self) -> None:
        wait_ms = RECONNECT_MIN_MS
        while True:
            self._broken.clear()
            final = False
            try:
                await connect_once(self.address, self._kind, self._identity, self._handlers, ssl=self._ssl)
            except LinkError as error:
                final = isinstance(error, LinkRefused)
                self._on_down(str(error), final)
            else:
                wait_ms = RECONNECT_MIN_MS
                await self._broken.wait()
            await self._pause(REFUSED_RETRY_MS if final else wait_ms)
            wait_ms = min(wait_ms * 2, RECONNECT_MAX_MS)

    async def _pause(self, wait_ms: int) -> None:
        self._hurry.clear()
        try:
            async with asyncio.timeout(wait_ms / 1_000):
                await self._hurry.wait()
        except TimeoutError:
            pass

    def _up(self, link: Link) -> None:
        self.link = link
        self._user.on_up(link)

    def _closed(self, link: Link, reason: str) -> None:
        self.link = None
        self._user.on_closed(link, reason)
        self._broken.set()
        if self._task is not None:
            self._on_down(f"{self.address}: {reason}", False)


def _tell_failure(task: asyncio.Task[None]) -> None:
    """Nobody awaits the task, so nobody else would hear of it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": "dialing failed", "exception": error})
