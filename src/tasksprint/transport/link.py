"""One framed connection between two of our processes.

Writing: `send` only appends to a list.  The first `send` of a loop turn asks the loop to call `_flush`, which joins
everything that was sent since and hands it to the transport in one write: a thousand small messages cost one system
call.  Who knows where its turn ends calls `gather` and `flush` instead.  A user that sends much (over FLUSH_BYTES) is
flushed at once, so that the transport can say `paused` before more is built.  While nothing waits in the transport the
bytes go straight to the socket: a transport writes when its loop comes round, and somebody waits for them.

Back-pressure: `backlog` counts what the other side's socket has not taken.  Above HIGH_BYTES `paused` is true and
`on_pause` is called; below LOW_BYTES `on_drain` follows.  Who sends in bulk stops at `paused`.  Who cannot stop
(heartbeats, log entries) goes on, up to LINK_BUFFER_BYTES; then the link is closed with a reason, because a peer
that reads nothing must not hold our memory.

Reading: all payloads of one read are given in one `on_messages`.  A FrameError, a payload that its handler cannot
decode (msgspec.DecodeError) and a handshake that fails each close the link, never the process.  Any other exception of
a handler is an error of ours: the loop's exception handler is told, the same way on every loop.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from struct import Struct
from typing import Any, cast

import msgspec

from tasksprint.limits import FRAME_BYTES, HANDSHAKE_MS, KIB, LINK_BUFFER_BYTES, MIB
from tasksprint.wire.frames import HEADER_BYTES, FrameDecoder, FrameError, frame
from tasksprint.wire.handshake import (
    HANDSHAKE_BYTES,
    NONCE_BYTES,
    AcceptorHandshake,
    DialerHandshake,
    Refused,
    rejection,
)

HIGH_BYTES = 1 * MIB  # unwritten: `paused`
LOW_BYTES = 256 * KIB  # ... and again not
FLUSH_BYTES = 256 * KIB  # gathered in one turn: written at once
CLOSE_MS = 500  # a closing link has this long to write what it still holds
NOBODY = "nobody listens there: is it running, and is the address right?"

_length = Struct("<I")


class LinkError(Exception):
    """No link: one line that says why and what to do.  Trying again may help."""


class LinkRefused(LinkError):
    """The two sides do not belong together (secret, version, cluster, kind): trying again will not help."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are on every link."""

    secret: bytes
    cluster: str
    sender: str  # "coordinator 2", "client 9f…", "command"


def _ignore(link: Link) -> None:
    pass


def _ignore_reason(link: Link, reason: str) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """What a link's user is told; all of it is called in the loop, `on_up` first and `on_closed` last, once each."""

    on_messages: Callable[[Link, list[bytes]], None]
    on_up: Callable[[Link], None] = _ignore
    on_closed: Callable[[Link, str], None] = _ignore_reason
    on_pause: Callable[[Link], None] = _ignore
    on_drain: Callable[[Link], None] = _ignore


Ended = Callable[["Link", str], None]


