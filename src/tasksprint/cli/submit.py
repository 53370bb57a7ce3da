"""`tasksprint submit`: a job for a standing cluster."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from tasksprint.cli.run import finish, job_options, output_folder
from tasksprint.cli.settings import (
    cluster_option,
    coordinators_option,
    load_secret,
    parse_addresses,
    parse_job_id,
    secret_option,
    timeout_option,
)


@click.command()
@job_options
@coordinators_option
@cluster_option
@secret_option
@timeout_option(30.0)
@click.option("--detach", is_flag=True, help="Print the job's id and go; `submit --job ID` follows it later.")
@click.option(
    "--job", "job_id", metavar="ID", help="Follow this job (and bring its outputs) instead of submitting one."
)
def submit(
    what: str | None,
    words: tuple[str, ...],
    scheduler: str | None,
    node: str | None,
    files: Path | None,
    args: str | None,
    seed: int,
    output: Path | None,
    coordinators: str,
    cluster: str,
    secret_file: Path,
    timeout_s: float,
    detach: bool,
    job_id: str | None,
) -> None:
    """Submit a job, follow it, bring its outputs."""
    import uvloop

    from tasksprint.cli.asking import Asking
    from tasksprint.cli.job import resolve
    from tasksprint.transport import Identity

    addresses = parse_addresses(coordinators, "--coordinators")
    job: Any = None
    if job_id is not None:
        parse_job_id(job_id)
        if what or words or scheduler or node or files or args or detach:
            raise click.UsageError("--job follows a job that was submitted before: leave out what it is, and --detach")
    else:
        job = resolve(what, words, scheduler=scheduler, node=node, files=files, args=args, seed=seed)
        output_folder(job, output)
    identity = Identity(load_secret(secret_file), cluster, "command")

    async def session() -> None:
        asking = Asking(addresses, identity, patience_ms=round(timeout_s * 1000))
        try:
            if job_id is not None:
                await _follow(asking, job_id, await _known(asking, job_id), output)
            else:
                await _submit(asking, job, output, detach)
        finally:
            await asking.close()

    uvloop.run(session())


async def _known(asking: Any, job_id: str) -> Any:
    """The job as the cluster knows it: by its name, a shipped app's outputs are named and its answer is shown."""
    from tasksprint.cli.job import named
    from tasksprint.wire import messages as wire

    said = await asking.answer(lambda request: wire.StatusRequest(request, f"job:{job_id}"))
    return named(json.loads(said)["name"])


async def _submit(asking: Any, job: Any, output: Path | None, detach: bool) -> None:
    from tasksprint.cli.following import new_job_id, submit

    job_id = new_job_id()
    await submit(asking, job_id, job.spec, job.program)
    if detach:
        click.echo(job_id)
        return
    click.echo(f"job {job_id}", err=True)
    await _follow(asking, job_id, job, output)


async def _follow(asking: Any, job_id: str, job: Any, output: Path | None) -> None:
    from tasksprint.cli.display import display
    from tasksprint.cli.following import follow
    from tasksprint.transfer.fetch import Fetcher

    target = output_folder(job, output)
    began = time.monotonic()
    shown, fetcher = display(), Fetcher(asking.identity)
    with tempfile.TemporaryDirectory(prefix="tasksprint-") as folder:
        try:
            outcome = await follow(asking, job_id, shown, Path(folder), fetcher)
            shown.close()
            finish(job, outcome, target, time.monotonic() - began)
        except asyncio.CancelledError:
            shown.note(f"the job goes on: `submit --job {job_id}` follows it, `cancel {job_id}` ends it")
            raise
        finally:
            shown.close()
            fetcher.close()
