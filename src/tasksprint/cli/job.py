"""What a user names on the command line, as a job: a shipped app, a file, a folder, or a pair of commands."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tasksprint.cli.commands import Failure
from tasksprint.cli.following import hash_of
from tasksprint.view.operations import JobSpec

SDK = ["@python", "-m", "tasksprint.sdk"]


@dataclass(slots=True)
class Job:
    """A job that can be submitted, and how its answer is shown."""

    spec: JobSpec
    program: bytes
    output_name: Callable[[int, str], str]  # (place among the outputs, key) → file name
    summary: Callable[[Any], list[str]]
    always_files: bool  # an output folder is written even where nobody asked for one


def parse_arguments(words: Sequence[str], text: str | None) -> Any:
    """`--args JSON`, or words of the form name=value, each value JSON or else plain text."""
    if text is not None and words:
        raise click.UsageError("give either --args or name=value words, not both")
    if text is not None:
        return parse_json(text)
    arguments: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise click.UsageError(f"{word!r} is not name=value")
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments


def parse_json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--args is no JSON: {error}") from None


def split(text: str, what: str) -> list[str]:
    """A command as words."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Failure(f"{what} {text!r} is no command: {str(error).lower()}", 2) from None
    if not words:
        raise Failure(f"{what} is empty: write a command, or a Python file with the class in it", 2)
    return words


