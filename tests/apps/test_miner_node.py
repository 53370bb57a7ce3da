"""The miner's node: what it searches, how it talks alone, and what it makes of a Bitcoin node's words about a block."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasksprint.apps.miner.block import displayed, double_sha256
from tasksprint.apps.miner.node import Miner
from tasksprint.apps.miner.rpc import RpcError, Unreachable
from tasksprint.apps.miner.template import parse
from tasksprint.apps.miner.work import identity, work_of
from tasksprint.native import nonce
from tasksprint.sdk import File, TaskFailed

HOUSE = Path(__file__).resolve().parent.parent.parent
TARGET = f"{nonce.TARGET_MAX >> 8:064x}"
HEADER = bytes(80)
NAME = displayed(double_sha256(HEADER))


class Work:
    """The SDK's side of a task: cancelled after so many looks."""

    def __init__(self, looks: int = 1 << 30) -> None:
        self.looks = looks
        self.read = 0

    def is_cancelled(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def progress(self, fraction: float | None, read: int) -> None:
        self.read += read


def miner(looks: int = 1 << 30) -> Miner:
    node = Miner()
    node._sprint = Work(looks)  # type: ignore[assignment]
    return node


def test_a_search_finds_what_the_twin_finds() -> None:
    node = miner()
    node._chunk = 700  # many chunks
    found = node.search(nonce.GENESIS.hex(), TARGET, start=5, count=20_000, max_hits=1000)["found"]
    twin = nonce.search(nonce.GENESIS, 5, 20_000, int(TARGET, 16), kernel=nonce.PLAIN)
    assert found["hits"] == [{"nonce": number, "hash": displayed(digest)} for number, digest in twin.hits]
    assert found["hashes"] == node._sprint.read == 20_000


def test_a_search_ends_behind_its_last_hit_in_time_or_when_nobody_wants_it() -> None:
    first = miner().search(nonce.GENESIS.hex(), TARGET, max_hits=1)["found"]
    assert len(first["hits"]) == 1 and first["hashes"] == first["hits"][0]["nonce"] + 1
    timed = miner().search(nonce.GENESIS.hex(), "00", seconds=0.02)["found"]
    assert 0 < timed["hashes"] < nonce.NONCES
    assert miner(looks=3).search(nonce.GENESIS.hex(), "00")["found"]["hashes"] > 0
    at_the_end = miner().search(nonce.GENESIS.hex(), "00", start=nonce.NONCES - 10)["found"]
    assert at_the_end["hashes"] == 10


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("00", "00"), "80 bytes, not 1"),
        (("xy", "00"), "header is 80 bytes in hex, not 'xy'"),
        ((5, "00"), "header is 80 bytes in hex, not 5"),
        ((HEADER.hex(), "rare"), "target is a number in hex, in quotes, not 'rare'"),
        ((HEADER.hex(), 255), "target is a number in hex, in quotes, not 255"),
        ((HEADER.hex(), "-1"), "not negative"),
        ((HEADER.hex(), "00", -1), "out of range"),
        ((HEADER.hex(), "00", 1, nonce.NONCES), "out of range"),
        ((HEADER.hex(), "00", 1, -1), "out of range"),
        ((HEADER.hex(), "00", 1.5), "start is a whole number, not 1.5"),
        ((HEADER.hex(), "00", 1, float("nan")), "count is a whole number, not nan"),
        ((HEADER.hex(), "00", 1, "7"), "count is a whole number, not '7'"),
        ((HEADER.hex(), "00", 1, 7, None, 0), "max_hits must be at least 1"),
    ],
)
def test_a_search_of_nothing_is_refused(args: Any, words: str) -> None:
    with pytest.raises(TaskFailed, match=words):
        miner().search(*args)


HELLO = '{"type":"hello","version":1,"job":"mine","folder":"/tmp","node":0}'
RUN = json.dumps(
    {"type": "run", "task": 1, "name": "search", "args": {"header": HEADER.hex(), "target": "00", "count": 9}}
    | {"inputs": [], "seed": "0" * 16, "folder": "/tmp/mine-1"}
)


