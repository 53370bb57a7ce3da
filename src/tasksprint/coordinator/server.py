"""The coordinator's shell: links, journal, scheduler processes and time around `core.Coordinator`.

Everything that happens is told to the core at once; what the core wants done is performed once a turn
(`transport.turns`).  The order of effects is kept: a snapshot is stored before the records that name it, and no message
leaves before the core lets go of it.  Nothing in the loop waits for a disk: the journal and the files of jobs
(`job_files`) have threads of their own.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tasksprint import limits
from tasksprint.coordinator import effects
from tasksprint.coordinator.core import Coordinator
from tasksprint.coordinator.job_files import JobFiles
from tasksprint.paxos import AnyRecord
from tasksprint.programs.keeper import Keeper
from tasksprint.programs.scheduler_process import SchedulerProcess
from tasksprint.storage import Journal, check_place
from tasksprint.transport import Dialer, Handlers, Identity, Link, Server, Turns, parse_address
from tasksprint.wire import messages as wire
from tasksprint.wire import scheduler_talk

_records = msgspec.msgpack.Decoder(AnyRecord)


@dataclass(frozen=True, slots=True)
class Config:
    cluster: str
    secret: bytes
    id: int
    peers: dict[int, str]  # all coordinators, this one too
    folder: Path
    tick_ms: int = limits.TICK_MS


class CoordinatorServer:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.ended: asyncio.Future[str] = self.loop.create_future()
        self.keeper = Keeper()
        check_place(config.folder)
        self.journal = Journal.open(config.folder, cluster=config.cluster, replica=config.id)
        self.name = f"coordinator {config.id}"
        identity = Identity(config.secret, config.cluster, self.name)
        handlers = Handlers(on_up=self._link_up, on_messages=self._requests, on_closed=self._link_closed)
        peers = Handlers(on_messages=self._peer_messages)
        self.server = Server(identity, {"peer": peers, "client": handlers, "submit": handlers})
        self._identity = identity
        self._links: dict[int, Link] = {}
        self._next_link = 0
        self._dialers: dict[int, Dialer] = {}
        self._schedulers: dict[int, SchedulerProcess] = {}  # by copy
        self._copies: dict[SchedulerProcess, tuple[int, int]] = {}  # → (job, copy)
        self._starting: set[int] = set()  # copies whose files are being unpacked
        self._job_ids: dict[int, str] = {}
        self._files = JobFiles(config.folder / "jobs")
        self._writes: list[effects.Write] = []  # of this turn
        self.core: Coordinator
        performers: dict[type, Callable[..., None]] = {
            effects.Write: self._do_write,
            effects.Await: lambda effect: self.journal.look(),
            effects.Rotate: self._do_rotate,
            effects.SendPeer: self._do_send_peer,
            effects.Send: self._do_send,
            effects.StartScheduler: self._do_start_scheduler,
            effects.FeedScheduler: self._do_feed,
            effects.ResumeScheduler: self._do_resume,
            effects.SaveScheduler: self._do_save,
            effects.LogScheduler: lambda effect: self._log(effect.job, effect.text),
            effects.StopScheduler: self._do_stop_scheduler,
            effects.Halt: self._do_halt,
        }
        self.turns = Turns(performers, self._after_round)
        self.now_ms, self._soon = self.turns.now_ms, self.turns.soon

    async def start(self) -> None:
        """Listen, recover, and take part.  Raises LinkError or StorageError, with one line that says what to do."""
        host, port = parse_address(self.config.peers[self.config.id])
        await self.server.listen(host, port)
        records = [_records.decode(record) for record in self.journal.records]
        self.core = Coordinator(
            self.config.id,
            tuple(sorted(self.config.peers)),
            self.config.peers,
            secrets.randbits(32),
            self.now_ms(),
            records=records,
            snapshot=self.journal.snapshot,
            tick_ms=self.config.tick_ms,
        )
        self.journal.records = []
        self.journal.start(self.loop, self._durable, self._disk_failed)
        for peer, address in self.config.peers.items():
            if peer != self.config.id:
                handlers = Handlers(on_messages=lambda link, payloads: None)
                dialer = Dialer(address, "peer", self._identity, handlers, self._peer_down)
                self._dialers[peer] = dialer
                dialer.start()
        gc.collect()
        gc.freeze()
        gc.disable()  # the view's records have no cycles; a full collection would stop the leader for too long
        self.turns.begin(self.core)
        self.ready.set_result(None)

    async def close(self) -> None:
        self.turns.close()
        for scheduler in list(self._schedulers.values()):
            scheduler.kill()
        for dialer in self._dialers.values():
            dialer.close()
        await self.server.close()
        self._files.close()
        self.journal.close()
        self.keeper.close()

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)

    # --- disk ---------------------------------------------------------------------------------------

    def _do_write(self, effect: effects.Write) -> None:
        self._writes.append(effect)

    def _after_round(self) -> None:
        self._append_writes()
        if self.core.replica.is_leader:
            self._watch_disk()

    def _append_writes(self) -> None:
        """What one turn writes is synced together; alone, the first would go at once and the others wait for it."""
        if not self._writes:
            return
        writes, self._writes = self._writes, []
        records = [record for write in writes for record in write.records]
        sync, quiet = any(write.sync for write in writes), all(write.quiet for write in writes)
        self.journal.append(writes[-1].write, records, sync, quiet=quiet)

    def _do_rotate(self, effect: effects.Rotate) -> None:
        """A snapshot that was received goes with its records; one of our own lets the old segments go."""
        self._append_writes()
        if effect.write:
            self.journal.append(effect.write, effect.records, snapshot=(effect.index, effect.snapshot))
        elif not self.journal.rotating:  # else the journal stays longer than it need be, for once
            self.journal.rotate(effect.index, effect.snapshot, effect.records)

    def _durable(self, write: int) -> None:
        self.core.written(write, self.now_ms())
        self.turns.now()

    def _disk_failed(self, error: Exception) -> None:
        self._end(f"the journal in {self.config.folder} cannot be written: {error}")

    def _watch_disk(self) -> None:
        """Heartbeats never wait for the disk, so a leader with a slow one must find out by itself, as it sends them."""
        if self.journal.oldest_unsynced_ms() > limits.ELECTION_MS // 2:
            self.core.slow_disk(self.now_ms())

    # --- peers ----------------------------------------------------------------------------------------

    def _peer_messages(self, link: Link, payloads: list[bytes]) -> None:
        number = link.sender.removeprefix("coordinator ")
        source = int(number) if number.isascii() and number.isdigit() else 0
        if source not in self.config.peers or source == self.config.id:
            link.abort(f"{link.sender!r} is none of the other coordinators")
            return
        now_ms = self.now_ms()
        for payload in payloads:
            self.core.peer(source, wire.decode_peer(payload).messages, now_ms)
        self.turns.now()

    def _do_send_peer(self, effect: effects.SendPeer) -> None:
        link = self._dialers[effect.to].link
        if link is not None:
            self.turns.send(link, wire.encode(wire.Peer([effect.message])))

    def _peer_down(self, reason: str, final: bool) -> None:
        if final:
            print(f"tasksprint coordinator {self.config.id}: {reason}", file=sys.stderr, flush=True)

    # --- clients and commands ------------------------------------------------------------------------------

    def _link_up(self, link: Link) -> None:
        self._next_link += 1
        link.data = self._next_link
        self._links[self._next_link] = link

    def _link_closed(self, link: Link, reason: str) -> None:
        if self._links.pop(link.data, None) is not None:
            self.core.link_closed(link.data)

    def _requests(self, link: Link, payloads: list[bytes]) -> None:
        now_ms = self.now_ms()
        for payload in payloads:
            message = wire.decode_to_coordinator(payload)
            if isinstance(message, wire.SchedulerLog):
                self._read_log(link, message)
            else:
                self.core.message(link.data, message, now_ms)
        self.turns.now()

    def _do_send(self, effect: effects.Send) -> None:
        link = self._links.get(effect.link)
        if link is not None:
            self.turns.send(link, wire.encode(effect.message))

    # --- schedulers -------------------------------------------------------------------------------------------

    def _do_start_scheduler(self, effect: effects.StartScheduler) -> None:
        self._job_ids[effect.job] = effect.job_id
        self._starting.add(effect.copy)
        self._files.unpack(effect.job_id, effect.program, lambda error: self._start_scheduler(effect, error))

    def _start_scheduler(self, effect: effects.StartScheduler, error: str) -> None:
        if effect.copy not in self._starting:
            return  # stopped meanwhile
        self._starting.discard(effect.copy)
        if error:
            self.core.scheduler_failed(effect.job, effect.copy, error, nonsense=True, now_ms=self.now_ms())
            self._soon()
            return
        saved = (effect.saved, effect.state) if effect.state is not None else None
        scheduler = SchedulerProcess(
            effect.spec.scheduler,
            job=effect.job_id,
            seed=effect.spec.seed,
            folder=self._files.program_folder(effect.job_id),
            owner=self,
            keeper=self.keeper,
            saved=saved,
        )
        self._schedulers[effect.copy] = scheduler
        self._copies[scheduler] = (effect.job, effect.copy)
        scheduler.start()

    def _do_feed(self, effect: effects.FeedScheduler) -> None:
        scheduler = self._schedulers.get(effect.copy)
        if scheduler is not None and scheduler.is_ready:
            scheduler.feed(effect.events)

    def _do_resume(self, effect: effects.ResumeScheduler) -> None:
        scheduler = self._schedulers.get(effect.copy)
        if scheduler is not None:
            scheduler.resume()

    def _do_save(self, effect: effects.SaveScheduler) -> None:
        scheduler = self._schedulers.get(effect.copy)
        if scheduler is not None and scheduler.is_ready:
            scheduler.save()

    def _do_stop_scheduler(self, effect: effects.StopScheduler) -> None:
        self._starting.discard(effect.copy)
        scheduler = self._schedulers.pop(effect.copy, None)
        if scheduler is not None:
            scheduler.close()
        if effect.ended:
            job_id = self._job_ids.pop(effect.job, None)
            if job_id is not None:
                self._files.remove_program(job_id)

    def scheduler_ready(self, scheduler: SchedulerProcess, ready: scheduler_talk.Ready) -> None:
        job, copy = self._copies[scheduler]
        self.core.scheduler_ready(job, copy, ordered=ready.ordered, can_save=ready.save, now_ms=self.now_ms())
        self._soon()

    def scheduler_part(self, scheduler: SchedulerProcess, part: scheduler_talk.Part) -> None:
        job, copy = self._copies[scheduler]
        if part.more:
            scheduler.pause()
        self.core.scheduler_answered(job, copy, part.answers, part.seq, part.more, self.now_ms())
        self.turns.now()

    def scheduler_saved(self, scheduler: SchedulerProcess, saved: scheduler_talk.Saved) -> None:
        job, copy = self._copies[scheduler]
        self.core.scheduler_saved(job, copy, saved.state, self.now_ms())
        if saved.error:
            self.scheduler_log(scheduler, f"tasksprint: {saved.error}\n")
        self._soon()

    def scheduler_failed(self, scheduler: SchedulerProcess, kind: str, error: str) -> None:
        job, copy = self._copies.pop(scheduler)
        self._schedulers.pop(copy, None)
        nonsense = kind in ("protocol", "start")
        self.core.scheduler_failed(job, copy, error, nonsense=nonsense, now_ms=self.now_ms())
        self._soon()

    def scheduler_closed(self, scheduler: SchedulerProcess) -> None:
        self._copies.pop(scheduler, None)

    def scheduler_log(self, scheduler: SchedulerProcess, text: str) -> None:
        self._log(self._copies.get(scheduler, (0, 0))[0], text)

    def _log(self, job: int, text: str) -> None:
        job_id = self._job_ids.get(job)
        if job_id is not None:
            self._files.log(job_id, text)

    def _read_log(self, link: Link, message: wire.SchedulerLog) -> None:
        def answer(data: bytes) -> None:
            link.send(wire.encode(wire.Answer(message.request, "", data)))

        if message.job_id.isalnum():
            self._files.read_log(message.job_id, message.offset, answer)
        else:
            answer(b"")

    # --- the end ------------------------------------------------------------------------------------------------

    def _do_halt(self, effect: effects.Halt) -> None:
        print(f"tasksprint coordinator {self.config.id}: {effect.reason}", file=sys.stderr, flush=True)
        sys.stderr.flush()
        os._exit(3)  # nothing may leave this process any more
