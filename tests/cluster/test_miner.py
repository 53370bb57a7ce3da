"""Blocks for real Bitcoin nodes, by clusters of three coordinators, judged by Bitcoin Core's own code."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.cluster.harness import PATIENCE_S, Silent
from tests.cluster.mining import ADDRESS, Door, Mining, harder_for, mining
from tests.cluster.moody import FULL, Moody
from tests.peers.judge import judged
from tests.peers.nodes import Bcoin, CppNode, Peer
from tests.peers.spending import PAY_TO_TRUE, PAY_TO_TRUE_SEGWIT, spend

from tasksprint.apps.miner.block import double_sha256, target_of
from tasksprint.apps.miner.rpc import Credentials, Rpc, Unreachable
from tasksprint.cli.following import Outcome, follow
from tasksprint.cli.local import free_ports

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

BLOCKS = 20
NEVER = 150  # bits harder: nothing is ever found
COIN = 50 * 10**8
CLIENTS = ("client-1", "client-2", "client-3")
GROUND = {CppNode: 110, Bcoin: 440}  # blocks before ours: coins must be 100 deep, segwit begins at 432


async def ended(at: Mining, job: str) -> Outcome:
    folder = at.cluster.folder / "outputs"
    folder.mkdir(exist_ok=True)
    async with asyncio.timeout(3 * PATIENCE_S):
        return await follow(at.asking, job, Silent(), folder, at.fetcher)


def disjoint_and_complete(units: list[Any]) -> int:
    """Checks the units of all work; returns the hashes done."""
    ranges = defaultdict(list)
    for source, extranonce, start, hashes, *_ in units:
        ranges[source, extranonce].append((start, start + hashes))
    for found in ranges.values():
        place = 0
        for start, end in sorted(found):
            assert start == place, "a hole, or a nonce that was searched twice"
            place = end
    begun = defaultdict(list)
    for source, extranonce in ranges:
        begun[source].append(extranonce)
    order = sorted(extranonce for _, extranonce in ranges)
    assert len(order) == len(set(order)), "no extranonce serves two templates"
    return sum(unit[3] for unit in units)


def all_valid(peer: Peer, folder: Path) -> bool:
    """Whether Bitcoin Core would have the same chain."""
    return judged(peer.blocks(), folder / "judge") == (peer.height, peer.tip)


def transactions_of(peer: Peer, blocks: list[str]) -> int:
    return sum(len(peer.ask("getblock", name, True)["tx"]) - 1 for name in blocks)


@pytest.mark.parametrize("kind", [CppNode, Bcoin], ids=["C++ node", "bcoin"])
def test_twenty_blocks_with_transactions_are_valid(kind: Any, tmp_path: Path) -> None:
    with kind(tmp_path / "peer") as peer:
        coins = peer.mine(GROUND[kind], PAY_TO_TRUE_SEGWIT if peer.segwit else PAY_TO_TRUE)[:8]
        for coin in coins:
            peer.ask("sendrawtransaction", spend(coin, COIN, 100_000, peer.segwit))
        harder = harder_for(0.5)

        async def story() -> tuple[Any, list[Any], list[Any]]:
            async with mining(tmp_path, peer.credentials, replicas=3, clients=1, slots=2) as at:
                job = await at.mine(blocks=BLOCKS, harder=harder, unit=0.2)
                outcome = await ended(at, job)
                assert outcome.state == "done", outcome.error
                return json.loads(outcome.values), at.said(job, "unit"), at.said(job, "block")

        values, units, said = uvloop.run(story())
        blocks = values["blocks"]
        assert values["accepted"] == len(blocks) == BLOCKS
        assert values["rejected"] == 0
        assert [peer.ask("getblockhash", GROUND[kind] + place) for place in range(1, BLOCKS + 1)] == blocks
        assert [each["hash"] for each in said if each["status"] == "accepted"] == blocks
        assert all(int(name, 16) <= target_of(0x207FFFFF) >> harder for name in blocks)
        assert transactions_of(peer, blocks) == len(coins)
        told_later = sum(unit[8] for unit in units)  # of units that were killed for a new block
        assert disjoint_and_complete(units) + told_later == int(values["hashes"])
        expected = BLOCKS * ((1 << 256) // ((target_of(0x207FFFFF) >> harder) + 1))
        assert expected / 3 < int(values["hashes"]) < expected * 3, "the work of about half a second a block"
        paid = bytes.fromhex(peer.blocks()[-1])
        assert PAY_TO_TRUE_SEGWIT in paid and b"TaskSprint" in paid
        assert peer.tip == blocks[-1] and all_valid(peer, tmp_path)


def test_the_chain_moves_under_the_miner(tmp_path: Path) -> None:
    """A competitor's block, a reorg between two nodes, clients that die, the node gone and back: work follows."""
    port = free_ports(1)[0]
    first, second = CppNode(tmp_path / "first", listen=port), CppNode(tmp_path / "second", connect=port)
    with first, second:
        first.mine(3, PAY_TO_TRUE)

        async def story() -> None:
            async with mining(tmp_path, first.credentials, replicas=3, clients=2, slots=1) as at:
                job = await at.mine(harder=NEVER, unit=0.5)

                async def working_on(height: int) -> None:
                    line = await at.until_said(job, "miner", lambda line: line["height"] == height)
                    assert line["found"] == 0

                await working_on(4)
                await asyncio.to_thread(first.mine, 1, PAY_TO_TRUE)  # a competitor's
                await working_on(5)

                await asyncio.to_thread(agree, first, second)
                await asyncio.to_thread(second.stop)
                second.connect = 0
                await asyncio.to_thread(second.start)
                await asyncio.to_thread(second.mine, 3, PAY_TO_TRUE_SEGWIT)  # to height 7, alone
                await asyncio.to_thread(first.mine, 1, PAY_TO_TRUE)  # to height 5
                await working_on(6)
                lost = first.tip
                second.connect = port
                await asyncio.to_thread(second.stop)
                await asyncio.to_thread(second.start)
                await working_on(8)
                assert first.tip == second.tip != lost

                for client in ("client-1", "client-2"):  # one of them holds the longpoll
                    at.shoot(client)
                    await asyncio.to_thread(first.mine, 1, PAY_TO_TRUE)
                    await working_on(first.height + 1)

                await asyncio.to_thread(first.stop)
                await at.until_said(job, "miner", lambda line: line["trouble"] != "")
                update = await at.asking.watch(job, 0)
                await at.until(job, lambda now: now.read > update.read)  # work goes on
                await asyncio.to_thread(first.start)
                await asyncio.to_thread(first.mine, 1, PAY_TO_TRUE)
                await working_on(11)
                disjoint_and_complete(at.said(job, "unit"))

        uvloop.run(asyncio.wait_for(story(), 3 * PATIENCE_S))


