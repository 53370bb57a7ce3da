"""Who waits for a coordinator says so: once it has lasted, and again when the reason is another one."""

from __future__ import annotations

from tasksprint.client.waits import SAID_AFTER_MS, SAID_MAX, Waits

NAMES = ["k1:1", "k2:1"]
LATE = SAID_AFTER_MS


def test_it_is_said_once_when_it_has_lasted_everywhere() -> None:
    waits = Waits(NAMES, 0)
    waits.failed("k1:1", "k1:1: nobody listens there")
    assert not waits.news(LATE), "the other one was not tried"
    waits.failed("k2:1", "k2:1: no such host")
    assert not waits.news(LATE - 1)
    expected = "no coordinator takes it in yet (k1:1: nobody listens there; k2:1: no such host); it goes on trying"
    assert waits.news(LATE) == expected
    assert not waits.news(2 * LATE)


def test_another_reason_is_said_and_one_that_comes_back_is_not() -> None:
    waits = Waits(NAMES[:1], 0)
    said = []
    for reason in ("a", "b", "a", "b"):
        waits.failed("k1:1", reason)
        said.append(bool(waits.news(LATE)))
    assert said == [True, True, False, False]
    for number in range(2 * SAID_MAX):
        waits.failed("k1:1", f"\x1b{number}")
        said.append(bool(waits.news(LATE)))
        assert "\x1b" not in waits.news(LATE)
    assert sum(said) == SAID_MAX


def test_a_word_of_the_leader_ends_it_and_a_later_silence_is_a_new_one() -> None:
    waits = Waits(NAMES[:1], 0)
    waits.failed("k1:1", "a")
    assert waits.news(LATE)
    waits.heard(LATE)
    assert not waits.news(3 * LATE), "nothing has failed since"
    waits.failed("k1:1", "a")
    assert not waits.news(2 * LATE - 1)
    assert waits.news(2 * LATE).startswith("no coordinator answers any more (k1:1: a)")
