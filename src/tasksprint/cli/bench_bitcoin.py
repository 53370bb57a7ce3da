"""A stand-in for a Bitcoin node, for measuring: work that nobody can finish, and a new tip whenever it is told so."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

ADDRESS = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202"
HELD_S = 60.0


class StandIn:
    """`with StandIn() as node`: listens on 127.0.0.1; `move` makes a new tip and tells whoever holds a longpoll."""

    def __init__(self) -> None:
        self.height = 100
        self.moved: dict[str, float] = {self.tip: time.monotonic()}  # tip → when it was told
        self.news = threading.Condition()
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                said = json.dumps({"result": node.answer(json.loads(self.rfile.read(size))), "error": None}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *words: Any) -> None:
                """Nobody reads it."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *connection: Any) -> None:
                """Somebody went away in the middle of an answer: nobody needs to know."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def tip(self) -> str:
        return f"{self.height:064x}"

    def move(self) -> None:
        with self.news:
            self.height += 1
            self.moved[self.tip] = time.monotonic()
            self.news.notify_all()

    def answer(self, request: dict[str, Any]) -> Any:
        method, parameters = request["method"], request["params"]
        if method == "getblockchaininfo":
            return {"chain": "regtest"}
        if method == "getbestblockhash":
            return self.tip
        if parameters[0].get("longpollid") == self.tip:
            with self.news:
                self.news.wait(HELD_S)
        return self.template()

    def template(self) -> dict[str, Any]:
        about = {"version": 0x20000000, "bits": "207fffff", "coinbasevalue": 50 * 10**8, "transactions": []}
        tip = {"previousblockhash": self.tip, "height": self.height + 1, "longpollid": self.tip}
        return {**about, **tip, "curtime": int(time.time()), "mintime": 0, "rules": []}
