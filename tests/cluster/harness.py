"""A real cluster under a test: jobs on it, shots at its processes, and proof that they hit.

Nothing in here sleeps for luck: a shot is fired when the job is seen in the middle (0 < done < all), and what follows
is awaited with a time limit, through the cluster's own words (`status`, `watch`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tasksprint.cli.asking import Asking
from tasksprint.cli.following import Outcome, follow, new_job_id, submit
from tasksprint.cli.local import LocalCluster
from tasksprint.transfer.fetch import Fetcher
from tasksprint.view.operations import JobSpec
from tasksprint.wire import messages as wire

PATIENCE_S = 40.0
SAY_S = 1.0


@dataclass
class Field:
    """A running cluster and a command's session with it."""

    cluster: LocalCluster
    asking: Asking
    fetcher: Fetcher

    async def start(self, spec: JobSpec, program: bytes = b"") -> str:
        job_id = new_job_id()
        await submit(self.asking, job_id, spec, program)
        return job_id

    async def until(self, job_id: str, condition: Callable[[wire.JobUpdate], bool]) -> wire.JobUpdate:
        """The first state of the job that fulfils the condition."""
        known = 0
        async with asyncio.timeout(PATIENCE_S):
            while True:
                update = await self.asking.watch(job_id, known)
                assert update.state in ("running", "finishing"), f"{update.state}: {update.error}"
                if condition(update):
                    return update
                assert update.state == "running", "the job was over before the shot"
                known = update.number

    async def middle(self, job_id: str, at_least: int = 1) -> wire.JobUpdate:
        """The job with some of its tasks done, and some not."""
        return await self.until(job_id, lambda update: at_least <= update.done < update.started)

    async def end(self, job_id: str) -> Outcome:
        """The job's end, with its files."""
        folder = self.cluster.folder / "outputs" / job_id
        folder.mkdir(parents=True)
        async with asyncio.timeout(PATIENCE_S):
            return await follow(self.asking, job_id, Silent(), folder, self.fetcher)

    async def status(self, what: str) -> Any:
        return json.loads(await self.asking.answer(lambda request: wire.StatusRequest(request, what)))

    async def coordinators(self) -> dict[int, dict[str, Any]]:
        """What each coordinator that answers says of itself."""
        said = {}
        for address in self.cluster.coordinators:
            data = await self.asking.one(address, lambda request: wire.StatusRequest(request, "self"))
            if data is not None:
                report = json.loads(data)
                said[report["id"]] = report
        return said

    async def leader(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for report in (await self.coordinators()).values():
                    if report["leading"]:
                        return report

    def pid(self, name: str) -> int:
        child = self.cluster.members[name].child
        assert child is not None
        return child.pid

    async def replaced(self, name: str, pid: int) -> None:
        """Until the member has a new process: a job may end sooner."""
        async with asyncio.timeout(PATIENCE_S):
            while self.pid(name) == pid:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # a look now and then

    def shoot(self, name: str) -> int:
        """kill -9 of one process of the cluster (and not of its group)."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def children(self, name: str, words: str) -> list[psutil.Process]:
        """Processes that this member started and whose command line has these words in it."""
        found = []
        for process in psutil.Process(self.pid(name)).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if words in " ".join(process.cmdline()):
                    found.append(process)
        return found


class Silent:
    def update(self, update: wire.JobUpdate) -> None: ...

    def note(self, text: str) -> None: ...


def awaited(condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives, as soon as it is true."""
    limit = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < limit, what
        time.sleep(0.01)  # a look now and then: what is looked at needs the processor
    return found


async def say(cluster: LocalCluster, asking: Asking) -> None:
    """What the cluster knows, what each process is at, and what it said last: for whoever reads why a test failed."""

    async def ask(what: str) -> Any:
        said = None
        for address in cluster.coordinators:
            said = said or await asking.one(address, lambda request: wire.StatusRequest(request, what))
        print(what, "no answer" if said is None else said.decode())
        return json.loads(said or b"{}")

    await ask("cluster")
    for job in await ask("jobs"):
        if job["state"] in ("running", "finishing"):
            await ask(f"job:{job['job']}")
            for task in range(1, job["started"] + 1):
                await ask(f"why:{job['job']}:{task}")
    started = [(member, member.child) for member in cluster.members.values() if member.child is not None]
    for member, child in started:
        if member.ready is not None and child.exit_code is None:
            os.kill(child.pid, signal.SIGUSR1)
    await asyncio.sleep(SAY_S)
    for member, child in started:
        print(f"--- {member.name}, process {child.pid}, exit code {child.exit_code}\n{child.tail}")


@contextlib.asynccontextmanager
async def field(folder: Path, **options: Any) -> AsyncIterator[Field]:
    """A cluster in `folder`; see LocalCluster for the options."""
    async with LocalCluster(data_dir=folder, **options) as cluster:
        asking, fetcher = Asking(cluster.coordinators, cluster.identity), Fetcher(cluster.identity)
        try:
            yield Field(cluster, asking, fetcher)
        except BaseException:
            await say(cluster, asking)
            raise
        finally:
            fetcher.close()
            await asking.close()


def contents(outcome: Outcome) -> list[bytes]:
    """The job's files, in the order of its outputs."""
    assert outcome.state == "done", outcome.error
    return [path.read_bytes() for _, path in outcome.files]
