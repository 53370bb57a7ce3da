"""What a Bitcoin node may answer, and what becomes of it: one clear sentence each."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasksprint.apps.miner import rpc
from tasksprint.apps.miner.rpc import Credentials, Misconfigured, Rpc, RpcError, Unreachable, Unwanted


class Answering:
    """Listens, and answers every request with these bytes; None: never."""

    def __init__(self) -> None:
        self.said: bytes | None = b""
        self.heard: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.open: list[socket.socket] = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(link)
            self.heard.append(link.recv(1 << 16))
            if self.said is not None:
                try:
                    link.sendall(self.said)
                    link.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for each in self.open:
            each.close()


@pytest.fixture
def node() -> Iterator[Answering]:
    answering = Answering()
    yield answering
    answering.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "cookie"
    path.write_text("__cookie__:hidden\n")
    return path


def http(status: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} Whatever\r\nContent-Length: {size}\r\n\r\n".encode() + body


def said(result: Any, error: Any = None) -> bytes:
    return json.dumps({"result": result, "error": error, "id": 1}).encode()


def asked(node: Answering, secret: Path, answer: bytes | None, **options: Any) -> Any:
    node.said = answer
    return Rpc(Credentials(node.url, "", str(secret))).call("getblocktemplate", **options)


def test_an_answer(node: Answering, secret: Path) -> None:
    assert asked(node, secret, http(200, said({"height": 7}))) == {"height": 7}
    assert b"Authorization: Basic X19jb29raWVfXzpoaWRkZW4=" in node.heard[0]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (http(401, b""), Misconfigured, "refuses user and password"),
        (http(403, b"<html>no</html>"), Misconfigured, "refuses user and password"),
        (http(200, b"<html><h1>It works!</h1></html>"), Unreachable, "speaks no JSON-RPC .HTTP 200.: <html>"),
        (http(502, b"<html>Bad Gateway</html>"), Unreachable, "HTTP 502"),
        (http(200, b"[1, 2]"), Unreachable, "speaks no JSON-RPC"),
        (http(200, b""), Unreachable, "speaks no JSON-RPC .HTTP 200.: nothing"),
        (http(200, b"[" * 100_000), Unreachable, "speaks no JSON-RPC"),
        (http(500, said(None, {"code": -28, "message": "Loading block index..."})), Unreachable, "warming up"),
        (http(404, said(None, {"code": -32601, "message": "Method not found"})), Misconfigured, "knows no"),
        (http(200, said(None, {"code": -32601, "message": "Method not found"})), Misconfigured, "knows no"),
        (http(200, said(None, {"code": -9, "message": "no peers" * 999})), RpcError, r"no peersno .*\.\.\. .error -9"),
        (http(200, said(None, "broken")), RpcError, "broken"),
        (http(200, b"", 1 << 30), Unreachable, "more than 64 MiB"),
        (b"SSH-2.0-OpenSSH\r\n", Unreachable, "no Bitcoin node answers"),
        (b"", Unreachable, "no Bitcoin node answers"),
        (http(200, b"{", 100), Unreachable, "speaks no|no Bitcoin node answers"),
    ],
)
def test_what_is_no_answer(node: Answering, secret: Path, answer: bytes, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        asked(node, secret, answer)
    assert "hidden" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_an_answer_without_end_is_cut(node: Answering, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "ANSWER_BYTES", 1 << 20)
    with pytest.raises(Unreachable, match="more than 1 MiB"):
        asked(node, secret, b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (1 << 22))


def test_silence_has_a_limit(node: Answering, secret: Path) -> None:
    with pytest.raises(Unreachable, match="does not answer getblocktemplate"):
        asked(node, secret, None, limit_s=0.1)


def test_an_answer_that_nobody_wants_is_not_awaited(node: Answering, secret: Path) -> None:
    node.said = None
    began = time.monotonic()
    with pytest.raises(Unwanted):
        Rpc(Credentials(node.url, "", str(secret)), lambda: False).call("getblocktemplate", limit_s=30)
    assert time.monotonic() - began < 5


def test_nobody_is_there(secret: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="no Bitcoin node answers at http://127.0.0.1"):
        Rpc(Credentials(f"http://127.0.0.1:{port}", "", str(secret))).call("getblockcount")


def test_a_new_cookie_is_used_at_once(node: Answering, secret: Path) -> None:
    asked(node, secret, http(200, said(1)))
    secret.write_text("__cookie__:other")
    asked(node, secret, http(200, said(1)))
    first, second = (heard.partition(b"Basic ")[2].split()[0] for heard in node.heard)
    assert first != second


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot use"),
        ('{"url": "http://127.0.0.1:1"}', "'user'"),
        ('{"url": "ftp://127.0.0.1:1", "cookie": "x"}', "is like http"),
        ('{"url": "http://me:secret@127.0.0.1:1", "cookie": "x"}', "leave user and password out"),
        ('{"url": "http://127.0.0.1:99999", "cookie": "x"}', "makes no sense"),
        ("[]", "cannot use"),
    ],
)
def test_credentials_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bitcoin.json"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=words) as caught:
        rpc.load_credentials(str(path))
    assert "secret" not in str(caught.value)


def test_secrets_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cookie file .*: no such file"):
        Credentials("http://127.0.0.1:1", "", str(tmp_path / "missing")).authorization()
    (tmp_path / "odd").write_text("no colon")
    with pytest.raises(Misconfigured, match="no cookie file"):
        Credentials("http://127.0.0.1:1", "", str(tmp_path / "odd")).authorization()
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured, match="holds no text"):
        Credentials("http://127.0.0.1:1", "me", str(tmp_path / "odd")).authorization()


def test_a_client_without_credentials_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(rpc.VARIABLE, raising=False)
    with pytest.raises(Misconfigured, match="no credentials: set TASKSPRINT_BITCOIN_RPC"):
        Rpc.from_environment()
