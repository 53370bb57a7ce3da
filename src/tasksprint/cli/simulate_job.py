"""`tasksprint sim APP|FILE.py|FOLDER`: does a user's own job end with the same answer, whatever goes wrong?

The programs run in this process, so they must be Python programs of the SDK.  Each seed is a whole cluster with faults
of its own; the answer that counts is that of a run without any.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tasksprint.cli.commands import Failure

if TYPE_CHECKING:
    from tasksprint.sim.campaign import Build, Outcome, Totals
    from tasksprint.sim.job_world import Job, Result
    from tasksprint.sim.sdk_programs import SdkPrograms

SHOWN_CHARS = 500  # of an answer
SHOWN_SEEDS = 10  # that went wrong


@dataclass(frozen=True)
class Asked:
    """The job, as the command line names it."""

    what: str
    words: tuple[str, ...]
    args: str | None
    job_seed: int
    clients: int | None
    slots: int | None
    labels: str | None

    @property
    def label_list(self) -> tuple[str, ...]:
        return tuple(filter(None, map(str.strip, (self.labels or "").split(","))))

    def replay(self, seed: int) -> str:
        """The command that runs this seed again."""
        command = ["tasksprint", "sim", self.what, *self.words]
        for name in ("args", "clients", "slots", "labels"):
            value = getattr(self, name)
            command += [] if value is None else [f"--{name}", str(value)]
        command += ["--job-seed", str(self.job_seed)] if self.job_seed else []
        return shlex.join([*command, "--from-seed", str(seed)])


def simulate_job(asked: Asked, start: int, count: int) -> None:
    """Seeds one after another; Failure when one does not end with the undisturbed answer."""
    from tasksprint.sim.campaign import run_seeds

    wrong = 0

    def report(outcome: Outcome) -> None:
        nonlocal wrong
        wrong += not outcome.ok
        if not outcome.ok and wrong <= SHOWN_SEEDS:
            click.echo(f"seed {outcome.seed}: {outcome.failure.splitlines()[0]}")
            click.echo(f"  replay: {asked.replay(outcome.seed)}   trace hash {outcome.trace_hash}")

    with ready(asked) as build:
        began = time.monotonic()
        totals = run_seeds(start, count, report=report, build=build)
        conclude(totals, time.monotonic() - began)


def conclude(totals: Totals, seconds: float) -> None:
    failed = len(totals.failures)
    if failed > SHOWN_SEEDS:
        others = [outcome.seed for outcome in totals.failures[SHOWN_SEEDS:]]
        click.echo(f"and {len(others)} more went wrong, up to seed {others[-1]}")
    click.echo(
        f"{totals.seeds} seeds, {totals.virtual_ms / 1000:.0f} s of virtual time in {seconds:.1f} s: "
        f"{totals.seeds - failed} ended with the undisturbed answer"
    )
    for name, times in sorted(totals.counters.items()):
        if times:
            click.echo(f"  {name:<40} {times:>12}")
    if totals.counters["job nondeterministic"]:
        click.echo("a task that ran twice gave two results: its node is no function of arguments, inputs and seed")
    if failed:
        raise Failure(f"{failed} of {totals.seeds} seeds went wrong; the first is {totals.failures[0].seed}")


def replay_job(asked: Asked, seed: int, *, trace: bool) -> None:
    """One seed again; with `trace` every event of it."""
    from tasksprint.sim.campaign import run_seed

    with ready(asked) as build:
        outcome = run_seed(seed, trace=trace, build=build)
    for line in outcome.trace:
        click.echo(line)
    click.echo(f"seed {seed}: {outcome.virtual_ms / 1000:.1f} s of virtual time, trace hash {outcome.trace_hash}")
    if not outcome.ok:
        raise Failure(f"seed {seed}: {outcome.failure}")


# --- the programs ------------------------------------------------------------------------------------


@contextlib.contextmanager
def ready(asked: Asked) -> Iterator[Build]:
    """Makes the worlds of the job, which has run undisturbed before."""
    from tasksprint.sim.job_world import Fleet, under_fire

    settle_hashes()
    with loaded(asked) as (programs, job):
        expected = undisturbed(programs, job, asked)
        yield under_fire(programs, job, expected, Fleet(asked.clients, asked.slots, asked.label_list))


def undisturbed(programs: SdkPrograms, job: Job, asked: Asked) -> Result:
    from tasksprint.sim.job_world import Shape, undisturbed_run
    from tasksprint.sim.programs import SchedulerFailure
    from tasksprint.sim.world import Violation

    try:
        programs.scheduler(job.spec, 0)  # a program that cannot be loaded need not be simulated
        result = undisturbed_run(programs, job, Shape(slots=asked.slots or 1, labels=asked.label_list))
    except SchedulerFailure as failure:
        raise Failure(f"the scheduler does not start: {failure}") from None
    except Violation as violation:
        raise Failure(f"undisturbed, {violation.detail}") from None
    if result.answer.state != "done":
        raise Failure(f"undisturbed, the job fails: {result.error}")
    answer = result.answer.values.decode()
    shown = answer if len(answer) <= SHOWN_CHARS else f"{answer[:SHOWN_CHARS]}..."
    files = f" and {len(result.answer.outputs)} files" if result.answer.outputs else ""
    tasks = f"{result.tasks} {'task' if result.tasks == 1 else 'tasks'}"
    click.echo(f"undisturbed: {tasks}, the answer is {shown}{files}")
    return result


@contextlib.contextmanager
def loaded(asked: Asked) -> Iterator[tuple[SdkPrograms, Job]]:
    """The job's programs, in a folder that holds the job's files and nothing else."""
    from tasksprint.cli.job import resolve
    from tasksprint.programs.probe import temporary_folder
    from tasksprint.sdk import Node, Scheduler
    from tasksprint.sdk.loading import Unloadable
    from tasksprint.sim.job_world import Job
    from tasksprint.sim.loading import anew
    from tasksprint.sim.sdk_programs import SdkPrograms
    from tasksprint.storage.programs import unpack_program

    job = resolve(asked.what, asked.words, scheduler=None, node=None, files=None, args=asked.args, seed=asked.job_seed)
    scheduler, node = python_program(job.spec.scheduler), python_program(job.spec.node)
    path = list(sys.path)
    with temporary_folder() as place, contextlib.chdir(place if job.program else os.curdir):
        if job.program:
            unpack_program(job.program, Path(place))
            sys.path.insert(0, place)
        folder = place if job.program else ""
        load_scheduler, load_node = anew(scheduler, Scheduler, folder), anew(node, Node, folder)
        for load in (load_scheduler, load_node):
            try:
                load()
            except Unloadable as error:
                raise Failure(str(error).replace(f"{place}/", ""), 2) from None
            except Exception:
                pass  # said when the scheduler starts, or as in a real job: each task fails, and its error says why
        try:
            with SdkPrograms(load_scheduler, load_node, hidden=f"{place}/") as programs:
                yield programs, Job(job.spec, job.program)
        finally:
            sys.path[:] = path


def python_program(command: list[str]) -> str:
    """The file or module with the class in it."""
    from tasksprint.cli.job import SDK

    if command[: len(SDK)] != SDK or len(command) != len(SDK) + 2:
        raise Failure(
            f"the simulator runs programs of the Python SDK, in its own process, and {shlex.join(command)} is another: "
            "try it with check-scheduler and check-node",
            2,
        )
    return command[len(SDK)]


def settle_hashes() -> None:
    """Sets of strings have an order that differs from process to process, but for programs that TaskSprint starts."""
    started = Path(sys.argv[0])
    ours = started.name == "tasksprint" or started == Path(__file__).parent.parent / "__main__.py"
    if ours and sys.flags.hash_randomization and os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})
