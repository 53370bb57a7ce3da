"""The table of commands, and how errors become one line and an exit code."""

from __future__ import annotations

import importlib
import signal
import sys

import click

# name → (module in this room, its function, one line for --help)
COMMANDS = {
    "run": ("run", "run", "Run an app, a file, a folder or a pair of commands on a cluster made for it here."),
    "coordinator": ("daemons", "coordinator", "One coordinator of a standing cluster."),
    "client": ("daemons", "client", "The client of this machine: runs nodes for a standing cluster."),
    "submit": ("submit", "submit", "Submit a job to a standing cluster, follow it, bring its outputs."),
    "status": ("inspect_jobs", "status", "The cluster, its clients and its jobs; or one job."),
    "logs": ("inspect_jobs", "logs", "What a job's scheduler and nodes have printed."),
    "cancel": ("inspect_jobs", "cancel", "End a job."),
    "why": ("inspect_jobs", "why", "Why a task, or a job as a whole, is waiting."),
    "sim": ("simulate", "sim", "Simulate whole clusters, with faults, from seeds."),
    "bench": ("bench", "bench", "Measure this machine: tasks, miner, genome."),
    "check-node": ("check", "check_node", "Try a node program against the protocol."),
    "check-scheduler": ("check", "check_scheduler", "Try a scheduler program against the protocol."),
}

# apps whose `run` has options of its own, each in a module of this room
WITH_OPTIONS = ("miner", "roots")


class Failure(Exception):
    """Ends the command with one line on stderr and this exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Group(click.Group):
    """Without a command, it shows what there is."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not args:
            click.echo(context.get_help(), err=True)
            context.exit(2)
        return super().parse_args(context, args)


def first_word(args: list[str]) -> int:
    """Where the first word stands, behind the command, that is neither an option nor an option's value."""
    place = 1
    while place < len(args) and args[place].startswith("-"):
        place += 1 if "=" in args[place] or args[place] in ("-h", "--help") else 2
    return place


class Program(Group):
    """Loads a command's module when the command is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(f"tasksprint.cli.{module}"), function)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        place = first_word(args)
        if name == "run" and place < len(args) and args[place] in WITH_OPTIONS:
            app = args[place]
            command = getattr(importlib.import_module(f"tasksprint.cli.{app}"), app)
            return f"run {app}", command, args[1:place] + args[place + 1 :]
        if name not in COMMANDS:
            raise click.UsageError(f"no command {name!r}; there are: {', '.join(COMMANDS)}")
        return super().resolve_command(context, args)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tasksprint", prog_name="tasksprint")
def program() -> None:
    """Fault-tolerant distributed computation: you write a scheduler and a node, TaskSprint does the rest."""


def run_program(*, ends_process: bool = False) -> None:
    """Run the command of this process's arguments; one line for each error, no traceback.

    `ends_process`: nothing follows, so that one Ctrl-C more must not put a traceback behind the last line.
    """
    try:
        try:
            code, said = _run()
        finally:
            if ends_process:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
    except (click.Abort, KeyboardInterrupt):
        if ends_process:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        code, said = 130, "ended by Ctrl-C"
    if said:
        print(f"tasksprint: {said}", file=sys.stderr)
    sys.stdout.flush() if not sys.stdout.closed else None
    sys.exit(code)


def _run() -> tuple[int, str]:
    """The exit code, and what is to be said of an error."""
    try:
        code = program.main(prog_name="tasksprint", standalone_mode=False)
    except Failure as error:
        return error.code, str(error)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        return error.exit_code, f"{error.format_message()}{hint}"
    except BrokenPipeError:
        return 1, ""
    return code if isinstance(code, int) else 0, ""
