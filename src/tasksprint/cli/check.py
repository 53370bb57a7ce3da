"""`tasksprint check-node` and `check-scheduler`: does a program speak its protocol?

What `run` takes is resolved as `run` does it, and tried where it would run: in a folder that holds the job's files
and nothing else.  Any other words are a command, which is tried here.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tasksprint.cli.commands import Failure


@dataclass(slots=True)
class Tried:
    """A program: its command, the folder it runs in, the job's arguments and the job's node, where there is one."""

    command: list[str]
    folder: Path
    args: Any
    node: list[str] | None


@click.command("check-node")
@click.argument("words", metavar="CMD|FILE.py|FOLDER", nargs=-1, required=True)
@click.option("--task", default="", help="Run this task too, twice with one seed.")
@click.option("--args", "arguments", metavar="JSON", help="The task's arguments.")
def check_node(words: tuple[str, ...], task: str, arguments: str | None) -> None:
    """Try a node program against the protocol; quote a command that has options of its own."""
    from tasksprint.cli.job import parse_json
    from tasksprint.programs.check_node import check_node as check

    args = parse_json(arguments)
    with tried(words, "node", None) as program:
        report(check(program.command, task=task, args=args, folder=program.folder))


@click.command("check-scheduler")
@click.argument("words", metavar="CMD|FILE.py|FOLDER", nargs=-1, required=True)
@click.option("--args", "arguments", metavar="JSON", help="The job's arguments.")
def check_scheduler(words: tuple[str, ...], arguments: str | None) -> None:
    """Try a scheduler program against the protocol; events are also fed in other orders."""
    from tasksprint.programs.check_scheduler import check_scheduler as check

    with tried(words, "scheduler", arguments) as program:
        report(check(program.command, node=program.node, args=program.args, folder=program.folder))


@contextmanager
def tried(words: tuple[str, ...], role: str, arguments: str | None) -> Iterator[Tried]:
    """What the words name.  Raises Failure or UsageError with one line."""
    from tasksprint.apps import APPS
    from tasksprint.cli.job import parse_json, program_command
    from tasksprint.programs.probe import temporary_folder
    from tasksprint.storage.programs import unpack_program

    args = parse_json(arguments)
    file, _, name = words[0].partition(":")
    is_file = file.endswith(".py") and Path(file).is_file()
    if len(words) > 1 or not (is_file or Path(file).is_dir() or file in APPS):
        command = program_command(words[0] if len(words) == 1 else list(words), role)
        yield Tried(command, Path.cwd(), args, None)
        return
    job = _job(file, arguments)
    commands = {"scheduler": job.spec.scheduler, "node": job.spec.node}
    command = commands[role]
    if name:
        command = [f"{word}:{name}" if word == Path(file).name else word for word in command]
    node = job.spec.node if file in APPS or not is_file or _has_node(Path(file)) else None
    with temporary_folder() as place:
        if job.program:
            unpack_program(job.program, Path(place))
        yield Tried(command, Path(place), json.loads(job.spec.args), node)


def _job(what: str, arguments: str | None) -> Any:
    from tasksprint.apps import APPS
    from tasksprint.cli.job import resolve

    if what in APPS and arguments is None:
        arguments = "null"
    return resolve(what, (), scheduler=None, node=None, files=None, args=arguments, seed=0)


def _has_node(path: Path) -> bool:
    """Whether a class in the file extends `Node`: then results are the node's, otherwise they are made up."""
    try:
        classes = [each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.ClassDef)]
    except (SyntaxError, ValueError):
        return False
    return any(getattr(base, "id", getattr(base, "attr", "")) == "Node" for each in classes for base in each.bases)


def report(findings: Any) -> None:
    """Each finding on a line; exit code 1 when something is wrong."""
    from tasksprint.programs.probe import passed

    for finding in findings:
        click.echo(str(finding))
    if not passed(findings):
        raise Failure("the program does not keep the protocol: docs/protocol.md says what it asks for")
