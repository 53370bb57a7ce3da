"""The canonical bytes of a value: equal values give equal bytes, on every replica, for ever.

Digests, seeds and log entries are made of these bytes.  MessagePack through msgspec is canonical for
the structs, tuples, lists, integers, strings and bytes that we use; dictionaries are written with
sorted keys.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

DIGEST_BYTES = 16
JOINED_BYTES = 1 << 16  # up to this, one call costs less than no copy

_encoder = msgspec.msgpack.Encoder(order="sorted")


def pack(value: Any) -> bytes:
    """MessagePack of `value`, dictionaries sorted by key."""
    return _encoder.encode(value)


def digest(*parts: bytes) -> bytes:
    """16 bytes of SHA-256 over the parts, each preceded by its length."""
    framed = [piece for part in parts for piece in (len(part).to_bytes(8, "little"), part)]
    if sum(map(len, parts)) <= JOINED_BYTES:
        return hashlib.sha256(b"".join(framed)).digest()[:DIGEST_BYTES]
    state = hashlib.sha256()
    for piece in framed:
        state.update(piece)
    return state.digest()[:DIGEST_BYTES]


def seed64(*parts: int | str | bytes) -> int:
    """A 64-bit number that depends on every part: how seeds follow causes."""
    state = hashlib.blake2b(pack(parts), digest_size=8)
    return int.from_bytes(state.digest(), "little")
