from __future__ import annotations

import pytest

from tasksprint.paxos.log import Log


def log_of(*sizes: int, after: int = 0) -> Log:
    log = Log(after)
    log.extend([bytes([65 + place]) * size for place, size in enumerate(sizes)])
    return log


def test_indexes_begin_with_one_and_follow() -> None:
    log = log_of(1, 2, 3)
    assert (log.first, log.length) == (1, 3)
    assert log.entry(2) == b"BB"
    assert log.slice(2, 3) == [b"BB", b"CCC"]
    assert log.slice(4, 3) == []


def test_sizes_of_ranges_are_known() -> None:
    log = log_of(1, 2, 3, after=10)
    assert log.size(11, 13) == 6
    assert log.size(12, 12) == 2
    assert log.size(13, 12) == 0
    assert log.size(1, 11) == 1, "what is compacted weighs nothing"


def test_a_message_is_cut_where_it_is_full_but_takes_one_entry_at_least() -> None:
    log = log_of(10, 10, 10, 500, 10, after=5)
    assert log.cut_at(6, 10_000) == 10
    assert log.cut_at(6, 20) == 7
    assert log.cut_at(6, 29) == 7
    assert log.cut_at(6, 30) == 8
    assert log.cut_at(9, 30) == 9
    assert log.cut_at(6, 1) == 6


def test_cutting_and_dropping_keep_the_sizes_right() -> None:
    log = log_of(1, 2, 3, 4)
    log.cut(3)
    log.append(b"xxxxxxx")
    log.drop(1)
    assert (log.first, log.length, log.size(2, 4)) == (2, 4, 12)
    log.drop(1)
    assert log.first == 2
    log.drop(9)
    assert (log.first, log.length, log.size(10, 9)) == (10, 9, 0)


def test_what_is_not_there_is_an_error() -> None:
    log = log_of(1, 1, after=4)
    for index in (4, 7):
        with pytest.raises(AssertionError, match="is not among"):
            log.entry(index)
    with pytest.raises(AssertionError, match="compacted"):
        log.slice(4, 5)
    with pytest.raises(AssertionError, match="cannot cut"):
        log.cut(3)
