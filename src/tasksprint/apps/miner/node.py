"""The miner's node: one task that searches, four that talk to the Bitcoin node, and one that keeps a copy.

Those four run on clients with the label and the credentials, beside the slots (cores=0).  What goes wrong with the
Bitcoin node is an answer like any other, `{"trouble": text, "wait": whether waiting may help}`: the scheduler decides
what to do about it, and says it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tasksprint.apps.miner import rpc, template
from tasksprint.apps.miner.address import AddressError, script_of
from tasksprint.apps.miner.block import BlockError, block_of, displayed, double_sha256
from tasksprint.apps.miner.coinbase import CoinbaseError
from tasksprint.apps.miner.work import identity as identity_of
from tasksprint.apps.miner.work import work_of
from tasksprint.native import nonce
from tasksprint.sdk import File, Node, TaskFailed, task

CHUNK_S = 0.004  # between two looks at whether the search is still wanted
CHUNK_LEAST = 256
LOOK_S = 0.1  # between two looks at whether a watch is still wanted
CONFIRM_EVERY_S = 0.02
RULES = ["segwit", "signet"]  # Core refuses a request that does not name those of its network
CONFIRM_S = 2.0
BODY = "body.json"
HASH = re.compile("[0-9a-f]{64}")
LATE_KEPT, LATE_S = 4, 30.0
UNKNOWN = "the node took it, and does not have it"
SAME_BLOCK = ("duplicate", "already")  # what a node says of a block that it has


def transactions_in(body: File) -> list[bytes]:
    return [bytes.fromhex(each) for each in json.loads(body.read_text())]


def checked_range(header: str, target: str, start: int, count: int | None, max_hits: int) -> tuple[bytes, int, int]:
    """(header, target, end of the range), or TaskFailed with a sentence for whoever wrote them."""
    try:
        raw = bytes.fromhex(header)
    except (TypeError, ValueError):
        raise TaskFailed(f"header is {nonce.HEADER_BYTES} bytes in hex, not {rpc.one_line(repr(header))}") from None
    try:
        limit = int(target, 16)
    except (TypeError, ValueError):
        raise TaskFailed(f"target is a number in hex, in quotes, not {rpc.one_line(repr(target))}") from None
    for name, number in (("start", start), ("count", 0 if count is None else count), ("max_hits", max_hits)):
        if not isinstance(number, int) or isinstance(number, bool):
            raise TaskFailed(f"{name} is a whole number, not {rpc.one_line(repr(number))}")
    end = nonce.NONCES if count is None else start + count
    try:
        nonce.search(raw, start, end - start if end > nonce.NONCES or end < start else 0, limit, max_hits=max_hits)
    except ValueError as error:
        raise TaskFailed(str(error)) from None
    return raw, limit, end


class Miner(Node):
    def __init__(self) -> None:
        self._chunk = 1 << 14
        self._killed = [0, 0.0]  # hashes and seconds of runs that were cancelled, until an answer has told them
        self._late: deque[tuple[float, Any, int]] = deque(maxlen=LATE_KEPT)  # hits: (when, mark, nonce)
        self._client = f"{socket.gethostname()}:{os.getppid()}"

    # --- searching -------------------------------------------------------------------------------------------

    @task
    def search(
        self,
        header: str,
        target: str,
        start: int = 0,
        count: int | None = None,
        seconds: float | None = None,
        max_hits: int = 100,
        mark: Any = None,
        tell: bool = False,
    ) -> dict[str, Any]:
        """The nonces of a range whose hash is at most the target.

        `header`: 80 bytes in hex; `target`: a number in hex, most significant digit first.  Ends behind hit number
        `max_hits`, or after `seconds`; `hashes` says how many nonces were searched, from `start` on, without a hole.

        The answer to a cancelled run counts for nothing, so the next one that counts makes up for it: `killed` has the
        hashes that were done and not told, and, for runs with a `mark`, `late` has the node's last hits as [mark,
        nonce]; the scheduler knows which of them it has.  `tell`: a line in the job's log when it begins.
        """
        raw, limit, end = checked_range(header, target, start, count, max_hits)
        kernel = nonce.choose().kernel
        hits: list[dict[str, Any]] = []
        began = time.monotonic()
        if tell:
            self.log(f"began {json.dumps([os.getpid(), displayed(raw[4:36]), round(began, 6)])}")
        place, cancelled = start, False
        while place < end and len(hits) < max_hits and not (cancelled := self.cancelled):
            before = time.monotonic()
            if seconds is not None and before - began >= seconds:
                break
            size = min(self._chunk, end - place)
            found = nonce.search(raw, place, size, limit, max_hits=max_hits - len(hits))
            hits += [{"nonce": each, "hash": displayed(digest)} for each, digest in found.hits]
            place += found.hashes
            if found.hashes == self._chunk:
                self._adapt(time.monotonic() - before)
        taken, cancelled = time.monotonic() - began, cancelled or self.cancelled
        found_all = {"hits": hits, "hashes": place - start, "kernel": kernel}
        when = {"began": round(began, 6), "seconds": round(taken, 6)}  # by this machine's clock
        made_up = self._made_up(place - start, taken, cancelled)
        if mark is not None:
            self._late.extend((time.monotonic(), mark, each["nonce"]) for each in hits)
        return {"found": {**found_all, **when, "client": self._client, "node": str(os.getpid()), **made_up}}

    def _made_up(self, hashes: int, seconds: float, cancelled: bool) -> dict[str, Any]:
        """What this answer says of earlier runs; a cancelled one says nothing, and is told of in the next."""
        if cancelled:
            self._killed = [self._killed[0] + hashes, self._killed[1] + seconds]
            return {}
        (done, taken), self._killed = self._killed, [0, 0.0]
        self.progress(read=hashes + int(done))
        since = time.monotonic() - LATE_S
        late = [[mark, number] for at, mark, number in self._late if at >= since]
        return {**({"killed": [done, round(taken, 6)]} if done else {}), **({"late": late} if late else {})}

    def _adapt(self, taken: float) -> None:
        """Chunks that take about CHUNK_S: a search that nobody wants any more ends soon on every machine."""
        factor = min(max(CHUNK_S / max(taken, 1e-6), 0.5), 2.0)
        self._chunk = max(CHUNK_LEAST, int(self._chunk * (1 + (factor - 1) / 4)))

    # --- the Bitcoin node ------------------------------------------------------------------------------------

    @task
    def template(self, address: str, message: str, harder: int) -> dict[str, Any]:
        """What to work on now."""
        return self._asked(lambda node: self._template(node, address, message, harder, {}, rpc.ANSWER_S))

    @task
    def longpoll(self, address: str, message: str, harder: int, longpoll: str, seconds: float) -> dict[str, Any]:
        """What to work on as soon as it is something else; the node answers when its tip changes.

        `silent` after so many seconds: that is no trouble, for the tip may stay what it is for hours.
        """
        request = {"longpollid": longpoll}

        def ask(node: rpc.Rpc) -> dict[str, Any]:
            began = time.monotonic()
            try:
                return self._template(node, address, message, harder, request, seconds)
            except rpc.Silent:
                if time.monotonic() - began < seconds:
                    raise  # it was asked something else, and should have answered
                return {"answer": {"silent": True}}

        return self._asked(ask)

    @task
    def watch(self, previous: str, every: float, seconds: float) -> dict[str, Any]:
        """The tip, as soon as it is another one, or after so many seconds."""

        def look(node: rpc.Rpc) -> dict[str, Any]:
            end = time.monotonic() + seconds
            while True:
                tip = self._tip(node)
                if tip != previous or time.monotonic() >= end:
                    return {"answer": {"tip": tip}}
                self._sleep(every)

        return self._asked(look)

    @task
    def submit(self, *body: File, header: str, coinbase: str, identity: str, workid: str = "") -> dict[str, Any]:
        """Give the block to the node, and find out what became of it.  Doing it twice changes nothing.

        `body`: a file with the block's transactions; none where it has none but the coinbase.
        """
        return self._asked(lambda node: {"answer": self._submit(node, body, header, coinbase, identity, workid)})

    @task
    def keep(self, body: File, identity: str) -> dict[str, Any]:
        """A copy of a block's transactions, on the client that runs this."""
        if identity_of(transactions_in(body)) != identity:
            raise TaskFailed("these are the transactions of another template")
        shutil.copyfile(body, self.folder / BODY)
        return {"body": File(BODY), "kept": True}

    def _asked(self, ask: Callable[[rpc.Rpc], dict[str, Any]]) -> dict[str, Any]:
        try:
            return ask(rpc.Rpc.from_environment(lambda: not self.cancelled))
        except rpc.Unwanted:
            return {}
        except (rpc.Misconfigured, AddressError, CoinbaseError, template.Unminable) as error:
            return {"answer": {"trouble": str(error), "wait": False}}
        except (rpc.Unreachable, rpc.RpcError, template.TemplateError) as error:
            return {"answer": {"trouble": str(error), "wait": True}}

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.cancelled:
                raise rpc.Unwanted
            time.sleep(min(LOOK_S, seconds))

    def _template(
        self, node: rpc.Rpc, address: str, message: str, harder: int, request: dict[str, str], seconds: float
    ) -> dict[str, Any]:
        chain = node.call("getblockchaininfo")
        name = str(chain.get("chain", "")) if isinstance(chain, dict) else ""
        pay_to = script_of(address, rpc.one_line(name))
        asked = {"rules": RULES, "capabilities": ["coinbasevalue", "longpoll"], **request}
        got = template.parse(node.call("getblocktemplate", asked, limit_s=seconds))
        transactions = [transaction.data for transaction in got.transactions]
        work = work_of(got, pay_to, message.encode(), harder)
        (self.folder / BODY).write_text(json.dumps([each.hex() for each in transactions]))
        return {"answer": {"work": {**work, "chain": name}}, "body": File(BODY)}

    def _submit(
        self, node: rpc.Rpc, body: Sequence[File], header: str, coinbase: str, wanted: str, work_id: str = ""
    ) -> dict[str, Any]:
        transactions = [each for file in body for each in transactions_in(file)]
        raw = bytes.fromhex(header)
        if identity_of(transactions) != wanted:
            if (self._known(node, displayed(double_sha256(raw))) or 0) > 0:  # it arrived before they died
                return {"status": "accepted", "reason": "duplicate"}
            return {"status": "lost", "reason": "every client that held the block's transactions died"}
        try:
            whole = block_of(raw, bytes.fromhex(coinbase), transactions)
        except BlockError as error:
            return {"status": "rejected", "reason": str(error)}
        try:
            said = node.call("submitblock", whole.hex(), *([{"workid": work_id}] if work_id else []))
        except rpc.RpcError as error:
            said = error.message
        return self._verdict(node, displayed(double_sha256(raw)), "" if said is None else rpc.one_line(said))

    def _verdict(self, node: rpc.Rpc, name: str, said: str) -> dict[str, Any]:
        """Only the chain tells: an answer of null may mean a side chain, and "duplicate" may mean that we have won."""
        reason = said.removeprefix("rejected: ")
        end = time.monotonic() + CONFIRM_S
        while True:
            tip = self._tip(node)
            if tip == name:
                return {"status": "accepted", "reason": reason, "tip": tip}
            known = self._known(node, name)
            if known is not None and known > 0:  # somebody has built on it already
                return {"status": "accepted", "reason": reason, "tip": tip}
            if known is not None and known < 0:
                return {"status": "stale", "reason": reason or "another block is the tip", "tip": tip}
            settled = reason not in ("", "inconclusive") and not any(word in reason for word in SAME_BLOCK)
            if settled or time.monotonic() > end:
                stale = "stale" in reason or "prevblk" in reason or "inconclusive" in reason
                return {"status": "stale" if stale else "rejected", "reason": reason or UNKNOWN, "tip": tip}
            self._sleep(CONFIRM_EVERY_S)

    def _tip(self, node: rpc.Rpc) -> str:
        tip = node.call("getbestblockhash")
        if not isinstance(tip, str) or not HASH.fullmatch(tip):
            raise rpc.Unreachable(f"the Bitcoin node's tip is no hash in hex: {rpc.one_line(tip)}")
        return tip

    def _known(self, node: rpc.Rpc, name: str) -> int | None:
        """How many blocks deep it is in the best chain, from 1 on; -1 on a side chain; None where it is not known."""
        try:
            row = node.call("getblockheader", name)
        except rpc.RpcError:
            return None
        depth = row.get("confirmations") if isinstance(row, dict) else None
        return depth if isinstance(depth, int) else None
