"""The coinbase: the transaction that pays the miner, and where the extranonce and the message live.

Its input script holds the height (BIP 34), the node's own flags (BIP 22), the extranonce and the user's message; its
outputs pay the address and, where segwit is active, commit to the witnesses (BIP 141).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tasksprint.apps.miner.block import double_sha256, merkle_root, variable_length

SCRIPT_BYTES: Final = 100  # of a coinbase's input script, at most; at least 2
EXTRANONCE_BYTES: Final = 8
EXTRANONCES: Final = 1 << 8 * EXTRANONCE_BYTES
VALUE_MAX: Final = 21_000_000 * 100_000_000
OUTPUT_SCRIPT_BYTES: Final = 10_000
WITNESS_RESERVED: Final = bytes(32)
COMMITMENT_HEAD: Final = bytes.fromhex("6a24aa21a9ed")  # OP_RETURN, 36 bytes: the mark of BIP 141 and a hash
OP_0, OP_1, OP_PUSHDATA1 = 0x00, 0x51, 0x4C


class CoinbaseError(ValueError):
    """A coinbase that the network would refuse."""


@dataclass(frozen=True, slots=True)
class Coinbase:
    """A coinbase in both of its forms."""

    plain: bytes  # without a witness: what the txid is the hash of
    whole: bytes  # as it stands in the block

    @property
    def txid(self) -> bytes:
        return double_sha256(self.plain)


def script_number(number: int) -> bytes:
    """A push of a number that is not negative, in the one form that BIP 34 allows."""
    if number < 0:
        raise CoinbaseError(f"a height is not negative: {number}")
    if number <= 16:
        return bytes((OP_1 + number - 1 if number else OP_0,))
    return push(number.to_bytes(number.bit_length() // 8 + 1, "little"))  # with room for the sign


def push(data: bytes) -> bytes:
    """A push of up to 255 bytes; nothing at all for none."""
    if not data:
        return b""
    if len(data) < OP_PUSHDATA1:
        return bytes((len(data),)) + data
    return bytes((OP_PUSHDATA1, len(data))) + data


def input_script(height: int, extranonce: int, message: bytes = b"", flags: bytes = b"") -> bytes:
    """The height, the node's flags as they are, the extranonce, the message."""
    if not 0 <= extranonce < EXTRANONCES:
        raise CoinbaseError(f"an extranonce is 0 to 2**{8 * EXTRANONCE_BYTES} - 1, not {extranonce}")
    head = script_number(height) + flags + push(extranonce.to_bytes(EXTRANONCE_BYTES, "little"))
    room = SCRIPT_BYTES - len(head)
    if room < 0:
        raise CoinbaseError(f"the node's coinbase flags of {len(flags)} bytes leave no room in the script")
    room -= 1 if room <= OP_PUSHDATA1 else 2
    if len(message) > max(room, 0):
        raise CoinbaseError(f"the coinbase message is {len(message)} bytes; there is room for {max(room, 0)}")
    return head + push(message)


def witness_commitment(wtxids: Sequence[bytes]) -> bytes:
    """The output script that commits to the witnesses of the transactions that follow the coinbase."""
    root = merkle_root([bytes(32), *wtxids])  # the coinbase counts as zeros
    return COMMITMENT_HEAD + double_sha256(root + WITNESS_RESERVED)


def coinbase(
    height: int,
    value: int,
    pay_to: bytes,
    extranonce: int,
    *,
    message: bytes = b"",
    flags: bytes = b"",
    commitment: bytes | None = None,
) -> Coinbase:
    """Pays `value` to the script `pay_to`; with a witness and its commitment when one is given."""
    if not 0 <= value <= VALUE_MAX:
        raise CoinbaseError(f"a coinbase pays 0 to {VALUE_MAX} units, not {value}")
    if not 0 < len(pay_to) <= OUTPUT_SCRIPT_BYTES:
        raise CoinbaseError(f"an output script is 1 to {OUTPUT_SCRIPT_BYTES} bytes, not {len(pay_to)}")
    script = input_script(height, extranonce, message, flags)
    source = bytes(32) + struct.pack("<I", 0xFFFFFFFF) + variable_length(len(script)) + script + b"\xff" * 4
    outputs = [(value, pay_to)] + ([(0, commitment)] if commitment is not None else [])
    body = variable_length(1) + source + variable_length(len(outputs))
    body += b"".join(struct.pack("<Q", worth) + variable_length(len(to)) + to for worth, to in outputs)
    version, lock_time = struct.pack("<I", 2), bytes(4)
    plain = version + body + lock_time
    if commitment is None:
        return Coinbase(plain, plain)
    witness = variable_length(1) + variable_length(len(WITNESS_RESERVED)) + WITNESS_RESERVED
    return Coinbase(plain, version + b"\x00\x01" + body + witness + lock_time)
