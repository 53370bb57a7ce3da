"""Links that are cut for a while in the middle of a job, silently: the job ends with the same bytes.

Everybody dials through proxies of the test (cut.py), so that one link can be cut and all others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.cluster import jobs
from tests.cluster.cut import Cut
from tests.cluster.harness import PATIENCE_S, Field, contents, field

from tasksprint.cli.local import free_ports
from tasksprint.view.operations import JobSpec

pytestmark = pytest.mark.cluster
Job = tuple[JobSpec, bytes]
Proof = Callable[[], Awaitable[None]]
REDUCES = 3
SHOTS_MAX = 5


class Missed(Exception):
    """The fault was another one than was meant: the machine was too slow.  The shot is repeated."""


def _word_count(folder: Path) -> Job:
    return jobs.word_count(jobs.text(folder / "text")), b""


def _chain(folder: Path) -> Job:
    return jobs.program("chain", {"chains": 4, "steps": 25, "wait_s": 0.01})


@dataclass
class Wires:
    """A cluster whose clients hear coordinators and each other through proxies."""

    at: Field
    coordinators: dict[int, Cut]  # between client-1 and each coordinator
    clients: list[Cut]  # in front of each client

    async def first(self) -> dict[str, Any] | None:
        """What the cluster says of client-1; nothing while it counts it as dead."""
        rows = (await self.at.status("cluster"))["clients"]
        return next((row for row in rows if row["address"] == self.clients[0].address), None)

    async def to_leader(self) -> Cut:
        return self.coordinators[(await self.at.leader())["id"]]

    def asked_around(self, but: Cut) -> int:
        """Connections of client-1 to the other coordinators."""
        return sum(cut.connections for cut in self.coordinators.values() if cut is not but)

    async def again(self, job: str) -> tuple[int, int]:
        """Attempts beyond the first of each task; tasks whose result had to be made again."""
        row = await self.at.status(f"job:{job}")
        return row["second_attempts"], row["made_again"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # a look now and then: it is the proxy's thread that changes


@contextlib.asynccontextmanager
async def wires(folder: Path, *, clients: int = 2) -> AsyncIterator[Wires]:
    with contextlib.ExitStack() as proxies:
        async with field(folder, replicas=3, clients=0, slots=1) as at:
            cuts = {number: proxies.enter_context(Cut(at)) for number, at in enumerate(at.cluster.coordinators, 1)}
            fronts = []
            for number, port in enumerate(free_ports(clients), 1):
                where = f"127.0.0.1:{port}"
                fronts.append(proxies.enter_context(Cut(where)))
                mine = [cut.address for cut in cuts.values()] if number == 1 else at.cluster.coordinators
                extra = ["--coordinators", ",".join(mine), "--listen", where, "--advertise", fronts[-1].address]
                at.cluster.add_client(f"client-{number}", *extra)
            yield Wires(at, cuts, fronts)


# --- between a client and the leader --------------------------------------------------------------------
async def _short(wired: Wires, job: str) -> Proof:
    """The cable is back before the client is given up; it has looked for another leader meanwhile."""
    link = await wired.to_leader()
    before, asked = await wired.first(), wired.asked_around(link)
    link.cut()
    await until(lambda: link.held > 0 and wired.asked_around(link) > asked)
    link.heal()
    assert before is not None

    async def proof() -> None:
        after = await wired.first()
        if after is None or after["incarnation"] != before["incarnation"]:
            raise Missed("the cut has outlasted the client's time")  # each time? then its session does not go on
        _, made_again = await wired.again(job)
        assert made_again == 0, "what it held stayed its own"

    return proof


async def _long(wired: Wires, job: str) -> Proof:
    """The client is declared dead, others do its work, and it comes back as a new incarnation."""
    link = await wired.to_leader()
    before = await wired.first()
    link.cut()
    async with asyncio.timeout(PATIENCE_S):
        while await wired.first() is not None:
            pass
    assert link.held > 0
    link.heal()
    assert before is not None
    async with asyncio.timeout(PATIENCE_S):
        while (after := await wired.first()) is None:
            pass
    assert after["incarnation"] > before["incarnation"], "it registered again"

    async def proof() -> None:
        second, _ = await wired.again(job)
        assert second > 0, "others were given its work"

    return proof


@pytest.mark.parametrize("make", [_word_count, _chain], ids=["word count", "chain"])
def test_a_client_loses_the_leader_for_a_while(make: Callable[[Path], Job], tmp_path: Path) -> None:
    async def story() -> None:
        spec, program = make(tmp_path)
        async with wires(tmp_path / "cluster") as wired:
            at = wired.at
            expected = contents(await at.end(await at.start(spec, program)))
            for fault in (_short, _long):
                for shot in range(1, SHOTS_MAX + 1):
                    job = await at.start(spec, program)
                    seen = await at.middle(job, at_least=5)
                    assert 0 < seen.done < seen.started
                    proof = await fault(wired, job)
                    assert contents(await at.end(job)) == expected, fault.__name__
                    try:
                        await proof()
                        break
                    except Missed:
                        assert shot < SHOTS_MAX

    uvloop.run(asyncio.wait_for(story(), 3 * PATIENCE_S))


# --- between two clients --------------------------------------------------------------------------------
def test_two_clients_lose_each_other_in_the_middle_of_a_shuffle(tmp_path: Path) -> None:
    """All maps end, the reduces cannot; then the cable is back, or the connections break, or they were given up."""

    async def story() -> None:
        spec, program = _word_count(tmp_path)
        async with wires(tmp_path / "cluster") as wired:
            at = wired.at
            expected = contents(await at.end(await at.start(spec, program)))
            for fault in ("held", "broken", "given up"):
                for shot in range(1, SHOTS_MAX + 1):
                    try:
                        assert await _parted(wired, await at.start(spec, program), fault) == expected, fault
                        break
                    except Missed:
                        assert shot < SHOTS_MAX

    uvloop.run(asyncio.wait_for(story(), 3 * PATIENCE_S))


async def _parted(wired: Wires, job: str, fault: str) -> list[bytes]:
    """What the job makes while its two clients cannot reach each other for a while."""
    at = wired.at
    seen = await at.middle(job, at_least=5)
    assert 0 < seen.done < seen.started
    met, connections = _met(wired), _connections(wired)
    for front in wired.clients:
        front.cut()
    while _met(wired) == met:
        if (await at.status(f"job:{job}"))["state"] != "running":
            for front in wired.clients:
                front.heal()
            raise Missed("all had been fetched before the cut")
    stuck = await at.until(job, lambda update: update.done >= update.started - REDUCES - 1)
    assert stuck.done < stuck.started
    if fault == "given up":  # no answer to pings or the handshake, then a new connection
        before = _connections(wired)
        await until(lambda: _connections(wired) > before)
    for front in wired.clients:
        front.heal(reset=fault == "broken")
    made = contents(await at.end(job))
    _, made_again = await wired.again(job)
    assert made_again == 0, "a supplier that lives is waited for"
    if fault == "broken":
        assert _connections(wired) > connections, "asked again"
    return made


def _met(wired: Wires) -> int:
    """What wanted to pass while the link was cut: bytes of connections that were there, and new ones."""
    return sum(front.held + front.hung for front in wired.clients)


def _connections(wired: Wires) -> int:
    return sum(front.connections for front in wired.clients)