class Link(asyncio.Protocol):
    """Made by Server, Dialer and connect_once; after `on_up` it may be used until `on_closed`.

    `kind` and `sender` are what the other side proved; `data` is for the user alone.
    """

    __slots__ = (
        "_closing", "_decoder", "_ended", "_flushing", "_full", "_gathered", "_gathered_bytes", "_handlers",
        "_handshake", "_kinds", "_loop", "_reason", "_refused", "_socket", "_timer", "_transport", "_up", "data",
        "kind", "paused", "sender",
    )  # fmt: skip

    def __init__(
        self, handshake: DialerHandshake | AcceptorHandshake, handlers: Callable[[str], Handlers], ended: Ended
    ) -> None:
        """`handlers` gives the user's handlers for a kind; `ended` is the maker's: called last, up or not."""
        self._loop = asyncio.get_running_loop()
        self._handshake = handshake
        self._kinds = handlers
        self._handlers: Handlers | None = None
        self._ended = ended
        self._decoder = FrameDecoder(HANDSHAKE_BYTES)
        self._transport: asyncio.Transport | None = None
        self._socket = -1  # its descriptor, where bytes may go straight to it
        self._timer: asyncio.TimerHandle | None = None
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._flushing = False
        self._closing = False
        self._reason = ""
        self._refused = False
        self._full = ""
        self._up = False
        self.paused = False
        self.kind = ""
        self.sender = ""
        self.data: Any = None

    # --- for the user ---------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Written at the end of this loop turn.  On a link that is closing or closed it is dropped silently."""
        self.gather(payload)
        if self._gathered and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_later)

    def gather(self, payload: bytes) -> None:
        """As `send`, for who calls `flush` in this loop turn: what the loop is asked to call costs another turn."""
        if self._closing:
            return
        size = len(payload)
        if size > FRAME_BYTES:
            raise ValueError(f"a payload of {size} bytes, a frame may have {FRAME_BYTES}")
        self._gathered.append(_length.pack(size))
        self._gathered.append(payload)
        self._gathered_bytes += size + HEADER_BYTES
        if self._gathered_bytes >= FLUSH_BYTES:
            self._flush()

    def flush(self) -> None:
        if not self._closing:
            self._flush()

    @property
    def backlog(self) -> int:
        """Bytes that were sent here and not yet taken by the other side's socket."""
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self._gathered_bytes + waiting

    @property
    def up(self) -> bool:
        return self._up and not self._closing

    def close(self, reason: str = "closed here") -> None:
        """What was sent before is still written, for up to CLOSE_MS; `on_closed` follows with `reason`."""
        if self._closing:
            return
        self._flush()
        self._end(reason)
        if self._transport is not None:
            self._transport.close()
            self._set_timer(CLOSE_MS, self._transport.abort)

    def abort(self, reason: str) -> None:
        """At once; what waits to be written is lost."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        if self._transport is not None and not self._closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._closing:
            self._transport.resume_reading()

    # --- for the maker --------------------------------------------------------------------------------

    @property
    def reason(self) -> str:
        return self._reason

    @property
    def refused(self) -> bool:
        """The handshake failed for good: the other side will say the same next time."""
        return self._refused

    def turn_away(self, reason: str) -> None:
        """Answer the other side's first message with a rejection; it may try again.

        Not before: a socket that is closed with something unread in it takes back what was written.
        """
        self._full = reason

    # --- asyncio.Protocol -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._closing:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=HIGH_BYTES, low=LOW_BYTES)
        _set_options(self._transport)
        self._socket = _descriptor(self._transport)
        if _is_connected_to_itself(self._transport):
            self.abort(NOBODY)
            return
        self._set_timer(HANDSHAKE_MS, lambda: self.abort(f"no handshake within {HANDSHAKE_MS / 1000:g} s"))
        if isinstance(self._handshake, DialerHandshake):
            self._write(frame(self._handshake.begin()))

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            if self._up:
                payloads = self._decoder.feed(data)
            else:
                payloads = self._shake_hands(data)
            if payloads and self._handlers is not None:
                self._handlers.on_messages(self, payloads)
        except FrameError as error:
            self.abort(str(error) if self._up else f"this is no TaskSprint: {error}")
        except msgspec.DecodeError as error:
            self.abort(f"a message that cannot be understood: {error}")
        except Exception as error:
            self._loop.call_exception_handler({"message": "a handler of messages failed", "exception": error})
            self.abort(f"an error of this process: {error}")

    def pause_writing(self) -> None:
        self.paused = True
        if self._up and self._handlers is not None:
            self._handlers.on_pause(self)

    def resume_writing(self) -> None:
        self.paused = False
        if self.up and self._handlers is not None:
            self._handlers.on_drain(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(_lost(error) if not self._decoder.pending else f"{_lost(error)}, in the middle of a message")
        self._socket = -1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._gathered.clear()
        self._gathered_bytes = 0
        if self._up and self._handlers is not None:
            self._handlers.on_closed(self, self._reason)
        self._ended(self, self._reason)

    # --- inside ---------------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> list[bytes]:
        """Payloads that came right behind the handshake."""
        payload = self._decoder.feed_one(data)
        while payload is not None:
            try:
                if self._full:
                    raise Refused(self._full, rejection(self._full, retry=True), retry=True)
                replies = self._handshake.receive(payload)
            except Refused as refusal:
                self._part(refusal)
                return []
            self._write(b"".join(map(frame, replies)))
            if self._handshake.done:
                return self._go_up()
            payload = self._decoder.feed_one()
        return []

    def _go_up(self) -> list[bytes]:
        peer = self._handshake.peer
        assert peer is not None
        self.kind, self.sender = peer.kind, peer.sender
        self._handlers = self._kinds(peer.kind)
        self._decoder.limit = FRAME_BYTES
        self._up = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._handlers.on_up(self)
        return [] if self._closing else self._decoder.feed(b"")

    def _part(self, refusal: Refused) -> None:
        self._refused = not refusal.retry
        if refusal.reply:
            self._write(frame(refusal.reply))
        self.close(refusal.reason)

    def _flush_later(self) -> None:
        self._flushing = False
        self.flush()

    def _flush(self) -> None:
        if not self._gathered:
            return
        data = b"".join(self._gathered)
        self._gathered.clear()
        self._gathered_bytes = 0
        self._write(data)
        if self.paused and self.backlog > LINK_BUFFER_BYTES:
            self.abort(f"{self.backlog} bytes wait to be read by the other side, the limit is {LINK_BUFFER_BYTES}")

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if not data or transport is None:
            return
        if self._socket >= 0 and not transport.get_write_buffer_size() and not transport.is_closing():
            try:
                sent = os.write(self._socket, data)
            except OSError:
                sent = 0  # it is full, or broken: the transport finds that out, and says so
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    def _end(self, reason: str) -> None:
        """The first reason is the one that counts."""
        if not self._closing:
            self._closing = True
            self._reason = reason

    def _set_timer(self, delay_ms: int, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_ms / 1_000, call)


def dialing(identity: Identity, kind: str) -> DialerHandshake:
    return DialerHandshake(identity.secret, identity.cluster, kind, identity.sender, os.urandom(NONCE_BYTES))


def accepting(identity: Identity, kinds: Collection[str]) -> AcceptorHandshake:
    return AcceptorHandshake(identity.secret, identity.cluster, kinds, identity.sender, os.urandom(NONCE_BYTES))


def _set_options(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _descriptor(transport: asyncio.Transport) -> int:
    """-1 where what is written is not what goes over the wire."""
    connection = transport.get_extra_info("socket")
    if connection is None or transport.get_extra_info("sslcontext") is not None:
        return -1
    return int(connection.fileno())


def _is_connected_to_itself(transport: asyncio.Transport) -> bool:
    """A dial to a free port of this machine may by chance be given that very port, and then TCP connects it to itself.

    Such a connection would also keep the one who should listen there from doing so.
    """
    here, there = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
    return here is not None and here == there


def _lost(error: Exception | None) -> str:
    if error is None:
        return "closed by the other side"
    return f"the connection broke: {plainly(error)}"


def plainly(error: Exception) -> str:
    """What the system says, in the same words on every loop."""
    if isinstance(error, ConnectionRefusedError):
        return NOBODY
    if isinstance(error, socket.gaierror):
        return f"no such host: {error.strerror}"
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)