def encoded(arguments: Any) -> bytes:
    from tasksprint import limits

    data = json.dumps(arguments, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")
    if len(data) > limits.ARGS_BYTES:
        raise Failure(
            f"the job's arguments take {len(data)} bytes, more than {limits.ARGS_BYTES}: name a file instead", 2
        )
    return data


def resolve(
    what: str | None,
    words: Sequence[str],
    *,
    scheduler: str | None,
    node: str | None,
    files: Path | None,
    args: str | None,
    seed: int,
) -> Job:
    """The job that the command line means.  Raises Failure or UsageError with one line."""
    from tasksprint.apps import APPS, find
    from tasksprint.storage import StorageError

    try:
        if scheduler or node:
            all_words = ([] if what is None else [what]) + list(words)
            return _commands(scheduler, node, files, parse_arguments(all_words, args), seed)
        if not what:
            raise click.UsageError(
                f"name an app ({', '.join(sorted(APPS))}), a Python file, a folder, or --scheduler and --node"
            )
        if what in APPS:
            return _app(find(what), words, args, seed)
        path = Path(what)
        if path.is_dir():
            return _folder(path, parse_arguments(words, args), seed)
        file, _, name = what.partition(":")
        if file.endswith(".py") and Path(file).is_file():
            return _file(Path(file), name, parse_arguments(words, args), seed)
    except (StorageError, OSError) as error:
        raise Failure(str(error), 2) from None
    raise Failure(f"{what!r} is no app ({', '.join(sorted(APPS))}), no Python file and no folder", 2)


def _app(app: Any, words: Sequence[str], args: str | None, seed: int) -> Job:
    command = app_command(app)
    if args is not None and words:
        raise click.UsageError("give either --args or other words, not both")
    try:
        arguments = parse_json(args) if args is not None else command.arguments(words)
    except ValueError as error:
        raise Failure(str(error), 2) from None
    return app_job(app, arguments, seed)


def app_command(app: Any) -> Any:
    """What the app brings for the command line."""
    try:
        return app.command()
    except ModuleNotFoundError as error:
        raise Failure(f"{app.name} needs {error.name}: install the extra, tasksprint[{app.name}]") from None


def app_job(app: Any, arguments: Any, seed: int) -> Job:
    """A job of a shipped app."""
    command = app_command(app)
    spec = JobSpec(app.name, app.scheduler, app.node, encoded(arguments), seed)
    return Job(spec, b"", lambda place, key: command.output_name(place), command.summary, True)


def named(name: str) -> Job:
    """A job that was submitted earlier, of which only the name is known."""
    from tasksprint.apps import APPS, find

    spec = JobSpec(name, [], [], b"", 0)
    if name not in APPS:
        return Job(spec, b"", _plain, _shown, False)
    command = find(name).command()

    def summary(values: Any) -> list[str]:
        try:
            return list(command.summary(values))
        except (KeyError, TypeError, ValueError):  # somebody's own job has the app's name
            return _shown(values)

    return Job(spec, b"", lambda place, key: command.output_name(place), summary, True)


def _plain(place: int, key: str) -> str:
    name = "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in key)
    return f"{place:03d}-{name}"


def _shown(values: Any) -> list[str]:
    return [] if values is None else [json.dumps(values, ensure_ascii=False)]


def _file(path: Path, name: str, arguments: Any, seed: int) -> Job:
    """The scheduler and the node in a Python file; `name`: which of its schedulers, where there are several."""
    from tasksprint.storage.programs import pack_program

    program = pack_program(path.parent, [path.name])
    scheduler = f"{path.name}:{name}" if name else path.name
    spec = JobSpec(
        path.stem, [*SDK, scheduler, "scheduler"], [*SDK, path.name, "node"], encoded(arguments), seed, hash_of(program)
    )
    return Job(spec, program, _plain, _shown, False)


def _folder(path: Path, arguments: Any, seed: int) -> Job:
    from tasksprint.storage.programs import pack_program

    description = path / "tasksprint.toml"
    try:
        table = tomllib.loads(description.read_text())
    except FileNotFoundError:
        raise Failure(f"{path} has no tasksprint.toml: write one with scheduler and node commands", 2) from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise Failure(f"{description}: {error}", 2) from None
    known = {"name", "scheduler", "node", "args", "files"}
    if set(table) - known:
        raise Failure(
            f"{description}: unknown field {sorted(set(table) - known)[0]!r}; known are {', '.join(sorted(known))}", 2
        )
    for field in ("scheduler", "node"):
        if field not in table:
            raise Failure(f"{description}: {field} is missing: a command, or a Python file with the class in it", 2)
        if not isinstance(table[field], str) and not _is_words(table[field]):
            raise Failure(f"{description}: {field} must be a command, as text or as a list of words", 2)
    if not isinstance(table.get("args", {}), dict) or not _is_words(table.get("files", [""])):
        raise Failure(f"{description}: args must be a table, files a list of names", 2)
    program = pack_program(path, table.get("files"))
    merged = {**table.get("args", {}), **arguments} if isinstance(arguments, dict) else arguments
    spec = JobSpec(
        str(table.get("name", path.resolve().name)),
        program_command(table["scheduler"], "scheduler"),
        program_command(table["node"], "node"),
        encoded(merged),
        seed,
        hash_of(program),
    )
    return Job(spec, program, _plain, _shown, False)


def _is_words(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(word, str) for word in value)


def program_command(text: str | list[str], role: str) -> list[str]:
    """A command as the user wrote it; a lone Python file means the class in it; `python` means ours."""
    words = split(text, f"the {role}'s command") if isinstance(text, str) else text
    if len(words) == 1 and words[0].partition(":")[0].endswith(".py"):
        return [*SDK, words[0], role]
    return ["@python" if place == 0 and word in ("python", "python3") else word for place, word in enumerate(words)]


def _commands(scheduler: str | None, node: str | None, files: Path | None, arguments: Any, seed: int) -> Job:
    from tasksprint.storage.programs import pack_program

    if not scheduler or not node:
        raise click.UsageError("--scheduler and --node go together")
    program = pack_program(files, None) if files is not None else b""
    commands = [program_command(text, role) for text, role in ((scheduler, "scheduler"), (node, "node"))]
    if files is None:  # they run in folders of their own: what lies here is named in full
        commands = [[_in_full(word) for word in words] for words in commands]
    spec = JobSpec("commands", commands[0], commands[1], encoded(arguments), seed, hash_of(program))
    return Job(spec, program, _plain, _shown, False)


def _in_full(word: str) -> str:
    path, colon, rest = word.partition(":")
    if not word.startswith(("-", "@", "/")) and ("/" in word or "." in word) and Path(path).is_file():
        return str(Path(path).resolve()) + colon + rest
    return word
