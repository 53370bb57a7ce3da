"""A cluster that mines, what its scheduler has written down, and a door in front of the Bitcoin node."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.cluster.harness import PATIENCE_S, Field
from tests.peers.nodes import bech32
from tests.peers.spending import PAY_TO_TRUE_SEGWIT

from tasksprint.apps.miner.command import checked, defaults
from tasksprint.apps.miner.rpc import VARIABLE
from tasksprint.cli.asking import Asking
from tasksprint.cli.miner_cluster import MinerCluster, job_of
from tasksprint.native import nonce
from tasksprint.transfer.fetch import Fetcher

ADDRESS = bech32("bcrt", 0, PAY_TO_TRUE_SEGWIT[2:])
LOOK_S = 0.02


def arguments(**options: Any) -> dict[str, Any]:
    return checked({**defaults(ADDRESS), "log": 1, **options})


def harder_for(seconds: float, cores: int = 2) -> int:
    """How much rarer than on regtest a hash must be for a block to take about so long here and now."""
    kernel = nonce.choose().kernel

    def rate(_: int) -> float:
        began = time.monotonic()
        done = 0
        while time.monotonic() - began < 0.2:
            done += nonce.search(nonce.GENESIS, 0, 1 << 19, 0, kernel=kernel).hashes
        return done / (time.monotonic() - began)

    with ThreadPoolExecutor(cores) as pool:
        total = sum(pool.map(rate, range(cores)))
    return max(1, round(total * seconds).bit_length() - 2)


class Mining(Field):
    """A field whose jobs are miners."""

    async def mine(self, **options: Any) -> str:
        return await self.start(job_of(arguments(**options)))

    def said(self, job: str, what: str) -> list[Any]:
        """What the scheduler has written down under this word: of the copy that has written most."""
        logs = self.cluster.folder.glob(f"coordinator-*/jobs/{job}/scheduler.log")
        found = [[line for line in log.read_text().splitlines() if line.startswith(f"{what} ")] for log in logs]
        return [json.loads(line.partition(" ")[2]) for line in max(found, key=len, default=[])]

    async def until_said(self, job: str, what: str, condition: Callable[[Any], bool], after: int = 0) -> Any:
        """The first such line, not counting `after` of them, that fulfils the condition."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for each in self.said(job, what)[after:]:
                    if condition(each):
                        return each
                await asyncio.sleep(LOOK_S)


@contextlib.asynccontextmanager
async def mining(folder: Path, credentials: dict[str, str], **options: Any) -> AsyncIterator[Mining]:
    path = folder / "bitcoin.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(credentials))
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(path)
    try:
        async with MinerCluster(label="bitcoin", data_dir=folder / "cluster", **options) as cluster:
            asking, fetcher = Asking(cluster.coordinators, cluster.identity), Fetcher(cluster.identity)
            try:
                yield Mining(cluster, asking, fetcher)
            finally:
                fetcher.close()
                await asking.close()
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before


class Door:
    """Stands between the miner and the Bitcoin node; submissions wait before it until they are let through."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.turns = asyncio.Semaphore(0)
        self.knocked = asyncio.Event()
        self.passed = 0
        self.shut = False  # submissions are not even let wait
        self.serving: set[asyncio.Task[None]] = set()
        self.server: asyncio.Server

    async def __aenter__(self) -> Door:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.close()
        for each in self.serving:
            each.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def let(self, count: int) -> None:
        """Let so many submissions through; `knocked` is for the next one."""
        self.knocked.clear()
        for _ in range(count):
            self.turns.release()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self.pass_on(reader, writer)
        finally:
            writer.close()
            self.serving.discard(task)

    async def has_turn(self, reader: asyncio.StreamReader) -> bool:
        """False when whoever waits hangs up before: who comes behind is next."""
        turn, gone = asyncio.ensure_future(self.turns.acquire()), asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((turn, gone), return_when=asyncio.FIRST_COMPLETED)
            return turn.done()
        finally:
            turn.cancel()
            gone.cancel()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b'"submitblock"' in body:
            self.knocked.set()
            if self.shut:
                return
            if not await self.has_turn(reader):
                return
            self.passed += 1
        from_node, to_node = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            to_node.write(head + body)
            while data := await from_node.read(1 << 16):
                writer.write(data)
                await writer.drain()
        finally:
            to_node.transport.abort()
