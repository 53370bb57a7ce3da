"""Looking at a standing cluster, and ending a job: `status`, `logs`, `why`, `cancel`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from tasksprint.cli.settings import (
    cluster_option,
    coordinators_option,
    load_secret,
    parse_addresses,
    parse_job_id,
    secret_option,
    timeout_option,
)

PATIENCE_S = 10.0


def with_cluster(
    coordinators: str, cluster: str, secret_file: Path, timeout_s: float, work: Callable[[Any], Awaitable[None]]
) -> None:
    import uvloop

    from tasksprint.cli.asking import Asking
    from tasksprint.transport import Identity

    addresses = parse_addresses(coordinators, "--coordinators")
    identity = Identity(load_secret(secret_file), cluster, "command")

    async def session() -> None:
        asking = Asking(addresses, identity, patience_ms=round(timeout_s * 1000))
        try:
            await work(asking)
        finally:
            await asking.close()

    uvloop.run(session())


async def asked(asking: Any, what: str) -> Any:
    from tasksprint.wire import messages as wire

    return json.loads(await asking.answer(lambda request: wire.StatusRequest(request, what)))


@click.command()
@click.argument("job", required=False)
@coordinators_option
@cluster_option
@secret_option
@timeout_option(PATIENCE_S)
@click.option("--json", "as_json", is_flag=True, help="Everything, for a program.")
def status(
    job: str | None, coordinators: str, cluster: str, secret_file: Path, timeout_s: float, as_json: bool
) -> None:
    """The cluster, its clients and its jobs; or one job."""

    async def work(asking: Any) -> None:
        if job is not None:
            report: Any = {"job": await asked(asking, f"job:{parse_job_id(job)}")}
        else:
            report = {"cluster": await asked(asking, "cluster"), "jobs": await asked(asking, "jobs")}
        report["coordinators"] = await every_coordinator(asking)
        if as_json:
            click.echo(json.dumps(report, indent=2))
        else:
            show(report)

    with_cluster(coordinators, cluster, secret_file, timeout_s, work)


async def every_coordinator(asking: Any) -> dict[str, Any]:
    """What each coordinator says of itself; None where it is silent."""
    from tasksprint.wire import messages as wire

    async def one(address: str) -> Any:
        data = await asking.one(address, lambda request: wire.StatusRequest(request, "self"))
        return None if data is None else json.loads(data)

    answers = await asyncio.gather(*(one(address) for address in asking.coordinators))
    return dict(zip(asking.coordinators, answers, strict=True))


def show(report: dict[str, Any]) -> None:
    """Tables for a person."""
    rows = [coordinator_row(address, said) for address, said in report["coordinators"].items()]
    _list(rows, ("coordinator", "id", "role", "ballot", "applied"))
    if "cluster" in report:
        rows = report["cluster"]["clients"]
        click.echo(f"\n{len(rows)} client{'' if len(rows) == 1 else 's'}")
        _list(rows, ("client", "address", "slots", "labels", "ready", "waiting", "holds"))
    if "jobs" in report:
        rows = [{**row, "tasks": f"{row['done']}/{row['started']}"} for row in report["jobs"]]
        click.echo(f"\n{len(rows)} job{'' if len(rows) == 1 else 's'}")
        _list(rows, ("job", "name", "state", "tasks", "failed", "error"))
    if "job" in report:
        click.echo()
    job = report.get("job", {})
    for name, value in job.items():
        if name != "running":
            click.echo(f"{name}: {_cell(value)}")
    rows = [{**row, "through": f"{row['fraction']:.1%}"} for row in job.get("running", ())]
    if rows:
        click.echo()
    _list(rows, ("task", "name", "attempt", "client", "through"))


def coordinator_row(address: str, said: dict[str, Any] | None) -> dict[str, Any]:
    if said is None:
        return {"coordinator": address, "id": "?", "role": "does not answer", "ballot": "", "applied": ""}
    role = "leader" if said["leading"] else f"follows {said['leader'] or 'nobody'}"
    return {**said, "coordinator": address, "role": role, "ballot": ".".join(map(str, said["ballot"]))}


def _list(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Lines of columns; ids are never cut, so that they can be copied."""
    cells = [
        [_cell(row[column]).splitlines()[0] if row[column] else _cell(row[column]) for column in columns]
        for row in rows
    ]
    widths = [
        max(len(column), *(len(row[place]) for row in cells)) if cells else 0 for place, column in enumerate(columns)
    ]
    for line in [list(columns), *cells] if cells else []:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo(text.rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value)


