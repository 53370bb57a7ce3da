"""Coinbases and templates: what BIP 22, 34, 141 and 145 ask for, and answers that no node should give."""

import copy

import pytest

from tasksprint.apps.miner.block import displayed, double_sha256, merkle_root, target_of
from tasksprint.apps.miner.coinbase import (
    CoinbaseError,
    coinbase,
    input_script,
    push,
    script_number,
    witness_commitment,
)
from tasksprint.apps.miner.template import TRANSACTIONS_MAX, TemplateError, parse
from tasksprint.apps.miner.transaction import TransactionError, without_witness

PAY_TO = bytes.fromhex("76a914243f1394f44554f4ce3fd68649c19adc483ce92488ac")
PLAIN = coinbase(5, 7, PAY_TO, 1).whole  # any transaction will do for the block's others
WITNESSED = coinbase(6, 8, PAY_TO, 2, commitment=b"\x6a")
FIRST_COINBASE = bytes.fromhex(  # of the first block
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d"
    "65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f72"
    "2062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6"
    "bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)


def answer(**changes):
    """A template as Core gives it, with a plain transaction and one that has a witness."""
    rows = [
        {"data": PLAIN.hex(), "txid": displayed(double_sha256(PLAIN)), "hash": displayed(double_sha256(PLAIN))},
        {
            "data": WITNESSED.whole.hex(),
            "txid": displayed(WITNESSED.txid),
            "hash": displayed(double_sha256(WITNESSED.whole)),
            "fee": 10,
        },
    ]
    commitment = witness_commitment([double_sha256(PLAIN), double_sha256(WITNESSED.whole)])
    fields = {
        "capabilities": ["proposal"],
        "version": 0x20000000,
        "rules": ["csv", "!segwit", "taproot"],
        "vbavailable": {},
        "previousblockhash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
        "transactions": rows,
        "coinbaseaux": {"flags": "0b2f454231362f"},
        "coinbasevalue": 5000000010,
        "longpollid": "abc7",
        "target": "7fffff" + "0" * 58,
        "mintime": 1296688603,
        "noncerange": "00000000ffffffff",
        "curtime": 1700000000,
        "bits": "207fffff",
        "height": 433,
        "default_witness_commitment": commitment.hex(),
    }
    fields.update(changes)
    return {name: value for name, value in fields.items() if value is not ...}


# --- coinbases ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("height", "script"),
    [
        (0, "00"),
        (1, "51"),
        (16, "60"),
        (17, "0111"),
        (127, "017f"),
        (128, "028000"),
        (255, "02ff00"),
        (256, "020001"),
        (32767, "02ff7f"),
        (32768, "03008000"),
        (227836, "03fc7903"),
        (8388608, "0400008000"),
    ],
)
def test_heights(height, script):
    assert script_number(height).hex() == script


def test_a_script_holds_height_flags_extranonce_message():
    assert input_script(17, 258, b"hi", b"\x01\x02").hex() == "0111" + "0102" + "080201000000000000" + "026869"
    assert len(input_script(1, 0)) >= 2
    assert push(bytes(76)).hex() == "4c4c" + "00" * 76


@pytest.mark.parametrize(("height", "flags", "room"), [(1, b"", 88), (227836, b"", 85), (227836, bytes(10), 75)])
def test_the_longest_message(height, flags, room):
    assert len(input_script(height, 1, bytes(room), flags)) <= 100
    with pytest.raises(CoinbaseError, match=f"{room + 1} bytes; there is room for {room}"):
        input_script(height, 1, bytes(room + 1), flags)


def test_coinbases_that_cannot_be():
    for changes, message in (
        ({"extranonce": -1}, "extranonce"),
        ({"extranonce": 1 << 64}, "extranonce"),
        ({"value": -1}, "pays"),
        ({"value": 1 << 63}, "pays"),
        ({"pay_to": b""}, "output script"),
        ({"height": -1}, "height"),
        ({"flags": bytes(99)}, "no room"),
    ):
        arguments = {"height": 1, "value": 1, "pay_to": PAY_TO, "extranonce": 0, **changes}
        with pytest.raises(CoinbaseError, match=message):
            coinbase(**arguments)


def test_the_bytes_of_a_coinbase():
    paid = coinbase(1, 5_000_000_000, PAY_TO, 3)
    assert paid.plain == paid.whole
    assert paid.whole.hex() == (
        "02000000" + "01" + "00" * 32 + "ffffffff" + "0a" + "51" + "080300000000000000" + "ffffffff"
        "01" + "00f2052a01000000" + "19" + PAY_TO.hex() + "00000000"
    )  # fmt: skip
    assert paid.txid == double_sha256(paid.whole)


