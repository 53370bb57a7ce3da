"""`tasksprint run miner`: a cluster made for mining on this machine, in front of a Bitcoin node of the user's."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from tasksprint.cli.commands import Failure
from tasksprint.cli.ending import ends_in_a_line
from tasksprint.cli.run import cluster_options
from tasksprint.cli.settings import Place

READABLE = 0o077  # by anybody but the owner


@click.command(name="run miner")
@click.option("--rpc-url", default="http://127.0.0.1:8332", show_default=True, metavar="URL", help="The Bitcoin node.")
@click.option("--rpc-cookie", type=Place(dir_okay=False), help="The node's cookie file.")
@click.option("--rpc-user", metavar="USER", help="A user of the node, with --rpc-password-file.")
@click.option(
    "--rpc-password-file",
    type=Place(dir_okay=False),
    help="A file with the password, readable by you alone.",
)
@click.option("--address", required=True, metavar="ADDRESS", help="Whom the blocks shall pay.")
@click.option("--message", metavar="TEXT", help="What stands in the coinbase.  [default: TaskSprint]")
@click.option("--blocks", type=click.IntRange(1), help="End after this many accepted blocks.")
@click.option("--stop-after", type=click.FloatRange(0.1), metavar="SECONDS", help="End after this time.")
@click.option("--max-age", type=click.FloatRange(1), metavar="SECONDS", help="Fetch work that is older.  [default: 30]")
@click.option(
    "--harder",
    type=click.IntRange(0, 200),
    metavar="BITS",
    help="Search for hashes 2^BITS times rarer than the network asks for: regtest alone is too easy to see anything.",
)
@cluster_options
def miner(
    rpc_url: str,
    rpc_cookie: Path | None,
    rpc_user: str | None,
    rpc_password_file: Path | None,
    cluster: dict[str, Any],
    **options: Any,
) -> None:
    """Mine Bitcoin blocks with a full node's work, on a whole cluster made for it on this machine.

    \b
    tasksprint run miner --rpc-url http://127.0.0.1:18443 --rpc-cookie FILE --address ADDRESS
    tasksprint run miner --rpc-user NAME --rpc-password-file FILE --address ADDRESS --blocks 20

    A processor finds nothing on the main network: this is for regtest, signet, teaching and measuring.
    """
    import uvloop

    from tasksprint.apps.miner.command import InputError, checked, defaults

    where = credentials(rpc_url, rpc_cookie, rpc_user, rpc_password_file)
    given = {name: value for name, value in options.items() if value is not None}
    try:
        arguments = checked({**defaults(given["address"]), **given})
    except InputError as error:
        raise Failure(str(error), 2) from None
    uvloop.run(mine(arguments, where, cluster))


def credentials(url: str, cookie: Path | None, user: str | None, password_file: Path | None) -> dict[str, str]:
    """What the nodes need to know to find the secret; the secret itself stays in its file."""
    from tasksprint.apps.miner.rpc import Misconfigured, checked_url

    try:
        where = {"url": checked_url(url)}
    except Misconfigured as error:
        raise Failure(str(error), 2) from None
    if (cookie is None) == (user is None) or (user is None) != (password_file is None):
        raise click.UsageError("give either --rpc-cookie, or --rpc-user and --rpc-password-file")
    if cookie is not None:
        return {**where, "cookie": str(cookie.absolute())}
    assert user is not None and password_file is not None
    try:
        mode = password_file.stat().st_mode
    except OSError as error:
        raise Failure(f"cannot read {password_file}: {(error.strerror or '').lower()}", 2) from None
    if mode & READABLE:
        raise Failure(f"others can read {password_file}: chmod 600 it, and change the password if it matters", 2)
    return {**where, "user": user, "password_file": str(password_file.absolute())}


@ends_in_a_line
async def mine(arguments: dict[str, Any], where: dict[str, str], options: dict[str, Any]) -> None:
    """The cluster, the job, and what is shown of it."""
    from tasksprint.apps.miner.command import summary
    from tasksprint.apps.miner.rpc import VARIABLE
    from tasksprint.cli.asking import Asking
    from tasksprint.cli.following import follow, new_job_id, submit
    from tasksprint.cli.miner_cluster import MinerCluster, job_of
    from tasksprint.cli.miner_display import MinerDisplay, listen
    from tasksprint.transfer.fetch import Fetcher

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tasksprint-") as folder, MinerDisplay() as shown:
        path = Path(folder) / "bitcoin.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(where))
        os.environ[VARIABLE] = str(path)
        async with MinerCluster(label=arguments["label"], note=shown.note, **options) as cluster:
            asking, fetcher = Asking(cluster.coordinators, cluster.identity), Fetcher(cluster.identity)
            job_id = new_job_id()

            async def work() -> Any:
                await submit(asking, job_id, job_of(arguments))
                listening = asyncio.ensure_future(listen(cluster, job_id, shown))
                try:
                    return await follow(asking, job_id, shown, Path(folder), fetcher)
                finally:
                    listening.cancel()

            try:
                outcome: Any = await cluster.unless_failed(asyncio.ensure_future(work()))
            except asyncio.CancelledError:  # Ctrl-C, the usual end of a miner
                shown.note(shown.text())
                raise
            finally:
                fetcher.close()
                await asking.close()
    if outcome.state != "done":
        raise Failure(f"the job {outcome.state}: {outcome.error}" if outcome.error else f"the job was {outcome.state}")
    for line in summary(json.loads(outcome.values)):
        click.echo(line)
    click.echo(f"{time.monotonic() - began:.1f} s", err=True)