@click.command()
@click.argument("job")
@coordinators_option
@cluster_option
@secret_option
@timeout_option(PATIENCE_S)
def logs(job: str, coordinators: str, cluster: str, secret_file: Path, timeout_s: float) -> None:
    """What the job's scheduler (on the leader) and its nodes (on every client) have printed."""
    job_id = parse_job_id(job)

    async def work(asking: Any) -> None:
        report = await asked(asking, "cluster")
        found = False
        for address, said in (await every_coordinator(asking)).items():
            if said is not None and said["leading"]:
                text = await scheduler_log(asking, address, job_id)
                found |= write_log(f"scheduler, coordinator {said['id']}", text)
        for row in report["clients"]:
            found |= write_log(f"client {row['client']}", await client_log(asking, row["address"], job_id))
        if not found:
            await asked(asking, f"job:{job_id}")  # says so when there is no such job
            click.echo(f"job {job_id} has printed nothing", err=True)

    with_cluster(coordinators, cluster, secret_file, timeout_s, work)


async def scheduler_log(asking: Any, address: str, job_id: str) -> bytes:
    """All of what the job's scheduler has printed on this coordinator."""
    from tasksprint.wire import messages as wire

    text = b""

    def from_here(request: int) -> wire.SchedulerLog:
        return wire.SchedulerLog(request, job_id, len(text))

    while part := await asking.one(address, from_here):
        text += part
    return text


async def client_log(asking: Any, address: str, job_id: str) -> bytes:
    from tasksprint.transfer.fetch import Fetcher, Wanted
    from tasksprint.wire import messages as wire
    from tasksprint.wire.results import Piece

    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def arrived(digest: bytes, piece: Piece) -> None:
        future.set_result(piece.value or b"")

    fetcher = Fetcher(asking.identity)
    fetcher.fetch(
        Wanted(
            lambda request: wire.GetLog(request, job_id, 0),
            address,
            arrived,
            lambda kind, reason: future.set_result(f"({reason})\n".encode()),
            None,
        )
    )
    try:
        return await future
    finally:
        fetcher.close()


def write_log(who: str, text: bytes) -> bool:
    """Whether there was anything to write."""
    if text:
        click.echo(f"--- {who}")
        sys.stdout.flush()
        sys.stdout.buffer.write(text if text.endswith(b"\n") else text + b"\n")
        sys.stdout.buffer.flush()
    return bool(text)


@click.command()
@click.argument("job")
@coordinators_option
@cluster_option
@secret_option
@timeout_option(PATIENCE_S)
def cancel(job: str, coordinators: str, cluster: str, secret_file: Path, timeout_s: float) -> None:
    """End a job; its tasks are stopped and its results dropped."""
    from tasksprint.wire import messages as wire

    job_id = parse_job_id(job)

    async def work(asking: Any) -> None:
        await asking.answer(lambda request: wire.CancelRequest(request, job_id))
        click.echo(f"job {job_id}: {(await asked(asking, f'job:{job_id}'))['state']}")

    with_cluster(coordinators, cluster, secret_file, timeout_s, work)


@click.command()
@click.argument("job")
@click.argument("task", type=click.IntRange(1), required=False)
@coordinators_option
@cluster_option
@secret_option
@timeout_option(PATIENCE_S)
def why(job: str, task: int | None, coordinators: str, cluster: str, secret_file: Path, timeout_s: float) -> None:
    """What a task, or the job as a whole, is waiting for, in one sentence."""
    job_id = parse_job_id(job)

    async def work(asking: Any) -> None:
        click.echo(await asked(asking, f"why:{job_id}" if task is None else f"why:{job_id}:{task}"))

    with_cluster(coordinators, cluster, secret_file, timeout_s, work)
