"""The miner's scheduler, event by event: what it asks for, submits, kills and never does twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.apps.miner_stage import ADDRESS, A, B, Stage, begun, work_on

from tasksprint.apps.miner import scheduler as module
from tasksprint.apps.miner.block import displayed, meets, target_of
from tasksprint.apps.miner.block import double_sha256 as hashed
from tasksprint.apps.miner.command import InputError, arguments
from tasksprint.apps.miner.ranges import NONCES, Ranges


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


def test_a_submission_that_met_no_node_is_made_again_on_a_new_tip_too() -> None:
    """The node may have taken the block before it fell silent, and the new tip may be ours."""
    stage = begun()
    stage.found(5, 4)
    first = stage.live[stage.tasks("submit")[0]]["args"]
    stage.done("submit", {"trouble": "nobody answers", "wait": True})
    stage.done("longpoll", {"work": work_on(B, 11)})
    stage.timer("retry")
    assert stage.live[stage.tasks("submit")[0]]["args"] == first
    stage.done("submit", {"status": "accepted", "reason": "duplicate"})
    assert (stage.scheduler.tally["accepted"], stage.scheduler.tally["stale"]) == (1, 0)
    assert stage.scheduler.previous == B and stage.tasks("search"), "the work on the new tip goes on"


@pytest.mark.parametrize("status", ["accepted", "stale", "rejected"])
def test_a_hit_on_the_next_block_does_not_wait_for_the_verdict_on_the_last(status: str) -> None:
    """The longpoll is often faster than the verdict: the node tells of the new tip first."""
    stage = begun()
    stage.found(5, 4)
    stage.done("longpoll", {"work": work_on(B, 11)})
    stage.found(5, 3)
    assert len(stage.tasks("submit")) == 2
    stage.found(5, 2)
    assert len(stage.tasks("submit")) == 2, "a second one on the same tip does"
    stage.done("submit", {"status": status, "reason": ""})
    assert len(stage.tasks("submit")) == 1, "the verdict on the old block says nothing of the new one"
    stage.done("submit", {"status": "rejected", "reason": ""})
    assert len(stage.tasks("submit")) == 1
    stage.done("submit", {"status": "rejected", "reason": ""})
    tally = stage.scheduler.tally
    assert tally["found"] == 3 == tally["accepted"] + tally["stale"] + tally["rejected"]
    assert stage.tasks("search"), "work goes on"


def test_no_more_blocks_are_submitted_than_were_asked_for() -> None:
    stage = begun(blocks=1)
    stage.found(5, 4)
    stage.done("longpoll", {"work": work_on(B, 11)})
    stage.found(5, 3)
    assert len(stage.tasks("submit")) == 1, "if that one is accepted, it was the last one"
    stage.done("submit", {"status": "accepted", "reason": ""})
    assert stage.ended["action"] == "finish" and not stage.tasks("submit")


def test_what_waits_for_the_last_verdict_is_submitted_when_it_was_not_the_last() -> None:
    stage = begun(blocks=1)
    stage.found(5, 4)
    stage.done("longpoll", {"work": work_on(B, 11)})
    stage.found(5, 3)
    stage.done("submit", {"status": "stale", "reason": ""})
    assert len(stage.tasks("submit")) == 1
    stage.done("submit", {"status": "accepted", "reason": ""})
    assert stage.ended["action"] == "finish"


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


def test_a_longpoll_that_was_given_up_is_asked_again_only_on_a_new_tip() -> None:
    """Each holds a thread of the node until its tip changes, whether anybody listens or not; four are all of them."""
    stage = begun()
    stage.done("longpoll", {"silent": True})
    assert stage.scheduler.tally["trouble"] == "", "a tip may stay for hours"
    for second in range(40):
        stage.time = 1000 * second
        stage.timer("second")
        if stage.tasks("template"):
            stage.done("template", {"work": work_on(A, time=1_700_000_000 + second)})
        assert not stage.tasks("longpoll") and len(stage.tasks("watch")) == 1
    stage.done("watch", {"tip": B})
    stage.done("template", {"work": work_on(B, 11)})
    assert len(stage.tasks("longpoll")) == 1


def test_longpolls_that_a_proxy_cuts_are_asked_again_once() -> None:
    stage = begun()
    asked = 0
    for _ in range(10):
        if stage.tasks("longpoll"):
            asked += 1
            stage.time += 60_000
            stage.done("longpoll", {"trouble": "HTTP 504", "wait": True})
            stage.timer("retry")
        stage.timer("second")
        if stage.tasks("template"):
            stage.done("template", {"work": work_on(A, time=1_700_000_000 + stage.time // 1000)})
    assert asked == module.GIVEN_UP_MAX
    stage = begun()
    for _ in range(10):  # a node that is gone holds nothing
        stage.done("longpoll", {"trouble": "nobody is there", "wait": True})
        stage.timer("retry")
    assert len(stage.tasks("longpoll")) == 1


def test_a_longpoll_for_a_tip_that_is_gone_ends() -> None:
    """Some nodes never answer one: the next tip must not wait for the plain watch because of that."""
    stage = begun()
    (old,) = stage.tasks("longpoll")
    stage.done("watch", {"tip": B})
    stage.done("template", {"work": work_on(B, 11)})
    assert old in stage.killed
    assert stage.live[stage.tasks("longpoll")[0]]["args"]["longpoll"] == f"after {B}"


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


def test_old_work_that_cannot_be_renewed_is_asked_for_with_growing_pauses() -> None:
    stage = begun()
    stage.time, pauses = 31_000, []
    stage.timer("second")
    for _ in range(4):
        stage.done("template", {"trouble": "the template has no bits", "wait": True})
        pauses.append(stage.timers["retry"])
        for _ in range(3):
            stage.timer("second")
        assert not stage.tasks("template")
        stage.timer("retry")
    assert pauses == sorted(set(pauses))
    assert stage.tasks("search"), "work goes on"


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


def test_the_time_is_up_though_the_node_is_gone_with_the_last_submission() -> None:
    stage = begun(stop_after=5.0)
    stage.found(5, 4)
    stage.timer("stop")
    stage.done("submit", {"trouble": "gone", "wait": True})
    stage.timer("second")
    assert not stage.ended
    stage.time = 61_000
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
        ([f"address={ADDRESS}", f"message={'x' * 85}"], "at most 84 bytes"),
        ([f"address={ADDRESS}", "message=\udcff"], "no text in UTF-8"),
        ([f"address={ADDRESS}", "harder=1.5"], "harder is a whole number, not 1.5"),
        ([f"address={ADDRESS}", "blocks=Infinity"], "blocks is 0 to 1e"),
        ([f"address={ADDRESS}", "extranonce=-1"], "extranonce is 0 to 18446744073709551615, not -1"),
        ([f"address={ADDRESS}", "extranonce=0.5"], "extranonce is a whole number"),
    ],
)
def test_arguments_that_are_none(words: list[str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        arguments(words)


def test_arguments() -> None:
    assert arguments([f"address={ADDRESS}", "blocks=3"])["blocks"] == 3
