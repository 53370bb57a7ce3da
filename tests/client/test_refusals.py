"""A refusal proves nothing: it ends a client only when nobody has ever accepted it and everybody refuses."""

from __future__ import annotations

from tasksprint.client.refusals import SAID_MAX, Refusals

NAMES = ["k1:1", "k2:1", "k3:1"]


def test_it_takes_all_of_them() -> None:
    refusals = Refusals(NAMES)
    for name in NAMES[:2]:
        refusals.refused(name, f"{name}: go away")
        assert not refusals.verdict
    refusals.failed("k1:1")
    refusals.refused("k3:1", "k3:1: go away")
    assert not refusals.verdict, "the first one may be well by now"
    refusals.refused("k1:1", "k1:1: the secrets differ")
    assert refusals.verdict == "k2:1: go away; k3:1: go away; k1:1: the secrets differ"


def test_who_was_accepted_once_is_never_ended() -> None:
    refusals = Refusals(NAMES)
    refusals.accepted()
    for name in NAMES:
        refusals.refused(name, "go away")
    assert not refusals.verdict


def test_a_refusal_is_told_once_and_cannot_write_over_a_terminal() -> None:
    refusals = Refusals(NAMES)
    refusals.refused("k1:1", "go\x1b[2J away")
    assert [refusals.news("k1:1"), refusals.news("k1:1")] == ["go?[2J away", ""]
    told = 0
    for number in range(2 * SAID_MAX):
        refusals.refused("k1:1", str(number))
        told += bool(refusals.news("k1:1"))
    assert told == SAID_MAX - 1