def agree(first: Peer, second: Peer) -> None:
    limit = time.monotonic() + PATIENCE_S
    while first.tip != second.tip:
        assert time.monotonic() < limit, "the two nodes do not find each other"
        time.sleep(0.05)


def test_a_block_outlives_the_leader_and_a_late_one_is_stale(tmp_path: Path) -> None:
    with CppNode(tmp_path / "peer") as peer:
        peer.mine(2, PAY_TO_TRUE)

        async def story() -> None:
            async with (
                Door(peer.port) as door,
                mining(tmp_path, {**peer.credentials, "url": door.url}, replicas=3, clients=1, slots=1) as at,
            ):
                job = await at.mine(blocks=2, harder=16, unit=0.2)
                await asyncio.wait_for(door.knocked.wait(), PATIENCE_S)
                before = await at.leader()
                at.shoot(f"coordinator-{before['id']}")  # the hit is in the log, the block is not in the chain
                assert door.passed == 0 and peer.height == 2
                after = await at.leader()
                while after["ballot"] <= before["ballot"]:
                    after = await at.leader()
                door.let(1)
                first = await at.until_said(job, "block", lambda block: True)
                assert first["status"] == "accepted", first

                await asyncio.wait_for(door.knocked.wait(), PATIENCE_S)
                at_height = peer.height
                await asyncio.to_thread(peer.mine, 1, PAY_TO_TRUE)  # somebody was faster
                door.let(10)
                stale = await at.until_said(job, "block", lambda block: block["status"] == "stale")
                assert stale["height"] == at_height + 1
                outcome = await ended(at, job)
                values = json.loads(outcome.values)
                assert values["accepted"] == 2 and values["rejected"] == 0 and values["stale"] >= 1
                assert len(set(values["blocks"])) == 2
                assert peer.ask("getblockheader", values["blocks"][0])["confirmations"] > 0

        uvloop.run(asyncio.wait_for(story(), 3 * PATIENCE_S))
        assert all_valid(peer, tmp_path)