def test_a_coinbase_with_a_witness():
    commitment = witness_commitment([])
    paid = coinbase(1, 1, PAY_TO, 3, commitment=commitment)
    assert commitment.hex() == "6a24aa21a9ed" + double_sha256(bytes(64)).hex()
    assert paid.whole[4:6] == b"\x00\x01"
    assert paid.whole.endswith(b"\x01\x20" + bytes(32) + bytes(4))
    assert without_witness(paid.whole) == paid.plain
    assert paid.txid == double_sha256(paid.plain)


def test_extranonces_make_different_coinbases():
    assert len({coinbase(1, 1, PAY_TO, extranonce).txid for extranonce in range(100)}) == 100


# --- transactions ---------------------------------------------------------------------------------------------------
def test_a_plain_transaction_is_itself():
    assert without_witness(FIRST_COINBASE) is FIRST_COINBASE
    real = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    assert displayed(double_sha256(FIRST_COINBASE)) == real


@pytest.mark.parametrize("data", [FIRST_COINBASE, WITNESSED.whole], ids=["plain", "witness"])
def test_transactions_cut_anywhere_or_too_long(data):
    for size in range(len(data)):
        with pytest.raises(TransactionError):
            without_witness(data[:size])
    with pytest.raises(TransactionError, match="1 bytes follow its end"):
        without_witness(data + b"\x00")


def test_lengths_that_are_no_lengths():
    with pytest.raises(TransactionError, match="longer than it need be"):
        without_witness(FIRST_COINBASE[:4] + b"\xfd\x01\x00" + FIRST_COINBASE[5:])
    with pytest.raises(TransactionError, match="announced"):
        without_witness(FIRST_COINBASE[:4] + b"\xff" + b"\xff" * 8 + FIRST_COINBASE[5:])
    with pytest.raises(TransactionError, match="no inputs"):
        without_witness(bytes(10))


# --- templates ------------------------------------------------------------------------------------------------------
def test_a_good_template():
    template = parse(answer())
    assert (template.height, template.version, template.value) == (433, 0x20000000, 5000000010)
    assert displayed(template.previous) == answer()["previousblockhash"]
    assert template.target == target_of(0x207FFFFF) == 0x7FFFFF << 232
    assert (template.time, template.least_time, template.longpoll) == (1700000000, 1296688603, "abc7")
    assert template.segwit
    assert [row.data for row in template.transactions] == [PLAIN, WITNESSED.whole]
    assert template.transactions[1].txid == WITNESSED.txid
    assert template.transactions[1].wtxid == double_sha256(WITNESSED.whole)


def test_a_block_from_a_template():
    template = parse(answer())
    paid = template.coinbase(PAY_TO, 77, b"hello")
    header = template.header(paid)
    root = merkle_root([paid.txid, double_sha256(PLAIN), WITNESSED.txid])
    assert header[4:36] == template.previous
    assert header[36:68] == root
    assert header[68:76] == (1700000000).to_bytes(4, "little") + bytes.fromhex("207fffff")[::-1]
    assert template.header(paid, 1700000009, 5)[68:] != header[68:]
    assert template.block(header, paid) == header + b"\x03" + paid.whole + PLAIN + WITNESSED.whole
    assert answer()["default_witness_commitment"] in paid.whole.hex()
    assert b"/EB16/" in paid.whole
    assert b"hello" in paid.whole


def test_the_rules_alone_say_that_segwit_is_on():
    for rules in ([], ["csv"], ...):
        template = parse(answer(rules=rules))
        assert not template.segwit
        assert template.commitment() is None
        assert template.coinbase(PAY_TO, 1).plain == template.coinbase(PAY_TO, 1).whole
    assert parse(answer(rules=["segwit"])).segwit
    assert parse(answer(default_witness_commitment=...)).segwit


def test_an_old_node_says_less():
    """No rules, no target, no longpoll, no flags; the transactions' `hash` is their txid."""
    rows = [{"data": PLAIN.hex(), "hash": displayed(double_sha256(PLAIN))}, {"data": FIRST_COINBASE.hex()}]
    missing = dict.fromkeys(("rules", "target", "longpollid", "coinbaseaux", "mintime", "vbavailable"), ...)
    template = parse(answer(transactions=rows, default_witness_commitment=..., **missing))
    assert (template.longpoll, template.flags, template.least_time) == ("", b"", 0)
    assert len(template.transactions) == 2


