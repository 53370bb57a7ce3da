"""How the journal's bytes look, and what they prove; pure.

A segment is a file: one page of header, then blocks, then zeros up to its preallocated size.  A block holds all
records that were written together; the disk thread writes block g + 1 only when block g is durable.  That order is
what recovery leans on:

- A block that does not check, with nothing after it, was being written when the power went.  Nobody was told that it
  was durable (that comes after the sync), so it may be cut off, all of it: a torn write keeps any subset of its pages.
- A block that does not check, with a good block *two or more numbers after the last good one* anywhere behind it, was
  durable once: its successor would not have been begun otherwise.  That is damage, and it is never cut or skipped.
- Zeros where a block should be, with a good block behind them, are a write that the disk lost: damage too.

What cannot be told apart: damage to the very last block from a torn write of it.  A journal that was closed in order
ends with an empty block, so that its last records have a successor.

Each block carries its number, the checksum of the one before (the chain) and a checksum of all that; checksums start
from the journal's own random salt, so that bytes of one journal stored inside another are never taken for its blocks.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from tasksprint.limits import JOURNAL_VERSION

HEADER_BYTES = 4_096
SALT_BYTES = 16
BLOCK_HEADER_BYTES = 32

_SEGMENT_MAGIC = b"TSjournl"
_BLOCK_MAGIC = b"TSbl"

# magic, version, replica, number, group, previous, begins, salt, bytes of the name; then that and the checksum
_segment = struct.Struct("<8sIIQQI?16sH")
_block = struct.Struct("<4sIQQI")  # magic, body's bytes, group, snapshot, previous; then the checksum
_checksum = struct.Struct("<I")
_length = struct.Struct("<I")

assert _block.size + _checksum.size == BLOCK_HEADER_BYTES


class BadBytes(ValueError):
    pass


class OtherVersion(BadBytes):
    pass


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    cluster: str
    replica: int
    salt: bytes
    number: int
    begins: bool  # nothing before this segment counts: it starts with all records that do
    group: int  # the last block before this segment ...
    previous: int  # ... and its checksum

    def encode(self) -> bytes:
        name = self.cluster.encode()
        fields = (self.replica, self.number, self.group, self.previous, self.begins, self.salt, len(name))
        data = _segment.pack(_SEGMENT_MAGIC, JOURNAL_VERSION, *fields) + name
        assert len(data) + _checksum.size <= HEADER_BYTES
        return (data + _checksum.pack(zlib.crc32(data))).ljust(HEADER_BYTES, b"\0")

    @classmethod
    def decode(cls, page: bytes) -> SegmentHeader:
        if len(page) < HEADER_BYTES or page[:8] != _SEGMENT_MAGIC:
            raise BadBytes("no header of a journal")
        _, version, replica, number, group, previous, begins, salt, size = _segment.unpack_from(page)
        if version != JOURNAL_VERSION:
            raise OtherVersion(f"journal of version {version}, this release reads version {JOURNAL_VERSION}")
        end = _segment.size + size
        if end + _checksum.size > HEADER_BYTES or _checksum.unpack_from(page, end)[0] != zlib.crc32(page[:end]):
            raise BadBytes("the header's checksum is wrong")
        return cls(page[_segment.size : end].decode(), replica, salt, number, begins, group, previous)


@dataclass(slots=True)
class Chain:
    """Where the journal stands: the last block's number and checksum."""

    salt: bytes
    group: int = 0
    previous: int = 0
    _start: int = field(init=False)

    def __post_init__(self) -> None:
        self._start = zlib.crc32(self.salt)

    def block(self, records: Iterable[bytes], snapshot: int = 0) -> bytes:
        """The next block.  `snapshot`: from here on the snapshot of this index is the one that counts; 0: as before."""
        parts: list[bytes] = []
        for record in records:
            parts.append(_length.pack(len(record)))
            parts.append(record)
        body = b"".join(parts)
        head = _block.pack(_BLOCK_MAGIC, len(body), self.group + 1, snapshot, self.previous)
        checksum = zlib.crc32(body, zlib.crc32(head, self._start))
        self.group += 1
        self.previous = checksum
        return b"".join((head, _checksum.pack(checksum), body))

    def follow(self, block: Block) -> None:
        assert self.expects(block)
        self.group, self.previous = block.group, block.checksum

    def expects(self, block: Block) -> bool:
        return block.group == self.group + 1 and block.previous == self.previous

    def read(self, data: bytes, offset: int) -> Block | None:
        """The block that stands here, if its checksum is right, whether it is the next or not."""
        if len(data) - offset < BLOCK_HEADER_BYTES:
            return None
        magic, size, group, snapshot, previous = _block.unpack_from(data, offset)
        start = offset + BLOCK_HEADER_BYTES
        if magic != _BLOCK_MAGIC or size > len(data) - start:
            return None
        (checksum,) = _checksum.unpack_from(data, offset + _block.size)
        view = memoryview(data)
        head = zlib.crc32(view[offset : offset + _block.size], self._start)
        if zlib.crc32(view[start : start + size], head) != checksum:
            return None
        return Block(group, snapshot, previous, checksum, start, start + size)

    def is_later_block_in(self, data: bytes, offset: int) -> bool:
        """Does a block stand behind `offset` that was begun when the next one after ours was already durable?"""
        at = data.find(_BLOCK_MAGIC, offset)
        while at >= 0:
            block = self.read(data, at)
            if block is not None and block.group > self.group + 1:
                return True
            at = data.find(_BLOCK_MAGIC, at + 1)
        return False


@dataclass(frozen=True, slots=True)
class Block:
    group: int
    snapshot: int
    previous: int
    checksum: int
    start: int  # of the body
    end: int

    def records(self, data: bytes) -> list[bytes]:
        found = []
        at = self.start
        while at < self.end:
            (size,) = _length.unpack_from(data, at)
            at += _length.size
            found.append(data[at : at + size])
            at += size
        return found


@dataclass(slots=True)
class SegmentRead:
    records: list[bytes]
    snapshot: int  # the last one named; 0: none was
    end: int  # where the good blocks end
    torn: bool  # something stands behind them


def read_segment(data: bytes, chain: Chain) -> SegmentRead:
    """Follow the chain through a segment's bytes.  Raises Damage where something durable is not as it was written."""
    found = SegmentRead([], 0, HEADER_BYTES, False)
    while (block := chain.read(data, found.end)) is not None and chain.expects(block):
        chain.follow(block)
        found.records += block.records(data)
        found.snapshot = block.snapshot or found.snapshot
        found.end = block.end
    found.torn = memoryview(data)[found.end :] != bytes(len(data) - found.end)
    if found.torn and chain.is_later_block_in(data, found.end):
        raise Damage(found.end)
    return found


class Damage(BadBytes):
    def __init__(self, offset: int) -> None:
        super().__init__(f"block at byte {offset}")
        self.offset = offset
