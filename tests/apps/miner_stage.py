"""A miner's scheduler on a stage: a test plays the cluster and the Bitcoin node."""

from __future__ import annotations

import json
from typing import Any

from tasksprint.apps.miner.command import checked, defaults
from tasksprint.apps.miner.scheduler import Mine
from tasksprint.apps.miner.template import parse
from tasksprint.apps.miner.work import work_of
from tasksprint.sdk import saving
from tasksprint.sdk.desk import Desk
from tasksprint.sdk.scheduler import deliver

ADDRESS = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202"
A, B, C = (f"{number:064x}" for number in (0xA, 0xB, 0xC))


def work_on(previous: str, height: int = 10, **more: Any) -> dict[str, Any]:
    answer = {
        "version": 1,
        "previousblockhash": previous,
        "bits": "207fffff",
        "height": height,
        "curtime": 1_700_000_000,
    }
    answer |= {"coinbasevalue": 50, "transactions": [], "longpollid": f"after {previous}", "rules": []}
    return {**work_of(parse(answer), b"\x51", b"hello", 0), "chain": "regtest", "transactions": 3, **more}


class Stage:
    """A scheduler, the tasks that are under way, and the Bitcoin node's part played by the test."""

    def __init__(self, **options: Any) -> None:
        self.seq = 0
        self.time = 0
        self.live: dict[int, dict[str, Any]] = {}
        self.killed: list[int] = []
        self.ended: dict[str, Any] = {}
        self.timers: dict[str, float] = {}
        self.scheduler: Any = Mine.__new__(Mine)
        self.scheduler._sprint.desk = Desk(self.heard)
        self.send("init", args=checked({**defaults(ADDRESS), "extranonce": 0, **options}))
        self.send("client_joined", client="one")

    def send(self, event: str, **fields: Any) -> None:
        """One event; in between the scheduler is saved and comes back as another."""
        self.seq += 1
        deliver(self.scheduler, {"event": event, "seq": self.seq, "now": self.time, **fields})
        self.scheduler._sprint.desk.answer(self.seq)
        other: Any = Mine.__new__(Mine)
        other._sprint.desk = Desk(self.heard)
        saving.restore(other, json.loads(saving.save(self.scheduler)))
        self.scheduler = other

    def heard(self, text: str) -> None:
        for answer in json.loads(text)["answers"]:
            for action in answer.get("actions", ()):
                self.act(action)

    def act(self, action: dict[str, Any]) -> None:
        kind = action["action"]
        if kind == "start_task":
            self.live[action["task"]] = action
        elif kind == "kill_task":
            del self.live[action["task"]]
            self.killed.append(action["task"])
        elif kind == "set_timer":
            self.timers[action["name"]] = action["delay_s"]
        elif kind in ("finish", "fail"):
            self.ended = action

    def tasks(self, name: str) -> list[int]:
        return [number for number, task in self.live.items() if task["name"] == name]

    def done(self, name: str, answer: Any, place: int = 0) -> None:
        number = self.tasks(name)[place]
        del self.live[number]
        key = {"search": "found", "keep": "kept"}.get(name, "answer")
        self.send("task_done", task=number, name=name, values={key: answer})

    def found(self, hashes: int, *nonces: int, place: int = 0, node: str = "1", **more: Any) -> None:
        hits = [{"nonce": nonce, "hash": "00"} for nonce in nonces]
        about = {"kernel": "python", "client": "one", "node": node, "began": 0.0, "seconds": 1.0}
        self.done("search", {"hits": hits, "hashes": hashes, **about, **more}, place)

    def timer(self, name: str) -> None:
        del self.timers[name]
        self.send("timer", name=name)


def begun(**options: Any) -> Stage:
    stage = Stage(**options)
    stage.done("template", {"work": work_on(A)})
    return stage
