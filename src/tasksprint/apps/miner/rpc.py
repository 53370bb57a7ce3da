"""Talking to a Bitcoin node: JSON-RPC over HTTP, with credentials that stay in the files where the user keeps them.

The client's environment names a file (`TASKSPRINT_BITCOIN_RPC`) with the node's address and the *path* of its cookie or
password; the secret itself is read from there for each request, so it is in no argument, log or state of ours, and a
node that was restarted with a new cookie is talked to again at once.

Every failure is one of three, each with a text for a person: the node refused (`RpcError`), waiting may help
(`Unreachable`: it is gone, warming up, silent), or waiting cannot (`Misconfigured`).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

VARIABLE: Final = "TASKSPRINT_BITCOIN_RPC"
ANSWER_BYTES: Final = 64 << 20  # of one answer, at most: a template of a full block has about 10 MiB
ANSWER_S: Final = 20.0
CONNECT_S: Final = 5.0
LOOK_S: Final = 0.1  # between two looks at whether somebody still wants the answer
READ_BYTES: Final = 1 << 20
SECRET_CHARACTERS: Final = 6  # a shorter password may stand in any answer by chance
SHOWN_CHARACTERS: Final = 200
WARMING_UP: Final = -28
METHOD_UNKNOWN: Final = -32601

Wanted = Callable[[], bool]


class RpcError(Exception):
    """The node answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"the Bitcoin node says: {message} (error {code})")
        self.code = code
        self.message = message


class Unreachable(Exception):
    """No usable answer now; later there may be one."""


class Silent(Unreachable):
    """The node has not answered in time."""


class Misconfigured(Exception):
    """No answer until somebody changes something; the text says what."""


class Unwanted(Exception):
    """Nobody wants the answer any more."""


class Credentials(NamedTuple):
    url: str
    user: str
    secret_file: str  # a cookie (user:password) where `user` is empty, else a password

    def authorization(self) -> str:
        """The value of the HTTP header; read anew each time."""
        try:
            with open(self.secret_file, encoding="utf-8") as file:
                secret = file.read(4096).strip()
        except OSError as error:
            what = "password" if self.user else "cookie"
            reason = (error.strerror or str(error)).lower()
            raise Unreachable(f"cannot read the Bitcoin node's {what} file {self.secret_file}: {reason}") from None
        except UnicodeDecodeError:
            raise Misconfigured(f"{self.secret_file} holds no text: it is no cookie and no password") from None
        if not self.user and ":" not in secret:
            raise Misconfigured(f"{self.secret_file} is no cookie file: a cookie is user:password on one line")
        pair = f"{self.user}:{secret}" if self.user else secret
        return "Basic " + base64.b64encode(pair.encode()).decode()


