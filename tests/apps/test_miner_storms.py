"""The miner's scheduler in bad weather: random tips, reorgs, lost answers and deaths, and what must hold in the end.

The Bitcoin node is played by a small tree of blocks.  A request is served at one moment and answered at another, so
answers come late, in any order, or get lost after the node has acted on them.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.apps.miner_stage import Stage, work_on

from tasksprint.apps.miner.block import displayed, double_sha256

GROUND = f"{0xA0:064x}"
GONE = {"trouble": "nobody answers", "wait": True}
STEPS = 250


class World:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.parents = {GROUND: ""}
        self.heights = {GROUND: 9}
        self.tip = GROUND
        self.template_number = 0
        self.held = 0  # threads of the Bitcoin node that longpolls hold in vain since the last tip
        self.most_held = self.deaths = 0
        self.served: dict[int, Any] = {}  # task → answer that is on its way
        self.known: set[int] = set()  # longpolls that have been seen under way
        self.clients = ["one"]
        self.names = 1
        self.late: list[Any] = []  # hits of units that were killed meanwhile
        self.ours: set[str] = set()
        self.searched: dict[int, tuple[int, int]] = {}  # extranonce → (source, next nonce to give out)
        self.units: set[int] = set()
        self.stage = Stage(max_age=30.0)

    # --- the chain ----------------------------------------------------------------------------------------------

    def best_chain(self) -> list[str]:
        chain, name = [], self.tip
        while name:
            chain.append(name)
            name = self.parents[name]
        return chain

    def move(self, tip: str) -> None:
        self.tip = tip
        self.held = 0

    def competitor(self, parent: str) -> None:
        name = f"{len(self.parents) + 0xF00000:064x}"
        self.parents[name], self.heights[name] = parent, self.heights[parent] + 1
        if self.heights[name] > self.heights[self.tip]:
            self.move(name)

    def reorg(self) -> None:
        chain = self.best_chain()
        if len(chain) > 2:
            parent = chain[2]
            for _ in range(3):
                self.competitor(parent)
                parent = list(self.parents)[-1]

    # --- what the node answers ----------------------------------------------------------------------------------

    def template(self) -> dict[str, Any]:
        self.template_number += 1
        about = {"time": 1_700_000_000 + self.template_number, "identity": f"{self.random.randrange(3)}"}
        return {"work": work_on(self.tip, self.heights[self.tip] + 1, **about)}

    def submitted(self, args: dict[str, Any]) -> dict[str, Any]:
        raw = bytes.fromhex(args["header"])
        name, parent = displayed(double_sha256(raw)), raw[4:36][::-1].hex()
        if name not in self.parents:
            self.parents[name], self.heights[name] = parent, self.heights[parent] + 1
            self.ours.add(name)
            if self.heights[name] > self.heights[self.tip]:
                self.move(name)
        return {"status": "accepted" if name in self.best_chain() else "stale", "reason": ""}

    def serve(self, number: int, may_fail: bool) -> None:
        """The node does its part; the answer has not arrived yet."""
        task = self.stage.live[number]
        name, args = task["name"], task["args"]
        if may_fail and self.random.random() < 0.15:
            self.served[number] = GONE
            if name == "submit" and self.random.random() < 0.5:
                self.submitted(args)  # it is only the answer that is lost
        elif name == "template":
            self.served[number] = self.template()
        elif name == "longpoll":
            if args["longpoll"] != f"after {self.tip}" or self.random.random() < 0.1:
                self.served[number] = self.template()
            elif may_fail and self.random.random() < 0.1:
                self.served[number] = {"silent": True}
                self.hold(1)
        elif name == "watch":
            if args["previous"] != self.tip or self.random.random() < 0.2:
                self.served[number] = {"tip": self.tip}
        elif name == "submit":
            name = displayed(double_sha256(bytes.fromhex(args["header"])))
            lost = may_fail and bool(task.get("prerequisites")) and self.random.random() < 0.1
            lost = lost and name not in self.best_chain()
            self.served[number] = {"status": "lost", "reason": ""} if lost else self.submitted(args)

    def hold(self, count: int) -> None:
        self.held += count
        self.most_held = max(self.most_held, self.held)

    # --- the cluster --------------------------------------------------------------------------------------------

    def arrive(self, number: int) -> None:
        name, answer = self.stage.live[number]["name"], self.served.pop(number)
        self.stage.done(name, answer, self.stage.tasks(name).index(number))

    def search_ends(self, number: int, with_hit: bool) -> None:
        args = self.stage.live[number]["args"]
        hashes = self.random.randrange(1, 1000)
        nonces = [args["start"] + hashes - 1] if with_hit else []
        self.searched[int(args["mark"][1])] = (args["mark"][0], args["start"] + hashes)
        late, self.late = self.late, []
        place = self.stage.tasks("search").index(number)
        self.stage.found(hashes, *nonces, place=place, node=f"{number % 3}", late=late)

    def look(self, before: dict[int, Any]) -> None:
        """After each event: units given out are new ones, and no answer is on its way to a task that is gone."""
        live = self.stage.live
        for number in [each for each in self.served if each not in live]:
            del self.served[number]
        for number in self.stage.tasks("search"):
            if number in self.units:
                continue
            self.units.add(number)
            args = live[number]["args"]
            source, extranonce = args["mark"][0], int(args["mark"][1])
            owner, following = self.searched.get(extranonce, (source, 0))
            assert owner == source, "no extranonce serves two templates"
            assert args["start"] == following, "nothing is given out twice, and nothing left out"
            self.searched[extranonce] = (source, -1)  # until it is known how far it was searched
        gone = [task for number, task in before.items() if number not in live]
        for task in gone:
            if task["name"] == "search" and self.random.random() < 0.05:
                self.late.append([task["args"]["mark"], 1 << 31])  # a hit that crossed the kill
            if task["name"] == "longpoll" and task["args"]["longpoll"] == f"after {self.tip}":
                self.hold(1)  # nobody listens; the node does not know
        assert len(self.stage.tasks("longpoll")) <= 1
        assert len(self.stage.tasks("watch")) <= 1
        assert not self.stage.ended, self.stage.ended

    def settle(self) -> None:
        """The weather is fine: everything is answered, nothing is found."""
        stage = self.stage
        for _ in range(30):
            for number in [each for each, task in stage.live.items() if task["name"] not in ("search", "keep")]:
                if number in stage.live and number not in self.served:
                    self.serve(number, may_fail=False)
                if number in stage.live and number in self.served:
                    self.arrive(number)
            while stage.tasks("keep"):
                stage.done("keep", True)
            if stage.tasks("search"):
                self.search_ends(stage.tasks("search")[0], with_hit=False)
            stage.time += 1000
            for name in sorted(stage.timers):
                stage.timer(name)

    def do(self) -> None:
        stage, pick = self.stage, self.random
        before = dict(stage.live)
        choice = pick.randrange(100)
        aside = [number for number, task in stage.live.items() if task["name"] not in ("search", "keep")]
        unserved = [number for number in aside if number not in self.served]
        if choice < 30 and unserved:
            self.serve(pick.choice(unserved), may_fail=True)
        elif choice < 60 and self.served:
            number = pick.choice(sorted(self.served))
            if stage.live[number]["name"] == "longpoll":
                before.pop(number)
            self.arrive(number)
        elif choice < 75 and stage.tasks("search"):
            self.search_ends(pick.choice(stage.tasks("search")), pick.random() < 0.4)
        elif choice < 85 and stage.timers:
            stage.time += pick.choice([200, 1000, 10_000])
            stage.timer(pick.choice(sorted(stage.timers)))
        elif choice < 88 and stage.tasks("keep"):
            stage.done("keep", True, pick.randrange(len(stage.tasks("keep"))))
        else:
            self.misfortune(choice)
        self.look(before)

    def misfortune(self, choice: int) -> None:
        if choice < 92:
            self.competitor(self.tip)
        elif choice < 94:
            self.reorg()
        elif choice < 97:
            self.names += 1
            self.clients.append(f"client {self.names}")
            self.stage.send("client_joined", client=self.clients[-1])
        elif len(self.clients) > 1:
            self.deaths += 1
            self.served.clear()  # what was under way begins again elsewhere
            self.stage.send("client_dead", client=self.clients.pop(self.random.randrange(len(self.clients))))


@pytest.mark.parametrize("seed", range(40))
def test_every_hit_gets_its_verdict_and_work_goes_on(seed: int) -> None:
    world = World(seed)
    for _ in range(STEPS):
        world.do()
    world.settle()
    stage, tally = world.stage, world.stage.scheduler.tally
    assert not stage.tasks("submit"), "every submission has ended"
    assert tally["found"] == tally["accepted"] + tally["stale"] + tally["rejected"]
    names = tally["blocks"]
    assert len(set(names)) == len(names) == tally["accepted"]
    assert world.ours & set(world.best_chain()) <= set(names), "no block of ours in the chain is left out"
    assert stage.scheduler.previous == world.tip, "everybody is on the tip"
    assert stage.tasks("search")
    assert world.most_held <= 2 + world.deaths
    before = dict(stage.live)
    world.search_ends(stage.tasks("search")[0], with_hit=True)
    world.look(before)
    (submit,) = stage.tasks("submit")
    world.serve(submit, may_fail=False)
    world.arrive(submit)
    assert tally is not stage.scheduler.tally and stage.scheduler.tally["accepted"] == len(names) + 1
