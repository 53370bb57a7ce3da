"""Which try comes next, and whether what arrived is what was promised.  Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from tasksprint import limits
from tasksprint.codec import DIGEST_BYTES

RETRY_MS = (100, 400)  # between the tries of one fetch


class Damaged(Exception):
    """What arrived is not what the supplier announced."""


def retry_delay_ms(tries: int) -> int | None:
    """After `tries` failed tries: how long to wait for the next one; None: give up."""
    return None if tries >= limits.FETCH_TRIES else RETRY_MS[min(tries, len(RETRY_MS)) - 1]


def piece_digest(state: hashlib._Hash) -> bytes:
    """The digest of a piece is the first bytes of the SHA-256 of its content."""
    return state.digest()[:DIGEST_BYTES]


@dataclass(slots=True)
class Incoming:
    """A piece under way: counts and hashes what comes."""

    size: int
    digest: bytes
    received: int = 0
    state: hashlib._Hash = field(default_factory=hashlib.sha256)

    def take(self, data: bytes) -> bool:
        """True when the piece is whole.  Raises Damaged for a byte too many or a wrong digest."""
        self.received += len(data)
        if self.received > self.size:
            raise Damaged(f"{self.received} bytes came, {self.size} were announced")
        self.state.update(data)
        if self.received < self.size:
            return False
        if piece_digest(self.state) != self.digest:
            raise Damaged(f"the {self.size} bytes that came have another digest than was announced")
        return True
