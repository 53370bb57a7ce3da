"""Asking other clients for pieces of results: one link a supplier, many requests on it.

A request may wait for as long as the supplier's task runs; so silence is no failure, but a supplier that lets so many
pings in a row go unanswered that they make FETCH_STALL_MS is taken for gone, the link is closed, and what it owed is
asked for again: FETCH_TRIES times, then the fetch fails as `unreachable`.  Pings are counted, not seconds: that this
process was stopped for a while, or that nothing was asked on the link for an hour, says nothing about the supplier.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tasksprint import limits
from tasksprint.transfer.plan import Damaged, Incoming, retry_delay_ms
from tasksprint.transport import Handlers, Identity, Link, LinkError, connect_once
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece

PING_MS = 1_000

Request = wire.Fetch | wire.GetLog


@dataclass(slots=True)
class Wanted:
    """One fetch: what was asked, of whom, and where the answer goes."""

    make: Callable[[int], Request]
    address: str
    on_piece: Callable[[bytes, Piece], None]  # (digest of the whole result, the piece)
    on_failed: Callable[[str, str], None]  # (kind, reason)
    file: Path | None  # where a file piece is written
    tries: int = 0
    request: int = 0
    header: wire.Piece | None = None
    incoming: Incoming | None = None
    parts: list[bytes] = field(default_factory=list)
    output: BinaryIO | None = None
    stopped: bool = False


@dataclass(slots=True)
class Supplier:
    """One other client."""

    address: str
    link: Link | None = None
    connecting: bool = False
    wanted: dict[int, Wanted] = field(default_factory=dict)  # by request
    heard: bool = False  # since it was looked at last
    unanswered: int = 0  # pings in a row


class Fetcher:
    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._suppliers: dict[str, Supplier] = {}
        self._next = 0
        self._over = False
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.bytes_received = 0

    def fetch(self, wanted: Wanted) -> None:
        """Ask; one of the two callbacks follows, unless `stop` or `close` comes first."""
        supplier = self._suppliers.get(wanted.address)
        if supplier is None:
            supplier = self._suppliers[wanted.address] = Supplier(wanted.address)
        if not supplier.wanted:
            supplier.heard, supplier.unanswered = False, 0  # while it owed us nothing, it had nothing to say
        self._next += 1
        wanted.request = self._next
        supplier.wanted[wanted.request] = wanted
        if supplier.link is not None:
            supplier.link.send(wire.encode(wanted.make(wanted.request)))
        elif not supplier.connecting:
            self._connect(supplier)
        if self._watch is None:
            self._watch = self._loop.call_later(PING_MS / 1_000, self._look)

    def stop(self, wanted: Wanted) -> None:
        wanted.stopped = True
        supplier = self._suppliers.get(wanted.address)
        if supplier is not None and supplier.wanted.pop(wanted.request, None) is not None and supplier.link is not None:
            supplier.link.send(wire.encode(wire.StopFetch(wanted.request)))
        _discard(wanted)

    def close(self) -> None:
        self._over = True
        if self._watch is not None:
            self._watch.cancel()
        for task in self._tasks:
            task.cancel()
        suppliers, self._suppliers = self._suppliers, {}
        for supplier in suppliers.values():
            for wanted in supplier.wanted.values():
                _discard(wanted)
            supplier.wanted.clear()
            if supplier.link is not None:
                supplier.link.close()

    # --- the link ------------------------------------------------------------------------------------

    def _connect(self, supplier: Supplier) -> None:
        supplier.connecting = True
        task = self._loop.create_task(self._connecting(supplier))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connecting(self, supplier: Supplier) -> None:
        handlers = Handlers(
            on_messages=lambda link, payloads: self._messages(supplier, payloads),
            on_closed=lambda link, reason: self._closed(supplier, link, reason),
        )
        try:
            link = await connect_once(supplier.address, "fetch", self._identity, handlers)
        except LinkError as error:
            supplier.connecting = False
            self._failed_link(supplier, str(error))
            return
        supplier.connecting = False
        if not link.up:
            self._failed_link(supplier, link.reason)
            return
        supplier.link, supplier.unanswered = link, 0
        for wanted in supplier.wanted.values():
            link.send(wire.encode(wanted.make(wanted.request)))

    def _closed(self, supplier: Supplier, link: Link, reason: str) -> None:
        if supplier.link is link:
            supplier.link = None
            self._failed_link(supplier, reason)

    def _failed_link(self, supplier: Supplier, reason: str) -> None:
        owed, supplier.wanted = supplier.wanted, {}
        if self._suppliers.get(supplier.address) is supplier:
            del self._suppliers[supplier.address]
        for wanted in owed.values():
            self._try_again(wanted, "unreachable", f"{supplier.address}: {reason}")

    def _try_again(self, wanted: Wanted, kind: str, reason: str) -> None:
        _discard(wanted)
        wanted.tries += 1
        delay_ms = retry_delay_ms(wanted.tries)
        if delay_ms is None:
            wanted.on_failed(kind, reason)
        else:
            self._loop.call_later(delay_ms / 1000, self._retry, wanted)

    def _retry(self, wanted: Wanted) -> None:
        if not (wanted.stopped or self._over):
            self.fetch(wanted)

    def _look(self) -> None:
        """Now and then: a supplier that owes us something and is silent is asked whether it lives."""
        self._watch = None
        for supplier in list(self._suppliers.values()):
            if not supplier.wanted:
                continue
            if self._watch is None:
                self._watch = self._loop.call_later(PING_MS / 1_000, self._look)
            if supplier.link is not None:
                self._look_at(supplier, supplier.link)

    def _look_at(self, supplier: Supplier, link: Link) -> None:
        if supplier.heard:
            supplier.heard, supplier.unanswered = False, 0
        elif supplier.unanswered * PING_MS >= limits.FETCH_STALL_MS:
            link.abort(f"{supplier.unanswered} pings in {supplier.unanswered * PING_MS / 1_000:g} s were not answered")
        else:
            supplier.unanswered += 1
            link.send(wire.encode(wire.Ping()))

    # --- what comes ----------------------------------------------------------------------------------

    def _messages(self, supplier: Supplier, payloads: list[bytes]) -> None:
        supplier.heard = True
        for payload in payloads:
            message = wire.decode_from_supplier(payload)
            if isinstance(message, wire.Pong):
                continue
            wanted = supplier.wanted.get(message.request)
            if wanted is None:
                continue
            if isinstance(message, wire.Gone):
                del supplier.wanted[message.request]
                self._gone(wanted, message)
                continue
            try:
                self._take(supplier, wanted, message)
            except (Damaged, OSError) as error:
                supplier.wanted.pop(message.request, None)
                if supplier.link is not None:
                    supplier.link.send(wire.encode(wire.StopFetch(message.request)))
                self._try_again(wanted, "unreachable", f"{supplier.address}: {error}")

    def _gone(self, wanted: Wanted, message: wire.Gone) -> None:
        if message.kind == "unknown":
            self._try_again(wanted, message.kind, message.reason)
        else:
            _discard(wanted)
            wanted.on_failed(message.kind, message.reason)

    def _take(self, supplier: Supplier, wanted: Wanted, message: wire.Piece | wire.Chunk) -> None:
        if isinstance(message, wire.Piece):
            if wanted.header is not None:
                raise Damaged("the piece began twice")
            if not message.is_file and message.size > limits.LINE_BYTES:
                raise Damaged(f"a value of {message.size} bytes, the limit is {limits.LINE_BYTES}")
            wanted.header = message
            wanted.incoming = Incoming(message.size, message.digest)
            if message.is_file:
                if wanted.file is None:
                    raise Damaged("a file came where a value was expected")
                wanted.file.parent.mkdir(parents=True, exist_ok=True)
                wanted.output = open(wanted.file, "wb")
        header, incoming = wanted.header, wanted.incoming
        if header is None or incoming is None:
            raise Damaged("a chunk came before its header")
        self.bytes_received += len(message.data)
        whole = incoming.take(message.data)
        if wanted.output is not None:
            wanted.output.write(message.data)
        else:
            wanted.parts.append(message.data)
        if not whole:
            return
        if wanted.output is not None:
            wanted.output.close()
            wanted.output = None
            piece = Piece(path=wanted.file, size=header.size, digest=header.digest, is_file=True)
        else:
            piece = Piece(value=b"".join(wanted.parts), size=header.size, digest=header.digest, is_file=False)
        wanted.parts = []
        del supplier.wanted[wanted.request]
        wanted.on_piece(header.result_digest, piece)


def _discard(wanted: Wanted) -> None:
    """Forget what came so far."""
    wanted.header = wanted.incoming = None
    wanted.parts = []
    if wanted.output is not None:
        with contextlib.suppress(OSError):  # what does not fit on the disk is not wanted any more
            wanted.output.close()
        wanted.output = None
        assert wanted.file is not None
        wanted.file.unlink(missing_ok=True)
