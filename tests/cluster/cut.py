"""A link that can be cut: a TCP proxy in a thread of the test, between somebody who dials and an address.

While it is cut nothing passes and nobody is told, as when a cable is pulled: what is sent is held, connections made
meanwhile are accepted and hang.  `heal` lets through what was held, as TCP does after a short cut; `heal(reset=True)`
breaks the connections instead that lived through it, as after a long one.

    with Cut("127.0.0.1:7101") as link:     # tell the dialer link.address
        link.cut()                          # both ways; or cut(TO), cut(FROM): only what goes to / comes from 7101
        ...
        assert link.held                    # the fault landed: something wanted to pass
        link.heal()
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

TO, FROM = "to", "from"
BOTH = (TO, FROM)
READ_BYTES = 256 * 1024


class Cut:
    def __init__(self, target: str, port: int = 0) -> None:
        host, _, number = target.rpartition(":")
        self.target = (host, int(number))
        self.address = ""
        self.connections = 0  # ever made
        self.passed = {TO: 0, FROM: 0}  # bytes
        self.held = 0  # bytes that have met a cut
        self.hung = 0  # connections made while it was cut
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"cut {target}", daemon=True)

    def __enter__(self) -> Cut:
        self._thread.start()
        assert self._ready.wait(10)
        if not self.address:
            raise OSError(f"port {self._port} is in use")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    def cut(self, *ways: str) -> None:
        for way in ways or BOTH:
            self._do(self._gates[way].clear)

    def heal(self, *, reset: bool = False) -> None:
        def heal() -> None:
            if reset and not all(gate.is_set() for gate in self._gates.values()):
                for writer in self._writers:
                    writer.transport.abort()
            for gate in self._gates.values():
                gate.set()

        self._do(heal)

    # --- in the thread --------------------------------------------------------------------------------

    def _do(self, function: Callable[[], Any]) -> None:
        """In the loop; returns when it is done."""
        done = threading.Event()

        def do() -> None:
            function()
            done.set()

        self._loop.call_soon_threadsafe(do)
        assert done.wait(10)

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._gates = {way: asyncio.Event() for way in BOTH}
        for gate in self._gates.values():
            gate.set()
        try:
            server = await asyncio.start_server(self._accepted, "127.0.0.1", self._port)
        except OSError:
            self._ready.set()
            return
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.hung += not all(gate.is_set() for gate in self._gates.values())
        task = self._loop.create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            for gate in self._gates.values():
                await gate.wait()
            far_reader, far = await asyncio.open_connection(*self.target)
            self._writers.add(far)
            await asyncio.gather(self._pump(reader, far, TO), self._pump(far_reader, writer, FROM))
        except OSError:
            pass
        finally:
            for each in (writer, far):
                if each is not None:
                    each.transport.abort()
                    self._writers.discard(each)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        while data := await reader.read(READ_BYTES):
            if not self._gates[way].is_set():
                self.held += len(data)
                await self._gates[way].wait()
            writer.write(data)
            self.passed[way] += len(data)
            await writer.drain()
        await self._gates[way].wait()
        if writer.can_write_eof():
            writer.write_eof()
