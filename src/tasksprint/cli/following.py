"""A job seen from the command that wants it: submitted, followed, its outputs brought, its end acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tasksprint import limits
from tasksprint.cli.asking import Asking
from tasksprint.cli.commands import Failure
from tasksprint.transfer.fetch import Fetcher, Wanted
from tasksprint.view.operations import JobSpec
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece

PROGRESS_MS = 100  # between two looks at a running job
STILL_S = 5.0  # a job that does not move for this long is asked why


class Display(Protocol):
    """Where progress is shown."""

    def update(self, update: wire.JobUpdate) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass(slots=True)
class Outcome:
    """How a job ended: `values` is JSON text; `files` are the outputs, in the order that the scheduler gave them."""

    job_id: str
    state: str
    error: str
    values: bytes
    files: list[tuple[str, Path]]
    update: wire.JobUpdate


def ended_badly(outcome: Outcome) -> Failure:
    """For a job that was not done."""
    if outcome.state == "cancelled" or not outcome.error:
        return Failure(f"the job was {outcome.state}")
    return Failure(f"the job {outcome.state}: {outcome.error}")


@dataclass(slots=True)
class Trouble:
    """An output that could not be fetched: `kind` as in Gone, or `unreachable`."""

    output: wire.Output
    kind: str
    reason: str


class Stillness:
    """Says when a job has not moved for STILL_S, and again as often while it stands still."""

    def __init__(self, now: float) -> None:
        self._seen: tuple[object, ...] = ()
        self._since = now

    def lasts(self, update: wire.JobUpdate, now: float, brought: int = 0) -> bool:
        """`brought`: how many of its outputs are here."""
        seen = (update.state, update.started, update.done, update.failed, update.read, brought)
        if seen != self._seen:
            self._seen, self._since = seen, now
        if now - self._since < STILL_S:
            return False
        self._since = now
        return True


def hint(report: dict[str, Any]) -> str:
    """Why the job of a status report may stand still, in a line; nothing where its tasks just take long."""
    waiting = report.get("unplaceable") or []
    if waiting:
        more = f" (and {len(waiting) - 1} more kinds of task)" if len(waiting) > 1 else ""
        return f"{waiting[0]}{more}"
    if report.get("idle"):
        return str(report["idle"])
    if report.get("held_back"):
        unanswered = report["events"] - report["answered"]
        return f"no further task is placed: {unanswered} events wait for the scheduler's answer"
    return ""


def not_brought(troubles: list[Trouble]) -> str:
    """Why outputs that somebody holds do not arrive; nothing where they do, or are on their way anew."""
    lasting = [each for each in troubles if each.kind == "unreachable"]
    if not lasting:
        return ""
    more = f" (and {len(lasting) - 1} more outputs)" if len(lasting) > 1 else ""
    output = lasting[0].output
    return f"cannot fetch {output.key!r} of task {output.task}: {lasting[0].reason}{more}; it is tried again"


def no_longer_held(update: wire.JobUpdate) -> str:
    """For a job that ended well, followed too late."""
    files = len({(output.task, output.key) for output in update.outputs})
    which = "its output file is" if files == 1 else f"its {files} output files are"
    return (
        f"job {update.job_id} is done, but {which} no longer held: collected before, or by nobody within"
        f" {limits.FINISHING_MS / 3_600_000:g} h; submit the job anew to have it made again"
    )


def no_such_piece(trouble: Trouble) -> str:
    """For a job whose scheduler finished with a piece that the task's result does not have."""
    output = trouble.output
    name = f" ({output.name})" if output.name else ""
    made = trouble.reason.removeprefix(f"task {output.task} has no piece {output.key!r}; ")
    return f"its output names piece {output.key!r} of task {output.task}{name}; {made}"


def new_job_id() -> str:
    return secrets.token_hex(16)


