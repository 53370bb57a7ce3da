"""The bytes of blocks, against blocks of the real chain."""

import json
from pathlib import Path

import pytest

from tasksprint.apps.miner import block
from tasksprint.apps.miner.block import BlockError

DATA = json.loads((Path(__file__).parents[1] / "native" / "data" / "bitcoin_headers.json").read_text())["headers"]


def reversed_bytes(text):
    return bytes.fromhex(text)[::-1]


@pytest.mark.parametrize("real", DATA, ids=lambda real: str(real["height"]))
def test_real_headers(real):
    bits = int(real["bits"], 16)
    parts = real["version"], reversed_bytes(real["prev"]), reversed_bytes(real["merkle_root"]), real["time"], bits
    header = block.header_of(*parts, real["nonce"])
    assert header.hex() == real["header"]
    assert block.with_nonce(block.header_of(*parts), real["nonce"]) == header
    assert block.displayed(block.double_sha256(header)) == real["hash"]
    assert block.meets(block.double_sha256(header), block.target_of(bits))
    assert not block.meets(block.double_sha256(header), block.target_of(bits) >> 40)
    assert block.bits_of(block.target_of(bits)) == bits


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        (0x1D00FFFF, 0xFFFF << 208),
        (0x207FFFFF, 0x7FFFFF << 232),  # regtest
        (0x01123456, 0x12),
        (0x02123456, 0x1234),
        (0x03123456, 0x123456),
        (0x04123456, 0x12345600),
        (0x05009234, 0x92340000),
        (0x2100FFFF, 0xFFFF << 240),
    ],
)
def test_compact_targets(bits, target):
    assert block.target_of(bits) == target
    assert block.target_of(block.bits_of(target)) == target


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (0, "zero"),
        (0x01003456, "zero"),
        (0x1D000000, "zero"),
        (0x04923456, "negative"),
        (0x227FFFFF, "beyond 256 bits"),
        (0xFF7FFFFF, "beyond 256 bits"),
        (-1, "no 32-bit number"),
        (1 << 32, "no 32-bit number"),
    ],
)
def test_absurd_targets(bits, message):
    with pytest.raises(BlockError, match=message):
        block.target_of(bits)


@pytest.mark.parametrize("power", range(256))
def test_every_target_is_rounded_down(power):
    for target in ((1 << power), (1 << power + 1) - 1):
        again = block.target_of(block.bits_of(target))
        assert again <= target < again + (again >> 14) + 1


@pytest.mark.parametrize("target", [0, -1, 1 << 256])
def test_what_has_no_compact_form(target):
    with pytest.raises(BlockError, match="1 to"):
        block.bits_of(target)


def test_difficulty():
    assert block.difficulty(0xFFFF << 208) == 1
    assert round(block.difficulty(block.target_of(0x1B0404CB)), 3) == 16307.421


def test_the_merkle_root_of_a_real_block():
    """Block 100,000, which has four transactions; all else about merkle trees follows from the definition."""
    ids = [
        "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
        "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
        "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
        "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
    ]
    root = block.merkle_root([reversed_bytes(text) for text in ids])
    assert block.displayed(root) == next(real["merkle_root"] for real in DATA if real["height"] == 100000)


@pytest.mark.parametrize("count", range(1, 40))
def test_branch_and_root_agree(count):
    leaves = [block.double_sha256(bytes([i])) for i in range(count)]
    branch = block.merkle_branch(leaves[1:])
    assert block.root_from_branch(leaves[0], branch) == block.merkle_root(leaves)
    assert len(branch) == (count - 1).bit_length()


def test_a_single_transaction_is_its_own_root():
    assert block.merkle_root([b"\x07" * 32]) == b"\x07" * 32
    assert block.merkle_branch([]) == ()
    with pytest.raises(BlockError, match="coinbase"):
        block.merkle_root([])


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "00"),
        (0xFC, "fc"),
        (0xFD, "fdfd00"),
        (0xFFFF, "fdffff"),
        (0x10000, "fe00000100"),
        (1 << 32, "ff" + "00" * 4 + "01000000"),
    ],
)
def test_lengths(number, text):
    assert block.variable_length(number).hex() == text


@pytest.mark.parametrize(
    "changes",
    [{"previous": b""}, {"root": bytes(33)}, {"time": -1}, {"bits": 1 << 32}, {"nonce": 1 << 32}, {"version": 1 << 32}],
)
def test_headers_that_cannot_be(changes):
    arguments = {"version": 1, "previous": bytes(32), "root": bytes(32), "time": 1, "bits": 1, "nonce": 0, **changes}
    with pytest.raises(BlockError):
        block.header_of(**arguments)


def test_versions_are_signed_or_not():
    arguments = bytes(32), bytes(32), 1, 1
    assert block.header_of(-1, *arguments) == block.header_of(0xFFFFFFFF, *arguments)


def test_a_block_is_header_count_and_transactions():
    assert block.block_of(bytes(80), b"c", [b"a", b"b"]) == bytes(80) + b"\x03cab"
    with pytest.raises(BlockError, match="80 bytes, not 79"):
        block.block_of(bytes(79), b"", [])