def checked_url(url: str) -> str:
    """The URL, if one can talk to it; Misconfigured says why not, without showing a secret that stands in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Misconfigured("the Bitcoin node's URL makes no sense; it is like http://127.0.0.1:8332") from None
    if parts.username is not None or parts.password is not None:
        raise Misconfigured("leave user and password out of the Bitcoin node's URL: name a file with --rpc-cookie")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Misconfigured(f"the Bitcoin node's URL is like http://127.0.0.1:8332, not {url!r}")
    return url


def load_credentials(path: str) -> Credentials:
    """What the file at `path` says: {"url", "cookie"} or {"url", "user", "password_file"}."""
    try:
        with open(path, encoding="utf-8") as file:
            said = json.load(file)
        url = checked_url(str(said["url"]))
        if "cookie" in said:
            return Credentials(url, "", str(said["cookie"]))
        return Credentials(url, str(said["user"]), str(said["password_file"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Misconfigured(f"cannot use {VARIABLE}={path}: {error}") from None


class Rpc:
    """One node; a connection for each request, so that none waits behind another's longpoll."""

    def __init__(self, credentials: Credentials, wanted: Wanted = lambda: True) -> None:
        self._credentials = credentials
        self._wanted = wanted

    @classmethod
    def from_environment(cls, wanted: Wanted = lambda: True) -> Rpc:
        path = os.environ.get(VARIABLE, "")
        if not path:
            raise Misconfigured(
                f"this client has the label, but no credentials: set {VARIABLE} to the path of a JSON file with the "
                "url of the Bitcoin node and its cookie, or its user and password_file"
            )
        return cls(load_credentials(path), wanted)

    def call(self, method: str, *parameters: Any, limit_s: float = ANSWER_S) -> Any:
        """The result.  Unwanted as soon as nobody wants it; Unreachable after `limit_s`."""
        body = json.dumps({"jsonrpc": "1.0", "id": method, "method": method, "params": list(parameters)}).encode()
        authorization = self._credentials.authorization()
        status, data = self._exchange(method, body, authorization, limit_s)
        try:
            return _result(method, status, data)
        except (RpcError, Unreachable):
            if _sends_back(data, authorization):
                raise Unreachable(
                    "what answers at the Bitcoin node's URL sends back what it is sent, the password too: that is no "
                    "Bitcoin node"
                ) from None
            raise

    def _exchange(self, method: str, body: bytes, authorization: str, limit_s: float) -> tuple[int, bytes]:
        """The answer's HTTP status, and the answer."""
        connection = _connection(self._credentials.url)
        try:
            path = urlsplit(self._credentials.url).path or "/"
            headers = {"Authorization": authorization, "Content-Type": "application/json", "Connection": "close"}
            connection.connect()
            connection.sock.settimeout(ANSWER_S)  # for the whole of the sending: a block may be large, the way slow
            connection.request("POST", path, body, headers)
            silence = Silent(f"the Bitcoin node does not answer {method}")
            patience = _Patience(connection.sock, self._wanted, time.monotonic() + limit_s, silence)
            with contextlib.closing(http.client.HTTPResponse(patience, method="POST")) as response:  # type: ignore[arg-type]
                response.begin()
                patience.deadline = time.monotonic() + 2 * ANSWER_S
                patience.late = Unreachable(f"the Bitcoin node's answer to {method} does not end")
                return response.status, self._read(response, method)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unreachable(f"no Bitcoin node answers at {self._credentials.url}: {reason}".rstrip()) from None
        finally:
            connection.close()

    def _read(self, response: http.client.HTTPResponse, method: str) -> bytes:
        too_much = f"the Bitcoin node answers {method} with more than {ANSWER_BYTES >> 20} MiB: that is no answer"
        if (response.length or 0) > ANSWER_BYTES:
            raise Unreachable(too_much)
        pieces, size = [], 0
        while piece := response.read1(READ_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size > ANSWER_BYTES:
                raise Unreachable(too_much)
        return b"".join(pieces)


class _Patience(io.RawIOBase):
    """Reads what a socket brings, a byte at a time if it must be, until nobody wants it or it is too late.

    It waits in reads and not before them: what makes an encrypted socket readable may be no part of the answer.
    """

    def __init__(self, link: socket.socket, wanted: Wanted, deadline: float, late: Unreachable) -> None:
        super().__init__()
        self._link, self._wanted, self.deadline, self.late = link, wanted, deadline, late
        link.settimeout(LOOK_S)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What an HTTP response asks a socket for."""
        return io.BufferedReader(self, READ_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if not self._wanted():
                raise Unwanted
            if time.monotonic() > self.deadline:
                raise self.late
            with contextlib.suppress(TimeoutError):
                return self._link.recv_into(buffer)


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            host, parts.port or 443, timeout=CONNECT_S, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(host, parts.port or 80, timeout=CONNECT_S)


def _sends_back(data: bytes, authorization: str) -> bool:
    """Whether our secret stands in this: then it must not be shown."""
    encoded = authorization.partition(" ")[2].encode()
    pair = base64.b64decode(encoded)
    password = pair.partition(b":")[2]
    return encoded in data or pair in data or (len(password) >= SECRET_CHARACTERS and password in data)


def _result(method: str, status: int, data: bytes) -> Any:
    """What the node answered; errors come with status 200 or 500, whoever wrote the node."""
    if status in (401, 403):
        raise Misconfigured(f"the Bitcoin node refuses user and password (HTTP {status}): check the cookie or password")
    answer: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        answer = json.loads(data)
    if not isinstance(answer, dict) or not ("result" in answer or "error" in answer):
        raise Unreachable(f"what answers at the Bitcoin node's URL speaks no JSON-RPC (HTTP {status}): {_shown(data)}")
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    code, message = -1, one_line(error)
    if isinstance(error, dict):
        code = error["code"] if isinstance(error.get("code"), int) else -1
        message = one_line(error.get("message", error))
    if code == WARMING_UP:
        raise Unreachable(f"the Bitcoin node is warming up: {message}")
    if code == METHOD_UNKNOWN:
        raise Misconfigured(f"the Bitcoin node knows no {method}: {message}")
    raise RpcError(code, message)


def one_line(value: object) -> str:
    """For a person's terminal: a bounded text on one line, without control characters."""
    text = str(value)[: 4 * SHOWN_CHARACTERS]
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def _shown(data: bytes) -> str:
    return one_line(data[: 4 * SHOWN_CHARACTERS].decode("utf-8", "replace")) or "nothing"