def alone(said: bytes) -> tuple[int, list[Any], str]:
    """The node by itself: (exit code, what it answers, what it complains about)."""
    command = [sys.executable, "-c", "from tasksprint.cli.node import main; main()", "miner"]
    done = subprocess.run(command, input=said, capture_output=True, timeout=60, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def test_at_the_end_of_the_input_the_node_finishes_what_it_was_given() -> None:
    code, heard, complaint = alone(f"{HELLO}\n{RUN}".encode())  # the last line without its end
    assert (code, complaint) == (0, "")
    assert heard[-1]["result"]["found"]["hashes"] == 9


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"nonsense", "a line that is no JSON: 'nonsense'"),
        (b"\xff\x00", "a line that is no JSON"),
        (b"[" * 100_000, "a line that is no JSON: '[[["),
        (b"5", "a message is a JSON object with a type, not 5"),
        (b'{"type": "' + b"x" * 100_000 + b'"}', "unknown type 'xxx"),
        (b'{"type": "run"}', "a run without a task"),
    ],
)
def test_a_line_that_is_none_ends_the_node_with_a_sentence(line: bytes, words: str) -> None:
    code, _, complaint = alone(f"{HELLO}\n".encode() + line + b"\n")
    assert code == 2
    assert words in complaint and complaint.count("\n") == 1 and len(complaint) < 300


def test_a_run_that_lacks_something_says_what() -> None:
    _, heard, _ = alone(f'{HELLO}\n{{"type":"run","task":7,"name":"search"}}\n'.encode())
    assert (heard[-1]["task"], heard[-1]["error"]) == (7, "ValueError: the run has no seed")


class Chain:
    """A Bitcoin node of which is known what it says of our block."""

    def __init__(self, submit: Any, tip: str, depth: int | None) -> None:
        self.said, self.tip, self.depth = submit, tip, depth
        self.submitted: list[str] = []

    def call(self, method: str, *parameters: Any) -> Any:
        if method == "getbestblockhash":
            return self.tip
        if method == "getblockheader":
            if self.depth is None:
                raise RpcError(-5, "Block not found")
            return {"confirmations": self.depth}
        self.submitted.append(parameters[0])
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


OTHER = "ff" * 32


