"""What a Bitcoin node may answer, and what becomes of it: one clear sentence each."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
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
        self.drip: bytes | None = None  # this, and then a byte at a time, for ever
        self.heard: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.open: list[socket.socket] = []
        self.serving = threading.Thread(target=self.serve, daemon=True)
        self.serving.start()

    def serve(self) -> None:
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(link)
            self.heard.append(link.recv(1 << 16))
            if self.drip is not None:
                threading.Thread(target=self.drop, args=(link, self.drip), daemon=True).start()
            elif self.said is not None:
                try:
                    link.sendall(self.said)
                    link.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

    @staticmethod
    def drop(link: socket.socket, first: bytes) -> None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            link.sendall(first)
            while True:
                link.sendall(b"x")
                threading.Event().wait(0.005)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.serving.join()  # the last one may be on its way in
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
        (http(301, b"moved").replace(b"\r\n\r\n", b"\r\nLocation: /there\r\n\r\n"), Unreachable, "HTTP 301.: moved"),
        (http(200, b"9" * 99_999), Unreachable, "speaks no JSON-RPC"),
        (http(200, b'{"result": ' + b"9" * 99_999 + b"}"), Unreachable, "speaks no JSON-RPC"),
        (http(200, b"\x1b[2J\x07go\x00ne\xff"), Unreachable, "HTTP 200.: \\[2J go ne"),
        (http(200, said(None, {"code": -1, "message": "two\nlines \ud800"})), RpcError, "says: two lines .error -1"),
        (http(200, said(None, {"code": {}, "message": []})), RpcError, "error -1"),
        (http(200, said(None, [1, 2])), RpcError, "1, 2"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", Unreachable, "no Bitcoin node answers"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n", Unreachable, "more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * (1 << 20), Unreachable, "no Bitcoin node answers"),
        (b"HTTP/1.1 2000000 OK\r\n\r\n", Unreachable, "no Bitcoin node answers"),
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


def test_an_answer_in_chunks(node: Answering, secret: Path) -> None:
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + b'{"res' + b"\r\n9\r\n" + b'ult": 12}'
    assert asked(node, secret, chunks + b"\r\n0\r\n\r\n") == 12


def test_of_two_keys_the_last_counts(node: Answering, secret: Path) -> None:
    assert asked(node, secret, http(200, b'{"result": 1, "error": null, "result": 2}')) == 2


@pytest.mark.parametrize("secret_there", [b"X19jb29raWVfXzpoaWRkZW4=", b"__cookie__:hidden", b"the password is hidden"])
@pytest.mark.parametrize("packed", [False, True], ids=["page", "error"])
def test_a_secret_that_comes_back_is_not_shown(
    node: Answering, secret: Path, secret_there: bytes, packed: bool
) -> None:
    """Some proxies answer with what they were sent."""
    body = b"you sent " + secret_there
    with pytest.raises(Unreachable, match="sends back what it is sent") as caught:
        asked(node, secret, http(200, said(None, body.decode()) if packed else body))
    assert "hidden" not in str(caught.value) and "X19" not in str(caught.value)


@pytest.mark.parametrize("piece", [b"HTTP/1.1 200 OK\r\n", b"X: "], ids=["status", "header"])
def test_headers_that_come_a_byte_at_a_time_have_a_limit(node: Answering, secret: Path, piece: bytes) -> None:
    node.drip = piece
    with pytest.raises(Unreachable, match="does not answer getblocktemplate"):
        asked(node, secret, b"", limit_s=0.3)
    with pytest.raises(Unwanted):
        Rpc(Credentials(node.url, "", str(secret)), lambda: False).call("getblocktemplate", limit_s=30)


def test_a_body_that_comes_a_byte_at_a_time_has_a_limit(
    node: Answering, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "ANSWER_S", 0.1)
    node.drip = b"HTTP/1.1 200 OK\r\n\r\n"
    with pytest.raises(Unreachable, match="answer to getblocktemplate does not end"):
        asked(node, secret, b"", limit_s=1000)


def test_an_answer_over_tls_is_waited_for(secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its handshake such a server sends tickets, which are no answer; that may come much later."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key -out cert -subj /CN=localhost"
    )
    subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1"], cwd=tmp_path, check=True, stderr=-3
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
    monkeypatch.setattr(rpc, "CONNECT_S", 0.3)
    asked_often = threading.Event()
    looks: list[float] = []

    def wanted() -> bool:
        looks.append(time.monotonic())
        if looks[-1] - looks[0] > 2 * rpc.CONNECT_S:
            asked_often.set()
        return True

    def serve() -> None:
        link, _ = listener.accept()
        with context.wrap_socket(link, server_side=True) as node:
            node.recv(1 << 16)
            asked_often.wait(30)
            node.sendall(http(200, said("late")))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        try:
            assert Rpc(Credentials(url, "", str(secret)), wanted).call("getblocktemplate") == "late"
        finally:
            asked_often.set()
            serving.join()


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
