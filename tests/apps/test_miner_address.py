"""Addresses: the vectors of BIP 173 and BIP 350, well-known base58 addresses, and what people mistype."""

import pytest

from tasksprint.apps.miner.address import AddressError, script_of

TAPROOT = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
LONG = "000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"
SHORT = "751e76e8199196d454941c45d1b3a323f1433bd6"

GOOD = [
    ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "main", "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
    ("3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "main", "a914b472a266d0bd89c13706a4132ccfb16f7c3b9fcb87"),
    ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "test", "76a914243f1394f44554f4ce3fd68649c19adc483ce92488ac"),
    ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "regtest", "76a914243f1394f44554f4ce3fd68649c19adc483ce92488ac"),
    ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "main", "0014" + SHORT),
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "main", "0014" + SHORT),
    ("tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy", "test", "0020" + LONG),
    ("tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c", "signet", "5120" + LONG),
    (
        "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
        "main",
        "5128" + SHORT + SHORT,
    ),
    ("BC1SW50QGDZ25J", "main", "6002751e"),
    ("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "main", "5210751e76e8199196d454941c45d1b3a323"),
    ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", "main", "5120" + TAPROOT),
]

BAD = [
    ("tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut", "begins addresses with 'tc', not main"),
    ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "checksum must be bech32m's"),
    ("BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL", "checksum must be bech32m's"),
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "checksum must be bech32's"),
    ("bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", "character 60 .* 'o', is no bech32"),
    ("BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", "witness version 17"),
    ("bc1pw5dgrnzv", "program of 1 bytes"),
    ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav", "program of 41 bytes"),
    ("BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", "program of 16 bytes"),
    ("tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq", "mixes upper and lower"),
    ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf", "padding"),
    ("tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j", "padding"),
    ("bc1gmk9yu", "no witness version"),
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "checksum of the address .* is wrong"),
    ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "checksum of the address .* is wrong"),
    ("1A1zP1eP5QGefi2DMPTfTL5SLmv7Div0Na", "character 32 .* '0', is not in base58"),
    ("", "1 to 90 characters, not 0"),
    ("1" * 91, "1 to 90 characters, not 91"),
    ("1", "checksum"),
    ("5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ", "holds 32 bytes"),  # a private key, of all things
    ("bitcoincash:qq", "character 12 .*, is not in base58"),
]


@pytest.mark.parametrize(("address", "chain", "script"), GOOD)
def test_good_addresses(address, chain, script):
    assert script_of(address, chain).hex() == script


@pytest.mark.parametrize(("address", "message"), BAD)
def test_bad_addresses(address, message):
    with pytest.raises(AddressError, match=message):
        script_of(address, "main")


@pytest.mark.parametrize(
    ("address", "chain", "message"),
    [
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "regtest", "is for main, but the node is on regtest"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "regtest", "is for main, but the node is on regtest"),
        ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "main", "is for test or testnet4 or signet or regtest, but"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "moon", "unknown network 'moon'; known are main"),
    ],
)
def test_other_networks(address, chain, message):
    with pytest.raises(AddressError, match=message):
        script_of(address, chain)


def test_every_single_typing_error_is_found():
    address = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
    for place in range(4, len(address)):
        for wrong in "qpz5m7":
            if wrong != address[place]:
                with pytest.raises(AddressError, match="checksum"):
                    script_of(address[:place] + wrong + address[place + 1 :], "main")