def test_time_is_never_before_mintime():
    assert parse(answer(curtime=5, mintime=9)).time == 9


REQUIRED = ("version", "previousblockhash", "transactions", "coinbasevalue", "curtime", "bits", "height")


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_fields(name):
    with pytest.raises(TemplateError, match=f"has no {name}"):
        parse(answer(**{name: ...}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": "433"}, "height must be a whole number from 1 to .*, not '433'"),
        ({"height": True}, "height must be a whole number"),
        ({"height": 1.0}, "height must be a whole number"),
        ({"height": -1}, "height"),
        ({"height": 1 << 40}, "height"),
        ({"version": None}, "version must be .* not None"),
        ({"previousblockhash": "00" * 31}, "previousblockhash must be 32 bytes in hex"),
        ({"previousblockhash": "zz" * 32}, "previousblockhash must be 32 bytes in hex"),
        ({"previousblockhash": "0 " * 32}, "previousblockhash must be 32 bytes in hex"),
        ({"previousblockhash": 7}, "previousblockhash must be 32 bytes in hex, not 7"),
        ({"bits": "207fff"}, "bits must be 4 bytes in hex"),
        ({"bits": "00000000"}, "bits make no sense: .* zero"),
        ({"bits": "ff7fffff"}, "bits make no sense: .* beyond 256 bits"),
        ({"bits": "20ffffff"}, "bits make no sense: .* negative"),
        ({"target": "f" * 64}, "target must be what its bits 207fffff stand for"),
        ({"target": "00"}, "target must be 32 bytes"),
        ({"coinbasevalue": -1}, "coinbasevalue"),
        ({"coinbasevalue": 1 << 62}, "coinbasevalue"),
        ({"coinbasevalue": ..., "coinbasetxn": {}}, "coinbasetxn"),
        ({"curtime": 1 << 32}, "curtime"),
        ({"mintime": "soon"}, "mintime"),
        ({"transactions": {}}, "transactions must be a list"),
        ({"transactions": ["00"]}, "transaction 1 must be an object, not '00'"),
        ({"transactions": [{}]}, "has no data"),
        ({"transactions": [{"data": "0g"}]}, "transaction 1's data must be 1 to"),
        ({"transactions": [{"data": ""}]}, "transaction 1's data must be 1 to"),
        ({"transactions": [{"data": "00"}]}, "transaction 1's data is no transaction: it ends at byte 1"),
        ({"transactions": [{}] * (TRANSACTIONS_MAX + 1)}, "200001 transactions; 200000 is the most"),
        ({"transactions": [{"data": PLAIN.hex(), "txid": "00" * 32}]}, "transaction 1's txid must be the hash of"),
        ({"transactions": [{"data": PLAIN.hex(), "hash": "00" * 32}]}, "transaction 1's hash must be the hash of"),
        ({"coinbaseaux": []}, "coinbaseaux must be an object"),
        ({"coinbaseaux": {"flags": "00" * 65}}, "coinbaseaux flags must be 0 to 64 bytes"),
        ({"coinbaseaux": {"a": "00" * 40, "b": "00" * 40}}, "coinbaseaux must be 64 bytes at most"),
        ({"rules": "segwit"}, "rules must be a list"),
        ({"rules": [1]}, "rules must be a list"),
        ({"rules": ["!moon"]}, "demands the rule '!moon'"),
        ({"longpollid": 5}, "longpollid"),
        ({"workid": 5}, "workid"),
        ({"curtime": float("nan")}, "curtime must be a whole number .* not nan"),
        ({"height": 1e3}, "height must be a whole number"),
        ({"longpollid": "x" * 2000}, r"longpollid must be .* not 'xxx.*\.\.\. \(str\)$"),
        ({"default_witness_commitment": "6a24"}, "default_witness_commitment must be that of its transactions"),
    ],
)
def test_malformed_templates(changes, message):
    with pytest.raises(TemplateError, match=message) as caught:
        parse(answer(**changes))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", [None, [], "<html>", 7])
def test_answers_that_are_no_templates(value):
    with pytest.raises(TemplateError, match="is a JSON object, not"):
        parse(value)


def test_a_field_that_is_anything_else_never_escapes_as_another_error():
    odd = [None, True, -1, 1 << 70, 0.5, "", "00", "é" * 64, [], [[]], [{}], {}, {"flags": None}, {"": {}}]
    for name in answer():
        for value in odd:
            changed = copy.deepcopy(answer())
            changed[name] = value
            try:
                parse(changed)
            except TemplateError:
                continue
