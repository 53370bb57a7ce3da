"""How a command talks to a cluster: one request at a time, to whichever coordinator leads, until a time limit.

Every request may be sent twice (a leader may die with our answer in its hands); the operations behind them are made
so that the second time changes nothing.

A refusal comes before the other side has proved anything, so anybody on the port of a dead coordinator can send one:
the next coordinator is asked, and only when all of them refuse is it believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from tasksprint import limits
from tasksprint.cli.commands import Failure
from tasksprint.transport import Handlers, Identity, Link, LinkError, LinkRefused, connect_once
from tasksprint.wire import messages as wire

Reply = wire.Answer | wire.JobUpdate
_Kind = TypeVar("_Kind", wire.Answer, wire.JobUpdate)
TURN_MS = 1_500  # an answer takes this long at most where there is a leader (POLL_HELD_MS and a round)
TRY_S = (limits.HANDSHAKE_MS + TURN_MS) / 1000  # no try of one coordinator can take longer


class Asking:
    """A command's session with the coordinators of one cluster."""

    def __init__(self, coordinators: list[str], identity: Identity, *, patience_ms: int = limits.SUBMIT_MS) -> None:
        self.coordinators = coordinators
        self.identity = identity
        self.patience_ms = patience_ms
        self.trouble: dict[str, str] = {}  # coordinator → why it did not answer
        self._refused: set[str] = set()  # coordinators whose last answer was a refusal
        self._target = 0
        self._link: Link | None = None
        self._next = 0
        self._reply: asyncio.Future[Reply | wire.NotLeader] | None = None
        self._expected = 0

    async def answer(self, make: Callable[[int], wire.ToCoordinator]) -> bytes:
        """The answer's data.  Raises Failure with the answer's error, or when nobody answers in time."""
        reply = await self._ask(make)
        assert isinstance(reply, wire.Answer)
        if reply.error:
            raise Failure(reply.error)
        return reply.data

    async def watch(self, job_id: str, known: int) -> wire.JobUpdate:
        reply = await self._ask(lambda request: wire.WatchJob(request, job_id, known))
        assert isinstance(reply, wire.JobUpdate)
        return reply

    async def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    async def one(self, address: str, make: Callable[[int], wire.ToCoordinator]) -> bytes | None:
        """The answer of this very coordinator, leader or not; None when it does not answer."""
        single = Asking([address], self.identity, patience_ms=TURN_MS)
        try:
            return await single.answer(make)
        except Failure:
            return None
        finally:
            await single.close()

    # --- one request, wherever the leader is ------------------------------------------------------------

    async def _ask(self, make: Callable[[int], wire.ToCoordinator]) -> Reply:
        loop = asyncio.get_running_loop()
        patience, spent = self.patience_ms / 1000, 0.0
        pause = limits.RECONNECT_MIN_MS
        while True:
            self._next += 1
            began, reply, trouble = loop.time(), None, None
            try:
                async with asyncio.timeout(patience - spent):
                    reply = await self._try(make(self._next), self._next)
            except (LinkError, TimeoutError) as error:
                trouble = error
            spent += min(loop.time() - began, TRY_S)  # not what the machine has slept meanwhile
            if trouble is not None:
                self._note(trouble, late=spent >= patience)
            if len(self._refused) == len(set(self.coordinators)):
                raise Failure("; ".join(f"{address}: {self.trouble[address]}" for address in sorted(self._refused)))
            if isinstance(reply, wire.Answer | wire.JobUpdate):
                return reply
            if spent >= patience:
                raise Failure(self._nobody())
            self._turn(reply)
            await asyncio.sleep(min(pause / 1000, patience - spent))
            spent += pause / 1000
            pause = min(2 * pause, limits.RECONNECT_MAX_MS // 2)

    async def _try(self, message: wire.ToCoordinator, request: int) -> Reply | wire.NotLeader:
        link = self._link
        if link is None or not link.up:
            handlers = Handlers(on_messages=self._messages, on_closed=self._closed)
            address = self.coordinators[self._target]
            link = self._link = await connect_once(address, "submit", self.identity, handlers)
            self._refused.discard(address)
        self._expected = request
        self._reply = asyncio.get_running_loop().create_future()
        link.send(wire.encode(message))
        async with asyncio.timeout(TURN_MS / 1000):
            return await self._reply

    def _messages(self, link: Link, payloads: list[bytes]) -> None:
        for payload in payloads:
            message = wire.decode_from_coordinator(payload)
            if self._reply is None or self._reply.done() or link is not self._link:
                continue
            mine = isinstance(message, wire.Answer | wire.JobUpdate) and message.request == self._expected
            if mine or isinstance(message, wire.NotLeader):
                self._reply.set_result(message)

    def _closed(self, link: Link, reason: str) -> None:
        if link is self._link:
            self._link = None
            if self._reply is not None and not self._reply.done():
                self._reply.set_exception(LinkError(reason))

    def _note(self, error: BaseException, *, late: bool) -> None:
        """A try that was cut short (`late`) does not hide what an earlier one has found."""
        address = self.coordinators[self._target]
        if not (late and isinstance(error, TimeoutError) and address in self.trouble):
            self.trouble[address] = str(error).removeprefix(f"{address}: ") or "no answer in time"
        if isinstance(error, LinkRefused):
            self._refused.add(address)
        elif not late:
            self._refused.discard(address)
        if self._link is not None:
            self._link.close()
            self._link = None

    def _turn(self, reply: wire.NotLeader | None) -> None:
        """Ask the leader that was named, or the next in the list."""
        before = self._target
        if reply is not None:
            self.trouble[self.coordinators[self._target]] = "does not lead and knows no leader yet"
        if reply is not None and reply.address in self.coordinators:
            self._target = self.coordinators.index(reply.address)
        else:
            self._target = (self._target + 1) % len(self.coordinators)
        if self._target != before and self._link is not None:
            self._link.close()
            self._link = None

    def _nobody(self) -> str:
        seconds = self.patience_ms / 1000
        reasons = "; ".join(f"{address}: {why}" for address, why in self.trouble.items())
        return f"no coordinator answered within {seconds:g} s ({reasons}): is a majority of the cluster running?"
