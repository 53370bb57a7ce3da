"""Transactions that need no key: outputs that pay to the script TRUE, bare or as a witness program."""

from __future__ import annotations

import struct
from hashlib import sha256

OP_TRUE = b"\x51"
PAY_TO_TRUE = b"\x20" + bytes(32) + b"\x75" + OP_TRUE  # a push, DROP, TRUE: transactions must not be too small
PAY_TO_TRUE_SEGWIT = b"\x00\x20" + sha256(OP_TRUE).digest()  # P2WSH


def spend(txid: str, value: int, fee: int, segwit: bool) -> str:
    """A transaction, in hex, that moves the first output of `txid` to the same kind of script."""
    pay_to = PAY_TO_TRUE_SEGWIT if segwit else PAY_TO_TRUE
    source = b"\x01" + bytes.fromhex(txid)[::-1] + bytes(4) + b"\x00" + b"\xff" * 4
    output = b"\x01" + struct.pack("<Q", value - fee) + bytes((len(pay_to),)) + pay_to
    witness = b"\x01\x01" + OP_TRUE if segwit else b""
    mark = b"\x00\x01" if segwit else b""
    return (struct.pack("<I", 2) + mark + source + output + witness + bytes(4)).hex()
