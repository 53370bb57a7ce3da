"""A whole cluster on this machine: coordinators and clients as child processes, ended with their parent.

The parent holds the write end of each child's standard input (`--owned`: the child ends when it closes) and a keeper
that kills their groups when the parent itself is killed.  A child that dies after it was ready is started again from
its folder, as a supervisor would do; one that cannot even start ends the run with what it said.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasksprint.cli.commands import Failure
from tasksprint.programs.child import Child, describe_exit
from tasksprint.programs.keeper import Keeper
from tasksprint.transport import Identity

RESTARTS_MAX = 20
RESTART_MS = 200
STOP_MS = 700
KILLED_MS = 300  # what was killed is gone at once, unless the machine itself stands still


@dataclass(slots=True)
class Member:
    """One process of the cluster."""

    name: str
    command: list[str]
    child: Child | None = None
    ready: dict[str, object] | None = None
    output: bytes = b""
    restarts: int = 0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def read_settings(path: Path) -> Any:
    """What an earlier run has written there."""
    try:
        settings = json.loads(path.read_text())
        if isinstance(settings["cluster"], str) and all(isinstance(each, str) for each in settings["coordinators"]):
            return settings
    except (ValueError, KeyError, TypeError, OSError):
        pass
    raise Failure(f"{path} cannot be read: restore it, or choose another --data-dir", 2)


class LocalCluster:
    """`async with LocalCluster(...)`: started on the way in, gone on the way out."""

    def __init__(
        self,
        *,
        replicas: int = 1,
        clients: int = 1,
        slots: int | None = None,
        data_dir: Path | None = None,
        supervise: bool = True,
        trace: Path | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.replicas, self.clients, self.slots = replicas, clients, slots
        self.supervise = supervise  # start again what dies
        self.trace = trace.absolute() if trace is not None else None
        self.keep = data_dir is not None
        self.folder = Path(data_dir) if data_dir is not None else Path()
        self.note = note
        self.keeper = Keeper()
        self.members: dict[str, Member] = {}
        self.coordinators: list[str] = []
        self.identity: Identity
        self.failed: asyncio.Future[str]
        self.ending = False

    async def __aenter__(self) -> LocalCluster:
        self.failed = asyncio.get_running_loop().create_future()
        try:
            if self.keep:
                self.folder.mkdir(parents=True, exist_ok=True)
            else:
                self.folder = Path(tempfile.mkdtemp(prefix="tasksprint-"))
            self.folder = self.folder.resolve()
            if not self.keep:
                self.keeper.remove_folder(self.folder)
            self._load_settings()
        except OSError as error:
            where = error.filename or self.folder
            raise Failure(f"cannot write to {where}: {error.strerror}; choose another --data-dir, or TMPDIR") from None
        peers = ",".join(f"{number}={address}" for number, address in enumerate(self.coordinators, 1))
        common = ["--cluster", self.identity.cluster, "--secret-file", str(self.folder / "secret"), "--owned"]
        for number in range(1, self.replicas + 1):
            where = ["--data-dir", str(self.folder / f"coordinator-{number}")]
            self._start(
                f"coordinator-{number}", ["coordinator", "--id", str(number), "--peers", peers, *where, *common]
            )
        for number in range(1, self.clients + 1):
            self.add_client(f"client-{number}")
        return self

    def _load_settings(self) -> None:
        """Addresses, name and secret: made at first, found again in a kept folder."""
        path = self.folder / "cluster.json"
        secret = self.folder / "secret"
        if path.exists() and secret.exists():
            settings = read_settings(path)
            if len(settings["coordinators"]) != self.replicas:
                count = len(settings["coordinators"])
                raise Failure(
                    f"{self.folder} holds a cluster of {count} coordinators: use --replicas {count}, or another folder",
                    2,
                )
        else:
            if any(self.folder.iterdir()):
                raise Failure(f"{self.folder} is not empty and holds no cluster: choose another --data-dir", 2)
            addresses = [f"127.0.0.1:{port}" for port in free_ports(self.replicas)]
            settings = {"cluster": f"local-{secrets.token_hex(4)}", "coordinators": addresses}
            secret.touch(mode=0o600)
            secret.write_text(secrets.token_hex(32) + "\n")
            path.write_text(json.dumps(settings) + "\n")
        self.coordinators = settings["coordinators"]
        self.identity = Identity(secret.read_bytes().strip(), settings["cluster"], "command")

    def add_client(self, name: str, *extra: str) -> None:
        common = ["--cluster", self.identity.cluster, "--secret-file", str(self.folder / "secret"), "--owned"]
        slots = ["--slots", str(self.slots)] if self.slots else []
        where = ["--folder", str(self.folder / name)]
        where += ["--trace", str(self.trace)] if self.trace is not None else []
        self._start(name, ["client", "--coordinators", ",".join(self.coordinators), *slots, *where, *common, *extra])

    def _start(self, name: str, arguments: list[str]) -> None:
        member = self.members[name] = Member(name, ["@python", "-m", "tasksprint", *arguments])
        self._launch(member)

    def _launch(self, member: Member) -> None:
        member.output = b""
        member.child = Child(
            member.command,
            folder=self.folder,
            keeper=self.keeper,
            on_output=lambda data: self._said(member, data),
            on_stderr=None,
            on_exit=lambda code: self._exited(member, code),
        )

    def _said(self, member: Member, data: bytes) -> None:
        member.output += data
        if member.ready is None and b"\n" in member.output:
            member.ready = json.loads(member.output.split(b"\n")[0])

    def _exited(self, member: Member, code: int) -> None:
        member.stopped.set()
        if self.ending or self.failed.done():
            return
        assert member.child is not None
        said = member.child.tail.splitlines()
        reason = said[-1].removeprefix("tasksprint: ") if said else describe_exit(code)
        if member.ready is None or member.restarts >= RESTARTS_MAX:
            self.failed.set_result(f"{member.name} cannot run: {reason}")
            return
        if not self.supervise:
            return
        member.restarts += 1
        member.stopped.clear()
        self.note(f"{member.name} is started again: {reason}")
        asyncio.get_running_loop().call_later(RESTART_MS / 1000, self._relaunch, member)

    def _relaunch(self, member: Member) -> None:
        if not self.ending:
            self._launch(member)

    async def unless_failed(self, work: asyncio.Task[Any]) -> Any:
        """The work's result; Failure when the cluster cannot run."""
        both: list[asyncio.Future[Any]] = [work, self.failed]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            work.cancel()
            raise
        if work.done():
            return work.result()
        work.cancel()
        raise Failure(self.failed.result())

    async def __aexit__(self, *error: object) -> None:
        self.ending = True
        children = [member.child for member in self.members.values() if member.child and member.child.exit_code is None]
        for child in children:
            child.close_input()
            child.terminate()
        try:
            await self._stopped(STOP_MS)
        finally:  # whoever ends us meanwhile: nothing is left behind
            for child in children:
                child.kill()
            try:
                await self._stopped(KILLED_MS)
            finally:
                self.keeper.close()
                if not self.keep:
                    shutil.rmtree(self.folder, ignore_errors=True)

    async def _stopped(self, limit_ms: int) -> None:
        """Every process has ended and is no zombie; or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_ms / 1000):
                for member in self.members.values():
                    if member.child is not None and member.child.exit_code is None:
                        await member.stopped.wait()
