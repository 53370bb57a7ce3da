"""`tasksprint run`: a cluster made for one job on this machine, and gone with it."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tasksprint.cli.commands import Failure
from tasksprint.cli.ending import ends_in_a_line
from tasksprint.cli.settings import Place

_Command = TypeVar("_Command", bound=Callable[..., Any])


def job_options(command: _Command) -> _Command:
    """What `run` and `submit` share."""
    for option in (
        click.argument("words", nargs=-1, metavar="[ARGUMENTS...]"),
        click.argument("what", required=False, metavar="[APP|FILE.py|FOLDER]"),
        click.option("--scheduler", metavar="CMD", help="The scheduler's command, with --node."),
        click.option("--node", metavar="CMD", help="The node's command, with --scheduler."),
        click.option(
            "--files",
            type=Place(exists=True, file_okay=False),
            help="A folder that both commands need.",
        ),
        click.option("--args", metavar="JSON", help="The job's arguments (instead of name=value words)."),
        click.option(
            "--seed",
            type=click.IntRange(0, 2**64 - 1),
            default=0,
            show_default=True,
            help="The same seed, the same answer.",
        ),
        click.option(
            "--output", type=Place(), help="Folder for the output files.  [default: ./NAME-out]"
        ),
    ):
        command = option(command)
    return command


trace_option = click.option(
    "--trace",
    type=Place(dir_okay=False),
    help="Write what happens to tasks here, as JSON lines.",
)


def cluster_options(command: Callable[..., None]) -> Callable[..., None]:
    """The cluster that is made for a job: the command gets these options as one, `cluster`, for LocalCluster."""

    @functools.wraps(command)
    def gathered(*, replicas: str, clients: int, slots: int | None, data_dir: Path | None, **others: Any) -> None:
        cluster = {"replicas": int(replicas), "clients": clients, "slots": slots, "data_dir": data_dir}
        command(cluster=cluster, **others)

    for option in (
        click.option(
            "--data-dir", type=Place(file_okay=False), help="Keep journals, logs and results here."
        ),
        click.option(
            "--slots",
            type=click.IntRange(1, 1024),
            help="Node processes at a time, for each client.  [default: one a core]",
        ),
        click.option(
            "--clients", type=click.IntRange(1, 64), default=1, show_default=True, help="Clients on this machine."
        ),
        click.option(
            "--replicas", type=click.Choice(["1", "3", "5"]), default="1", show_default=True, help="Coordinators."
        ),
    ):
        gathered = option(gathered)
    return gathered


@click.command()
@job_options
@trace_option
@cluster_options
def run(
    what: str | None,
    words: tuple[str, ...],
    scheduler: str | None,
    node: str | None,
    files: Path | None,
    args: str | None,
    seed: int,
    output: Path | None,
    trace: Path | None,
    cluster: dict[str, Any],
) -> None:
    """Run a job on a whole cluster made for it on this machine.

    \b
    tasksprint run wordcount FILE_OR_FOLDER...
    tasksprint run roots FORMULA... --box LOW HIGH   (run roots --help)
    tasksprint run miner --address ADDRESS           (run miner --help)
    tasksprint run program.py name=value ...
    tasksprint run FOLDER_WITH_TASKSPRINT_TOML
    tasksprint run --scheduler CMD --node CMD
    """
    import uvloop

    from tasksprint.cli.job import resolve

    job = resolve(what, words, scheduler=scheduler, node=node, files=files, args=args, seed=seed)
    target = output_folder(job, output)
    options = {**cluster, "trace": trace}
    uvloop.run(run_job(job, options, lambda outcome, seconds: finish(job, outcome, target, seconds)))


def output_folder(job: Any, output: Path | None) -> Path:
    """Where outputs will go; refused now, before any work, when something of the user's is there."""
    from tasksprint.storage import StorageError
    from tasksprint.storage.publish import check_target

    target = output or Path(f"{job.spec.name}-out")
    try:
        check_target(target)
    except StorageError as error:
        raise Failure(str(error), 2) from None
    return target


@ends_in_a_line
async def run_job(
    job: Any,
    options: dict[str, Any],
    end: Callable[[Any, float], None],
    listen: Callable[[Any, str, Any, asyncio.Event], Awaitable[None]] | None = None,
) -> None:
    """The job on a cluster made for it; `end` gets the outcome and the seconds while the files are there.

    `listen` runs beside the job, and ends soon after the event that it is given.
    """
    from tasksprint.cli.asking import Asking
    from tasksprint.cli.display import display
    from tasksprint.cli.following import follow, new_job_id, submit
    from tasksprint.cli.local import LocalCluster
    from tasksprint.transfer.fetch import Fetcher

    shown = display()
    began = time.monotonic()
    try:
        async with LocalCluster(**options, note=shown.note) as cluster:
            asking = Asking(cluster.coordinators, cluster.identity)
            fetcher = Fetcher(cluster.identity)
            job_id = new_job_id()
            into = cluster.folder / "outputs" / job_id
            into.mkdir(parents=True)

            async def work() -> Any:
                await submit(asking, job_id, job.spec, job.program)
                over = asyncio.Event()
                listening = asyncio.ensure_future(listen(cluster, job_id, shown, over)) if listen else None
                try:
                    return await follow(asking, job_id, shown, into, fetcher)
                finally:
                    over.set()
                    if listening is not None:
                        await listening

            try:
                outcome: Any = await cluster.unless_failed(asyncio.ensure_future(work()))
                shown.close()
                end(outcome, time.monotonic() - began)
            finally:
                fetcher.close()
                await asking.close()
    finally:
        shown.close()


def finish(job: Any, outcome: Any, target: Path, seconds: float) -> None:
    """Show the answer and publish the files; Failure when the job did not end well."""
    from tasksprint.cli.following import ended_badly
    from tasksprint.storage import StorageError
    from tasksprint.storage.publish import publish

    if outcome.state != "done":
        raise ended_badly(outcome)
    if outcome.files:
        names = {job.output_name(place, key): path for place, (key, path) in enumerate(outcome.files)}
        try:
            publish(target, names)
        except (StorageError, OSError) as error:
            raise Failure(f"cannot write the outputs: {error}") from None
    for line in job.summary(json.loads(outcome.values) if outcome.values else None):
        click.echo(line)
    if outcome.update.nondeterministic:
        click.echo("note: a task that ran again gave another result: the job is not deterministic", err=True)
    where = f", {len(outcome.files)} files in {target}" if outcome.files else ""
    click.echo(f"{outcome.update.done} tasks in {seconds:.1f} s{where}", err=True)
