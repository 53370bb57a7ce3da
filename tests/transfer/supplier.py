"""The two ends that the tests play: a supplier with pieces (or with a script), and fetches that can be waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tasksprint.storage.shelf import piece_digest
from tasksprint.transfer.fetch import Fetcher, Wanted
from tasksprint.transfer.serve import Outgoing
from tasksprint.transport import Handlers, Identity, Link, Server
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece

RESULT = b"r" * 16
JOB = "job"


def identity(sender: str) -> Identity:
    return Identity(b"s" * 32, "test", sender)


def value(data: bytes) -> Piece:
    return Piece(len(data), piece_digest(data), False, value=data)


def file(path: Path, data: bytes) -> Piece:
    path.write_bytes(data)
    return Piece(len(data), piece_digest(data), True, path=path)


class Supplier:
    """Serves `pieces` by key; a key that is not there is never answered.  `script` sees each request first."""

    def __init__(self) -> None:
        self.pieces: dict[str, Piece] = {}
        self.script: Callable[[Link, wire.Fetch], bool] = lambda link, fetch: False  # True: it has dealt with it
        self.mute = False
        self.asked: list[str] = []  # keys
        self.stopped: list[int] = []
        self.pings = 0
        self.links: list[Link] = []
        self.out: dict[Link, Outgoing] = {}
        self._news = asyncio.Event()
        handlers = Handlers(
            on_up=self._up, on_messages=self._messages, on_closed=self._closed, on_drain=self._drained
        )
        self.server = Server(identity("client s"), {"fetch": handlers})

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    def _up(self, link: Link) -> None:
        self.links.append(link)
        self.out[link] = Outgoing(link)

    def _drained(self, link: Link) -> None:
        self.out[link].pump()

    def _closed(self, link: Link, reason: str) -> None:
        self.out.pop(link).close()
        self._news.set()

    def _messages(self, link: Link, payloads: list[bytes]) -> None:
        self._news.set()
        for payload in payloads:
            match wire.decode_to_supplier(payload):
                case wire.Ping():
                    self.pings += 1
                    if not self.mute:
                        link.send(wire.encode(wire.Pong()))
                case wire.StopFetch(request):
                    self.stopped.append(request)
                    self.out[link].stop(request)
                case wire.Fetch() as fetch:
                    self.asked.append(fetch.key)
                    if not (self.mute or self.script(link, fetch)) and fetch.key in self.pieces:
                        self.out[link].send(fetch.request, RESULT, self.pieces[fetch.key])


class Fetch:
    """One fetch, as it ended."""

    def __init__(self, fetcher: Fetcher, address: str, key: str, path: Path | None = None) -> None:
        self.done: asyncio.Future[Piece | tuple[str, str]] = asyncio.get_running_loop().create_future()
        self.wanted = Wanted(
            lambda request: wire.Fetch(request, JOB, 1, 1, key), address, self._arrived, self._failed, path
        )
        fetcher.fetch(self.wanted)

    def _arrived(self, result: bytes, piece: Piece) -> None:
        assert result == RESULT
        self.done.set_result(piece)

    def _failed(self, kind: str, reason: str) -> None:
        self.done.set_result((kind, reason))

    async def piece(self) -> Piece:
        end = await self.done
        assert isinstance(end, Piece), end
        return end

    async def failure(self) -> tuple[str, str]:
        end = await self.done
        assert isinstance(end, tuple)
        return end


@contextlib.asynccontextmanager
async def two() -> AsyncIterator[tuple[Supplier, Fetcher]]:
    supplier, fetcher = Supplier(), Fetcher(identity("client f"))
    await supplier.server.listen()
    try:
        yield supplier, fetcher
    finally:
        fetcher.close()
        await supplier.server.close()
