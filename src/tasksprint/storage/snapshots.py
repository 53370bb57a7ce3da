"""Snapshot files: one header page, then the state; durable under its name or not there at all."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from tasksprint.limits import SNAPSHOT_VERSION
from tasksprint.storage import disk
from tasksprint.storage.errors import REPLACE, Corrupt, NotOurs

HEADER_BYTES = 4_096
PREFIX = "snapshot-"

_MAGIC = b"TSsnapsh"
_header = struct.Struct("<8sIIQQIH")  # magic, version, replica, index, bytes, checksum of them, bytes of the name
_checksum = struct.Struct("<I")


def path_of(folder: Path, index: int) -> Path:
    return folder / f"{PREFIX}{index:020d}"


def write(folder: Path, cluster: str, replica: int, index: int, state: bytes) -> None:
    """Durable when this returns."""
    name = cluster.encode()
    head = _header.pack(_MAGIC, SNAPSHOT_VERSION, replica, index, len(state), zlib.crc32(state), len(name)) + name
    page = (head + _checksum.pack(zlib.crc32(head))).ljust(HEADER_BYTES, b"\0")
    disk.create_synced(path_of(folder, index), [page, state])


def read(folder: Path, cluster: str, replica: int, index: int) -> bytes:
    path = path_of(folder, index)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Corrupt(path, 0, "the journal names this snapshot, and it is gone", REPLACE) from None
    if len(data) < HEADER_BYTES or data[:8] != _MAGIC:
        raise Corrupt(path, 0, "no header of a snapshot", REPLACE)
    _, version, its_replica, its_index, size, checksum, name_size = _header.unpack_from(data)
    end = _header.size + name_size
    if version != SNAPSHOT_VERSION:
        raise NotOurs(f"{path} is of version {version}, this release reads {SNAPSHOT_VERSION}: use the other release")
    if end + _checksum.size > HEADER_BYTES or _checksum.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        raise Corrupt(path, 0, "the header's checksum is wrong", REPLACE)
    if (data[_header.size : end].decode(), its_replica, its_index) != (cluster, replica, index):
        raise NotOurs(f"{path} belongs to another coordinator: check who copied it there")
    state = data[HEADER_BYTES:]
    if len(state) != size or zlib.crc32(state) != checksum:
        raise Corrupt(path, HEADER_BYTES, "the state's length or checksum is wrong", REPLACE)
    return state


def remove_others(folder: Path, index: int) -> None:
    """Every snapshot but that of `index` (0: every one) has had its day."""
    keep = path_of(folder, index).name if index else ""
    for path in folder.glob(f"{PREFIX}*"):
        if path.name != keep:
            path.unlink()
