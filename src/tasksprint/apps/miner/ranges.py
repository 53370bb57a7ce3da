"""Which nonces are searched by whom.  Pure.

A unit of work is an extranonce and a place in its nonces; a node searches on from there until its time is up, and says
how far it came.  What is left goes to whoever asks next, and when nothing is left open a new extranonce is begun: so no
nonce is given out twice, none is left out, and there is always more.  A unit lost with its client is searched again
from its own beginning, because the cluster runs the same task again.
"""

from __future__ import annotations

NONCES = 1 << 32
EXTRANONCES = 1 << 64


class Ranges:
    """The open ranges of one piece of work: [extranonce, next nonce], in the order in which they were opened."""

    @staticmethod
    def take(open_ranges: list[list[int]], next_extranonce: int) -> tuple[int, int, int]:
        """(extranonce, start, the next extranonce to begin)."""
        if open_ranges:
            extranonce, start = open_ranges.pop(0)
            return extranonce, start, next_extranonce
        return next_extranonce, 0, (next_extranonce + 1) % EXTRANONCES

    @staticmethod
    def give_back(open_ranges: list[list[int]], extranonce: int, place: int) -> None:
        """The extranonce has been searched up to `place`."""
        if place < NONCES:
            open_ranges.append([extranonce, place])
            open_ranges.sort()
