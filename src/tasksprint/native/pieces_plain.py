"""The plain twin of `_pieces`: what the compiled module does, said in Python (see `pieces`)."""

from __future__ import annotations

import heapq
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Buffer

_WORD = re.compile(rb"[^ \t\n\v\f\r]+")
_SPACE = re.compile(rb"[ \t\n\v\f\r]")
_PARTS_MAX = 65_536
_TOP_MAX = 10_000
_COUNT_MAX = (1 << 64) - 1
_WORD_BYTES_MAX = (1 << 32) - 1


class WordCounter:
    """Counts words; see `tasksprint.native.pieces`."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self.words = 0

    @property
    def distinct(self) -> int:
        return len(self._counts)

    def feed(self, data: Buffer, final: bool = False) -> int:
        text = bytes(data)
        done = len(text)
        if text and not final and not _SPACE.match(text[-1:]):
            done = max((match.end() for match in _SPACE.finditer(text)), default=0)
        found = Counter(_WORD.findall(text, 0, done))
        self._counts.update(found)
        self.words += found.total()
        return done

    def parts(self, parts: int) -> list[bytes]:
        if not 1 <= parts <= _PARTS_MAX:
            raise ValueError(f"parts must be 1 to 65,536, not {parts}")
        pieces = [bytearray() for _ in range(parts)]
        for word in sorted(self._counts):
            pieces[zlib.crc32(word) * parts >> 32] += _record(word, self._counts[word])
        return [bytes(piece) for piece in pieces]


class WordMerger:
    """Merges pieces; see `tasksprint.native.pieces`."""

    def __init__(self, pieces: Iterable[Buffer], top: int = 0) -> None:
        if not 0 <= top <= _TOP_MAX:
            raise ValueError(f"top must be at most 10,000, not {top}")
        self.words = 0
        self.distinct = 0
        self._room = top
        self._top: list[tuple[int, bytes]] = []  # (-count, word), ascending
        self._refused: ValueError | None = None
        records = heapq.merge(*(_records(place, bytes(piece)) for place, piece in enumerate(pieces)))
        self._groups = groupby(records, key=itemgetter(0))
        self._next = self._merged()

    def lines(self, limit: int = 1 << 20) -> bytes:
        if self._refused:
            raise self._refused
        out = bytearray()
        while self._next is not None and (not out or len(out) + len(self._next[0]) + 22 <= limit):
            out += b"%s\t%d\n" % self._next
            self._offer(*self._next)
            try:
                self._next = self._merged()
            except ValueError as error:
                self._refused = error
                raise
        return bytes(out)

    def top(self) -> list[tuple[bytes, int]]:
        return [(word, -negative) for negative, word in self._top]

    def _merged(self) -> tuple[bytes, int] | None:
        for word, group in self._groups:
            records = [next(group)]
            if _SPACE.search(word):
                raise _refusal(records[0].piece, records[0].offset, "white space in a word")
            records += group
            count = sum(record.times for record in records)
            if self.words + count > _COUNT_MAX:
                raise _refusal(records[-1].piece, records[-1].offset, "the counts do not fit into 64 bits")
            return word, count
        return None

    def _offer(self, word: bytes, count: int) -> None:
        self.distinct += 1
        self.words += count
        self._top.append((-count, word))
        self._top.sort()
        del self._top[self._room :]


class _Record(NamedTuple):
    word: bytes
    piece: int
    offset: int
    times: int


def _record(word: bytes, count: int) -> bytes:
    size = len(word)
    if size <= 0xFF:
        head = b"\x92\xc4" + size.to_bytes(1, "big")
    elif size <= 0xFFFF:
        head = b"\x92\xc5" + size.to_bytes(2, "big")
    elif size <= _WORD_BYTES_MAX:
        head = b"\x92\xc6" + size.to_bytes(4, "big")
    else:
        raise ValueError("a word is longer than 4 GiB")
    return head + word + _number(count)


def _number(count: int) -> bytes:
    if count <= 0x7F:
        return bytes([count])
    width = next(width for width in range(4) if count < 1 << (8 << width))
    return bytes([0xCC + width]) + count.to_bytes(1 << width, "big")


def _refusal(piece: int, offset: int, reason: str) -> ValueError:
    return ValueError(f"piece {piece} is no word count: {reason} (byte {offset})")


def _records(piece: int, data: bytes) -> Iterator[_Record]:
    """The records of a piece, each checked; the words must ascend."""
    at, before = 0, b""
    while at < len(data):
        word, count, end, reason = _decode(data, at)
        if not reason and word <= before:
            reason = "words are not in ascending order"
        if reason:
            raise _refusal(piece, at, reason)
        yield _Record(word, piece, at, count)
        at, before = end, word


def _decode(data: bytes, at: int) -> tuple[bytes, int, int, str]:
    """(word, count, where the next record begins, what is wrong)."""
    kind = data[at + 1 : at + 2]
    if data[at] != 0x92:
        return b"", 0, at, "not an array of two"
    if not kind:
        return b"", 0, at, "cut short"
    if not 0xC4 <= kind[0] <= 0xC6:
        return b"", 0, at, "the word is not of type bin"
    begin = at + 2 + (1 << kind[0] - 0xC4)
    size = int.from_bytes(data[at + 2 : begin], "big")
    number = begin + size
    if len(data) < begin or (len(data) < number):
        return b"", 0, at, "cut short"
    if size == 0:
        return b"", 0, at, "an empty word"
    return _decode_count(data, at, data[begin:number], number)


def _decode_count(data: bytes, at: int, word: bytes, number: int) -> tuple[bytes, int, int, str]:
    kind = data[number : number + 1]
    if not kind:
        return b"", 0, at, "cut short"
    if kind[0] <= 0x7F:
        count, end = kind[0], number + 1
    elif not 0xCC <= kind[0] <= 0xCF:
        return b"", 0, at, "the count is not of type uint"
    else:
        end = number + 1 + (1 << kind[0] - 0xCC)
        if len(data) < end:
            return b"", 0, at, "cut short"
        count = int.from_bytes(data[number + 1 : end], "big")
    return word, count, end, "" if count else "a count of 0"
