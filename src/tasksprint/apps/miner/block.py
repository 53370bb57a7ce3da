"""The bytes of a block: hashes, the compact target, merkle trees, headers.

Hashes are 32 bytes in hashing order everywhere; `displayed` reverses one for people and for RPC.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

HEADER_BYTES: Final = 80
NONCES: Final = 1 << 32
TARGET_MAX: Final = (1 << 256) - 1
DIFFICULTY_1: Final = 0xFFFF << 208


class BlockError(ValueError):
    """Values that no block can have."""


def double_sha256(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def displayed(digest: bytes) -> str:
    """A hash as people and RPC write it."""
    return digest[::-1].hex()


def variable_length(number: int) -> bytes:
    """The protocol's CompactSize."""
    if number < 0xFD:
        return struct.pack("<B", number)
    if number <= 0xFFFF:
        return struct.pack("<BH", 0xFD, number)
    if number <= 0xFFFFFFFF:
        return struct.pack("<BI", 0xFE, number)
    return struct.pack("<BQ", 0xFF, number)


# --- targets --------------------------------------------------------------------------------------------------------
def target_of(bits: int) -> int:
    """The target that a header's compact `bits` stand for; BlockError where no hash could meet it."""
    size, word = bits >> 24, bits & 0x7FFFFF
    if not 0 <= bits < 1 << 32:
        raise BlockError(f"the compact target {bits} is no 32-bit number")
    if word and bits & 0x800000:
        raise BlockError(f"the compact target {bits:08x} is negative")
    target = word << 8 * (size - 3) if size >= 3 else word >> 8 * (3 - size)
    if target == 0:
        raise BlockError(f"the compact target {bits:08x} is zero: no hash can meet it")
    if target > TARGET_MAX:
        raise BlockError(f"the compact target {bits:08x} is beyond 256 bits")
    return target


def bits_of(target: int) -> int:
    """The compact form of a target, rounded down as the protocol does."""
    if not 0 < target <= TARGET_MAX:
        raise BlockError(f"a target is 1 to 2**256 - 1, not {target}")
    size = (target.bit_length() + 7) // 8
    word = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if word & 0x800000:  # would read as negative
        word, size = word >> 8, size + 1
    return size << 24 | word


def difficulty(target: int) -> float:
    return DIFFICULTY_1 / target


def meets(digest: bytes, target: int) -> bool:
    return int.from_bytes(digest, "little") <= target


# --- merkle trees ---------------------------------------------------------------------------------------------------
def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over one leaf or more; an odd last one is paired with itself."""
    if not leaves:
        raise BlockError("a merkle tree has a leaf at least: a block has a coinbase")
    row = list(leaves)
    while len(row) > 1:
        if len(row) % 2:
            row.append(row[-1])
        row = [double_sha256(row[i] + row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def merkle_branch(others: Sequence[bytes]) -> tuple[bytes, ...]:
    """What the coinbase is hashed with on its way to the root, lowest first, when `others` follow it.

    A new extranonce changes the coinbase alone, so its root costs as many hashes as the tree is high.
    """
    branch = []
    row = list(others)  # the row without its first element, which depends on the coinbase
    while row:
        branch.append(row[0])
        rest = row[1:]
        if len(rest) % 2:
            rest.append(rest[-1])
        row = [double_sha256(rest[i] + rest[i + 1]) for i in range(0, len(rest), 2)]
    return tuple(branch)


def root_from_branch(leaf: bytes, branch: Iterable[bytes]) -> bytes:
    for sibling in branch:
        leaf = double_sha256(leaf + sibling)
    return leaf


# --- headers and blocks ---------------------------------------------------------------------------------------------
def header_of(version: int, previous: bytes, root: bytes, time: int, bits: int, nonce: int = 0) -> bytes:
    """The 80 bytes that are hashed; `version` may be signed or not."""
    for name, digest in (("previous hash", previous), ("merkle root", root)):
        if len(digest) != 32:
            raise BlockError(f"the {name} is 32 bytes, not {len(digest)}")
    for name, number in (("time", time), ("compact target", bits), ("nonce", nonce)):
        if not 0 <= number < 1 << 32:
            raise BlockError(f"the {name} {number} is no 32-bit number")
    if not -(1 << 31) <= version < 1 << 32:
        raise BlockError(f"the version {version} is no 32-bit number")
    return struct.pack("<I32s32sIII", version & 0xFFFFFFFF, previous, root, time, bits, nonce)


def with_nonce(header: bytes, nonce: int) -> bytes:
    return header[:76] + struct.pack("<I", nonce)


def block_of(header: bytes, coinbase: bytes, transactions: Sequence[bytes]) -> bytes:
    """A whole block, as submitblock takes it (in hex); with a witness in the coinbase when segwit is active."""
    if len(header) != HEADER_BYTES:
        raise BlockError(f"a header is {HEADER_BYTES} bytes, not {len(header)}")
    return header + variable_length(1 + len(transactions)) + coinbase + b"".join(transactions)
