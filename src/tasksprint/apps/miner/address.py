"""Addresses to output scripts: base58check (P2PKH, P2SH), bech32 (BIP 173) and bech32m (BIP 350).

`script_of("bcrt1q...", "regtest")` gives the bytes that an output carries; AddressError says what is wrong with an
address, or that it belongs to another network than the node.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NamedTuple

BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
BECH32_CHECK: Final = 1
BECH32M_CHECK: Final = 0x2BC830A3
ADDRESS_CHARACTERS: Final = 90
TEST_CHAINS: Final = ("test", "testnet4", "signet")  # one kind of address for all three

OP_DUP, OP_HASH160, OP_EQUALVERIFY, OP_EQUAL, OP_CHECKSIG, OP_1 = 0x76, 0xA9, 0x88, 0x87, 0xAC, 0x51


class Prefixes(NamedTuple):
    key_hash: int
    script_hash: int
    bech32: str
    chains: tuple[str, ...]


PREFIXES: Final = (
    Prefixes(0x00, 0x05, "bc", ("main",)),
    Prefixes(0x6F, 0xC4, "tb", TEST_CHAINS),
    Prefixes(0x6F, 0xC4, "bcrt", ("regtest",)),
)
CHAINS: Final = tuple(chain for prefixes in PREFIXES for chain in prefixes.chains)


class AddressError(ValueError):
    """An address that cannot be paid to on this network."""


def script_of(address: str, chain: str) -> bytes:
    """The output script of an address; `chain` is what getblockchaininfo calls the network ("main", "regtest")."""
    if chain not in CHAINS:
        raise AddressError(f"unknown network {chain!r}; known are {', '.join(CHAINS)}")
    if not address or len(address) > ADDRESS_CHARACTERS:
        raise AddressError(f"an address has 1 to {ADDRESS_CHARACTERS} characters, not {len(address)}")
    human, separator, _ = address.rpartition("1")
    if separator and human.lower() in {prefixes.bech32 for prefixes in PREFIXES}:
        return _witness_script(address, human.lower(), chain)
    if separator and _is_bech32(address):
        raise AddressError(f"the address {address} is for a network that begins addresses with {human!r}, not {chain}")
    return _base58_script(address, chain)


def _for_another(address: str, chains: list[str], chain: str) -> AddressError:
    return AddressError(f"the address {address} is for {' or '.join(chains)}, but the node is on {chain}")


# --- base58check --------------------------------------------------------------------------------------------------
def _base58_script(address: str, chain: str) -> bytes:
    payload = base58check(address)
    version, digest = payload[0], payload[1:]
    if len(digest) != 20:
        raise AddressError(f"the address {address} holds {len(digest)} bytes, not a hash of 20")
    kinds = [prefixes for prefixes in PREFIXES if version in (prefixes.key_hash, prefixes.script_hash)]
    if not kinds:
        raise AddressError(f"the address {address} begins with an unknown version, {version}")
    chains = [name for prefixes in kinds for name in prefixes.chains]
    if chain not in chains:
        raise _for_another(address, chains, chain)
    if version == kinds[0].key_hash:
        return bytes((OP_DUP, OP_HASH160, 20)) + digest + bytes((OP_EQUALVERIFY, OP_CHECKSIG))
    return bytes((OP_HASH160, 20)) + digest + bytes((OP_EQUAL,))


def base58check(text: str) -> bytes:
    """Decodes base58 and checks and removes its four bytes of checksum."""
    number = 0
    for place, character in enumerate(text):
        digit = BASE58.find(character)
        if digit < 0:
            raise AddressError(f"character {place + 1} of the address {text}, {character!r}, is not in base58")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    body, check = data[:-4], data[-4:]
    if not body or sha256(sha256(body).digest()).digest()[:4] != check:
        raise AddressError(f"the checksum of the address {text} is wrong: a character is missing or mistyped")
    return body


# --- bech32 ---------------------------------------------------------------------------------------------------------
def _witness_script(address: str, human: str, chain: str) -> bytes:
    values, check = bech32(address)
    chains = [name for prefixes in PREFIXES if prefixes.bech32 == human for name in prefixes.chains]
    if not values:
        raise AddressError(f"the address {address} has no witness version")
    version, program = values[0], _bytes_of(values[1:], address)
    if version > 16:
        raise AddressError(f"the address {address} has witness version {version}; there are 0 to 16")
    if not 2 <= len(program) <= 40 or (version == 0 and len(program) not in (20, 32)):
        raise AddressError(f"the address {address} has a witness program of {len(program)} bytes, which cannot be")
    if check != (BECH32_CHECK if version == 0 else BECH32M_CHECK):
        name = "bech32" if version == 0 else "bech32m"
        raise AddressError(f"the address {address} has witness version {version}, so its checksum must be {name}'s")
    if chain not in chains:
        raise _for_another(address, chains, chain)
    return bytes((OP_1 + version - 1 if version else 0, len(program))) + program


def bech32(text: str) -> tuple[list[int], int]:
    """The values of the data part without the checksum, and which checksum it is (BECH32_CHECK or BECH32M_CHECK)."""
    if text.lower() != text and text.upper() != text:
        raise AddressError(f"the address {text} mixes upper and lower case")
    human, _, data = text.lower().rpartition("1")
    values = []
    for place, character in enumerate(data):
        if character not in BECH32:
            raise AddressError(f"character {len(human) + 2 + place} of the address {text}, {character!r}, is no bech32")
        values.append(BECH32.index(character))
    expanded = [ord(character) >> 5 for character in human] + [0] + [ord(character) & 31 for character in human]
    check = _polymod(expanded + values)
    if len(values) < 6 or check not in (BECH32_CHECK, BECH32M_CHECK):
        raise AddressError(f"the checksum of the address {text} is wrong: a character is missing or mistyped")
    return values[:-6], check


def _is_bech32(text: str) -> bool:
    try:
        bech32(text)
    except AddressError:
        return False
    return True


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, factor in enumerate(GENERATOR):
            if top >> bit & 1:
                check ^= factor
    return check


def _bytes_of(values: list[int], address: str) -> bytes:
    """Groups of 5 bits as bytes; what is left over must be fewer than 5 bits, all zero."""
    number = 0
    for value in values:
        number = number << 5 | value
    left = len(values) * 5 % 8
    if left >= 5 or number & (1 << left) - 1:
        raise AddressError(f"the address {address} has wrong padding")
    return (number >> left).to_bytes(len(values) * 5 // 8, "big")
