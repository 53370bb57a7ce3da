"""docs/cli.md names every command, its options and variables; what is measured by `bench` says its own --help."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tasksprint.cli.commands import COMMANDS, program
from tasksprint.cli.roots import roots

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
ROOTS = (Path(__file__).parents[2] / "docs" / "roots.md").read_text().split("## How good")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_described(name: str) -> None:
    command = program.get_command(click.Context(program), name)
    assert command is not None
    assert re.search(rf"(tasksprint |`){re.escape(name)}\b", DOCS)
    for option in command.params:
        if not isinstance(option, click.Option) or option.hidden:
            continue
        assert re.search(rf"{option.opts[0]}\b", DOCS), f"{name} {option.opts[0]}"
        assert not option.envvar or f"`{option.envvar}`" in DOCS


def test_every_option_that_is_described_is_there() -> None:
    known = {"--help"}
    for name in COMMANDS:
        command = program.get_command(click.Context(program), name)
        assert command is not None
        commands = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
        known.update(word for one in commands for option in one.params for word in option.opts)
    assert set(re.findall(r"--[a-z][a-z-]+", DOCS)) <= known


def test_the_root_finders_own_options_are_described() -> None:
    described = set(re.findall(r"`(--[a-z][a-z-]+)", ROOTS))
    shared = {word for option in program.get_command(click.Context(program), "run").params for word in option.opts}  # type: ignore[union-attr]
    own = {word for option in roots.params if isinstance(option, click.Option) for word in option.opts}
    assert described <= own
    assert own - shared <= described
