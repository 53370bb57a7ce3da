"""`tasksprint check-node` and `check-scheduler`: does a program speak its protocol?"""

from __future__ import annotations

from typing import Any

import click

from tasksprint.cli.commands import Failure


@click.command("check-node")
@click.argument("command", metavar="CMD")
@click.option("--task", default="", help="Run this task too, twice with one seed.")
@click.option("--args", "arguments", metavar="JSON", help="The task's arguments.")
def check_node(command: str, task: str, arguments: str | None) -> None:
    """Try the node program CMD (one word: quote a command with arguments) against the protocol."""
    from tasksprint.cli.job import parse_json, split
    from tasksprint.programs.check_node import check_node as check

    report(check(split(command, "CMD"), task=task, args=parse_json(arguments)))


@click.command("check-scheduler")
@click.argument("command", metavar="CMD")
@click.option("--args", "arguments", metavar="JSON", help="The job's arguments.")
def check_scheduler(command: str, arguments: str | None) -> None:
    """Try the scheduler program CMD against the protocol; events are also fed in other orders."""
    from tasksprint.cli.job import parse_json, split
    from tasksprint.programs.check_scheduler import check_scheduler as check

    report(check(split(command, "CMD"), args=parse_json(arguments)))


def report(findings: Any) -> None:
    """Each finding on a line; exit code 1 when something is wrong."""
    from tasksprint.programs.probe import passed

    for finding in findings:
        click.echo(str(finding))
    if not passed(findings):
        raise Failure("the program does not keep the protocol: docs/protocol.md says what it asks for")
