"""`tasksprint submit`: a job for a standing cluster."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from tasksprint.cli.run import finish, job_options, output_folder
from tasksprint.cli.settings import cluster_option, coordinators_option, load_secret, parse_addresses, secret_option


@click.command()
@job_options
@coordinators_option
@cluster_option
@secret_option
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
    detach: bool,
    job_id: str | None,
) -> None:
    """Submit a job, follow it, bring its outputs."""
    import uvloop

    from tasksprint.cli.job import resolve
    from tasksprint.transport import Identity

    addresses = parse_addresses(coordinators, "--coordinators")
    job = resolve(what, words, scheduler=scheduler, node=node, files=files, args=args, seed=seed)
    target = output_folder(job, output)
    identity = Identity(load_secret(secret_file), cluster, "command")
    uvloop.run(_submit(job, target, addresses, identity, detach, job_id))


async def _submit(
    job: Any, target: Path, addresses: list[str], identity: Any, detach: bool, job_id: str | None
) -> None:
    from tasksprint.cli.asking import Asking
    from tasksprint.cli.display import display
    from tasksprint.cli.following import follow, new_job_id
    from tasksprint.cli.following import submit as send
    from tasksprint.transfer.fetch import Fetcher

    asking = Asking(addresses, identity)
    began = time.monotonic()
    try:
        if job_id is None:
            job_id = new_job_id()
            await send(asking, job_id, job.spec, job.program)
            if detach:
                click.echo(job_id)
                return
            click.echo(f"job {job_id}", err=True)
        shown, fetcher = display(), Fetcher(identity)
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
    finally:
        await asking.close()