def clients_that_ran(trace: Path, name: str) -> set[str]:
    """Who has ended such a task."""
    rows = [json.loads(line) for line in trace.read_text().splitlines()]
    tasks = {row["task"] for row in rows if row.get("name") == name}
    return {row["client"] for row in rows if row["event"] == "done" and row["task"] in tasks}


def test_a_block_outlives_whoever_fetched_its_transactions(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with CppNode(tmp_path / "peer") as peer:
        for coin in peer.mine(GROUND[CppNode], PAY_TO_TRUE)[:3]:
            peer.ask("sendrawtransaction", spend(coin, COIN, 100_000, segwit=False))

        async def story() -> str:
            options: dict[str, Any] = {"replicas": 3, "clients": 3, "slots": 1, "supervise": False, "trace": trace}
            async with (
                Door(peer.port) as door,
                mining(tmp_path, {**peer.credentials, "url": door.url}, **options) as at,
            ):
                door.shut = True
                job = await at.mine(blocks=1, harder=12, max_age=1000, poll=1000)
                await asyncio.wait_for(door.knocked.wait(), PATIENCE_S)
                await at.until_said(job, "miner", lambda line: "no Bitcoin node answers" in line["trouble"])
                (holder,) = clients_that_ran(trace, "template")
                async with asyncio.timeout(PATIENCE_S):
                    while len(clients_that_ran(trace, "keep")) < 2:
                        await at.asking.watch(job, 0)
                    members = {(at.cluster.folder / name / "id").read_text().strip(): name for name in CLIENTS}
                    at.shoot(members[holder])
                    while holder in {each["client"] for each in (await at.status("cluster"))["clients"]}:
                        await at.asking.watch(job, 0)
                door.shut = False
                door.let(10)
                outcome = await ended(at, job)
                assert outcome.state == "done", outcome.error
                return str(json.loads(outcome.values)["blocks"][0])

        block = uvloop.run(asyncio.wait_for(story(), 3 * PATIENCE_S))
        assert peer.tip == block
        assert transactions_of(peer, [block]) == 3 and all_valid(peer, tmp_path)


def test_work_that_is_too_old_is_ended_everywhere(tmp_path: Path) -> None:
    with CppNode(tmp_path / "peer") as peer:

        async def story() -> None:
            async with mining(tmp_path, peer.credentials, replicas=1, clients=2, slots=1) as at:
                job = await at.mine(harder=NEVER, unit=60, max_age=1, log=2)  # no unit ends by itself
                logs = [at.cluster.folder / name / "jobs" / job / "log" for name in ("client-1", "client-2")]
                async with asyncio.timeout(PATIENCE_S):
                    for log in logs:
                        while not log.exists() or log.read_text().count("began") < 8:  # the first four are short
                            await at.asking.watch(job, 0)

        uvloop.run(story())


def test_longpolls_that_stay_unanswered_do_not_use_up_the_node(tmp_path: Path) -> None:
    """Each holds a thread of it until the tip changes, and this one has two."""
    trace = tmp_path / "trace"
    with CppNode(tmp_path / "peer", threads=2) as peer:

        async def story() -> None:
            options: dict[str, Any] = {"replicas": 1, "clients": 1, "slots": 1, "trace": trace}
            async with mining(tmp_path, peer.credentials, **options) as at:
                job = await at.mine(harder=NEVER, unit=0.5, longpoll=1, poll=0.2)
                await at.until_said(job, "miner", lambda line: line["height"] == 1)
                async with asyncio.timeout(PATIENCE_S):
                    while not clients_that_ran(trace, "longpoll"):
                        await at.asking.watch(job, 0)
                given_up = len(at.said(job, "unit"))
                async with asyncio.timeout(PATIENCE_S):
                    while len(at.said(job, "unit")) < given_up + 8:  # long enough for several more
                        await at.asking.watch(job, 0)
                await asyncio.to_thread(peer.mine, 1, PAY_TO_TRUE)  # it answers, and the miner sees it
                await at.until_said(job, "miner", lambda line: line["height"] == 2)
                assert not any(line["trouble"] for line in at.said(job, "miner"))

        uvloop.run(asyncio.wait_for(story(), 3 * PATIENCE_S))


NONSENSE: list[tuple[Any, str]] = [
    ("page", "speaks no JSON-RPC (HTTP 200): <html><h1>It works!</h1></html>"),
    ("gigabyte", "answers getblockchaininfo with more than 64 MiB: that is no answer"),
    ("endless", "answers getblockchaininfo with more than 64 MiB: that is no answer"),
    ("warming", "the Bitcoin node is warming up: Loading block index..."),
    ({"bits": None}, "the template has no bits"),
    ({"transactions": FULL}, "200000 is the most"),
]


def test_nonsense_is_said_and_waited_out(tmp_path: Path) -> None:
    async def story() -> None:
        with Moody() as node:
            node.mood = NONSENSE[0][0]
            password = tmp_path / "password"
            password.write_text("none")
            where = {"url": node.url, "user": "u", "password_file": str(password)}
            async with mining(tmp_path, where, replicas=3, clients=1, slots=1) as at:
                job = await at.mine(harder=NEVER)

                async def complains(words: str) -> None:
                    await at.until_said(job, "miner", lambda line: words in line["trouble"])

                for node.mood, words in NONSENSE:
                    await complains(words)
                node.mood = "good"
                await at.until_said(job, "miner", lambda line: line["height"] == 101 and line["trouble"] == "")
                before = len(at.said(job, "miner"))
                node.mood = "page"
                await at.until_said(job, "miner", lambda line: "no JSON-RPC" in line["trouble"], after=before)
                update = await at.asking.watch(job, 0)
                await at.until(job, lambda now: now.read > update.read)  # work goes on

    uvloop.run(asyncio.wait_for(story(), 3 * PATIENCE_S))


def test_a_node_on_another_network_ends_the_job(tmp_path: Path) -> None:
    with Moody() as node:
        node.chain = "main"
        password = tmp_path / "password"
        password.touch(mode=0o600)
        command = [sys.executable, "-m", "tasksprint", "run", "miner", "--rpc-url", node.url, "--address", ADDRESS]
        command += ["--rpc-user", "u", "--rpc-password-file", str(password)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("is for regtest, but the node is on main")


def test_a_node_that_warms_up_is_waited_for(tmp_path: Path) -> None:
    peer, said = CppNode(tmp_path / "peer"), set()
    peer.begin()
    try:
        limit = time.monotonic() + PATIENCE_S
        while time.monotonic() < limit:
            try:
                Rpc(Credentials(peer.url, "u", str(peer.password_file))).call("getblockchaininfo")
                break
            except Unreachable as error:
                said.add(str(error).partition(":")[0])
    finally:
        peer.stop()
    assert said == {"no Bitcoin node answers at http", "the Bitcoin node is warming up"}


def test_the_command_waits_for_a_node_that_is_not_there_yet(tmp_path: Path) -> None:
    peer = CppNode(tmp_path / "peer", has_cookie=True)
    command = [sys.executable, "-m", "tasksprint", "run", "--replicas", "1", "miner", "--rpc-url", peer.url]
    command += ["--rpc-cookie", str(peer.cookie), "--address", ADDRESS, "--blocks", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as miner:
        assert miner.stderr is not None and miner.stdout is not None
        try:
            complaint = f"cannot read the Bitcoin node's cookie file {peer.cookie}: no such file"
            assert any(complaint in line for line in miner.stderr)
            with peer:
                assert miner.wait(60) == 0, miner.stderr.read()
                assert miner.stdout.readline().strip() == peer.ask("getblockhash", 1)
        finally:
            miner.kill()


def test_the_command_mines_and_keeps_the_secret(tmp_path: Path) -> None:
    with CppNode(tmp_path / "peer") as peer:
        command = [sys.executable, "-m", "tasksprint", "run", "miner", "--rpc-url", peer.url, "--address", ADDRESS]
        command += ["--rpc-user", "u", "--rpc-password-file", str(peer.password_file), "--blocks", "2"]
        kept = tmp_path / "kept"
        done = subprocess.run(
            [*command, "--data-dir", str(kept), "--message", "hello"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[:2] == [peer.ask("getblockhash", 1), peer.ask("getblockhash", 2)]
        assert "2 found, 2 accepted" in done.stdout
        assert b"hello" in bytes.fromhex(peer.blocks()[-1]) and all_valid(peer, tmp_path)
        secret = peer.password_file.read_bytes()
        written = [path for path in kept.rglob("*") if path.is_file() and secret in path.read_bytes()]
        assert not written, "the secret is where it was, and nowhere else"
        assert secret.decode() not in done.stdout + done.stderr
        assert double_sha256(bytes.fromhex(peer.blocks()[0])[:80])[::-1].hex() == peer.ask("getblockhash", 1)
        peer.password_file.write_text("another")
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "refuses user and password" in done.stderr
        os.chmod(peer.password_file, 0o644)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "others can read" in done.stderr
