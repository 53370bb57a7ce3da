"""What the node's tasks do, as functions on files: count ranges, merge parts, rank.

The rule of ranges: a word belongs to the range in which it starts.  So a range that begins inside a word skips
the rest of it, and one that ends inside a word reads on until the word ends.  Files are read, not mapped: a
file that is cut short under us must be an error, not a crash.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Callable, Iterable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from tasksprint.apps.mapreduce.plan import Range
from tasksprint.native.pieces import WordCounter, WordMerger
from tasksprint.sdk import TaskFailed

READ_BYTES = 256 << 10  # at once: what is counted is still in the cache
MAP_FROM_BYTES = 1 << 20  # larger pieces are mapped into memory, smaller ones read
SHOWN_CHARS = 60  # of a word in the table

_space = re.compile(rb"[ \t\n\v\f\r]")


class InputChanged(TaskFailed):
    """A file is not what it was when it was listed."""


def decoded(path: Any) -> str | bytes:
    """A path as the arguments carry it (see `command.encoded`), for `open`."""
    return path if isinstance(path, str) else bytes.fromhex(path["hex"])


def count_ranges(ranges: Iterable[Range], parts: int, folder: Path, progress: Callable[[int], None]) -> list[str]:
    """Count the words of `ranges`; write one piece a part into `folder`; return the names of the pieces.

    `progress` is called with the number of bytes of each step; it may raise to stop.
    """
    counter = WordCounter()
    buffer = bytearray(READ_BYTES)
    for each in ranges:
        with opened(each) as file:
            check_unchanged(file.fileno(), each)
            buffer = count_range(counter, file.fileno(), each, buffer, progress)
            check_unchanged(file.fileno(), each)
    names = []
    for part, piece in enumerate(counter.parts(parts)):
        names.append(f"part-{part}.msgpack")
        (folder / names[-1]).write_bytes(piece)
    return names


def opened(listed: Range) -> FileIO:
    """InputChanged when the file can no longer be read."""
    try:
        return open(decoded(listed.path), "rb", buffering=0)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        path = shown_path(listed.path)
        raise InputChanged(f"cannot read {path}, which was there when the job was submitted: {reason}") from None


def check_unchanged(file: int, listed: Range) -> None:
    """InputChanged when the file has another size or time than it was listed with."""
    found = os.fstat(file)
    if found.st_size != listed.size:
        raise InputChanged(
            f"{shown_path(listed.path)} has {found.st_size:,} bytes; it had {listed.size:,} when the job was "
            "submitted. Submit again when nobody writes to it"
        )
    if listed.mtime and str(found.st_mtime_ns) != listed.mtime:
        raise InputChanged(f"{shown_path(listed.path)} was written to after the job was submitted. Submit again")


def shown_path(path: Any) -> str:
    return path if isinstance(path, str) else shown(bytes.fromhex(path["hex"]), 1_000)


def count_range(
    counter: WordCounter, file: int, listed: Range, buffer: bytearray, progress: Callable[[int], None]
) -> bytearray:
    """Count the words that start in the range.  Returns the buffer, larger when a long word asked for it."""
    position = first_start(file, listed, buffer)
    unfinished = 0  # bytes at the front of the buffer: the start of a word
    reported = listed.begin
    while position < listed.end:
        wanted = min(len(buffer), unfinished + listed.end - position)
        used = unfinished + read_into(file, memoryview(buffer)[unfinished:wanted], position, listed)
        position += used - unfinished
        done = counter.feed(memoryview(buffer)[:used])
        unfinished = used - done
        buffer[:unfinished] = buffer[done:used]
        if 2 * unfinished > len(buffer):
            buffer.extend(bytes(len(buffer)))
        progress(position - reported)
        reported = position
    if unfinished:
        rest = rest_of_word(file, listed, buffer)
        counter.feed(bytes(memoryview(buffer)[:unfinished]) + rest, final=True)
    if reported < listed.end:
        progress(listed.end - reported)
    return buffer


def first_start(file: int, listed: Range, buffer: bytearray) -> int:
    """Where the first word of the range may start: behind the word that a cut went through."""
    if listed.begin == 0:
        return 0
    for position in range(listed.begin - 1, listed.end, READ_BYTES):
        block = memoryview(buffer)[: min(READ_BYTES, listed.end - position)]
        read_into(file, block, position, listed)
        found = _space.search(block)
        if found:
            return position + found.start()
    return listed.end


def rest_of_word(file: int, listed: Range, buffer: bytearray) -> bytes:
    """What follows the range up to the next white space."""
    rest: list[bytes] = []
    for position in range(listed.end, listed.size, READ_BYTES):
        block = os.pread(file, READ_BYTES, position)
        found = _space.search(block)
        if found:
            rest.append(block[: found.start()])
            break
        rest.append(block)
    return b"".join(rest)


def read_into(file: int, block: memoryview, position: int, listed: Range) -> int:
    """Fill the block from this position of the file."""
    filled = 0
    while filled < len(block):
        count = os.preadv(file, [block[filled:]], position + filled)
        if count == 0:
            raise InputChanged(f"{shown_path(listed.path)} was cut short while it was read. Submit again")
        filled += count
    return filled


def merge(pieces: Sequence[Path], counts: Path, top: Path, top_words: int) -> tuple[int, int]:
    """Write the merged `word TAB count` lines to `counts` and the most frequent words, as a piece, to `top`.

    Returns (words, distinct words).
    """
    merger = WordMerger([contents(piece) for piece in pieces], top=top_words)
    with counts.open("wb", buffering=0) as out:
        while lines := merger.lines():
            out.write(lines)
    top.write_bytes(piece_of(merger.top()))
    return merger.words, merger.distinct


def contents(path: Path) -> bytes | mmap.mmap:
    """The bytes of a file of ours; large ones are mapped."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < MAP_FROM_BYTES:
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def piece_of(counts: Iterable[tuple[bytes, int]]) -> bytes:
    """These counts as a piece (see `tasksprint.native.pieces`)."""
    import msgpack

    return b"".join(msgpack.packb(pair) for pair in sorted(counts))


def rank(tops: Sequence[Path], top_words: int) -> list[tuple[bytes, int]]:
    """The most frequent words of all, from the most frequent ones of each part."""
    merger = WordMerger([contents(top) for top in tops], top=top_words)
    while merger.lines():
        pass
    return merger.top()


def shown(word: bytes, chars: int = SHOWN_CHARS) -> str:
    """A word for a person: UTF-8 where it is, escapes where not, cut when it is long."""
    text = word[: 4 * chars + 4].decode("utf-8", "backslashreplace")
    safe = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    return safe if len(safe) <= chars else safe[: chars - 1] + "…"
