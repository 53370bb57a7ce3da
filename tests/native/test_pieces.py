"""Counting and merging words: both twins, against Counter, against each other, and against nonsense."""

import random
import re
import zlib
from collections import Counter

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasksprint.native import _pieces, pieces, pieces_plain

SPACES = b" \t\n\v\f\r"
TWINS = (_pieces, pieces_plain)
bits = st.sampled_from([b"a", b"b", b"ab", b"\0", b"\xff", b"word", b" ", b"\n", b"\t ", b"x" * 40])
texts = st.lists(st.one_of(bits, st.binary(max_size=20)), max_size=60).map(b"".join)


@pytest.fixture(params=TWINS, ids=["compiled", "plain"])
def twin(request):
    return request.param


def expected(text):
    return Counter(re.findall(rb"[^ \t\n\v\f\r]+", text))


def counted(twin, text, parts=1):
    counter = twin.WordCounter()
    assert counter.feed(text, final=True) == len(text)
    return counter.parts(parts)


def unpacked(piece):
    unpacker = msgpack.Unpacker(raw=True, max_buffer_size=1 << 30)
    unpacker.feed(piece)
    return [tuple(record) for record in unpacker]


def merged(twin, given_pieces, top=0, limit=1 << 20):
    merger = twin.WordMerger(given_pieces, top=top)
    lines = bytearray()
    while block := merger.lines(limit):
        lines += block
    return bytes(lines), merger


def test_the_face_is_the_compiled_module():
    assert pieces.COMPILED
    assert pieces.WordCounter is _pieces.WordCounter


@settings(max_examples=200, deadline=None)
@given(texts)
def test_counts_are_those_of_counter(text):
    for twin in TWINS:
        counter = twin.WordCounter()
        counter.feed(text, final=True)
        wanted = expected(text)
        assert unpacked(counter.parts(1)[0]) == sorted(wanted.items())
        assert (counter.words, counter.distinct) == (wanted.total(), len(wanted))


@settings(max_examples=100, deadline=None)
@given(texts, st.lists(st.integers(0, 400), max_size=6))
def test_where_the_text_is_cut_does_not_matter(text, cuts):
    for twin in TWINS:
        counter = twin.WordCounter()
        rest = b""
        edges = sorted(min(cut, len(text)) for cut in cuts)
        for begin, end in zip([0, *edges], edges, strict=False):
            block = rest + text[begin:end]
            done = counter.feed(block)
            rest = block[done:]
            assert not any(byte in SPACES for byte in rest)
        counter.feed(rest + text[edges[-1] if edges else 0 :], final=True)
        assert counter.parts(3) == counted(twin, text, 3)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 14, 15, 16, 17, 31, 32, 63, 64, 65, 255, 256, 65_535, 65_536, 3 << 20])
def test_words_of_every_length_at_every_place(twin, length):
    word = bytes(1 + i % 8 for i in range(length))
    for before in (0, 1, 5, 62, 63, 64, 65):
        text = b" " * before + word + b" " + word + b"\n" + word
        assert unpacked(counted(twin, text)[0]) == [(word, 3)]


def test_each_byte_is_a_word_or_a_space(twin):
    for byte in range(256):
        text = b"a" + bytes([byte]) + b"b"
        wanted = [(b"a", 1), (b"b", 1)] if byte in SPACES else [(text, 1)]
        assert unpacked(counted(twin, text)[0]) == wanted


def test_words_that_differ_in_zero_bytes_only_are_different(twin):
    words = [b"\0" * n for n in range(1, 20)]
    assert unpacked(counted(twin, b" ".join(words))[0]) == [(word, 1) for word in words]


def test_a_part_is_known_by_the_words_checksum(twin):
    source = random.Random(1)
    words = [source.randbytes(source.randint(1, 20)).translate(None, SPACES) or b"x" for _ in range(2_000)]
    written = counted(twin, b" ".join(words), 7)
    for part, piece in enumerate(written):
        found = [word for word, _ in unpacked(piece)]
        assert found == sorted(found)
        assert all(zlib.crc32(word) * 7 >> 32 == part for word in found)
    assert sum((Counter(dict(unpacked(piece))) for piece in written), Counter()) == Counter(words)


def test_both_twins_write_the_same_bytes():
    source = random.Random(2)
    stems = [source.randbytes(8).translate(None, SPACES) for _ in range(20)]  # equal in their first bytes
    text = b" ".join(source.choice(stems) + source.randbytes(source.randint(0, 9)) for _ in range(20_000))
    assert counted(_pieces, text, 5) == counted(pieces_plain, text, 5)


def test_counts_of_every_size_survive(twin):
    counts = [1, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) + 5]
    piece = b"".join(msgpack.packb([b"w%02d" % i, count]) for i, count in enumerate(counts))
    lines, merger = merged(twin, [piece])
    assert lines == b"".join(b"w%02d\t%d\n" % (i, count) for i, count in enumerate(counts))
    assert merger.words == sum(counts)


