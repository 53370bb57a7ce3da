"""Options that several commands share: which cluster, its coordinators, its secret."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tasksprint.cli.commands import Failure

HOME = Path(os.environ.get("TASKSPRINT_HOME", "~/.tasksprint")).expanduser()
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Place(click.Path):
    """A file or a folder.  An empty name, a variable that was not set say, would be the folder where one stands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if value == "":
            self.fail("an empty name: write . for the folder where you are", parameter, context)
        return super().convert(value, parameter, context)


def secret_option(command: _Command) -> _Command:
    return click.option(
        "--secret-file",
        type=Place(),
        default=HOME / "secret",
        envvar="TASKSPRINT_SECRET_FILE",
        help="The cluster's secret; the same bytes on every machine, mode 0600.  [default: ~/.tasksprint/secret]",
    )(command)


def cluster_option(command: _Command) -> _Command:
    return click.option(
        "--cluster", default="tasksprint", envvar="TASKSPRINT_CLUSTER", help="The cluster's name.", show_default=True
    )(command)


def coordinators_option(command: _Command) -> _Command:
    return click.option(
        "--coordinators",
        envvar="TASKSPRINT_COORDINATORS",
        required=True,
        metavar="HOST:PORT,...",
        help="Addresses of the coordinators.",
    )(command)


def timeout_option(default_s: float) -> Callable[[_Command], _Command]:
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(0.1, 86_400),
        default=default_s,
        show_default=True,
        metavar="SECONDS",
        help="Give up when no coordinator answers for this long.",
    )


def parse_addresses(text: str, option: str) -> list[str]:
    """`host:port,host:port` as a list."""
    from tasksprint.transport import LinkError, parse_address

    addresses = [part.strip() for part in text.split(",") if part.strip()]
    if not addresses:
        raise click.UsageError(f"{option} is empty: write host:port,host:port,...")
    for address in addresses:
        try:
            _, port = parse_address(address)
        except LinkError as error:
            raise click.UsageError(f"{option}: {error}") from None
        if port == 0:
            raise click.UsageError(f"{option}: {address!r} has port 0: name the port that is listened on")
    return addresses


def parse_job_id(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise click.UsageError(f"{text!r} is no job id: 32 hexadecimal digits, as `submit` and `status` print them")
    return text


def parse_peers(text: str) -> dict[int, str]:
    """`1=host:port,2=host:port,...` as a table."""
    from tasksprint import limits

    peers: dict[int, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        number, equals, address = part.partition("=")
        if not equals or not number.strip().isdecimal() or not 1 <= int(number) <= 255:
            raise click.UsageError(f"--peers: {part!r} is not ID=host:port with an ID from 1 to 255")
        if int(number) in peers:
            raise click.UsageError(f"--peers: id {number} is named twice")
        peers[int(number)] = parse_addresses(address, "--peers")[0]
    if not 1 <= len(peers) <= limits.REPLICAS_MAX or len(set(peers.values())) != len(peers):
        raise click.UsageError(
            f"--peers names {len(peers)} coordinators: 1 to {limits.REPLICAS_MAX}, each with its own address"
        )
    return peers


def load_secret(path: Path, *, create: bool = False) -> bytes:
    """The secret's bytes; a clear failure when the file is missing or open to others."""
    from tasksprint.transport.secret import SecretError, read_secret

    try:
        return read_secret(path, create=create)
    except SecretError as error:
        raise Failure(str(error)) from None
