"""A Bitcoin node that answers with all kinds of nonsense, as the test wishes."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from tasksprint.cli.bench_bitcoin import StandIn

PAGE = b"<html><h1>It works!</h1></html>"
GIGABYTE = 1 << 30
FULL = [{"data": "00"}] * 200_001


class Moody(StandIn):
    """`mood`: good, page, gigabyte, endless, warming, or a dict of changes to the template."""

    def __init__(self) -> None:
        super().__init__()
        self.mood: Any = "good"
        self.chain = "regtest"
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                node.speak(self, request)

            def log_message(self, *words: Any) -> None:
                """Nobody reads it."""

        self.server.RequestHandlerClass = Handler

    def speak(self, to: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        if self.mood == "page":
            self.send(to, 200, PAGE)
        elif self.mood == "gigabyte":
            self.send(to, 200, b" " * 4096, length=GIGABYTE)
        elif self.mood == "endless":
            to.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
            for _ in range(GIGABYTE >> 20):
                to.wfile.write(bytes(1 << 20))
        elif self.mood == "warming":
            error = {"code": -28, "message": "Loading block index..."}
            self.send(to, 500, json.dumps({"result": None, "error": error}).encode())
        else:
            self.send(to, 200, json.dumps({"result": self.answer(request), "error": None}).encode())

    @staticmethod
    def send(to: BaseHTTPRequestHandler, status: int, body: bytes, length: int | None = None) -> None:
        to.send_response(status)
        to.send_header("Content-Length", str(len(body) if length is None else length))
        to.end_headers()
        to.wfile.write(body)

    def answer(self, request: dict[str, Any]) -> Any:
        if request["method"] == "getblockchaininfo":
            return {"chain": self.chain}
        return super().answer(request)

    def template(self) -> dict[str, Any]:
        changes = self.mood if isinstance(self.mood, dict) else {}
        whole = {**super().template(), **changes}
        return {name: value for name, value in whole.items() if value is not None}
