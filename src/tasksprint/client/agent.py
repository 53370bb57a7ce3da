"""The client's shell: sockets, node processes, files and time around `core.Client`.

Everything that happens is told to the core at once; what the core wants done is performed once a loop turn
(`transport.turns`), so that a thousand finished tasks cost one round of effects, not a thousand.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import secrets
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasksprint import limits
from tasksprint.client import effects
from tasksprint.client.core import Client
from tasksprint.client.folder import Trace, client_id, set_aside
from tasksprint.client.job_log import JobLog
from tasksprint.client.programs_at_hand import ProgramsAtHand
from tasksprint.client.records import AttemptId, PieceId
from tasksprint.client.refusals import Refusals
from tasksprint.client.serving import Serving
from tasksprint.client.waits import Waits
from tasksprint.programs.keeper import Keeper
from tasksprint.programs.node_process import NodeProcess, Run
from tasksprint.storage import disk
from tasksprint.storage.shelf import Shelf, ShelfError, digest_file, piece_digest, result_digest
from tasksprint.transfer.fetch import Fetcher, Wanted
from tasksprint.transport import Handlers, Identity, Link, LinkError, LinkRefused, Server, Turns, connect_once
from tasksprint.view.operations import Held
from tasksprint.wire import messages as wire
from tasksprint.wire import node_talk
from tasksprint.wire.results import Piece, Result

LEAVE_MS = 2_000  # a client that goes waits this long for the cluster's word


@dataclass(frozen=True, slots=True)
class Config:
    cluster: str
    secret: bytes
    coordinators: list[str]
    folder: Path
    listen: tuple[str, int]
    slots: int
    labels: list[str]
    trace: Path | None = None  # where to write what happens to tasks, a JSON object a line
    advertise: str = ""  # the address that others are told; where it listens when empty
    nice: int = limits.NODE_NICE  # of nodes that take a slot


class Agent:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.loop = asyncio.get_running_loop()
        self._lock = disk.lock(config.folder / "lock")  # two clients with one id would end each other's sessions
        self.id = client_id(config.folder)
        self.name = f"client {self.id}"
        self.identity = Identity(config.secret, config.cluster, self.name)
        self.keeper = Keeper()
        self.shelf = Shelf(config.folder / "results", limits.SHELF_MEMORY_BYTES)
        self.fetcher = Fetcher(self.identity)
        self.programs = ProgramsAtHand(config.folder / "programs", self._ask_program)
        self.logs: dict[int, JobLog] = {}
        self._trace = Trace(config.trace, self.id)
        self.core: Client
        self.server: Server
        self.serving: Serving
        self.ready: asyncio.Future[None] = self.loop.create_future()  # registered for the first time
        self.ended: asyncio.Future[str] = self.loop.create_future()
        self._link: Link | None = None  # to a coordinator
        self._dial = 0
        self._asked = ""  # the coordinator that was dialled last
        self._refusals = Refusals(config.coordinators)
        self._nodes: dict[int, NodeProcess] = {}
        self._node_jobs: dict[int, int] = {}
        self._task_folders: dict[int, str] = {}  # job → where its tasks have their folders
        self._fetches: dict[PieceId, Wanted] = {}
        self._next_file = 0
        self._tasks: set[asyncio.Task[None]] = set()
        performers: dict[type, Callable[..., None]] = {
            effects.Dial: self._do_dial,
            effects.SendCoordinator: self._do_send,
            effects.StartNode: self._do_start_node,
            effects.Run: self._do_run,
            effects.CancelRun: self._do_cancel,
            effects.StopNode: self._do_stop_node,
            effects.FetchPiece: self._do_fetch,
            effects.StopFetching: self._do_stop_fetch,
            effects.Serve: lambda effect: self.serving.serve(effect),
            effects.ServeGone: lambda effect: self.serving.gone(effect),
            effects.KeepResult: self._do_keep,
            effects.DropResult: self._do_drop,
            effects.DropFetched: self._do_drop_fetched,
            effects.DropJob: self._do_drop_job,
            effects.DropLeftovers: self._do_drop_leftovers,
            effects.Left: self._do_left,
        }
        self.turns = Turns(performers)
        self.now_ms, self.soon = self.turns.now_ms, self.turns.soon
        self._waits = Waits(config.coordinators, self.now_ms())

    # --- life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        self.serving = Serving(self)
        self.server = Server(self.identity, {"fetch": self.serving.handlers})
        await self.server.listen(*self.config.listen)
        nonce = secrets.randbits(48) << 8
        self.core = Client(
            self.id,
            nonce,
            self.config.advertise or self.server.address,
            self.config.slots,
            self.config.labels,
            self.config.coordinators,
            self.now_ms(),
            held=[(Held(*name, result.digest, result.size), result) for name, result in self.shelf.held()],
        )
        gc.collect()
        gc.freeze()  # what is there now stays: no collection need look at it again
        self.turns.begin(self.core)

    def leave(self) -> None:
        """SIGTERM: hand the work back, then end."""
        if self.core.leaving:
            self.end("stopped")
            return
        self.core.leave(self.now_ms())
        self.loop.call_later(LEAVE_MS / 1000, self.end, "the cluster did not answer")
        self.soon()

    def end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)

    async def close(self) -> None:
        self.turns.close()
        for node in list(self._nodes.values()):
            node.kill()
        self.fetcher.close()
        await self.server.close()
        self.keeper.close()
        self._trace.close()
        os.close(self._lock)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self.ended.done():
            self.loop.call_exception_handler({"message": "a task failed", "exception": task.exception()})

    # --- the link to the coordinators -------------------------------------------------------------------

    def _do_dial(self, effect: effects.Dial) -> None:
        self._dial = effect.number
        if self._link is not None:
            self._link.close("another coordinator is asked")
            self._link = None
            self._failed(self._asked, "answers, but does not lead")
        self._asked = effect.address
        self._spawn(self._dialling(effect))

    async def _dialling(self, effect: effects.Dial) -> None:
        await asyncio.sleep(effect.delay_ms / 1000)
        if effect.number != self._dial:
            return
        handlers = Handlers(
            on_messages=self._coordinator_messages,
            on_closed=lambda link, reason: self._link_closed(effect.number),
        )
        try:
            link = await connect_once(effect.address, "client", self.identity, handlers)
        except LinkRefused as error:
            self._refused(effect, str(error))
            return
        except LinkError as error:
            self._refusals.failed(effect.address)
            self._failed(effect.address, str(error))
            self._link_closed(effect.number)
            return
        self._refusals.accepted()
        if effect.number != self._dial:
            link.close("another coordinator is asked")
            return
        self._link = link
        self.core.connected(effect.number, self.now_ms())
        self.soon()

    def _failed(self, address: str, reason: str) -> None:
        self._waits.failed(address, reason)
        if news := self._waits.news(self.now_ms()):
            self._say(news)

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # whoever read it has gone: no reason to go, too
            print(f"tasksprint {self.name}: {text}", file=sys.stderr, flush=True)

    def _refused(self, effect: effects.Dial, reason: str) -> None:
        self._refusals.refused(effect.address, reason)
        if verdict := self._refusals.verdict:
            self.end(verdict)
            return
        if news := self._refusals.news(effect.address):
            self._say(news)
        self._failed(effect.address, reason)
        self._link_closed(effect.number)

    def _link_closed(self, number: int) -> None:
        if number == self._dial:
            self._link = None
            self.core.disconnected(number, self.now_ms())
            self.soon()

    def _coordinator_messages(self, link: Link, payloads: list[bytes]) -> None:
        if link is not self._link:
            return
        now_ms = self.now_ms()
        for payload in payloads:
            message = wire.decode_from_coordinator(payload)
            if isinstance(message, wire.ProgramPart):
                self.programs.part(message)
            else:
                self.core.message(message, now_ms)
                if isinstance(message, wire.View | wire.Registered):
                    self._waits.heard(now_ms)
        if not self.ready.done() and self.core.session.incarnation:
            self.ready.set_result(None)
        self.turns.now()

    def _do_send(self, effect: effects.SendCoordinator) -> None:
        if self._link is not None:
            self.turns.send(self._link, wire.encode(effect.message))

    def _ask_program(self, hash: str, offset: int) -> None:
        if self._link is not None:
            self._link.send(wire.encode(wire.GetProgram(hash, offset)))

    # --- nodes --------------------------------------------------------------------------------------------

    def job_folder(self, job_id: str) -> Path:
        return self.config.folder / "jobs" / job_id

    def _do_start_node(self, effect: effects.StartNode) -> None:
        self._node_jobs[effect.node] = effect.info.job
        if effect.info.job not in self.logs:
            self.logs[effect.info.job] = JobLog(self.job_folder(effect.info.job_id) / "log")
        if effect.info.program:
            folder = self.job_folder(effect.info.job_id) / "program"
            self.programs.unpacked(effect.info.program, folder, lambda error: self._start_node(effect, folder, error))
        else:
            folder = self.job_folder(effect.info.job_id) / "work"
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                self._start_node(effect, folder, f"cannot make the folder {folder}: {error.strerror}")
            else:
                self._start_node(effect, folder, "")

    def _start_node(self, effect: effects.StartNode, folder: Path, error: str) -> None:
        if effect.node not in self._node_jobs:
            return  # stopped meanwhile
        if error:
            self._node_jobs.pop(effect.node)
            self.core.node_gone(effect.node, error, self.now_ms())
            self.soon()
            return
        node = NodeProcess(
            effect.info.node,
            job=effect.info.job_id,
            folder=folder,
            number=effect.node,
            owner=self,
            keeper=self.keeper,
            nice=0 if effect.extra else self.config.nice,  # one beside the slots waits for the world, and is awaited
        )
        self._nodes[effect.node] = node
        node.start()

    def _do_run(self, effect: effects.Run) -> None:
        assign = effect.assign
        attempt_id = (assign.job, assign.task, assign.attempt)
        node = self._nodes.get(effect.node)
        if node is None or not node.is_ready:
            self.core.node_refused(effect.node, attempt_id, self.now_ms())
            self.soon()
            return
        info = self.core.jobs[assign.job].info
        self._trace.add(self.loop.time(), "run", *attempt_id, name=assign.name)
        tasks = self._task_folders.get(assign.job)
        if tasks is None:
            tasks = self._task_folders[assign.job] = str(self.job_folder(info.job_id) / "tasks")
        folder = f"{tasks}/{assign.task}.{assign.attempt}"
        try:
            inputs = [_node_input(each) for each in effect.inputs] if effect.inputs else []
            node.run(
                Run(
                    assign.task,
                    assign.attempt,
                    assign.name,
                    assign.args,
                    inputs,
                    assign.seed,
                    folder,
                    assign.timeout_ms,
                )
            )
        except (ValueError, OSError) as error:
            self.core.node_failed(effect.node, attempt_id, "protocol", str(error), self.now_ms())
            self.soon()

    def _do_cancel(self, effect: effects.CancelRun) -> None:
        node = self._nodes.get(effect.node)
        if node is not None and not node.cancel(effect.task, effect.attempt):
            self.core.node_stopped(effect.node, (effect.job, effect.task, effect.attempt), self.now_ms())
            self.soon()

    def _do_stop_node(self, effect: effects.StopNode) -> None:
        self._node_jobs.pop(effect.node, None)
        node = self._nodes.pop(effect.node, None)
        if node is not None:
            node.close()

    # what the nodes say (programs.node_process.NodeOwner)

    def _attempt(self, node: NodeProcess, run: Run) -> AttemptId:
        return (self._node_jobs.get(node.number, 0), run.task, run.attempt)

    def node_ready(self, node: NodeProcess, ready: node_talk.Ready) -> None:
        self.core.node_ready(node.number, self.now_ms())
        self.soon()

    def node_done(self, node: NodeProcess, run: Run, done: node_talk.Done, run_us: int) -> None:
        attempt_id = self._attempt(node, run)
        self._trace.add(self.loop.time(), "done", *attempt_id)
        self.core.node_done(node.number, attempt_id, self.now_ms())
        pieces: dict[str, Piece] = {}
        large: list[tuple[str, Path]] = []
        try:
            for key, made in done.result.items():
                if isinstance(made, bytes):
                    pieces[key] = Piece(value=made, size=len(made), digest=piece_digest(made), is_file=False)
                    continue
                path = self.shelf.file_of(Path(run.folder), made.name)
                if path.stat().st_size > limits.INLINE_HASH_BYTES:
                    large.append((key, path))
                else:
                    pieces[key] = digest_file(path)
        except (ShelfError, OSError) as error:
            self.core.result_failed(attempt_id, str(error), self.now_ms())
            self.soon()
            return
        if large:
            self.soon()  # the node is free
            self._spawn(self._hash_large(attempt_id, pieces, large, done.read, run_us))
        else:
            self._made(attempt_id, pieces, done.read, run_us)

    async def _hash_large(
        self, attempt_id: AttemptId, pieces: dict[str, Piece], large: list[tuple[str, Path]], read: int, run_us: int
    ) -> None:
        try:
            for key, path in large:
                pieces[key] = await self.loop.run_in_executor(None, digest_file, path)
        except OSError as error:
            self.core.result_failed(attempt_id, f"cannot read the piece {key!r}: {error}", self.now_ms())
            self.soon()
            return
        self._made(attempt_id, pieces, read, run_us)

    def _made(self, attempt_id: AttemptId, pieces: dict[str, Piece], read: int, run_us: int) -> None:
        size = sum(piece.size for piece in pieces.values())
        result = Result(result_digest(pieces), pieces, size, read, run_us)
        self.core.result_made(attempt_id, result, self.now_ms())
        self.turns.now()

    def node_failed(self, node: NodeProcess, run: Run, kind: str, error: str) -> None:
        self._trace.add(self.loop.time(), "failed", *self._attempt(node, run), kind=kind)
        self.core.node_failed(node.number, self._attempt(node, run), kind, error, self.now_ms())
        self.soon()

    def node_cancelled(self, node: NodeProcess, run: Run) -> None:
        self.core.node_stopped(node.number, self._attempt(node, run), self.now_ms())
        self.soon()

    def node_progress(self, node: NodeProcess, run: Run, progress: node_talk.Progress) -> None:
        if progress.fraction is not None:
            self.core.progressed(self._attempt(node, run), progress.fraction, self.now_ms())

    def node_log(self, node: NodeProcess, run: Run | None, text: str) -> None:
        log = self.logs.get(self._node_jobs.get(node.number, 0))
        if log is not None:
            log.add(f"task {run.task}.{run.attempt}" if run is not None else f"node {node.number}", text)

    def node_ended(self, node: NodeProcess, kind: str, error: str, unstarted: list[Run]) -> None:
        if self._nodes.pop(node.number, None) is not None:
            self.core.node_gone(node.number, error, self.now_ms())
            self._node_jobs.pop(node.number, None)
            self.soon()

    # --- pieces from other clients ---------------------------------------------------------------------------

    def _do_fetch(self, effect: effects.FetchPiece) -> None:
        piece_id = (effect.job, effect.task, effect.attempt, effect.key)
        self._next_file += 1
        wanted = Wanted(
            lambda request: wire.Fetch(request, effect.job_id, effect.task, effect.attempt, effect.key),
            effect.address,
            lambda result, piece: self._fetched(piece_id, result, piece),
            lambda kind, reason: self._fetch_failed(piece_id, kind, reason),
            self.job_folder(effect.job_id) / "fetched" / str(self._next_file),
        )
        self._fetches[piece_id] = wanted
        self.fetcher.fetch(wanted)

    def _fetched(self, piece_id: PieceId, result: bytes, piece: Piece) -> None:
        wanted = self._fetches.pop(piece_id, None)
        self._trace.add(
            self.loop.time(),
            "fetched",
            *piece_id[:3],
            key=piece_id[3],
            size=piece.size,
            address=wanted.address if wanted else "",
        )
        self.core.fetched_piece(piece_id, result, piece, self.now_ms())
        self.soon()

    def _fetch_failed(self, piece_id: PieceId, kind: str, reason: str) -> None:
        self._fetches.pop(piece_id, None)
        self.core.fetch_failed(piece_id, kind, reason, self.now_ms())
        self.soon()

    def _do_stop_fetch(self, effect: effects.StopFetching) -> None:
        wanted = self._fetches.pop((effect.job, effect.task, effect.attempt, effect.key), None)
        if wanted is not None:
            self.fetcher.stop(wanted)

    # --- what is kept ---------------------------------------------------------------------------------------------

    def _do_keep(self, effect: effects.KeepResult) -> None:
        self.shelf.put(effect.job, effect.job_id, effect.task, effect.attempt, effect.result)

    def _do_drop(self, effect: effects.DropResult) -> None:
        self.shelf.drop(effect.job, effect.task, effect.attempt)

    def _do_drop_fetched(self, effect: effects.DropFetched) -> None:
        if effect.piece.path is not None:
            self.shelf.remover.remove([effect.piece.path])

    def _do_drop_job(self, effect: effects.DropJob) -> None:
        self.shelf.drop_job(effect.job)
        self._task_folders.pop(effect.job, None)
        log = self.logs.pop(effect.job, None)
        if log is not None:
            log.close()
        self.shelf.remover.empty(self.job_folder(effect.job_id), but="log")  # which stays readable

    def _do_drop_leftovers(self, effect: effects.DropLeftovers) -> None:
        with contextlib.suppress(OSError):  # what cannot be tidied up now is there at the next start
            trash = set_aside(self.config.folder, effect.jobs)
            self.shelf.drop_held(effect.results)
            self.shelf.remover.remove([trash])

    def _do_left(self, effect: effects.Left) -> None:
        self.end("left the cluster")


def _node_input(each: effects.Input) -> node_talk.Input:
    piece = each.piece
    if piece.is_file:
        return node_talk.InputFile(each.key, os.path.abspath(str(piece.path)))
    return node_talk.InputValue(each.key, piece.read())


def ready_line(agent: Agent) -> str:
    """What a client prints when the cluster has taken it in."""
    return json.dumps({"client": agent.id, "address": agent.server.address, "slots": agent.config.slots})
