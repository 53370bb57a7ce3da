"""What a person sees of a miner: a table that is drawn again on a terminal, plain lines elsewhere.

Two sources: the hashes done come with every update of the job; everything else is what the scheduler writes into its
log, where each line says all of it, so that only the last one counts and none must be kept.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from typing import Any

from tasksprint.cli.asking import Asking
from tasksprint.cli.commands import Failure
from tasksprint.cli.local import LocalCluster
from tasksprint.wire import messages as wire

PLAIN_S = 5.0  # between two plain lines
LISTEN_S = 0.5
MINUTE_S, QUARTER_S = 60.0, 900.0
CLIENTS_SHOWN = 8  # in the table


def rate_text(rate: float) -> str:
    for unit, size in (("GH/s", 1e9), ("MH/s", 1e6), ("kH/s", 1e3)):
        if rate >= size:
            return f"{rate / size:.1f} {unit}"
    return f"{rate:.0f} H/s"


def clients_text(rates: dict[str, float]) -> list[str]:
    """What each client does, the fastest first, and what is left of them together."""
    clients = sorted(rates.items(), key=lambda each: -each[1])
    texts = [f"{name} {rate_text(rate)}" for name, rate in clients[:CLIENTS_SHOWN]]
    if rest := clients[CLIENTS_SHOWN:]:
        texts.append(f"and {len(rest)} more {rate_text(sum(rate for _, rate in rest))}")
    return texts


class Rate:
    """Hashes a second over the last minute and the last quarter of an hour."""

    def __init__(self) -> None:
        self.points: deque[tuple[float, int]] = deque()

    def add(self, now: float, hashes: int) -> None:
        if not self.points or now - self.points[-1][0] >= 1 or hashes == 0:
            self.points.append((now, hashes))
        while now - self.points[0][0] > QUARTER_S:
            self.points.popleft()
        self.last = (now, hashes)

    def over(self, seconds: float) -> float:
        if not self.points:
            return 0.0
        now, hashes = self.last
        first = next((point for point in self.points if now - point[0] <= seconds), self.last)
        return (hashes - first[1]) / (now - first[0]) if now > first[0] else 0.0


class MinerDisplay:
    """`with MinerDisplay() as shown`: closed on the way out."""

    def __init__(self) -> None:
        self.rate = Rate()
        self.line: dict[str, Any] = {}
        self.said = ""
        self.said_at = 0.0
        self.trouble = self.last = ""
        self.live: Any = None

    def __enter__(self) -> MinerDisplay:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live is not None:
            self.live.stop()

    def note(self, text: str) -> None:
        if self.live is not None:
            self.live.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def update(self, update: wire.JobUpdate) -> None:
        """The job's own numbers: what it has read is what has been hashed."""
        self.rate.add(time.monotonic(), update.read)
        self.show()

    def heard(self, line: dict[str, Any]) -> None:
        """The scheduler's newest line."""
        self.line = line
        if line["trouble"] and line["trouble"] != self.trouble:
            self.note(f"{line['trouble']} (trying again)")
        self.trouble = line["trouble"]
        if self.live is None and line["last"] != self.last and " accepted" not in line["last"]:
            self.note(line["last"])  # the table has a row for it
        self.last = line["last"]
        self.show()

    def show(self) -> None:
        if self.live is not None:
            self.live.update(self.table())
            return
        now = time.monotonic()
        text = self.text()
        if text != self.said and (now - self.said_at >= PLAIN_S):
            self.said, self.said_at = text, now
            print(text, file=sys.stderr, flush=True)

    def text(self) -> str:
        """One line for a log."""
        line = self.line
        rates = f"{rate_text(self.rate.over(MINUTE_S))} (1 min), {rate_text(self.rate.over(QUARTER_S))} (15 min)"
        if not line:
            return f"mining: {rates}"
        counts = ", ".join(f"{line[name]} {name}" for name in ("found", "accepted", "stale", "rejected"))
        where = f"height {line['height']} on {line['chain']}, difficulty {line['difficulty']:.6g}"
        clients = "; ".join(clients_text(line["clients"]))
        return f"{rates}; blocks: {counts}; {where}" + (f"; {clients}" if clients else "")

    def table(self) -> Any:
        """A row a subject, each on one line however narrow the terminal is."""
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, min_width=9)
        table.add_column(no_wrap=True, overflow="ellipsis")
        minute, quarter = rate_text(self.rate.over(MINUTE_S)), rate_text(self.rate.over(QUARTER_S))
        table.add_row("hash rate", f"{minute} (1 min), {quarter} (15 min)")
        line = self.line
        if not line:
            return table
        counts = ", ".join(f"{line[name]} {name}" for name in ("found", "accepted", "stale", "rejected"))
        table.add_row("blocks", counts)
        if line["height"]:
            difficulty = f"difficulty {line['difficulty']:.6g}"
            table.add_row("searching", f"height {line['height']} on {line['chain']}, {difficulty}")
        if line["kernel"]:
            table.add_row("kernel", line["kernel"])
        for text in clients_text(line["clients"]):
            table.add_row("client", text)
        for title in ("last", "trouble"):
            if line[title]:
                table.add_row(title, line[title])
        return table


async def listen(cluster: LocalCluster, job_id: str, shown: MinerDisplay) -> None:
    """Bring the scheduler's newest line, for ever; whichever copy of it has written that."""
    offsets = dict.fromkeys(cluster.coordinators, 0)
    asking = {address: Asking([address], cluster.identity, patience_ms=1000) for address in offsets}
    newest = 0
    while True:
        for address, one in asking.items():
            data = await _read(one, job_id, offsets[address])
            end = data.rfind(b"\n") + 1
            offsets[address] += end
            lines = [line for line in data[:end].decode("utf-8", "replace").splitlines() if line.startswith("miner ")]
            line = json.loads(lines[-1].removeprefix("miner ")) if lines else {"lines": 0}
            if line["lines"] > newest:
                newest = line["lines"]
                shown.heard(line)
        await asyncio.sleep(LISTEN_S)


async def _read(asking: Asking, job_id: str, offset: int) -> bytes:
    try:
        return await asking.answer(lambda request: wire.SchedulerLog(request, job_id, offset))
    except Failure:
        return b""