def test_the_tables_grow(twin):
    words = [b"%d" % i for i in range(30_000)] + [b"long-word-number-%d" % i for i in range(3_000)]
    piece = counted(twin, b"\n".join(words))[0]
    assert unpacked(piece) == sorted((word, 1) for word in words)


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, max_size=6), st.integers(0, 8), st.sampled_from([1, 40, 1 << 20]))
def test_merging_adds_up(several, top, limit):
    total = sum((expected(text) for text in several), Counter())
    for twin in TWINS:
        lines, merger = merged(twin, [counted(twin, text)[0] for text in several], top, limit)
        assert lines == b"".join(b"%s\t%d\n" % item for item in sorted(total.items()))
        assert merger.top() == sorted(total.items(), key=lambda item: (-item[1], item[0]))[:top]
        assert (merger.words, merger.distinct) == (total.total(), len(total))


def test_lines_come_in_blocks_of_the_limit(twin):
    piece = counted(twin, b" ".join(b"%06d" % i for i in range(1_000)) + b" " + b"9" * 500)[0]
    merger = twin.WordMerger([piece])
    blocks = []
    while block := merger.lines(100):
        blocks.append(block)
    assert all(len(block) <= 100 for block in blocks[:-1])
    assert blocks[-1] == b"9" * 500 + b"\t1\n"


def test_nothing_at_all(twin):
    assert counted(twin, b"") == [b""]
    assert counted(twin, b" \n\t ", 2) == [b"", b""]
    assert merged(twin, [])[0] == b""
    assert merged(twin, [b"", b""])[0] == b""


GOOD = msgpack.packb([b"good", 1])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"\x93", "not an array of two"),
        (b"garbage", "not an array of two"),
        (b"\x92", "cut short"),
        (b"\x92\xc4", "cut short"),
        (b"\x92\xc4\x05hi", "cut short"),
        (b"\x92\xc6\xff\xff\xff\xff", "cut short"),
        (b"\x92\xc4\x02hi", "cut short"),
        (b"\x92\xc4\x02hi\xcd\x01", "cut short"),
        (b"\x92\xa2hi\x01", "the word is not of type bin"),
        (b"\x92\xc4\x02hi\xff", "the count is not of type uint"),
        (b"\x92\xc4\x02hi\xd0\x01", "the count is not of type uint"),
        (b"\x92\xc4\x02hi\x00", "a count of 0"),
        (b"\x92\xc4\x00\x01", "an empty word"),
        (b"\x92\xc4\x04good\x01", "words are not in ascending order"),
        (b"\x92\xc4\x03abc\x01", "words are not in ascending order"),
        (b"\x92\xc4\x03x y\x01", "white space in a word"),
    ],
)
def test_a_piece_that_is_none_is_refused_with_its_place(twin, bad, reason):
    with pytest.raises(ValueError, match=re.escape(f"piece 1 is no word count: {reason} (byte {len(GOOD)})")):
        merged(twin, [GOOD, GOOD + bad])


def test_counts_that_do_not_fit_are_refused(twin):
    piece = msgpack.packb([b"much", (1 << 64) - 1])
    with pytest.raises(ValueError, match="do not fit into 64 bits"):
        merged(twin, [piece, piece])


def outcome(twin, given_pieces):
    try:
        return merged(twin, given_pieces, top=3)[0]
    except ValueError as error:
        return str(error)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 60), st.integers(0, 60))
def test_both_twins_judge_any_bytes_alike(noise, place, cut):
    piece = counted(pieces_plain, b"some words of a text, some of them twice")[0]
    head, tail = piece[:place] + noise, piece[place:]
    for changed in (noise, piece[:cut], head + tail, head + tail[len(noise) :]):
        assert outcome(_pieces, [changed]) == outcome(pieces_plain, [changed])


def test_a_refused_merger_stays_refused(twin):
    merger = twin.WordMerger([GOOD + b"\x92\xc4\x04hood\x01" + b"\x92"])
    for _ in range(2):
        with pytest.raises(ValueError, match="cut short"):
            merger.lines()


def test_arguments_are_checked(twin):
    counter = twin.WordCounter()
    for parts in (0, 65_537):
        with pytest.raises(ValueError, match="parts must be 1 to 65,536"):
            counter.parts(parts)
    with pytest.raises(ValueError, match="at most 10,000"):
        twin.WordMerger([], top=10_001)
    with pytest.raises(TypeError):
        counter.feed("text")
    with pytest.raises(TypeError):
        twin.WordMerger(["text"])


def test_buffers_of_any_kind_are_read_in_place():
    text = bytearray(b"to be or not to be")
    counter = _pieces.WordCounter()
    counter.feed(memoryview(text)[3:], final=True)
    assert counter.words == 5
    text += b"the buffer is released: it can grow"
