"""kill -9 in the middle of a job: the job ends with the same bytes, and the shot is proved to have landed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from tests.cluster import jobs
from tests.cluster.harness import PATIENCE_S, Field, contents, field

from tasksprint.view.operations import JobSpec

pytestmark = pytest.mark.cluster
Job = tuple[JobSpec, bytes]
Proof = Callable[[], Awaitable[None]]


def _word_count(folder: Path) -> Job:
    return jobs.word_count(jobs.text(folder / "text")), b""


def _chain(folder: Path) -> Job:
    return jobs.program("chain", {"chains": 4, "steps": 30, "wait_s": 0.02})


async def _leader(at: Field, job: str) -> Proof:
    before = await at.leader()
    name = f"coordinator-{before['id']}"
    pid = at.shoot(name)

    async def proof() -> None:
        after = await at.leader()
        assert after["ballot"] > before["ballot"], "a new ballot"
        await at.replaced(name, pid)

    return proof


async def _follower(at: Field, job: str) -> Proof:
    leader = await at.leader()
    name = next(
        name for name in at.cluster.members if name.startswith("coord") and name != f"coordinator-{leader['id']}"
    )
    pid = at.shoot(name)

    async def proof() -> None:
        await at.replaced(name, pid)

    return proof


async def _client(at: Field, job: str) -> Proof:
    pid = at.shoot("client-1")

    async def proof() -> None:
        await at.replaced("client-1", pid)
        assert await _again(at, job) > 0, "a second attempt"

    return proof


async def _programs(at: Field, job: str, name: str, words: str) -> set[int]:
    """Kill the programs of this kind that the member runs; those that it starts in their place, seen before the end."""
    victims = at.children(name, words)
    for victim in victims:
        victim.kill()
    old = {victim.pid for victim in victims}
    fresh: set[int] = set()
    async with asyncio.timeout(PATIENCE_S):
        while not fresh and (await at.status(f"job:{job}"))["state"] == "running":
            fresh = {child.pid for child in at.children(name, words)} - old
    assert victims
    assert not any(victim.is_running() for victim in victims)
    return fresh


async def _node(at: Field, job: str) -> Proof:
    fresh = await _programs(at, job, "client-1", "node")

    async def proof() -> None:
        assert fresh or await _again(at, job) > 0, "a new process, or a second attempt"

    return proof


async def _scheduler(at: Field, job: str) -> Proof:
    """The one that is heard: its copies are told of events later, and nobody hears what they say."""
    leader = await at.leader()
    fresh = await _programs(at, job, f"coordinator-{leader['id']}", "scheduler")

    async def proof() -> None:
        assert fresh, "a new process"

    return proof


async def _again(at: Field, job: str) -> int:
    """How many attempts were placed beyond the first of their task."""
    return int((await at.status(f"job:{job}"))["second_attempts"])


SHOTS = {"leader": _leader, "follower": _follower, "client": _client, "node": _node, "scheduler": _scheduler}


@pytest.mark.parametrize("make", [_word_count, _chain], ids=["word count", "chain"])
def test_a_job_outlives_every_kind_of_death(make: Callable[[Path], Job], tmp_path: Path) -> None:
    """One cluster, one undisturbed run, then a run for each kind of death."""

    async def story() -> None:
        spec, program = make(tmp_path)
        async with field(tmp_path / "cluster", replicas=3, clients=2, slots=1) as at:
            expected = contents(await at.end(await at.start(spec, program)))
            for kind, shot in SHOTS.items():
                job = await at.start(spec, program)
                seen = await at.middle(job, at_least=5)
                proof = await shot(at, job)
                assert 0 < seen.done < seen.started
                assert contents(await at.end(job)) == expected, kind
                await proof()

    uvloop.run(asyncio.wait_for(story(), 3 * PATIENCE_S))


def test_all_coordinators_start_again_from_their_folders(tmp_path: Path) -> None:
    async def story() -> None:
        spec, program = _chain(tmp_path)
        async with field(tmp_path / "cluster", replicas=3, clients=1, slots=2) as at:
            expected = contents(await at.end(await at.start(spec, program)))
            job = await at.start(spec, program)
            seen = await at.middle(job, at_least=5)
            pids = [at.shoot(f"coordinator-{number}") for number in (1, 2, 3)]
            outcome = await at.end(job)
            assert 0 < seen.done < seen.started
            assert contents(outcome) == expected
            for number, pid in zip((1, 2, 3), pids, strict=True):
                await at.replaced(f"coordinator-{number}", pid)

    uvloop.run(asyncio.wait_for(story(), 3 * PATIENCE_S))


def test_the_digits_of_pi_do_not_depend_on_who_died(tmp_path: Path) -> None:
    """examples/montecarlo: one seed, the same digits with faults and without, with one client and with four."""

    async def story() -> None:
        spec, program = jobs.example("montecarlo", {"tasks": 60, "darts": 20_000}, seed=7)
        values = []
        async with field(tmp_path / "one", replicas=1, clients=1, slots=2) as at:
            values.append((await at.end(await at.start(spec, program))).values)
        async with field(tmp_path / "four", replicas=3, clients=4, slots=1) as at:
            job = await at.start(spec, program)
            await at.middle(job, at_least=3)
            proofs = [await shot(at, job) for shot in (_client, _leader)]
            values.append((await at.end(job)).values)
            for proof in proofs:
                await proof()
        assert values[0] == values[1]
        assert b'"pi"' in values[0]

    uvloop.run(asyncio.wait_for(story(), 3 * PATIENCE_S))
