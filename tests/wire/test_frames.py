import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksprint.wire.frames import FrameDecoder, FrameError, frame


@given(st.lists(st.binary(max_size=60)), st.lists(st.integers(1, 40), min_size=1))
def test_however_the_bytes_are_cut_the_payloads_are_the_same(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(frame, payloads))
    decoder, seen, at, turn = FrameDecoder(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        seen += decoder.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert seen == payloads
    assert decoder.pending == 0


@given(st.lists(st.binary(max_size=60)), st.lists(st.integers(1, 40), min_size=1))
def test_one_at_a_time_gives_the_same(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(frame, payloads))
    decoder, seen, at, turn = FrameDecoder(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        payload = decoder.feed_one(stream[at : at + size])
        while payload is not None:
            seen.append(payload)
            payload = decoder.feed_one()
        at, turn = at + size, turn + 1
    assert seen == payloads


def test_the_limit_may_change_between_two_frames() -> None:
    decoder = FrameDecoder(limit=10)
    assert decoder.feed_one(frame(b"small") + frame(b"x" * 50)) == b"small"
    decoder.limit = 100
    assert decoder.feed(b"") == [b"x" * 50]


def test_a_frame_over_the_limit_is_refused_with_its_place_and_ends_the_stream() -> None:
    decoder = FrameDecoder(limit=10)
    assert decoder.feed(frame(b"0123456789")) == [b"0123456789"]
    with pytest.raises(FrameError, match="a frame of 11 bytes at byte 14 of the stream, the limit is 10"):
        decoder.feed(frame(b"0123456789A")[:4])
    with pytest.raises(FrameError, match="refused before"):
        decoder.feed(frame(b"ok"))


def test_a_cut_stream_shows_as_pending() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(frame(b"whole") + frame(b"cut")[:-1]) == [b"whole"]
    assert decoder.pending == 6
