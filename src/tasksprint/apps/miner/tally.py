"""What has been done: counts, and who searched how much.  Pure; plain values only, as a saved scheduler needs."""

from __future__ import annotations

from typing import Any

NODE_SILENT_S = 15.0  # a node that has ended no unit for so long is not counted
RATE_S = 10.0  # over which the rate of a client is taken
TELL_S = 5.0  # between two lines, at first; later, as a share of the time that the job has run
TELL_SHARE = 200
CLIENTS_SHOWN = 64


class Tally:
    """Functions on the plain dict that `new` makes."""

    @staticmethod
    def new() -> dict[str, Any]:
        counts = dict.fromkeys(("found", "accepted", "stale", "rejected", "hashes", "height", "lines"), 0)
        texts = dict.fromkeys(("chain", "trouble", "last", "kernel"), "")
        return {**counts, **texts, "difficulty": 0.0, "blocks": [], "units": [], "seen": {}, "told": 0.0, "begun": -1.0}

    @staticmethod
    def searched(tally: dict[str, Any], found: dict[str, Any], now: float) -> None:
        """A unit has ended."""
        if tally["begun"] < 0:
            tally["begun"] = now
        killed, taken = found.get("killed", (0, 0.0))
        hashes = found["hashes"] + killed
        tally["hashes"] += hashes
        tally["kernel"] = found["kernel"]
        tally["seen"][f"{found['client']}:{found['node']}"] = now
        tally["units"].append([now, found["client"], hashes, found["seconds"] + taken])
        if tally["units"][0][0] < now - RATE_S:
            tally["units"] = [each for each in tally["units"] if each[0] >= now - RATE_S]

    @staticmethod
    def killed(tally: dict[str, Any], now: float) -> None:
        """Nobody could end a unit: what was there is still there."""
        tally["seen"] = dict.fromkeys(tally["seen"], now)

    @staticmethod
    def nodes(tally: dict[str, Any], now: float) -> int:
        """How many nodes have ended a unit lately."""
        seen = tally["seen"]
        for name in [name for name, at in seen.items() if at < now - NODE_SILENT_S]:
            del seen[name]
        return len(seen)

    @staticmethod
    def rates(tally: dict[str, Any], now: float) -> dict[str, float]:
        """Hashes a second of each client, over the last RATE_S or since the beginning."""
        over = max(min(RATE_S, now - tally["begun"]), 1.0)
        rates: dict[str, float] = {}
        for at, client, hashes, _ in tally["units"]:
            if at >= now - over:
                rates[client] = rates.get(client, 0.0) + hashes / over
        return {client: round(rates[client]) for client in sorted(rates)[:CLIENTS_SHOWN]}

    @staticmethod
    def due(tally: dict[str, Any], now: float) -> bool:
        """Whether a line is due: the log of a job is bounded, and a miner may run for years."""
        age = now - tally["begun"] if tally["begun"] >= 0 else 0.0
        return bool(now - tally["told"] >= max(TELL_S, age / TELL_SHARE))

    @staticmethod
    def line(tally: dict[str, Any], now: float) -> dict[str, Any]:
        """Everything, for people; `lines` tells which of two lines is newer."""
        tally["told"] = now
        tally["lines"] += 1
        names = (
            "lines",
            "height",
            "difficulty",
            "chain",
            "kernel",
            "trouble",
            "last",
            "found",
            "accepted",
            "stale",
            "rejected",
        )
        shown = {name: tally[name] for name in names}
        return {**shown, "hashes": str(tally["hashes"]), "clients": Tally.rates(tally, now)}
