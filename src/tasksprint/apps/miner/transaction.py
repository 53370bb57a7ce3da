"""Reading a transaction's bytes, as far as a miner must: where its witness is, so that both ids can be computed."""

from __future__ import annotations

from typing import Final

from tasksprint.apps.miner.block import variable_length

OUTPOINT_BYTES: Final = 36
WITNESS_MARK: Final = b"\x00\x01"


class TransactionError(ValueError):
    """Bytes that are no transaction."""


class _Reader:
    """Walks over bytes; every step checks that they are there."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data = data
        self.place = place

    def skip(self, count: int) -> int:
        """Passes over `count` bytes; returns where they began."""
        begin = self.place
        if count > len(self.data) - begin:
            raise TransactionError(f"it ends at byte {len(self.data)}, {count} more were announced at byte {begin}")
        self.place += count
        return begin

    def length(self) -> int:
        begin = self.skip(1)
        size = {0xFD: 2, 0xFE: 4, 0xFF: 8}.get(self.data[begin], 0)
        if not size:
            return self.data[begin]
        start = self.skip(size)
        number = int.from_bytes(self.data[start : self.place], "little")
        if len(variable_length(number)) != size + 1:
            raise TransactionError(f"the length at byte {begin} is longer than it need be")
        return number


def without_witness(data: bytes) -> bytes:
    """The bytes that the txid is the hash of; `data` itself when it has no witness."""
    reader = _Reader(data, 0)
    reader.skip(4)  # version
    has_witness = data[4:6] == WITNESS_MARK
    if has_witness:
        reader.skip(len(WITNESS_MARK))
    begin = reader.place
    inputs = reader.length()
    if not inputs:
        raise TransactionError("it has no inputs")
    for _ in range(inputs):
        reader.skip(OUTPOINT_BYTES)
        reader.skip(reader.length())  # script
        reader.skip(4)  # sequence
    for _ in range(reader.length()):
        reader.skip(8)  # value
        reader.skip(reader.length())
    end = reader.place
    if has_witness:
        for _ in range(inputs):
            for _ in range(reader.length()):
                reader.skip(reader.length())
    lock_time = reader.skip(4)
    if reader.place != len(data):
        raise TransactionError(f"{len(data) - reader.place} bytes follow its end at byte {reader.place}")
    return data[:4] + data[begin:end] + data[lock_time:] if has_witness else data
