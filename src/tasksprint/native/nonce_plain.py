"""The nonce search in plain Python: the twin that every compiled kernel is compared with."""

from __future__ import annotations

from hashlib import sha256

STEP = 2048  # nonces between two looks at the stop byte: about 2 ms


def search(
    header: bytes, start: int, count: int, target: int, stop: bytearray | memoryview | None, max_hits: int
) -> tuple[list[tuple[int, bytes]], int]:
    """As `nonce.search`, which checks the arguments: (hits, hashes done)."""
    midstate = sha256(header[:64])
    tail = header[64:76]
    hits: list[tuple[int, bytes]] = []
    for nonce in range(start, start + count):
        if stop is not None and (nonce - start) % STEP == 0 and stop[0]:
            return hits, nonce - start
        first = midstate.copy()
        first.update(tail + nonce.to_bytes(4, "little"))
        digest = sha256(first.digest()).digest()
        if int.from_bytes(digest, "little") <= target:
            hits.append((nonce, digest))
            if len(hits) == max_hits:
                return hits, nonce - start + 1
    return hits, count
