"""The client's links from others: who asks for pieces and logs, and what is sent to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tasksprint.client import effects
from tasksprint.client.job_log import JobLog
from tasksprint.codec import digest
from tasksprint.storage.shelf import piece_digest
from tasksprint.transfer.serve import Outgoing
from tasksprint.transport import Handlers, Link
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece

if TYPE_CHECKING:
    from tasksprint.client.core import Client


class Owner(Protocol):
    """What serving needs of the agent."""

    core: Client

    def now_ms(self) -> int: ...
    def soon(self) -> None: ...
    def job_folder(self, job_id: str) -> Path: ...


class Serving:
    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._outgoing: dict[int, Outgoing] = {}
        self._next_link = 0
        self.handlers = Handlers(
            on_up=self._up, on_messages=self._messages, on_closed=self._closed, on_drain=self._drained
        )

    def _up(self, link: Link) -> None:
        self._next_link += 1
        link.data = self._next_link
        self._outgoing[self._next_link] = Outgoing(link)

    def _closed(self, link: Link, reason: str) -> None:
        self._outgoing.pop(link.data).close()
        self._owner.core.fetch_stopped(link.data, None)

    def _drained(self, link: Link) -> None:
        self._outgoing[link.data].pump()

    def _messages(self, link: Link, payloads: list[bytes]) -> None:
        now_ms = self._owner.now_ms()
        for payload in payloads:
            message = wire.decode_to_supplier(payload)
            match message:
                case wire.Fetch():
                    self._owner.core.fetch_requested(link.data, message, now_ms)
                case wire.StopFetch():
                    self._outgoing[link.data].stop(message.request)
                    self._owner.core.fetch_stopped(link.data, message.request)
                case wire.Ping():
                    link.send(wire.encode(wire.Pong()))
                case wire.GetLog():
                    self._log(link, message)
        self._owner.soon()

    def _log(self, link: Link, message: wire.GetLog) -> None:
        name = message.job_id if message.job_id.isalnum() else "-"
        data = JobLog.left(self._owner.job_folder(name) / "log", message.offset)
        piece = Piece(len(data), piece_digest(data), False, data)
        self._outgoing[link.data].send(message.request, digest(b"log"), piece)

    def serve(self, effect: effects.Serve) -> None:
        outgoing = self._outgoing.get(effect.link)
        if outgoing is None:
            return
        outgoing.send(effect.request, effect.result_digest, effect.piece)

    def gone(self, effect: effects.ServeGone) -> None:
        outgoing = self._outgoing.get(effect.link)
        if outgoing is not None:
            outgoing.gone(effect.request, effect.kind, effect.reason)
