"""`tasksprint run roots`: all roots of a function or a system in a box, on a cluster made for it on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tasksprint.cli.commands import Failure
from tasksprint.cli.run import cluster_options, run_job, trace_option
from tasksprint.cli.settings import Place

LISTEN_S = 0.2
FILE = Place(dir_okay=False)


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is searched, and how; what is not given is taken from the file, or has the app's default."""
    for option in (
        click.argument("formulas", nargs=-1, metavar="FORMULA... | FILE.toml"),
        click.option(
            "--box", type=float, nargs=2, multiple=True, metavar="LOW HIGH", help="For each unknown, or once for all."
        ),
        click.option("--budget", type=int, metavar="N", help="Evaluations.  [default: 25000 for each unknown]"),
        click.option("--time", "time_s", type=float, metavar="SECONDS", help="Start no new round after this time."),
        click.option("--seed", type=int, metavar="N", help="The same seed, the same roots.  [default: 0]"),
        click.option("--no-polish", is_flag=True, help="The genetic operators alone."),
        click.option("--bits", type=int, metavar="32|64", help="Of a coordinate.  [default: 32]"),
        click.option("--epsilon", type=float, metavar="E", help="Without polish, |f| of a root.  [default: 0.0003]"),
        click.option("--closeness", type=float, metavar="D", help="Nearer clusters are one.  [default: 0.01]"),
        click.option("--population", type=int, metavar="N", help="Parents in a task, at most.  [default: 64]"),
        click.option("--crossover", type=float, metavar="P", help="Children with two parents.  [default: 1]"),
        click.option("--mutation", type=float, metavar="N", help="Bits that flip in a child.  [default: 1.25]"),
        click.option("--width", type=int, metavar="N", help="Cells of the box, a task each.  [default: by the budget]"),
        click.option("--rounds", type=int, metavar="N", help="Planned for the budget.  [default: by the budget]"),
        click.option("--last-round", type=int, metavar="N", help="End there: repeats a run that --time has ended."),
        click.option("--starts", metavar="HOW", help="Samples: unsearched places, or uniform.  [default: unsearched]"),
        click.option("--callable", metavar="MODULE:FUNCTION", help="Your own, where clients allow it."),
        click.option("--equations", type=int, metavar="N", help="That your own function gives.  [default: 1]"),
        click.option("--dimensions", type=int, metavar="N", help="Of your own function.  [default: the box's]"),
        click.option("--output", type=FILE, help="Write the result here, as JSON."),
        click.option("--plot", type=FILE, help="Draw a picture: .png, .svg, .pdf."),
    ):
        command = option(command)
    return command


@click.command(name="run roots", context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@search_options
@trace_option
@cluster_options
def roots(
    formulas: tuple[str, ...],
    no_polish: bool,
    output: Path | None,
    plot: Path | None,
    trace: Path | None,
    cluster: dict[str, Any],
    **given: Any,
) -> None:
    """Find all roots of a function, or of a system of equations, in a box.

    \b
    tasksprint run roots "sin(3*x)*cos(x/2)" --box -20 20
    tasksprint run roots "x**2 + y**2 - 1" "x - y" --box -2 2 --plot roots.png
    tasksprint run roots problem.toml --output roots.json
    """
    import uvloop

    for word in formulas:
        if word.startswith("--"):
            raise click.NoSuchOption(word, ctx=click.get_current_context())
    values = {name: value for name, value in given.items() if value is not None and value != ()}
    job = described(formulas, {**values, **({"polish": False} if no_polish else {})})
    for path in (output, plot):
        check_place(path)
    if plot is not None:
        check_plots(plot)
    options = {**cluster, "trace": trace}
    uvloop.run(run_job(job, options, lambda outcome, seconds: finish(outcome, seconds, output, plot), listen))


def described(formulas: tuple[str, ...], values: dict[str, Any]) -> Any:
    """The job; Failure with one message when it makes no sense."""
    from tasksprint.apps import find
    from tasksprint.cli.job import app_command, app_job

    app = find("roots")
    try:
        arguments = app_command(app).of_words(formulas, values)
    except ValueError as error:
        raise Failure(str(error), 2) from None
    for warning in arguments["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    return app_job(app, arguments, 0)


def check_place(path: Path | None) -> None:
    if path is not None and not path.absolute().parent.is_dir():
        raise Failure(f"cannot write {path}: there is no folder {path.absolute().parent}", 2)


def check_plots(path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise Failure("pictures need matplotlib: install the extra, tasksprint[plots]", 2)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise Failure(f"{path}: a picture is a .png, .svg or .pdf", 2)


def finish(outcome: Any, seconds: float, output: Path | None, plot: Path | None) -> None:
    """The table, the JSON and the picture."""
    from tasksprint.apps.roots import report
    from tasksprint.apps.roots.command import plot as draw
    from tasksprint.cli.following import ended_badly

    if outcome.state != "done":
        raise ended_badly(outcome)
    values = json.loads(outcome.values)
    for line in report.table(values):
        click.echo(line)
    try:
        if output is not None:
            written(output, lambda path: path.write_bytes(report.as_json(values)))
        if plot is not None:
            written(plot, lambda path: draw(values, path))
    except OSError as error:
        raise Failure(f"cannot write {error.filename}: {error.strerror}") from None
    click.echo(f"{outcome.update.done} tasks in {seconds:.1f} s", err=True)


def written(path: Path, write: Callable[[Path], Any]) -> None:
    """All of the file, or none of it."""
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


async def listen(cluster: Any, job_id: str, shown: Any, over: asyncio.Event) -> None:
    """Show each root when the scheduler announces it; any copy of it may be the first to say so.

    The lines are numbered, and all copies write the same ones.
    """
    from tasksprint.cli.asking import Asking
    from tasksprint.wire import messages as wire

    offsets = dict.fromkeys(cluster.coordinators, 0)
    told = 0
    asking = {address: Asking([address], cluster.identity, patience_ms=1000) for address in offsets}
    while True:
        last = over.is_set()
        for address, one in asking.items():
            data = b""
            with contextlib.suppress(Failure):
                data = await one.answer(lambda request: wire.SchedulerLog(request, job_id, offsets[address]))  # noqa: B023
            end = data.rfind(b"\n") + 1
            offsets[address] += end
            for line in data[:end].decode("utf-8", "replace").splitlines():
                number = line.removeprefix("root ").partition(":")[0]
                if line.startswith("root ") and number.isdecimal() and int(number) == told + 1:
                    told += 1
                    shown.note(line)
        if last:
            break
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), LISTEN_S)
    for one in asking.values():
        await one.close()
