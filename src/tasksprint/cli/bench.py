"""`tasksprint bench`: what this machine does, beside a peer measured in the same run, in turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tasksprint.cli.commands import Group
from tasksprint.cli.settings import Place


@click.group(cls=Group)
def bench() -> None:
    """Measure this machine, beside a peer in the same run."""


@bench.command()
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="How often each is measured; medians count.",
)
@click.option(
    "--folder",
    type=Place(file_okay=False),
    help="Where the journals lie: a real disk.  [default: here]",
)
@click.option(
    "--scale",
    type=click.FloatRange(0.001, 100),
    default=1.0,
    show_default=True,
    help="Size of the work, for a quick look.",
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def tasks(rounds: int, folder: Path | None, scale: float, as_json: bool) -> None:
    """No-op tasks through three durable coordinators, beside a bare multiprocessing.Pool."""
    from tasksprint.cli.bench_tasks import measure, table

    _say(measure(folder or Path.cwd(), rounds, scale), table, as_json)


@bench.command()
@click.option("--kernel", default="", metavar="NAME", help="Measure this kernel instead of the fastest.")
@click.option("--all", "everything", is_flag=True, help="Measure every kernel that this processor can run.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 3600), default=4.0, show_default=True, help="How long each is measured."
)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="How often; medians count.")
@click.option(
    "--peer", default="", metavar="CMD", help="A miner's own benchmark, on one core, to run in turn with ours."
)
@click.option("--bare", is_flag=True, help="The kernels (and the peer) alone, without a cluster.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def miner(kernel: str, everything: bool, seconds: float, rounds: int, peer: str, bare: bool, as_json: bool) -> None:
    """The nonce search: on a core, on all cores, in a cluster; and how soon stale work stops."""
    from tasksprint.cli.bench_miner import measure, table

    _say(measure(kernel, everything, seconds, rounds, peer, bare), table, as_json)


@bench.command()
@click.option("--size", type=click.IntRange(2, 10**7), default=10_000, show_default=True, help="Individuals.")
@click.option(
    "--probability", type=click.FloatRange(0, 0.5), default=0.01, show_default=True, help="Of a flip, for each bit."
)
@click.option(
    "--seconds", type=click.FloatRange(0.01, 600), default=0.5, show_default=True, help="For each number of the table."
)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="In how many turns.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def genome(size: int, probability: float, seconds: float, rounds: int, as_json: bool) -> None:
    """The genetic operators, beside a vectorised numpy version and (where it is installed) DEAP."""
    try:
        from tasksprint.cli.bench_genome import measure, table
    except ModuleNotFoundError as error:
        raise click.ClickException(f"this needs {error.name}: install the extra, tasksprint[roots]") from None

    _say(measure(size, probability, seconds, rounds), table, as_json)


def _say(measured: dict[str, Any], table: Callable[[dict[str, Any]], list[str]], as_json: bool) -> None:
    for line in [json.dumps(measured)] if as_json else table(measured):
        click.echo(line)
