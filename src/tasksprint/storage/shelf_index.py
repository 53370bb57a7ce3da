"""What outlives the process of a shelf's contents: a log of what was put and dropped, a checksum on each entry.

The file begins with the machine's boot id.  Within one boot, what a process wrote is in the system's memory even when
the process was killed, so a file's size and time of change prove that it is whole.  After another boot they do not,
and every file is hashed again before it is offered.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tasksprint.storage.disk import TEMPORARY

ENTRY_BYTES = 64 << 20  # a longer entry is damage

_frame = struct.Struct("<II")  # bytes, checksum


class IndexedPiece(msgspec.Struct, array_like=True, frozen=True):
    key: str
    is_file: bool
    size: int
    digest: bytes
    value: bytes  # of a value
    path: str  # of a file
    changed_ns: int


class Put(msgspec.Struct, array_like=True, frozen=True, tag="put"):
    job: int
    job_id: str
    task: int
    attempt: int
    digest: bytes
    pieces: list[IndexedPiece]


class Drop(msgspec.Struct, array_like=True, frozen=True, tag="drop"):
    job: int
    task: int
    attempt: int


class Boot(msgspec.Struct, array_like=True, frozen=True, tag="boot"):
    id: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Put | Drop | Boot).decode


@dataclass(slots=True)
class Found:
    puts: list[Put]
    same_boot: bool


def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def read(path: Path) -> Found:
    """What was put and not dropped, in order.  Damage ends the reading: what stands behind it can be made again."""
    puts: dict[tuple[int, int, int], Put] = {}
    boot = ""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    at = 0
    while at + _frame.size <= len(data):
        size, checksum = _frame.unpack_from(data, at)
        entry = data[at + _frame.size : at + _frame.size + size]
        if size > ENTRY_BYTES or len(entry) < size or zlib.crc32(entry) != checksum:
            break
        at += _frame.size + size
        try:
            message = _decode(entry)
        except msgspec.DecodeError:
            break
        match message:
            case Boot():
                boot = message.id
            case Put():
                puts[message.job, message.task, message.attempt] = message
            case Drop():
                puts.pop((message.job, message.task, message.attempt), None)
    return Found(list(puts.values()), bool(boot) and boot == boot_id())


def framed(message: Put | Drop | Boot) -> bytes:
    entry = _encode(message)
    return _frame.pack(len(entry), zlib.crc32(entry)) + entry


class Index:
    """The log, open for writing; begins anew with what is still held."""

    def __init__(self, path: Path, held: list[Put]) -> None:
        self._path = path
        self._file = -1
        self._drops = 0
        self._puts = 0
        self.rewrite(held)

    def put(self, put: Put) -> None:
        self._puts += 1
        self._write(put)

    def drop(self, job: int, task: int, attempt: int) -> None:
        self._drops += 1
        self._write(Drop(job, task, attempt))

    @property
    def wasteful(self) -> bool:
        """Most of the log is about what is gone."""
        return self._drops > 1_000 and self._drops * 2 > self._puts

    def _write(self, message: Put | Drop) -> None:
        """A full disk costs only what a restart could have saved."""
        data = framed(message)
        try:
            whole = self._file >= 0 and os.write(self._file, data) == len(data)
        except OSError:
            whole = False
        if not whole:
            self.close()

    def rewrite(self, held: list[Put]) -> None:
        temporary = self._path.with_name(self._path.name + TEMPORARY)
        temporary.write_bytes(b"".join([framed(Boot(boot_id())), *map(framed, held)]))
        os.rename(temporary, self._path)
        self.close()
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self._puts, self._drops = len(held), 0

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
