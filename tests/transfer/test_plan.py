"""Which try comes next, and what is taken for whole."""

import pytest

from tasksprint import limits
from tasksprint.storage.shelf import piece_digest
from tasksprint.transfer.plan import Damaged, Incoming, retry_delay_ms


def test_tries_come_later_each_time_and_end() -> None:
    assert [retry_delay_ms(tries) for tries in range(1, limits.FETCH_TRIES + 1)] == [100, 400, None]


def test_a_piece_is_whole_with_its_last_byte() -> None:
    incoming = Incoming(6, piece_digest(b"abcdef"))
    assert [incoming.take(data) for data in (b"ab", b"", b"cde", b"f")] == [False, False, False, True]


def test_a_piece_without_bytes_is_whole_at_once() -> None:
    assert Incoming(0, piece_digest(b"")).take(b"")


def test_what_is_not_as_announced_is_damaged() -> None:
    with pytest.raises(Damaged, match="4 bytes came, 3 were announced"):
        Incoming(3, piece_digest(b"abc")).take(b"abcd")
    with pytest.raises(Damaged, match="another digest"):
        Incoming(3, piece_digest(b"abc")).take(b"abd")
