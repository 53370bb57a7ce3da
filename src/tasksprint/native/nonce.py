"""The Bitcoin nonce search: double SHA-256 of a header over a range of nonces, as fast as the processor allows.

    found = search(header, start=0, count=1 << 26, target=compact_target)
    found.hits      [(nonce, hash)]: every nonce of the range whose double SHA-256, read as a little-endian number, is
                    at most the target, ascending; hash is 32 bytes in hashing order (displayed hashes are reversed)
    found.hashes    how many nonces were searched, from `start` on; less than `count` after a stop or `max_hits` hits

The interpreter's lock is released meanwhile, and a search can be stopped from outside: `stop` is any object with a
writable byte (a bytearray, a shared memory's buffer); a search ends within 10 ms after it turned non-zero.  Whether
stopped or full, what was searched is `start` to `start + hashes - 1`, so `start + hashes` is where to go on.

There are several kernels, each tested against the plain twin (`nonce_plain`, here by the name `python`):

    avx512_sha        schedules of 8 nonces with AVX-512 beside interleaved streams of SHA-NI rounds
    avx512_sha_wide   the same 16 nonces at a time: fewer instructions, which helps on a core that others share
    avx512            16 nonces in AVX-512 alone
    sha_ni            interleaved streams of SHA-NI rounds, schedules with AVX2
    avx2              8 nonces in AVX2 alone
    arm_sha2          four interleaved streams of ARMv8 SHA2
    portable          plain C

Which is fastest differs between processors that have the same ones, so `choose` tests and times them, once a process.
The variable TASKSPRINT_NONCE_KERNEL names one instead.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import lru_cache
from operator import index
from typing import NamedTuple

from tasksprint.native import nonce_plain

try:
    from tasksprint.native import _nonce as _compiled
except ImportError:  # no compiler was there: the twin does the work
    _compiled = None  # type: ignore[assignment]

HEADER_BYTES = 80
NONCES = 1 << 32
TARGET_MAX = (1 << 256) - 1
VARIABLE = "TASKSPRINT_NONCE_KERNEL"
PLAIN = "python"
ROUNDS = 5

GENESIS = bytes.fromhex(  # the first block's header, with the nonce that solves it
    "01000000"
    + "00" * 32
    + "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a"
    + "29ab5f49ffff001d1dac2b7c"
)
GENESIS_NONCE = 2083236893
GENESIS_HASH = bytes.fromhex("6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000")
GENESIS_TARGET = 0xFFFF << 208

Stop = bytearray | memoryview


class Found(NamedTuple):
    hits: list[tuple[int, bytes]]
    hashes: int


class Choice(NamedTuple):
    kernel: str
    rates: dict[str, float]  # hashes per second of each kernel that was timed; empty when the variable chose
    failed: tuple[str, ...]  # kernels that gave a wrong answer here, and are not used


def search(
    header: bytes,
    start: int,
    count: int,
    target: int,
    *,
    kernel: str | None = None,
    stop: Stop | None = None,
    max_hits: int | None = None,
) -> Found:
    """Searches the nonces `start` to `start + count - 1`; the nonce in `header` does not matter.

    `target` may be any number from 0; beyond 2**256 - 1 every hash is a hit.  `kernel` is one of `kernels()`, by
    default what `choose` chose.  The search ends behind hit number `max_hits`, if there is such a limit: a hit takes
    some 200 bytes.  Raises ValueError or TypeError for arguments that are none, before anything is searched.
    """
    start, count, target = index(start), index(count), index(target)  # a fraction is an error, not its whole part
    most = NONCES if max_hits is None else index(max_hits)
    if not isinstance(header, bytes) or len(header) != HEADER_BYTES:
        raise ValueError(f"a block header is {HEADER_BYTES} bytes, not {_described(header)}")
    if not 0 <= start <= NONCES or not 0 <= count <= NONCES - start:
        raise ValueError(f"nonces go from 0 to {NONCES - 1}: {count} nonces from {start} are out of range")
    if target < 0:
        raise ValueError("a target is not negative")
    if most < 1:
        raise ValueError(f"max_hits must be at least 1, not {max_hits}")
    if stop is not None and not memoryview(stop).nbytes:
        raise ValueError("stop must have a byte")
    name = choose().kernel if kernel is None else kernel
    if name not in kernels():
        raise ValueError(f"no kernel {name!r} here; there are {', '.join(kernels())}")
    if start == NONCES:  # and so nothing to do
        return Found([], 0)
    return Found(*_searches(name)(header, start, count, min(target, TARGET_MAX), stop, min(most, NONCES)))


def kernels() -> tuple[str, ...]:
    """The kernels that this processor and this build can run; the plain twin is the last."""
    return (*(_compiled.kernels() if _compiled is not None else ()), PLAIN)


@lru_cache(maxsize=1)
def choose(milliseconds: float = 10) -> Choice:
    """Tests each usable kernel on known answers, times it, and names the fastest; once a process, then remembered."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted:
        if wanted not in kernels():
            raise ValueError(f"{VARIABLE} is {wanted!r}, but here there are {', '.join(kernels())}")
        if not self_test(wanted):
            raise RuntimeError(f"{VARIABLE} is {wanted!r}, which gives wrong hashes on this processor")
        return Choice(wanted, {}, ())
    failed = tuple(name for name in kernels() if not self_test(name))
    rates = {name: rate(name, 512) for name in kernels() if name not in failed}
    for _ in range(ROUNDS):  # in turns, so that neighbours who come and go disturb all of them alike
        for name, best in rates.items():
            rates[name] = max(best, rate(name, int(best * milliseconds / ROUNDS / 1000) + 512))
    if not rates:
        raise RuntimeError(f"every kernel gives wrong hashes on this processor: {', '.join(failed)}")
    return Choice(max(rates, key=rates.__getitem__), rates, failed)


def self_test(kernel: str) -> bool:
    """Whether the kernel finds the first block, and agrees with the twin where every eighth hash is a hit."""
    solved = search(GENESIS, GENESIS_NONCE - 37, 64, GENESIS_TARGET, kernel=kernel)
    easy = search(GENESIS, 3, 101, TARGET_MAX >> 3, kernel=kernel)
    twin = search(GENESIS, 3, 101, TARGET_MAX >> 3, kernel=PLAIN)
    return solved == ([(GENESIS_NONCE, GENESIS_HASH)], 64) and easy == twin


def rate(kernel: str, count: int) -> float:
    """Hashes per second of processor time, of one search in which nothing is found."""
    begins = time.thread_time()
    search(GENESIS, 0, count, 0, kernel=kernel)
    return count / max(time.thread_time() - begins, 1e-6)


def _searches(name: str) -> Callable[[bytes, int, int, int, Stop | None, int], tuple[list[tuple[int, bytes]], int]]:
    if name == PLAIN:
        return nonce_plain.search

    def compiled(
        header: bytes, start: int, count: int, target: int, stop: Stop | None, max_hits: int
    ) -> tuple[list[tuple[int, bytes]], int]:
        return _compiled.search(header, start, count, target.to_bytes(32, "little"), name, stop, max_hits)

    return compiled


def _described(header: object) -> str:
    return f"{len(header)}" if isinstance(header, bytes) else f"a {type(header).__name__}"
