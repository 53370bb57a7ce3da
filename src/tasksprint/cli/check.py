"""`tasksprint check-node` and `check-scheduler`: does a program speak its protocol?"""

from __future__ import annotations

import json
import shlex
from typing import Any

import click

from tasksprint.cli.commands import Failure


@click.command("check-node")
@click.argument("command", metavar="CMD")
@click.option("--task", default="", help="Run this task too, twice with one seed.")
@click.option("--args", "arguments", metavar="JSON", help="The task's arguments.")
def check_node(command: str, task: str, arguments: str | None) -> None:
    """Try the node program CMD (one word: quote a command with arguments) against the protocol."""
    from tasksprint.programs.check_node import check_node as check

    report(check(shlex.split(command), task=task, args=parsed(arguments)))


@click.command("check-scheduler")
@click.argument("command", metavar="CMD")
@click.option("--args", "arguments", metavar="JSON", help="The job's arguments.")
def check_scheduler(command: str, arguments: str | None) -> None:
    """Try the scheduler program CMD against the protocol; events are also fed in other orders."""
    from tasksprint.programs.check_scheduler import check_scheduler as check

    report(check(shlex.split(command), args=parsed(arguments)))


def parsed(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--args is no JSON: {error}") from None


def report(findings: Any) -> None:
    """Each finding on a line; exit code 1 when something is wrong."""
    from tasksprint.programs.probe import passed

    for finding in findings:
        click.echo(str(finding))
    if not passed(findings):
        raise Failure("the program does not keep the protocol: docs/protocol.md says what it asks for")