@pytest.mark.parametrize(
    ("said", "tip", "depth", "status"),
    [
        (None, NAME, 1, "accepted"),
        ("duplicate", NAME, 1, "accepted"),
        (RpcError(-27, "already known"), NAME, 1, "accepted"),
        (None, OTHER, 3, "accepted"),  # somebody has built on it
        ("duplicate", OTHER, 2, "accepted"),
        (None, OTHER, -1, "stale"),  # null is no proof
        ("inconclusive", OTHER, -1, "stale"),
        ("duplicate-inconclusive", OTHER, -1, "stale"),
        ("rejected: stale-prevblk", OTHER, None, "stale"),
        ("rejected: high-hash", OTHER, None, "rejected"),
        ("bad-cb-height", OTHER, None, "rejected"),
        (RpcError(-22, "Block decode failed"), OTHER, None, "rejected"),
        (None, OTHER, None, "rejected"),
    ],
)
def test_only_the_chain_says_who_has_won(
    said: Any, tip: str, depth: int | None, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasksprint.apps.miner.node.CONFIRM_S", 0.05)
    body = tmp_path / "body.json"
    body.write_text(json.dumps(["0011"]))
    chain: Any = Chain(said, tip, depth)
    answer = miner()._submit(chain, [File(body)], HEADER.hex(), "aa", identity([b"\x00\x11"]))
    assert answer["status"] == status
    assert "rejected: " not in answer["reason"]
    assert chain.submitted == [HEADER.hex() + "02aa0011"]


TEMPLATE: dict[str, Any] = {
    "version": 1,
    "previousblockhash": OTHER,
    "bits": "207fffff",
    "height": 10,
    "curtime": 1_700_000_000,
    "coinbasevalue": 50,
    "transactions": [],
    "rules": [],
}


class Source:
    """A Bitcoin node that gives this template, and refuses as Core does where segwit is not named."""

    def __init__(self, answer: Any, chain: str = "regtest") -> None:
        self.answer, self.chain = answer, chain

    def call(self, method: str, *parameters: Any, limit_s: float = 0) -> Any:
        if method == "getblockchaininfo":
            return {"chain": self.chain}
        needed = {"segwit", self.chain} & {"segwit", "signet"}
        if not needed <= set(parameters[0].get("rules", ())):
            raise RpcError(-8, f"getblocktemplate must be called with the rules {needed}")
        return self.answer


def fetched(node: Any, address: str, folder: Path, message: str = "hello") -> Any:
    fetching = miner()
    fetching._sprint.folder = lambda: folder  # type: ignore[method-assign]
    return fetching._asked(lambda _: fetching._template(node, address, message, 0, {}, 1.0))["answer"]


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bitcoin.json").write_text('{"url": "http://127.0.0.1:1", "cookie": "/none"}')
    monkeypatch.setenv("TASKSPRINT_BITCOIN_RPC", str(tmp_path / "bitcoin.json"))


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("chain", "address", "complaint"),
    [
        ("main", "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202", "is for regtest, but the node is on main"),
        ("regtest", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "is for main, but the node is on regtest"),
        ("mars", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "unknown network 'mars'"),
    ],
)
def test_a_node_on_another_network_is_not_waited_for(chain: str, address: str, complaint: str, tmp_path: Path) -> None:
    answer = fetched(Source(TEMPLATE, chain), address, tmp_path)
    assert complaint in answer["trouble"]
    assert answer["wait"] is False


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"height": "ten"}, "height must be"),
        ({"bits": "00000000"}, "bits make no sense"),
        ({"previousblockhash": "00"}, "previousblockhash must be 32 bytes"),
        ({"transactions": [{"data": "00"}]}, "is no transaction"),
        ({"transactions": [{}] * 200_001}, "200000 is the most"),
        ({"rules": ["!space"]}, "does not know"),
        ({"coinbaseaux": {"flags": "00" * 64}, "height": 1 << 30}, "room"),
    ],
)
def test_a_malformed_template_is_waited_out(change: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    address = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202"
    assert fetched(Source(TEMPLATE), address, tmp_path)["work"]["height"] == 10
    answer = fetched(Source({**TEMPLATE, **change}), address, tmp_path, "m" * 60)
    assert complaint in answer["trouble"]


def test_transactions_of_another_template_are_not_submitted(tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text("[]")
    for depth, status in ((None, "lost"), (-1, "lost"), (1, "accepted")):
        chain: Any = Chain(None, NAME, depth)
        assert miner()._submit(chain, [File(body)], HEADER.hex(), "aa", identity([b"\x00"]))["status"] == status
        assert not chain.submitted


def test_a_block_without_transactions_needs_no_file() -> None:
    chain: Any = Chain(None, NAME, 1)
    assert miner()._submit(chain, [], HEADER.hex(), "aa", identity([]))["status"] == "accepted"
    assert chain.submitted == [HEADER.hex() + "01aa"]


def test_what_the_node_called_its_template_goes_back_with_the_block() -> None:
    """BIP 22: a workid must be returned."""
    answer = {**TEMPLATE, "workid": "seven"}
    assert work_of(parse(answer), b"\x51", b"", 0)["workid"] == "seven"
    said: list[Any] = []

    class Heard(Chain):
        def call(self, method: str, *parameters: Any) -> Any:
            if method == "submitblock":
                said.extend(parameters[1:])
            return super().call(method, *parameters)

    chain: Any = Heard(None, NAME, 1)
    miner()._submit(chain, [], HEADER.hex(), "aa", identity([]), "seven")
    assert said == [{"workid": "seven"}]


@pytest.mark.usefixtures("credentials")
def test_on_a_signet_blocks_need_a_signature_unless_anybody_may_mine(tmp_path: Path) -> None:
    address = "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c"
    free = {**TEMPLATE, "rules": ["csv", "!segwit", "!signet", "taproot"], "signet_challenge": "51"}
    assert fetched(Source(free, "signet"), address, tmp_path)["work"]["chain"] == "signet"
    answer = fetched(Source({**free, "signet_challenge": "5121ad5e" * 9}, "signet"), address, tmp_path)
    assert "must be signed by whoever runs it" in answer["trouble"] and answer["wait"] is False


@pytest.mark.parametrize("tip", [None, 7, "00", "z" * 64, "f" * (1 << 20), {"tip": OTHER}])
def test_a_tip_that_is_no_hash_is_said(tip: Any) -> None:
    chain: Any = Chain(None, tip, None)
    with pytest.raises(Unreachable, match="tip is no hash") as caught:
        miner()._verdict(chain, NAME, "")
    assert len(str(caught.value)) < 300


def test_a_refusal_of_any_length_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasksprint.apps.miner.node.CONFIRM_S", 0.05)
    chain: Any = Chain("bad\n\x1b[2J" + "x" * (1 << 20), OTHER, None)
    reason = miner()._submit(chain, [], HEADER.hex(), "aa", identity([]))["reason"]
    assert reason.startswith("bad [2Jxx") and len(reason) < 300


def test_a_copy_is_of_the_right_transactions(tmp_path: Path) -> None:
    keeping, body = miner(), tmp_path / "fetched.json"
    body.write_text('["0011"]')
    keeping._sprint.folder = lambda: tmp_path  # type: ignore[method-assign]
    kept = keeping.keep(File(body), identity([b"\x00\x11"]))
    assert kept["body"] == File("body.json") and (tmp_path / "body.json").read_text() == body.read_text()
    with pytest.raises(TaskFailed, match="another template"):
        keeping.keep(File(body), identity([b"\x00\x12"]))


def test_what_killed_runs_did_is_told_in_the_next_answer() -> None:
    node = miner()
    node._chunk = 300
    work: Any = node._sprint
    for looks in (2, 4):
        work.looks = looks
        assert "killed" not in node.search(nonce.GENESIS.hex(), "00")["found"]
    assert work.read == 0
    work.looks = 1 << 30
    found = node.search(nonce.GENESIS.hex(), "00", count=50)["found"]
    assert found["hashes"] == 50
    assert found["killed"][0] >= 300 * 2 and found["killed"][1] > 0
    assert work.read == found["killed"][0] + 50
    assert "killed" not in node.search(nonce.GENESIS.hex(), "00", count=50)["found"], "told once"


def test_a_hit_is_named_again_in_case_its_answer_crossed_the_kill() -> None:
    node = miner()
    header = nonce.GENESIS.hex()
    first = node.search(header, TARGET, max_hits=1, mark=[1, 7])["found"]
    assert "late" not in first
    work: Any = node._sprint
    work.looks = 0  # cancelled when it has found something
    node.search(header, TARGET, start=first["hashes"], count=0, mark=[1, 8])
    work.looks = 1 << 30
    again = node.search(header, "00", count=10, mark=[1, 9])["found"]
    assert again["late"] == [[[1, 7], first["hits"][0]["nonce"]]]
    node._late = type(node._late)((at - 1000, *rest) for at, *rest in node._late)
    assert "late" not in node.search(header, "00", count=10, mark=[1, 9])["found"], "not for ever"


def test_trouble_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(node: Any) -> Any:
        raise Unreachable("nobody answers")

    monkeypatch.delenv("TASKSPRINT_BITCOIN_RPC", raising=False)
    assert miner()._asked(silent)["answer"]["wait"] is False, "no credentials"


def test_the_session_in_the_documents() -> None:
    page = (HOUSE / "docs" / "embedding.md").read_text()
    found = re.search(r"<!-- session -->\n```\n(.*?)```", page, re.DOTALL)
    assert found
    lines = found[1].splitlines()
    said = "".join(line[2:] + "\n" for line in lines if line.startswith("> "))
    expected = [json.loads(line[2:]) for line in lines if line.startswith("< ")]
    command = [sys.executable, "-c", "from tasksprint.cli.node import main; main()", "miner"]
    done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    heard = [json.loads(line) for line in done.stdout.splitlines()]
    for message in (*heard, *expected):
        found_there = message.get("result", {}).get("found", {})
        for name in ("kernel", "began", "seconds", "client", "node"):
            found_there.pop(name, None)
    assert heard == expected
