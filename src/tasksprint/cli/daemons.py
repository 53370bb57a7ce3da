"""The long-lived processes: `tasksprint coordinator` and `tasksprint client`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import click

from tasksprint.cli.commands import Failure
from tasksprint.cli.ending import end_on_errors, raise_files_limit, show_stalls
from tasksprint.cli.settings import (
    HOME,
    Place,
    cluster_option,
    coordinators_option,
    load_secret,
    parse_addresses,
    parse_peers,
    secret_option,
)
from tasksprint.limits import NODE_NICE

owned_option = click.option("--owned", is_flag=True, hidden=True, help="End when standard input ends.")


class Daemon(Protocol):
    name: str  # "client 1f…"
    ready: asyncio.Future[None]  # its ready line may be printed: it takes part
    ended: asyncio.Future[str]

    async def start(self) -> None: ...
    async def close(self) -> None: ...


def serve(
    make: Callable[[], Daemon], announce: Callable[[Daemon], str], on_term: Callable[[Daemon], None], owned: bool
) -> None:
    """Run until ended; errors of starting up become one line."""
    import uvloop

    from tasksprint.limits import FILES_MAX
    from tasksprint.storage import StorageError
    from tasksprint.transport import LinkError

    try:
        raise_files_limit(FILES_MAX)
        reason = uvloop.run(_serving(make, announce, on_term, owned))
    except (LinkError, StorageError) as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"cannot use {error.filename or 'a file'}: {error.strerror}") from None
    if reason not in ("stopped", "left the cluster"):
        raise Failure(reason)


async def _serving(
    make: Callable[[], Daemon], announce: Callable[[Daemon], str], on_term: Callable[[Daemon], None], owned: bool
) -> str:
    daemon = make()
    loop = asyncio.get_running_loop()
    end_on_errors(loop, daemon.name, daemon.ended.done)
    show_stalls(loop)
    await daemon.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_term, daemon)
    if owned:
        loop.add_reader(0, _owner_said, loop)
    daemon.ready.add_done_callback(lambda _: print(announce(daemon), flush=True))
    try:
        return await daemon.ended
    finally:
        await _closed(daemon.close())


async def _closed(closing: Awaitable[None]) -> None:
    """Close, but not for ever."""
    try:
        async with asyncio.timeout(2):
            await closing
    except TimeoutError:
        pass


def _owner_said(loop: asyncio.AbstractEventLoop) -> None:
    """Standard input is the owner's life line: its end is ours."""
    if not os.read(0, 4096):
        loop.remove_reader(0)
        os.kill(os.getpid(), signal.SIGTERM)
        loop.call_later(3, os._exit, 1)


@click.command()
@click.option(
    "--id", "number", type=click.IntRange(1, 255), required=True, help="This coordinator's number among --peers."
)
@click.option("--peers", required=True, metavar="1=HOST:PORT,...", help="All coordinators, this one too.")
@click.option(
    "--data-dir",
    type=Place(file_okay=False),
    help="Journal and logs.  [default: ~/.tasksprint/coordinator-ID]",
)
@cluster_option
@secret_option
@owned_option
def coordinator(number: int, peers: str, data_dir: Path | None, cluster: str, secret_file: Path, owned: bool) -> None:
    """One coordinator of a standing cluster."""
    from tasksprint.coordinator.server import Config, CoordinatorServer

    table = parse_peers(peers)
    if number not in table:
        raise click.UsageError(f"--id {number} is not among --peers: {', '.join(map(str, sorted(table)))}")
    secret = load_secret(secret_file, create=True)
    config = Config(cluster, secret, number, table, data_dir or HOME / f"coordinator-{number}")

    def announce(server: Daemon) -> str:
        return json.dumps({"coordinator": number, "address": table[number]})

    serve(lambda: CoordinatorServer(config), announce, lambda server: _stop(server), owned)


def _stop(daemon: Daemon) -> None:
    if not daemon.ended.done():
        daemon.ended.set_result("stopped")


@click.command()
@coordinators_option
@click.option("--slots", type=click.IntRange(1, 1024), help="Node processes at a time.  [default: one a core]")
@click.option("--labels", default="", metavar="A,B", help="Labels that tasks may ask for.")
@click.option(
    "--nice",
    type=click.IntRange(0, 19),
    default=NODE_NICE,
    show_default=True,
    envvar="TASKSPRINT_NODE_NICE",
    show_envvar=True,
    help="How far the priority of computing nodes is below the cluster's own processes; 0: not at all.",
)
@click.option(
    "--listen", default="127.0.0.1:0", show_default=True, metavar="HOST:PORT", help="Where other clients fetch results."
)
@click.option(
    "--advertise",
    metavar="HOST:PORT",
    help="The address that other clients are told, when it is not the one of --listen: behind NAT or a proxy.",
)
@click.option(
    "--folder",
    type=Place(file_okay=False),
    help="Results and logs.  [default: ~/.tasksprint/client]",
)
@click.option(
    "--trace", type=Place(dir_okay=False), help="Append what happens to tasks here, as JSON lines."
)
@cluster_option
@secret_option
@owned_option
def client(
    coordinators: str,
    slots: int | None,
    labels: str,
    nice: int,
    listen: str,
    advertise: str | None,
    folder: Path | None,
    trace: Path | None,
    cluster: str,
    secret_file: Path,
    owned: bool,
) -> None:
    """The client of this machine: runs nodes for a standing cluster."""
    from tasksprint.client.agent import Agent, Config, ready_line
    from tasksprint.client.folder import make_private
    from tasksprint.transport import LinkError, parse_address

    addresses = parse_addresses(coordinators, "--coordinators")
    try:
        where = parse_address(listen)
    except LinkError as error:
        raise click.UsageError(f"--listen: {error}") from None
    told = parse_addresses(advertise, "--advertise") if advertise is not None else [""]
    if len(told) != 1:
        raise click.UsageError(f"--advertise: {advertise!r} are several addresses: others are told one")
    secret = load_secret(secret_file)
    place = Path(os.path.abspath(folder or HOME / "client"))  # for nodes, which work elsewhere
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(place)
    except OSError as error:
        raise Failure(f"cannot use the folder {place}: {error.strerror}") from None
    names = [name.strip() for name in labels.split(",") if name.strip()]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    config = Config(cluster, secret, addresses, place, where, slots or cores, names, trace, told[0], nice)
    serve(lambda: Agent(config), lambda agent: ready_line(agent), lambda agent: agent.leave(), owned)  # type: ignore[arg-type, attr-defined]
