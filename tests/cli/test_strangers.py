"""A coordinator to which strangers, liars and the confused come: each is refused in a line, and it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.by_hand import LIMIT_S, PROGRAM, SECRET, TASKSPRINT, failure, framed, rogue

from tasksprint.cli.local import free_ports
from tasksprint.limits import FRAME_BYTES, WIRE_VERSION
from tasksprint.transport import Handlers, Identity, connect_once
from tasksprint.wire import messages as wire
from tasksprint.wire.handshake import HANDSHAKE_BYTES, DialerHandshake


class Lone:
    """A cluster of one coordinator, by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports(1)[0]
        self.address = f"127.0.0.1:{self.port}"
        self.secret = folder / "secret"
        self.secret.touch(0o600)
        self.secret.write_bytes(SECRET)
        self.data = folder / "data"
        self.words = ["--peers", f"1={self.address}", "--secret-file", str(self.secret), "--cluster", "lone"]
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*TASKSPRINT, "coordinator", "--id", "1", "--data-dir", str(self.data), *self.words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline(), "ready"
        return process

    def client_words(self, **other: str) -> list[str]:
        found = {"coordinators": self.address, "secret-file": str(self.secret), "cluster": "lone", **other}
        return [word for name, value in found.items() for word in (f"--{name}", value)]

    def serves(self) -> None:
        """It is the same process, and it answers."""
        done = subprocess.run(
            [*TASKSPRINT, "status", *self.client_words(), "--json"], capture_output=True, text=True, timeout=LIMIT_S
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["coordinators"][self.address]["leading"]
        assert self.process.poll() is None

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), LIMIT_S)

    def close(self) -> str:
        self.process.terminate()
        _, said = self.process.communicate(timeout=LIMIT_S)
        return said.decode()


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lone]:
    lone = Lone(tmp_path_factory.mktemp("lone"))
    try:
        yield lone
    finally:
        said = lone.close()
    assert "Traceback" not in said, said


