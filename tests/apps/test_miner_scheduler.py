"""The miner's scheduler, event by event: what it asks for, submits, kills and never does twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksprint.apps.miner import scheduler as module
from tasksprint.apps.miner.block import displayed, meets, target_of
from tasksprint.apps.miner.block import double_sha256 as hashed
from tasksprint.apps.miner.command import InputError, arguments, checked, defaults
from tasksprint.apps.miner.ranges import NONCES, Ranges
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


def test_work_brings_searches_a_watch_and_one_longpoll() -> None:
    stage = begun()
    assert len(stage.tasks("search")) == module.UNITS_PER_CLIENT
    assert len(stage.tasks("longpoll")) == len(stage.tasks("watch")) == 1
    for name in ("longpoll", "watch"):
        task = stage.live[stage.tasks(name)[0]]
        assert (task["cores"], task["labels"]) == (0, ["bitcoin"])
    assert all("labels" not in stage.live[number] for number in stage.tasks("search"))
    headers = {stage.live[number]["args"]["header"] for number in stage.tasks("search")}
    assert len(headers) == module.UNITS_PER_CLIENT, "an extranonce each"


def test_a_hit_is_submitted_at_once_and_its_block_meets_the_target() -> None:
    stage = begun()
    number = stage.tasks("search")[0]
    header = bytes.fromhex(stage.live[number]["args"]["header"])
    nonce = next(n for n in range(1000) if meets(hashed(header[:76] + n.to_bytes(4, "little")), target_of(0x207FFFFF)))
    stage.found(nonce + 1, nonce)
    task = stage.live[stage.tasks("submit")[0]]
    assert (task["cores"], task["side_effects"], task["prerequisites"]) == (0, True, [[1, "body"]])
    assert task["args"]["header"] == (header[:76] + nonce.to_bytes(4, "little")).hex()
    stage.done("submit", {"status": "accepted", "reason": ""})
    assert not stage.tasks("search"), "nothing of the old block goes on"
    assert len(stage.tasks("template")) == 1
    tally = stage.scheduler.tally
    assert (tally["found"], tally["accepted"]) == (1, 1)
    assert tally["blocks"] == [displayed(hashed(bytes.fromhex(task["args"]["header"])))]


def test_a_second_hit_waits_and_is_submitted_only_if_the_first_was_refused() -> None:
    stage = begun()
    stage.found(5, 4)
    stage.found(9, 8)
    assert len(stage.tasks("submit")) == 1
    stage.done("submit", {"status": "rejected", "reason": "high-hash"})
    assert len(stage.tasks("submit")) == 1, "now the second"
    stage.done("submit", {"status": "accepted", "reason": ""})
    assert not stage.tasks("submit")
    tally = stage.scheduler.tally
    assert (tally["found"], tally["accepted"], tally["rejected"]) == (2, 1, 1)


def test_a_submission_that_met_no_node_is_made_again() -> None:
    stage = begun(blocks=1)
    stage.found(5, 4)
    first = stage.live[stage.tasks("submit")[0]]["args"]
    stage.done("submit", {"trouble": "nobody answers", "wait": True})
    assert not stage.tasks("submit") and not stage.ended
    stage.timer("retry")
    assert stage.live[stage.tasks("submit")[0]]["args"] == first
    stage.done("submit", {"status": "accepted", "reason": "duplicate"})
    assert stage.ended["values"]["ended"] == "blocks"
    assert stage.ended["values"]["accepted"] == 1


def test_a_submission_waits_for_the_tip_no_longer_than_it_is_of_use() -> None:
    stage = begun()
    stage.found(5, 4)
    stage.done("submit", {"trouble": "nobody answers", "wait": True})
    stage.done("longpoll", {"work": work_on(B, 11)})
    assert stage.scheduler.tally["stale"] == 1
    stage.timer("retry")
    assert not stage.tasks("submit")


def test_a_new_tip_ends_everything_of_the_old_one() -> None:
    stage = begun()
    old = stage.tasks("search")
    stage.done("longpoll", {"work": work_on(B, 11)})
    assert set(old) <= set(stage.killed)
    assert len(stage.tasks("search")) == module.UNITS_PER_CLIENT
    assert len(stage.tasks("longpoll")) == len(stage.tasks("watch")) == 1
    assert stage.live[stage.tasks("watch")[0]]["args"]["previous"] == B
    assert stage.live[stage.tasks("longpoll")[0]]["args"]["longpoll"] == f"after {B}"


def test_the_same_tip_twice_is_one() -> None:
    stage = begun()
    stage.done("watch", {"tip": B})
    stage.done("longpoll", {"work": work_on(B, 11)})
    killed, searches = len(stage.killed), stage.tasks("search")
    stage.done("template", {"work": work_on(B, 11)})
    assert (len(stage.killed), stage.tasks("search")) == (killed, searches)


def test_a_late_answer_does_not_lead_back_but_a_reorg_does() -> None:
    stage = begun()
    stage.done("watch", {"tip": B})  # asks for a template
    stage.done("longpoll", {"work": work_on(B, 11)})
    stage.done("template", {"work": work_on(A)})  # asked before, answered late
    assert stage.scheduler.previous == B
    stage.done("template", {"work": work_on(B, 11)})
    assert stage.scheduler.previous == B
    stage.done("longpoll", {"work": work_on(A)})  # a reorg
    assert stage.scheduler.previous == B, "the node is asked once more"
    stage.done("template", {"work": work_on(A)})
    assert stage.scheduler.previous == A
    assert len(stage.tasks("search")) == module.UNITS_PER_CLIENT


def test_a_late_answer_does_not_end_the_watch() -> None:
    """The watch saw a new tip while a template was on its way that did not: somebody must look again."""
    stage = begun()
    stage.time = 31_000
    stage.timer("second")  # asks for a template
    stage.done("watch", {"tip": B})
    stage.done("template", {"work": work_on(A)})
    assert stage.scheduler.previous == A
    if not stage.tasks("watch"):
        stage.timer("second")
    stage.done("watch", {"tip": B})
    stage.done("template", {"work": work_on(B, 11)})
    assert stage.scheduler.previous == B


def test_a_longpoll_that_brings_nothing_new_is_asked_again_in_a_second() -> None:
    stage = begun()
    stage.done("longpoll", {"work": work_on(A)})
    assert not stage.tasks("longpoll")
    stage.timer("second")
    assert len(stage.tasks("longpoll")) == 1


def test_old_work_is_fetched_again_and_everybody_begins_anew() -> None:
    stage = begun()
    units = stage.tasks("search")
    header = stage.live[units[0]]["args"]["header"]
    stage.time = 31_000
    stage.timer("second")
    assert len(stage.tasks("longpoll")) == len(stage.tasks("watch")) == 1
    stage.done("template", {"work": work_on(A, time=1_700_000_031)})
    assert set(units) <= set(stage.killed)
    assert len(stage.tasks("search")) == module.UNITS_PER_CLIENT
    for number in stage.tasks("search"):
        new = stage.live[number]["args"]["header"]
        assert new != header and bytes.fromhex(new)[68:72] == (1_700_000_031).to_bytes(4, "little")


def test_a_hit_that_crossed_the_kill_of_its_unit_is_submitted_once() -> None:
    stage = begun(extranonce=str(1 << 62))
    mark = stage.live[stage.tasks("search")[0]]["args"]["mark"]
    stage.time = 31_000
    stage.timer("second")
    stage.done("template", {"work": work_on(A, time=1_700_000_031)})
    stage.found(1000, late=[[mark, 6]])
    submit = stage.live[stage.tasks("submit")[0]]
    assert bytes.fromhex(submit["args"]["header"])[68:72] == (1_700_000_000).to_bytes(4, "little")
    assert submit["prerequisites"] == [[1, "body"]], "with the older one's transactions"
    stage.found(1000, late=[[mark, 6]])
    assert stage.scheduler.tally["found"] == 1
    stage.done("submit", {"status": "stale", "reason": ""})
    stage.done("template", {"work": work_on(B, 11)})
    stage.found(1000, late=[[mark, 6], [mark, 7]])
    assert stage.scheduler.tally["found"] == 1, "of a block that we have left"


def test_new_transactions_alone_leave_units_at_hand_alone() -> None:
    stage = begun()
    units = stage.tasks("search")
    stage.done("longpoll", {"work": work_on(A, identity="others")})
    assert stage.tasks("search") == units, "a hit in them counts as before"
    stage.found(1000)
    assert stage.live[stage.tasks("search")[-1]]["args"]["mark"][0] != 1
    stage.found(7, 6)  # in a unit of the older template
    submit = stage.live[stage.tasks("submit")[0]]
    assert submit["prerequisites"] == [[1, "body"]], "with the older one's transactions"


def test_hashes_of_killed_units_count() -> None:
    stage = begun()
    stage.found(1000, killed=[500, 0.25])
    assert stage.scheduler.tally["hashes"] == 1500
    assert stage.scheduler.tally["units"][-1][2:] == [1500, 1.25]


def test_tips_in_quick_succession_do_not_make_nodes_forgotten() -> None:
    stage = begun()
    for node in range(8):
        stage.found(1000, node=str(node))
    for number in range(40):  # nobody ends a unit for 20 s
        stage.time += 500
        stage.done("longpoll", {"work": work_on(f"{number + 0x100:064x}", 11)})
        assert len(stage.tasks("search")) == 2 * 8 + 2


def keepers(stage: Stage) -> dict[str, int]:
    return {stage.live[number]["labels"][0]: number for number in stage.tasks("keep")}


def test_two_clients_keep_the_transactions_and_any_may_die() -> None:
    stage = Stage()
    stage.send("client_joined", client="two")
    stage.done("template", {"work": work_on(A)})
    assert set(keepers(stage)) == {"one", "two"}
    assert all(stage.live[number]["prerequisites"] == [[1, "body"]] for number in stage.tasks("keep"))
    first, second = keepers(stage)["one"], keepers(stage)["two"]
    stage.done("keep", True)
    stage.done("keep", True)
    stage.found(5, 4)
    submit = stage.tasks("submit")[0]
    assert stage.live[submit]["prerequisites"] == [[first, "body"]]
    stage.send("client_dead", client="one")
    assert submit in stage.killed
    again = stage.live[stage.tasks("submit")[0]]
    assert again["prerequisites"] == [[second, "body"]], "from the copy that is left"
    assert not stage.tasks("keep"), "nobody else is there"
    stage.send("client_joined", client="three")
    assert stage.live[keepers(stage)["three"]]["prerequisites"] == [[second, "body"]]
    stage.done("submit", {"status": "accepted", "reason": ""})
    stage.done("template", {"work": work_on(B, 11)})
    assert set(keepers(stage)) == {"two", "three"}
    assert stage.scheduler.copies == {}, "the old ones were let go"


def test_a_submission_that_came_too_late_for_the_file_takes_a_copy() -> None:
    stage = Stage()
    stage.done("template", {"work": work_on(A)})
    stage.found(5, 4)
    assert stage.live[stage.tasks("submit")[0]]["prerequisites"] == [[1, "body"]]
    (number,) = stage.tasks("keep")
    stage.done("keep", True)
    stage.done("submit", {"status": "lost", "reason": ""})
    assert stage.live[stage.tasks("submit")[0]]["prerequisites"] == [[number, "body"]]
    assert stage.scheduler.tally["found"] == 1


def test_a_block_without_transactions_is_kept_by_nobody() -> None:
    stage = Stage()
    stage.done("template", {"work": work_on(A, transactions=0)})
    assert not stage.tasks("keep")
    stage.found(5, 4)
    assert "prerequisites" not in stage.live[stage.tasks("submit")[0]]


def test_what_is_left_of_a_unit_is_searched_next() -> None:
    stage = begun()
    first = stage.live[stage.tasks("search")[0]]["args"]
    stage.found(1000)
    assert stage.live[stage.tasks("search")[-1]]["args"]["header"] == first["header"]
    assert stage.live[stage.tasks("search")[-1]]["args"]["start"] == 1000
    stage.found(NONCES, place=0)
    assert stage.live[stage.tasks("search")[-1]]["args"]["start"] == 0, "a new extranonce"


def test_more_nodes_get_more_units() -> None:
    stage = begun()
    for node in range(16):
        stage.time += 100
        stage.found(1000, node=str(node))
    assert len(stage.tasks("search")) == 2 * 16 + 2
    stage.send("client_joined", client="two")
    stage.send("client_dead", client="one")
    assert stage.scheduler.clients == ["two"]


def test_trouble_ends_the_job_only_where_nothing_was_ever_got() -> None:
    stage = Stage()
    stage.done("template", {"trouble": "wrong password", "wait": False})
    assert stage.ended["error"] == "wrong password"
    stage = Stage()
    stage.done("template", {"trouble": "warming up", "wait": True})
    assert not stage.ended
    stage.timer("retry")
    stage.done("template", {"work": work_on(A)})
    stage.done("longpoll", {"trouble": "wrong password", "wait": False})
    assert not stage.ended
    assert stage.tasks("search"), "work goes on"
    for _ in range(12):
        stage.timer("retry")
        stage.done("longpoll", {"trouble": "gone", "wait": True})
    assert stage.timers["retry"] == module.RETRY_MAX_S


def test_blocks_that_are_always_rejected_end_the_job() -> None:
    stage = begun()
    for number in range(module.REJECTED_MAX):
        stage.found(5, 4 + number)
        stage.done("submit", {"status": "rejected", "reason": "bad-cb-height"})
    assert "bad-cb-height" in stage.ended["error"]


def test_the_time_is_up_when_the_last_submission_is_answered() -> None:
    stage = begun(stop_after=5.0)
    stage.found(5, 4)
    stage.timer("stop")
    assert not stage.ended
    stage.done("submit", {"status": "accepted", "reason": ""})
    stage.timer("second")
    assert stage.ended["values"]["ended"] == "time"


@given(st.lists(st.integers(1, NONCES), max_size=40), st.integers(0, 5))
def test_ranges_are_disjoint_and_complete(steps: list[int], at_once: int) -> None:
    """Several units are out at a time and end in any order."""
    left: list[list[int]] = []
    following = 7
    out: list[tuple[int, int]] = []
    done: dict[int, int] = {}
    for step in steps:
        extranonce, start, following = Ranges.take(left, following)
        out.append((extranonce, start))
        if len(out) > at_once:
            extranonce, start = out.pop(step % len(out))
            assert done.get(extranonce, 0) == start
            done[extranonce] = min(start + step, NONCES)
            Ranges.give_back(left, extranonce, done[extranonce])
    assert sorted({*done, *(extranonce for extranonce, _ in out)}) == list(range(7, following))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "whom the blocks shall pay"),
        (["hello"], "not name=value"),
        (["address=nonsense"], "not in base58|checksum"),
        ([f"address={ADDRESS}", "blocks=many"], "blocks is a number"),
        ([f"address={ADDRESS}", "colour=1"], "no option 'colour'"),
        ([f"address={ADDRESS}", "max_age=0"], "max_age is 1 to"),
        ([f"address={ADDRESS}", f"message={'x' * 61}"], "at most 60 bytes"),
    ],
)
def test_arguments_that_are_none(words: list[str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        arguments(words)


def test_arguments() -> None:
    assert arguments([f"address={ADDRESS}", "blocks=3"])["blocks"] == 3
