"""The miner's scheduler: work from a Bitcoin node to every core, and blocks back.

It has copies on several coordinators, which must decide alike, so it never talks to the Bitcoin node: tasks do, on
clients with the label, and their answers come through the log like every other event.  Three of them run side by side:
a longpoll (never two), a plain watch of the tip beside it (a longpoll may stay silent for ever), and submissions, which
wait for nothing.

What is keyed by what: work by its previous block.  Work on another block ends everything of the old one.  So does new
work on the same block when the old is older than `max_age`; else (only the transactions have changed) it is used for
units that are given out from then on, and units at hand run out within seconds.  A template that takes us back to a
block that we have left may be a late answer, or a reorg: so the node is asked once more, and that answer counts.

Killing a unit loses nothing that counts: nodes say in a later answer what they did in killed units, and name their last
hits again (`late`), for a hit on the same block may have crossed its unit's kill.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tasksprint.apps.miner.block import displayed, double_sha256, with_nonce
from tasksprint.apps.miner.copies import Copies
from tasksprint.apps.miner.ranges import Ranges
from tasksprint.apps.miner.tally import Tally
from tasksprint.apps.miner.work import header, paid
from tasksprint.sdk import Task

# a node works for `unit` seconds on a unit; at first less, until it is known how many nodes there are
FIRST_UNIT_S = 0.25
UNITS_PER_CLIENT = 4
WATCH_S = 20.0  # a watch of the tip ends after this, and the next begins
RETRY_S, RETRY_MAX_S = 0.25, 5.0
LEFT_KEPT = 32  # blocks that we have worked on top of
HITS_KEPT = 64  # that wait for a submission
REJECTED_MAX = 20  # in a row: something is wrong that searching does not mend
FAILED_MAX = 10  # searches in a row
GRACE_S = 60.0  # for answers of the Bitcoin node
# A longpoll that we gave up goes on holding a thread of the node until the tip changes; with four of them gone Core's
# default has none left, and answers nobody.
GIVEN_UP_MAX = 2
GIVEN_UP_S = 5.0  # what ended sooner met no node


class Mine(Copies):
    """args: see `command.arguments`."""

    def init(self, args: dict[str, Any]) -> None:
        super().init(args)
        self.args = args
        self.tally = Tally.new()
        self.previous = ""  # the block that we work on top of
        self.former = 0  # the source of work on the same block whose units were killed: late hits of theirs count
        self.held: list[int] = []  # earlier sources: units and submissions of theirs may be under way
        self.work_at = 0.0
        self.longpoll_id = ""
        self.open: list[list[int]] = []
        self.extranonce = int(args["extranonce"])
        self.left: list[str] = []
        self.searches: dict[int, Any] = {}  # task → [source, extranonce, start]
        self.asked: dict[int, str] = {}  # task → template | checked | longpoll
        self.longpoll_at = 0.0
        self.given_up = 0  # longpolls that the node has not answered since we came to this block
        self.watching = 0
        self.submitting: dict[int, Any] = {}  # task → hit
        self.bodies: dict[int, str] = {}  # submission → the client that its transactions come from
        self.heard: list[Any] = []  # the last hits that we were told of
        self.hits: list[Any] = []  # of the same block, behind the one that is being submitted
        self.again: list[Any] = []  # hits whose submission met a node that did not answer
        self.tries = 0
        self.rejected = self.failures = 0
        self.over = -1.0  # since when the time is up
        self.ask("template")
        self.set_timer("second", 1.0)
        if args["stop_after"]:
            self.set_timer("stop", args["stop_after"])

    @property
    def work(self) -> dict[str, Any] | None:
        """What is being searched."""
        return self.works.get(str(self.source))

    # --- asking the Bitcoin node ---------------------------------------------------------------------------------

    def aside(self, name: str, args: dict[str, Any], limit_s: float, **more: Any) -> Task:
        """A task beside the slots, where the credentials are."""
        keys, labels = ["answer"], [self.args["label"]]
        return self.start_task(name, args, keys=keys, labels=labels, cores=0, retries=0, timeout_s=limit_s, **more)

    def ask(self, kind: str) -> None:
        if kind in self.asked.values():
            return
        about = {name: self.args[name] for name in ("address", "message", "harder")}
        if kind == "longpoll":
            seconds = self.args["longpoll"]
            asked = {**about, "longpoll": self.longpoll_id, "seconds": seconds}
            self.longpoll_at = self.now
            task = self.aside("longpoll", asked, seconds + GRACE_S)
        else:
            task = self.aside("template", about, GRACE_S)
        self.asked[task.number] = kind

    def watch(self) -> None:
        if self.watching:
            self.kill_task(Task(self.watching, "watch"))
        about = {"previous": self.previous, "every": self.args["poll"], "seconds": WATCH_S}
        self.watching = self.aside("watch", about, WATCH_S + GRACE_S).number

    def trouble(self, answer: dict[str, Any]) -> None:
        """The Bitcoin node gave no answer that helps: wait, and ask again; or end, where waiting does not help."""
        text = str(answer["trouble"])
        if not answer["wait"] and not self.previous and not self.left:
            self.fail(text)
            return
        self.tally["trouble"] = text
        self.tell()
        self.tries += 1
        self.set_timer("retry", min(RETRY_S * 2 ** min(self.tries, 10), RETRY_MAX_S))

    # --- what comes back -----------------------------------------------------------------------------------------

    def task_done(self, task: Task, values: dict[str, Any]) -> None:
        if task.name == "search":
            self.release(task)
            self.searched(task.number, values["found"])
            return
        if task.name == "keep":
            self.copied(task.number)
            return
        self.end_of_aside(task, values.get("answer") or {"trouble": f"{task.name} gave no answer", "wait": True})

    def task_failed(self, task: Task, error: str) -> None:
        if task.name == "search":
            _, extranonce, start = self.searches.pop(task.number)
            Ranges.give_back(self.open, extranonce, start)
            self.failures += 1
            if self.failures >= FAILED_MAX:
                self.fail(f"searches fail: {error}")
            else:
                self.fill()
            return
        if task.name == "keep":
            self.copying.pop(task.number, None)
            return
        self.end_of_aside(task, {"trouble": f"{task.name} failed: {error}", "wait": True})

    def end_of_aside(self, task: Task, answer: dict[str, Any]) -> None:
        kind = self.asked.pop(task.number, task.name)
        if task.name == "submit":
            self.release(task)
            self.bodies.pop(task.number, None)
            self.submitted(self.submitting.pop(task.number), answer)
            return
        if task.name == "watch":
            self.watching = 0
        if "trouble" in answer:
            if kind == "longpoll" and self.now - self.longpoll_at >= GIVEN_UP_S:
                self.given_up += 1
            self.release(task)
            self.trouble(answer)
            return
        self.tries = 0
        self.tally["trouble"] = ""
        if task.name == "watch":
            self.release(task)
            if answer["tip"] != self.previous:
                self.ask("template")
            else:
                self.watch()
        elif "silent" in answer:
            self.release(task)
            self.given_up = GIVEN_UP_MAX  # the watch goes on
        else:
            self.arrived(task.number, answer["work"], kind)

    def arrived(self, source: int, work: dict[str, Any], kind: str) -> None:
        """A template."""
        known = work["previous"] == self.previous
        self.longpoll_id = work["longpoll"]
        if not known and work["previous"] in self.left and kind != "checked":
            self.release(Task(source, kind))
            self.ask("checked")  # a late answer, or a reorg
        elif known and self.is_fresh(work):
            self.release(Task(source, kind))
        else:
            self.begin(source, work, anew=not known)
        if kind != "longpoll" or not known:  # else only the transactions changed: `second` is soon enough
            self.ask_longpoll()

    def is_fresh(self, work: dict[str, Any]) -> bool:
        """Whether what we have is as good."""
        mine = self.work
        same = mine is not None and mine["identity"] == work["identity"]
        return same and self.now - self.work_at < self.args["max_age"] / 2

    def ask_longpoll(self) -> None:
        if self.longpoll_id and self.given_up < GIVEN_UP_MAX:
            self.ask("longpoll")

    def begin(self, source: int, work: dict[str, Any], anew: bool) -> None:
        """Work on this from now on."""
        former = 0
        if anew:
            self.leave()
            self.end_longpolls()
        elif self.source:
            self.held.append(self.source)
            if self.now - self.work_at >= self.args["max_age"]:
                self.kill_searches()
                former = self.held[-1]
        self.former = former
        self.previous, self.source, self.work_at = work["previous"], source, self.now
        self.works[str(source)] = work
        self.open = []
        self.tidy()
        self.tally.update(height=work["height"], difficulty=work["difficulty"], chain=work["chain"])
        self.fill()
        self.spread()
        if anew or not self.watching:
            self.watch()
        if anew:
            say("work", {"source": source, "previous": work["previous"], "height": work["height"]})
            self.tell()

    def end_longpolls(self) -> None:
        """There is a new tip: one that asks for it has its answer already, or never gets one."""
        for number in [number for number, kind in self.asked.items() if kind == "longpoll"]:
            del self.asked[number]
            self.kill_task(Task(number, "longpoll"))
        self.given_up = 0

    def leave(self) -> None:
        """Nothing of the block that we work on is wanted any more, save the submissions under way."""
        self.kill_searches()
        self.hits = []
        if self.source:
            self.held.append(self.source)
        if self.previous:
            self.left = [*self.left, self.previous][-LEFT_KEPT:]
        self.previous, self.source, self.former = "", 0, 0

    def kill_searches(self) -> None:
        for number in self.searches:
            self.kill_task(Task(number, "search"))
        self.searches.clear()
        Tally.killed(self.tally, self.now)

    def tidy(self) -> None:
        """Let go of transactions that no unit and no submission needs."""
        needed = {row[0] for row in self.searches.values()} | {self.source, self.former}
        needed |= {hit[0] for hit in (*self.submitting.values(), *self.hits, *self.again)}
        for source in [each for each in self.held if each not in needed]:
            self.held.remove(source)
            self.works.pop(str(source), None)
            self.forget_copies(source)
            self.release(Task(source, "template"))

    # --- searching -----------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """A unit for each node, and one behind it."""
        work = self.work
        if work is None or self.over >= 0 or self.hits:
            return
        nodes = Tally.nodes(self.tally, self.now)
        wanted = max(UNITS_PER_CLIENT * len(self.clients), 2 * nodes + 2)
        seconds = self.args["unit"] if nodes else FIRST_UNIT_S
        while len(self.searches) < wanted:
            extranonce, start, self.extranonce = Ranges.take(self.open, self.extranonce)
            raw = header(work, extranonce).hex()
            about = {"header": raw, "target": work["target"], "start": start, "seconds": seconds, "max_hits": 1}
            about["mark"] = [self.source, str(extranonce)]
            about |= {"tell": True} if self.args["log"] > 1 else {}
            task = self.start_task("search", about, keys=["found"])
            self.searches[task.number] = [self.source, extranonce, start]

    def searched(self, number: int, found: dict[str, Any]) -> None:
        source, extranonce, start = self.searches.pop(number)
        self.failures = 0
        Tally.searched(self.tally, found, self.now)
        if self.args["log"]:
            nonces = [each["nonce"] for each in found["hits"]]
            unit = [source, extranonce, start, found["hashes"], nonces]
            killed = found.get("killed", [0])[0]  # hashes of units that did not end
            say("unit", [*unit, found["node"], found["began"], found["seconds"], killed])
        if source == self.source:
            Ranges.give_back(self.open, extranonce, start + found["hashes"])
        for each in found["hits"]:
            self.hit(source, extranonce, each["nonce"])
        for (source, extranonce), number in found.get("late", ()):
            work = self.works.get(str(source))
            if work is not None and work["previous"] == self.previous:
                self.hit(source, int(extranonce), number)
        self.fill()
        if self.held:
            self.tidy()

    # --- blocks --------------------------------------------------------------------------------------------------

    def hit(self, source: int, extranonce: int, nonce: int) -> None:
        """Submit at once; a second one on the same tip waits until it is known what became of the first."""
        if [source, extranonce, nonce] in self.heard:
            return  # a node has named it again
        self.heard = [*self.heard, [source, extranonce, nonce]][-HITS_KEPT:]
        if self.must_wait(str(self.works[str(source)]["previous"])):
            self.hits = [*self.hits, [source, extranonce, nonce]][:HITS_KEPT]
        else:
            self.begin_submission([source, extranonce, nonce])

    def must_wait(self, previous: str) -> bool:
        """For a verdict: on the same tip's other block, or on those that may be the last ones that are asked for."""
        pending = [self.previous_of(each) for each in (*self.submitting.values(), *self.again)]
        wanted = self.args["blocks"]
        return previous in pending or (wanted > 0 and self.tally["accepted"] + len(pending) >= wanted)

    def previous_of(self, hit: list[int]) -> str:
        return str(self.works[str(hit[0])]["previous"])

    def begin_submission(self, hit: list[int]) -> None:
        self.tally["found"] += 1
        self.submit(hit)

    def submit(self, hit: list[int]) -> None:
        source, extranonce, nonce = hit
        work = self.works[str(source)]
        raw = with_nonce(header(work, extranonce), nonce)
        coinbase = paid(work, extranonce).whole.hex()
        about = {"header": raw.hex(), "coinbase": coinbase, "identity": work["identity"], "workid": work["workid"]}
        body, client = self.body(source)
        task = self.aside("submit", about, GRACE_S, prerequisites=body, side_effects=True)
        self.submitting[task.number], self.bodies[task.number] = hit, client
        say("hit", {"hash": displayed(double_sha256(raw)), "height": work["height"], "task": task.number})

    def submitted(self, hit: list[int], answer: dict[str, Any]) -> None:
        work = self.works[str(hit[0])]
        name = displayed(double_sha256(with_nonce(header(work, hit[1]), hit[2])))
        if "trouble" in answer:
            self.again.append(hit)  # even if we are elsewhere by now: the node may have taken it, and it counts then
            self.tally["stale"] += len(self.again[:-HITS_KEPT])
            self.again = self.again[-HITS_KEPT:]
            self.trouble(answer)
            return
        status, reason = answer["status"], str(answer.get("reason", ""))
        if status == "lost" and self.body(hit[0])[1]:
            self.submit(hit)  # there is a copy by now
            return
        self.tally["trouble"] = ""
        say("block", {"hash": name, "height": work["height"], "status": status, "reason": reason})
        self.tally["last"] = f"block {work['height']} {name[:16]}… {status}" + (f" ({reason})" if reason else "")
        if status == "accepted":
            self.accepted(name, work)
        else:
            self.tally["stale" if status == "stale" else "rejected"] += 1
            self.refused(status, reason, work)
        self.tidy()
        self.tell()

    def accepted(self, name: str, work: dict[str, Any]) -> None:
        self.rejected = 0
        self.tally["accepted"] += 1
        self.tally["blocks"] = [*self.tally["blocks"], name][-1000:]
        if self.args["blocks"] and self.tally["accepted"] >= self.args["blocks"]:
            self.end("blocks")
            return
        if self.previous == work["previous"]:
            self.leave()
            self.ask("template")

    def refused(self, status: str, reason: str, work: dict[str, Any]) -> None:
        self.rejected = self.rejected + 1 if status != "stale" else 0
        if self.rejected >= REJECTED_MAX:
            self.fail(f"the Bitcoin node rejected {self.rejected} blocks in a row, the last one because: {reason}")
            return
        if self.previous != work["previous"]:
            if self.hits and not self.must_wait(self.previous_of(self.hits[0])):  # what waits is of another block
                self.begin_submission(self.hits.pop(0))
                self.fill()
            return
        self.ask("template")
        if self.hits and status != "stale":
            self.begin_submission(self.hits.pop(0))
        elif status == "stale":
            self.hits = []
        self.fill()

    # --- clients and time ----------------------------------------------------------------------------------------

    def client_joined(self, client: str) -> None:
        if client not in self.clients:
            self.clients.append(client)
        self.fill()
        self.spread()

    def client_dead(self, client: str) -> None:
        if client in self.clients:
            self.clients.remove(client)
        self.lose_copies(client)
        for number in [each for each, keeper in self.bodies.items() if keeper == client]:
            del self.bodies[number]  # its transactions may not have arrived: the node gets the block once, or twice
            self.kill_task(Task(number, "submit"))
            self.submit(self.submitting.pop(number))
        self.spread()

    def timer(self, name: str) -> None:
        if name == "stop":
            self.over = self.now
            self.end_in_time()
        elif name == "retry":
            self.retry()
        elif name == "second":
            self.second()

    def retry(self) -> None:
        again, self.again = self.again, []
        for each in again:
            self.submit(each)
        self.look()

    def look(self) -> None:
        """Somebody asks the Bitcoin node, whatever has ended meanwhile."""
        if not self.source or self.now - self.work_at >= self.args["max_age"]:
            self.ask("template")
        if not self.source:
            return
        self.ask_longpoll()
        if not self.watching:
            self.watch()

    def second(self) -> None:
        self.set_timer("second", 1.0)
        if self.over >= 0:
            self.end_in_time()
            return
        if not self.tries:  # else `retry` does, in its own time
            self.look()
        self.fill()
        if Tally.due(self.tally, self.now):
            self.tell()

    def end_in_time(self) -> None:
        """Behind the last submission, unless the node has been gone for too long."""
        if not (self.submitting or self.again) or self.now - self.over >= GRACE_S:
            self.end("time")

    def tell(self) -> None:
        """A line with everything, for whoever shows it."""
        say("miner", Tally.line(self.tally, self.now))

    def end(self, why: str) -> None:
        self.tell()
        self.finish({**Tally.line(self.tally, self.now), "blocks": self.tally["blocks"], "ended": why})


def say(what: str, value: Any) -> None:
    print(f"{what} {json.dumps(value)}", file=sys.stderr, flush=True)