def ended(connection: socket.socket) -> bytes:
    """All that comes until the other side hangs up."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65_536):
            said += data
    return said


@pytest.mark.cluster
def test_a_frame_over_the_limit_before_the_handshake(lone: Lone) -> None:
    for start in (struct.pack("<I", HANDSHAKE_BYTES + 1), b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4, framed(b"nonsense")):
        with lone.connect() as connection:
            connection.sendall(start)
            ended(connection)
    lone.serves()


@pytest.mark.cluster
def test_a_wrong_version_is_told(lone: Lone) -> None:
    with lone.connect() as connection:
        hello = wire.Hello(WIRE_VERSION + 1, "lone", "submit", "a stranger", b"n" * 32)
        connection.sendall(framed(wire.encode(hello)))
        assert b"install one release everywhere" in ended(connection)
    lone.serves()


def greeted(lone: Lone, kind: str, sender: str) -> socket.socket:
    """A connection behind the handshake, made by hand."""
    side = DialerHandshake(SECRET, "lone", kind, sender, os.urandom(32))
    connection = lone.connect()
    connection.sendall(framed(side.begin()))
    kept = b""
    while not side.done:
        kept += connection.recv(65_536)
        while len(kept) >= 4 and len(kept) >= 4 + (size := struct.unpack_from("<I", kept)[0]):
            payload, kept = kept[4 : 4 + size], kept[4 + size :]
            for reply in side.receive(payload):
                connection.sendall(framed(reply))
    return connection


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("kind", "sender", "data"),
    [
        ("submit", "command", struct.pack("<I", FRAME_BYTES + 1)),
        ("submit", "command", framed(b"\xc1 no message")),
        ("submit", "command", framed(wire.encode(wire.Pong()))),
        ("client", "client x", framed(wire.encode(wire.Peer([])))),
        ("peer", "nobody", framed(wire.encode(wire.Peer([])))),
        ("peer", "coordinator 1", framed(wire.encode(wire.Peer([])))),
        ("peer", "coordinator 7", framed(wire.encode(wire.Peer([])))),
    ],
)
def test_nonsense_behind_the_handshake_ends_that_link_alone(lone: Lone, kind: str, sender: str, data: bytes) -> None:
    with greeted(lone, kind, sender) as connection:
        connection.sendall(data)
        ended(connection)
    lone.serves()


@pytest.mark.cluster
def test_requests_that_make_no_sense_are_answered(lone: Lone, tmp_path: Path) -> None:
    def ask(what: str) -> str:
        async def story() -> str:
            told: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
            handlers = Handlers(on_messages=lambda link, payloads: told.done() or told.set_result(payloads))
            link = await connect_once(lone.address, "submit", Identity(SECRET, "lone", "command"), handlers)
            link.send(wire.encode(wire.StatusRequest(1, what)))
            async with asyncio.timeout(LIMIT_S):
                (payload, *_) = await told
            link.close()
            answer = wire.decode_from_coordinator(payload)
            assert isinstance(answer, wire.Answer)
            return answer.error

        return asyncio.run(story())

    (tmp_path / "program.py").write_text(PROGRAM)
    words = ["submit", "program.py", "--detach", *lone.client_words()]
    done = subprocess.run([*TASKSPRINT, *words], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    job_id = done.stdout.strip()
    assert not ask(f"why:{job_id}:1")
    for what in ("", "nonsense", "why:", f"why:{job_id}:x", f"why:{job_id}:²", f"why:{job_id}:-1", f"job:{'0' * 32}"):
        assert ask(what)
    lone.serves()


@pytest.mark.cluster
@pytest.mark.parametrize("command", ["status", "client"])
def test_a_wrong_secret_and_a_wrong_cluster(command: str, lone: Lone, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(0o600)
    wrong.write_bytes(SECRET[::-1])
    said = failure(command, *lone.client_words(**{"secret-file": str(wrong)}), code=1, folder=tmp_path)
    assert "the secrets differ: both sides must use the same secret file" in said
    said = failure(command, *lone.client_words(cluster="other"), code=1, folder=tmp_path)
    assert "cluster 'lone' meets cluster 'other'" in said or "cluster 'other' meets cluster 'lone'" in said
    lone.serves()


@pytest.mark.cluster
def test_a_stranger_who_refuses_keeps_nobody_from_the_cluster(lone: Lone, tmp_path: Path) -> None:
    with rogue() as first, rogue() as second:
        said = failure("status", *lone.client_words(coordinators=f"{first},{second}"), code=1, folder=tmp_path)
        assert said.count("go away") == 2 and first in said and second in said
        words = lone.client_words(coordinators=f"{first},{lone.address},{second}")
        done = subprocess.run([*TASKSPRINT, "status", *words], capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stderr
        client = subprocess.Popen(
            [*TASKSPRINT, "client", "--folder", str(tmp_path / "client"), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert client.stdout is not None
            name = json.loads(client.stdout.readline())["client"]
        finally:
            client.terminate()
            _, said = client.communicate(timeout=LIMIT_S)
        assert client.returncode == 0
        assert said == f"tasksprint client {name}: {first}: refused by the other side: go away\n"
    assert stat.S_IMODE((tmp_path / "client").stat().st_mode) == 0o700, "results and logs are nobody else's"
    assert stat.S_IMODE((tmp_path / "client" / "results").stat().st_mode) == 0o700


@pytest.mark.cluster
def test_a_port_or_a_folder_in_use(lone: Lone, tmp_path: Path) -> None:
    words = ["coordinator", "--id", "1", *lone.words]
    said = failure(*words, "--data-dir", "elsewhere", code=1, folder=tmp_path)
    assert f"{lone.address} is in use: choose another port" in said
    said = failure(*words, "--data-dir", str(lone.data), code=1, folder=tmp_path)
    assert "in use" in said
    said = failure("client", *lone.client_words(listen=lone.address), code=1, folder=tmp_path)
    assert f"{lone.address} is in use: choose another port" in said
    lone.serves()


@pytest.mark.cluster
def test_a_folder_with_somebodys_files_gets_no_journal(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis").write_text("years of work")
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_bytes(SECRET)
    peers = f"1=127.0.0.1:{free_ports(1)[0]}"
    words = ["coordinator", "--id", "1", "--peers", peers, "--data-dir", str(mine), "--secret-file", "secret"]
    said = failure(*words, code=1, folder=tmp_path)
    assert f"{mine} is not empty (thesis) and holds no journal of a coordinator: choose another --data-dir" in said
    assert [each.name for each in mine.iterdir()] == ["thesis"]


@pytest.mark.cluster
def test_a_folder_of_another_cluster_or_another_id(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.serves()
    lone.close()
    before = {path: path.read_bytes() for path in lone.data.iterdir() if path.is_file() and path.name != "lock"}
    common = ["coordinator", "--data-dir", str(lone.data), "--secret-file", str(lone.secret)]
    peers = ["--peers", f"1={lone.address},2=127.0.0.1:9"]
    said = failure(*common, "--id", "1", *peers, "--cluster", "other", code=1, folder=tmp_path)
    assert "'lone'" in said and "'other'" in said
    said = failure(*common, "--id", "2", "--peers", f"2={lone.address}", "--cluster", "lone", code=1, folder=tmp_path)
    assert "1" in said and "2" in said
    assert before == {path: path.read_bytes() for path in before}, "nothing is lost"
    assert "/proc/x" in failure(*common[:1], "--data-dir", "/proc/x", *lone.words, "--id", "1", code=1, folder=tmp_path)
    lone.process = lone.start()
    lone.serves()
    lone.close()


@pytest.mark.cluster
def test_a_clients_files_that_cannot_be_written(lone: Lone, tmp_path: Path) -> None:
    for words in (["--folder", "/proc/x"], ["--trace", "missing/trace"]):
        said = failure("client", *lone.client_words(), *words, code=1, folder=tmp_path)
        assert words[1] in said