async def submit(asking: Asking, job_id: str, spec: JobSpec, program: bytes = b"") -> None:
    """Log the program's files, then the job.  Done twice, it is the same job."""
    if program:
        size = limits.PROGRAM_CHUNK_BYTES
        parts = -(-len(program) // size)
        for part in range(parts):
            data = program[part * size : (part + 1) * size]
            await asking.answer(lambda request: wire.PutProgram(request, spec.program, part, parts, data))  # noqa: B023
    await asking.answer(lambda request: wire.SubmitJob(request, job_id, spec))


async def follow(asking: Asking, job_id: str, display: Display, folder: Path, fetcher: Fetcher) -> Outcome:
    """Until the job is over; its files are in `folder` then, and the cluster may forget them."""
    known = 0
    files: dict[tuple[int, str], Path] = {}
    clock = asyncio.get_running_loop().time
    still, said, unknown = Stillness(clock()), "", 0.0
    troubles: list[Trouble] = []
    while True:
        update = await asking.watch(job_id, known)
        if update.state == "unknown":
            unknown = unknown or clock()
            await _is_there(asking, job_id, clock() - unknown)
            continue
        if update.state == "done" and update.outputs:
            raise Failure(no_longer_held(update))
        unknown = 0.0
        display.update(update)
        if update.state in ("done", "failed", "cancelled"):
            return Outcome(job_id, update.state, update.error, update.values, _in_order(update, files), update)
        if update.state == "finishing":
            troubles = await _bring(update, folder, files, fetcher)
            wrong = next((each for each in troubles if each.kind == "missing_key"), None)
            if wrong is not None:
                return await _given_up(asking, update, no_such_piece(wrong))
            if len(files) == len({(o.task, o.key) for o in update.outputs}):
                await asking.answer(lambda request: wire.CollectedRequest(request, job_id))
                return Outcome(job_id, "done", "", update.values, _in_order(update, files), update)
        if still.lasts(update, clock(), len(files)):
            said = await _say_why(asking, job_id, display, said, troubles)
        known = update.number
        await asyncio.sleep(PROGRESS_MS / 1000)


async def _is_there(asking: Asking, job_id: str, doubted_s: float) -> None:
    """Raises Failure when there is no such job.

    A watch is answered from what its coordinator has applied.  One that has lost the lead, and does not know it yet,
    may never have heard of a job that the others have logged.  A status is read through a majority, so it decides;
    and after it, whoever answered is worth another watch, for as long as a command waits for anything.
    """
    await asking.answer(lambda request: wire.StatusRequest(request, f"job:{job_id}"))
    if doubted_s * 1000 > asking.patience_ms:
        raise Failure(f"the coordinators disagree on whether there is a job {job_id}: see `tasksprint status`")
    await asyncio.sleep(PROGRESS_MS / 1000)


async def _given_up(asking: Asking, update: wire.JobUpdate, error: str) -> Outcome:
    """The job can never be collected: it is ended for all who follow it, and its results may go."""
    with contextlib.suppress(Failure):  # what is wrong with the job says more than that nobody answers any more
        await asking.answer(lambda request: wire.CancelRequest(request, update.job_id))
    return Outcome(update.job_id, "failed", error, b"", [], update)


async def _say_why(asking: Asking, job_id: str, display: Display, said: str, troubles: list[Trouble]) -> str:
    """Shows why the job stands still, unless that was the last thing said. Returns the last thing said."""
    report = await asking.answer(lambda request: wire.StatusRequest(request, f"job:{job_id}"))
    text = hint(json.loads(report)) or not_brought(troubles)
    if text and text != said:
        display.note(f"note: {text}")
    return text or said


def _in_order(update: wire.JobUpdate, files: dict[tuple[int, str], Path]) -> list[tuple[str, Path]]:
    return [(o.key, files[(o.task, o.key)]) for o in update.outputs if (o.task, o.key) in files]


async def _bring(
    update: wire.JobUpdate, folder: Path, files: dict[tuple[int, str], Path], fetcher: Fetcher
) -> list[Trouble]:
    """Fetch the outputs that somebody holds and that are not here yet; what fails may be tried at the next update."""
    loop = asyncio.get_running_loop()
    waiting = []
    for number, output in enumerate(update.outputs):
        if (output.task, output.key) in files or not output.holders:
            continue
        path = folder / f"{number:05d}"
        future: asyncio.Future[Trouble | None] = loop.create_future()
        wanted = Wanted(
            _asks(update.job_id, output),
            output.holders[0][1],
            _arrives(path, files, output, future),
            _fails(output, future),
            path,
        )
        waiting.append(future)
        fetcher.fetch(wanted)
    return [trouble for trouble in await asyncio.gather(*waiting) if trouble is not None]


def _asks(job_id: str, output: wire.Output) -> Callable[[int], wire.Fetch]:
    return lambda request: wire.Fetch(request, job_id, output.task, output.attempt, output.key)


def _arrives(
    path: Path, files: dict[tuple[int, str], Path], output: wire.Output, future: asyncio.Future[Trouble | None]
) -> Callable[[bytes, Piece], None]:
    def arrived(result: bytes, piece: Piece) -> None:
        if piece.value is not None:
            path.write_bytes(piece.value)
        files[(output.task, output.key)] = path
        if not future.done():
            future.set_result(None)

    return arrived


def _fails(output: wire.Output, future: asyncio.Future[Trouble | None]) -> Callable[[str, str], None]:
    def failed(kind: str, reason: str) -> None:
        if not future.done():
            future.set_result(Trouble(output, kind, reason))

    return failed


def hash_of(program: bytes) -> str:
    return hashlib.sha256(program).hexdigest() if program else ""
