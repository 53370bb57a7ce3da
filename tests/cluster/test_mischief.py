"""Nodes and schedulers that misbehave: their own job fails with an error that shows what happened; others go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop
from tests.cluster import jobs
from tests.cluster.harness import PATIENCE_S, contents, field

from tasksprint.view.operations import JobSpec

pytestmark = pytest.mark.cluster

# mode → words that the job's error must have
MISCHIEF = {
    "crashes": ("SIGSEGV", "about to misbehave"),
    "hangs": ("timeout_s",),
    "ignores cancel": ("timeout_s",),
    "prints garbage": ("broke the protocol", "garbage", "about to misbehave"),
    "writes a gigabyte": ("16 MiB", "file"),
    "raises": ("ValueError", "does not like its input", "Traceback"),
    "scheduler crashes": ("exited with code 7", "last words"),
    "scheduler raises": ("RuntimeError", "no plan"),
}


def test_mischief_fails_its_own_job_and_says_what_happened(tmp_path: Path) -> None:
    async def story() -> None:
        path = jobs.text(tmp_path / "text", 200_000)
        async with field(tmp_path / "cluster", replicas=1, clients=1, slots=2) as at:
            good = await at.start(jobs.word_count(path))
            expected = contents(await at.end(good))
            for mode, words in MISCHIEF.items():
                timeout_s = 0.5 if mode in ("hangs", "ignores cancel") else None
                bad = await at.start(*jobs.program("mischief", {"mode": mode, "timeout_s": timeout_s}))
                beside = await at.start(jobs.word_count(path))
                outcome = await at.end(bad)
                assert outcome.state == "failed", mode
                for word in words:
                    assert word in outcome.error, f"{mode}: {outcome.error}"
                assert contents(await at.end(beside)) == expected, mode
                if not mode.startswith("scheduler"):
                    status = await at.status(f"job:{bad}")
                    assert status["second_attempts"] == 1, f"{mode}: retries=1 means two attempts"

    uvloop.run(asyncio.wait_for(story(), 3 * PATIENCE_S))


NONSENSE = """echo '{"ready":{"version":1}}'; read hello; read events; echo 'this is no JSON'; read more"""
HANGING = """echo '{"ready":{"version":1}}'; read hello; read events; echo 'last words' >&2; exec 1>&-; sleep 100"""


@pytest.mark.parametrize(
    ("script", "words"),
    [(NONSENSE, ("broke the protocol", "this is no JSON")), (HANGING, ("closed its output", "last words"))],
)
def test_a_scheduler_that_does_not_keep_the_protocol_fails_its_job(
    script: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    async def story() -> None:
        async with field(tmp_path / "cluster", replicas=3, clients=1, slots=1) as at:
            outcome = await at.end(await at.start(JobSpec("x", ["/bin/sh", "-c", script], ["/bin/cat"], b"{}", 0)))
            assert outcome.state == "failed"
            for word in words:
                assert word in outcome.error

    uvloop.run(asyncio.wait_for(story(), PATIENCE_S))


@pytest.mark.parametrize("command", [["/bin/false"], ["/no/such/program"], ["/bin/echo", "hello"]])
def test_a_program_that_cannot_run_fails_its_job(command: list[str], tmp_path: Path) -> None:
    async def story() -> None:
        async with field(tmp_path / "cluster", replicas=1, clients=1, slots=1) as at:
            spec, program = jobs.program("chain", {"chains": 1, "steps": 2, "wait_s": 0})
            for scheduler, node in ((spec.scheduler, command), (command, spec.node)):
                job = await at.start(JobSpec("x", scheduler, node, spec.args, 0, spec.program), program)
                outcome = await at.end(job)
                assert outcome.state == "failed"
                assert any(word in outcome.error for word in ("/no/such/program", "ready", "'hello'")), outcome.error

    uvloop.run(asyncio.wait_for(story(), PATIENCE_S))
