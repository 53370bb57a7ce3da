"""`tasksprint sim`: whole clusters in virtual time, with faults, each from one seed.

Alone it tries TaskSprint itself, with scripted programs; with a job it tries that (`simulate_job`).
"""

from __future__ import annotations

import time
from typing import Any

import click

from tasksprint.cli.commands import Failure
from tasksprint.cli.simulate_job import Asked, replay_job, simulate_job


@click.command()
@click.argument("what", required=False, metavar="[APP|FILE.py|FOLDER]")
@click.argument("words", nargs=-1, metavar="[ARGUMENTS...]")
@click.option("--seeds", type=click.IntRange(1), help="Run this many seeds.  [default: 100]")
@click.option(
    "--from-seed", type=click.IntRange(0), help="The first seed; alone: run this one and print its trace hash."
)
@click.option("--plant", metavar="NAME", help="With a planted bug: a checker must find it.")
@click.option("--list-plants", is_flag=True, help="The bugs that can be planted.")
@click.option("--trace", is_flag=True, help="Print every event of the seed (with --from-seed alone).")
@click.option("--args", metavar="JSON", help="The job's arguments (instead of name=value words).")
@click.option("--job-seed", type=click.IntRange(0, 2**64 - 1), default=0, help="What `run` calls --seed.  [default: 0]")
@click.option("--clients", type=click.IntRange(1, 64), help="For the job, at first.  [default: 1 to 4, by the seed]")
@click.option("--slots", type=click.IntRange(1, 1024), help="Of each of its clients.  [default: 1 to 3, by the seed]")
@click.option("--labels", metavar="A,B", help="Of all clients of the job.")
def sim(
    what: str | None,
    words: tuple[str, ...],
    seeds: int | None,
    from_seed: int | None,
    plant: str | None,
    list_plants: bool,
    trace: bool,
    **options: Any,
) -> None:
    """Simulate clusters under loss, cuts, crashes and pauses, and check every promise after every event.

    \b
    tasksprint sim --seeds 1000                 scripted jobs
    tasksprint sim program.py name=value ...    your own: is its answer the same in every run?
    """
    if trace and (from_seed is None or seeds is not None):
        raise click.UsageError("--trace prints one seed: name it with --from-seed, and leave --seeds out")
    if what is not None:
        of_a_job(Asked(what, words, **options), seeds, from_seed, trace, own_world=plant is not None or list_plants)
        return
    if any(options.values()):
        raise click.UsageError("--args, --job-seed and the options of clients are for a job: name it as `run` does")
    from tasksprint.sim.campaign import run_seed
    from tasksprint.sim.plants import PLANTS

    if list_plants:
        width = max(map(len, PLANTS))
        for name, what in sorted(PLANTS.items()):
            click.echo(f"{name:<{width}}  {getattr(what, 'description', what)}")
        return
    if plant is not None and plant not in PLANTS:
        raise click.UsageError(f"no plant {plant!r}; there are: {', '.join(sorted(PLANTS))}")
    if from_seed is not None and seeds is None:
        outcome = run_seed(from_seed, plant=plant, trace=trace)
        for line in outcome.trace:
            click.echo(line)
        click.echo(
            f"seed {outcome.seed}: {outcome.virtual_ms / 1000:.1f} s of virtual time, trace hash {outcome.trace_hash}"
        )
        if not outcome.ok:
            raise Failure(f"seed {outcome.seed} fails ({outcome.checker}): {outcome.failure}")
        return
    campaign(from_seed or 0, seeds or 100, plant)


def of_a_job(asked: Asked, seeds: int | None, from_seed: int | None, trace: bool, *, own_world: bool) -> None:
    if own_world:
        raise click.UsageError("bugs are planted in TaskSprint, not in a job: leave the job out")
    if from_seed is not None and seeds is None:
        replay_job(asked, from_seed, trace=trace)
    else:
        simulate_job(asked, from_seed or 0, seeds or 100)


def campaign(start: int, count: int, plant: str | None) -> None:
    """Seeds one after another; a failing one is printed with how to replay it."""
    from tasksprint.sim.campaign import run_seeds

    began = time.monotonic()
    replay = f" --plant {plant}" if plant else ""

    def report(outcome: Any) -> None:
        if not outcome.ok:
            click.echo(f"seed {outcome.seed} fails ({outcome.checker}): {outcome.failure.splitlines()[0]}")
            click.echo(f"  replay: tasksprint sim --from-seed {outcome.seed}{replay}   trace hash {outcome.trace_hash}")

    totals = run_seeds(start, count, plant=plant, report=report)
    seconds = time.monotonic() - began
    rate = totals.seeds / totals.cpu_s * 60 if totals.cpu_s else 0
    click.echo(
        f"{totals.seeds} seeds, {totals.virtual_ms / 1000:.0f} s of virtual time in {seconds:.1f} s "
        f"({rate:.0f} seeds a CPU-minute), "
        f"{len(totals.failures)} failed"
    )
    for name, times in sorted(totals.counters.items()):
        click.echo(f"  {name:<40} {times:>12}")
    for name in totals.silent:
        click.echo(f"  never came up: {name}")
    if plant is not None and not totals.failures:
        raise Failure(f"the planted bug {plant!r} was not found in {totals.seeds} seeds")
    if plant is None and totals.failures:
        raise Failure(f"{len(totals.failures)} of {totals.seeds} seeds fail; the first is {totals.failures[0].seed}")
