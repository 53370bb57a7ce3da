"""A node's answer to getblocktemplate (BIP 22, 23, 9, 145, 325), checked field by field before anything is built on it.

`parse` turns the JSON object into a Template or raises TemplateError, which names the field, what is wrong with it and
what was there.  Nothing of the answer is believed that can be computed: ids come from the transactions' own bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tasksprint.apps.miner.block import (
    BlockError,
    block_of,
    double_sha256,
    header_of,
    merkle_branch,
    root_from_branch,
    target_of,
)
from tasksprint.apps.miner.coinbase import VALUE_MAX, Coinbase, coinbase, witness_commitment
from tasksprint.apps.miner.transaction import TransactionError, without_witness

TRANSACTIONS_MAX: Final = 200_000
TRANSACTIONS_BYTES: Final = 128 << 20  # of all transactions together
FLAGS_BYTES: Final = 64
WORD_CHARACTERS: Final = 1024
RULES_KNOWN: Final = ("csv", "segwit", "taproot", "testdummy", "signet")
OP_TRUE: Final = "51"  # the challenge of a signet on which anybody may mine
SHOWN_CHARACTERS: Final = 60


class TemplateError(ValueError):
    """A template that cannot be mined on; the text says which field is wrong."""


class Unminable(Exception):
    """Nothing that this miner may mine on, now or later."""


@dataclass(frozen=True, slots=True)
class Transaction:
    data: bytes
    txid: bytes
    wtxid: bytes


@dataclass(frozen=True, slots=True)
class Template:
    """What a block needs; hashes in hashing order."""

    height: int
    version: int
    previous: bytes
    bits: int
    target: int
    value: int  # what the coinbase may pay
    time: int  # of the node, in seconds
    least_time: int
    transactions: tuple[Transaction, ...]
    segwit: bool
    flags: bytes  # for the coinbase's script
    longpoll: str  # empty where the node has none
    work_id: str  # what the node wants to hear again with the block; empty where it wants nothing

    def branch(self) -> tuple[bytes, ...]:
        return merkle_branch([transaction.txid for transaction in self.transactions])

    def commitment(self) -> bytes | None:
        """The witness commitment's output script, where segwit is active."""
        return witness_commitment([transaction.wtxid for transaction in self.transactions]) if self.segwit else None

    def coinbase(self, pay_to: bytes, extranonce: int, message: bytes = b"") -> Coinbase:
        return coinbase(
            self.height,
            self.value,
            pay_to,
            extranonce,
            message=message,
            flags=self.flags,
            commitment=self.commitment(),
        )

    def header(self, paid: Coinbase, time: int | None = None, nonce: int = 0) -> bytes:
        """The 80 bytes to search; `time` is the template's unless it is given."""
        root = root_from_branch(paid.txid, self.branch())
        return header_of(self.version, self.previous, root, self.time if time is None else time, self.bits, nonce)

    def block(self, header: bytes, paid: Coinbase) -> bytes:
        return block_of(header, paid.whole, [transaction.data for transaction in self.transactions])


def parse(answer: object) -> Template:
    """The template in a node's answer; TemplateError, or Unminable where the next one will be no better."""
    if not isinstance(answer, Mapping):
        raise TemplateError(f"a block template is a JSON object, not {_shown(answer)}")
    if "coinbasevalue" not in answer and "coinbasetxn" in answer:
        raise TemplateError(
            "the node gives a coinbase of its own (coinbasetxn), not a coinbasevalue to pay to an address"
        )
    _for_anybody(answer)
    bits = _bits(answer)
    time, least_time = _number(answer, "curtime", 0, (1 << 32) - 1), _number(answer, "mintime", 0, (1 << 32) - 1, 0)
    template = Template(
        height=_number(answer, "height", 1, (1 << 31) - 1),
        version=_number(answer, "version", -(1 << 31), (1 << 32) - 1),
        previous=_bytes(answer, "previousblockhash", 32, 32)[::-1],
        bits=bits,
        target=_target(answer, bits),
        value=_number(answer, "coinbasevalue", 0, VALUE_MAX),
        time=max(time, least_time),
        least_time=least_time,
        transactions=_transactions(answer),
        segwit=_segwit(answer),
        flags=_flags(answer),
        longpoll=_word(answer, "longpollid"),
        work_id=_word(answer, "workid"),
    )
    _agrees(answer, template)
    return template


# --- fields ---------------------------------------------------------------------------------------------------------
def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}... ({type(value).__name__})"


def _wrong(name: str, wanted: str, value: object) -> TemplateError:
    return TemplateError(f"the template's {name} must be {wanted}, not {_shown(value)}")


def _present(fields: Mapping[str, object], name: str) -> object:
    if name not in fields:
        raise TemplateError(f"the template has no {name}")
    return fields[name]


def _number(fields: Mapping[str, object], name: str, least: int, most: int, default: int | None = None) -> int:
    value = _present(fields, name) if default is None else fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(name, f"a whole number from {least} to {most}", value)
    return value


def _bytes(fields: Mapping[str, object], name: str, least: int, most: int, where: str = "") -> bytes:
    value = _present(fields, name)
    wanted = f"{least} bytes" if least == most else f"{least} to {most} bytes"
    if not isinstance(value, str) or len(value) > 2 * most or len(value) < 2 * least or len(value) % 2:
        raise _wrong(where + name, f"{wanted} in hex", value)
    try:
        data = bytes.fromhex(value)
    except ValueError:
        data = b""
    if 2 * len(data) != len(value):  # fromhex lets spaces pass
        raise _wrong(where + name, f"{wanted} in hex", value)
    return data


def _bits(fields: Mapping[str, object]) -> int:
    bits = int.from_bytes(_bytes(fields, "bits", 4, 4), "big")
    try:
        target_of(bits)
    except BlockError as error:
        raise TemplateError(f"the template's bits make no sense: {error}") from error
    return bits


def _target(fields: Mapping[str, object], bits: int) -> int:
    """The target that the header's bits stand for, which the target that is spelled out must equal."""
    target = target_of(bits)
    if "target" in fields and int.from_bytes(_bytes(fields, "target", 32, 32), "big") != target:
        raise _wrong("target", f"what its bits {bits:08x} stand for, {target:064x}", fields["target"])
    return target


def _flags(fields: Mapping[str, object]) -> bytes:
    """What the node wants in the coinbase's script: the values of coinbaseaux, whatever their names are."""
    value = fields.get("coinbaseaux", {})
    if not isinstance(value, Mapping):
        raise _wrong("coinbaseaux", "an object", value)
    flags = b"".join(_bytes(value, name, 0, FLAGS_BYTES, "coinbaseaux ") for name in value)
    if len(flags) > FLAGS_BYTES:
        raise _wrong("coinbaseaux", f"{FLAGS_BYTES} bytes at most", value)
    return flags


def _segwit(fields: Mapping[str, object]) -> bool:
    """Only the rules tell; a default_witness_commitment may be there without segwit."""
    rules = fields.get("rules", [])
    if not isinstance(rules, Sequence) or not all(isinstance(rule, str) for rule in rules) or isinstance(rules, str):
        raise _wrong("rules", "a list of names", rules)
    for rule in rules:
        if rule.startswith("!") and rule[1:] not in RULES_KNOWN:
            raise TemplateError(f"the template demands the rule {_shown(rule)}, which this miner does not know")
    return "segwit" in rules or "!segwit" in rules


def _word(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or len(value) > WORD_CHARACTERS:
        raise _wrong(name, f"a text of at most {WORD_CHARACTERS} characters", value)
    return value


def _for_anybody(fields: Mapping[str, object]) -> None:
    """The blocks of a signet carry the signature of whoever runs it (BIP 325)."""
    challenge = fields.get("signet_challenge", OP_TRUE)
    if challenge != OP_TRUE:
        raise Unminable(
            "this signet's blocks must be signed by whoever runs it; one can be mined by anybody only where the "
            f"signetchallenge is {OP_TRUE}"
        )


def _transactions(fields: Mapping[str, object]) -> tuple[Transaction, ...]:
    rows = _present(fields, "transactions")
    if not isinstance(rows, list):
        raise _wrong("transactions", "a list", rows)
    if len(rows) > TRANSACTIONS_MAX:
        raise TemplateError(f"the template has {len(rows)} transactions; {TRANSACTIONS_MAX} is the most")
    transactions, room = [], TRANSACTIONS_BYTES
    for place, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise _wrong(f"transaction {place}", "an object", row)
        transactions.append(_transaction(row, f"transaction {place}'s ", room))
        room -= len(transactions[-1].data)
    return tuple(transactions)


def _transaction(row: Mapping[str, object], where: str, room: int) -> Transaction:
    data = _bytes(row, "data", 1, room, where)
    try:
        plain = without_witness(data)
    except TransactionError as error:
        raise TemplateError(f"the template's {where}data is no transaction: {error}") from error
    wtxid = double_sha256(data)
    txid = wtxid if plain is data else double_sha256(plain)
    for name, digest in (("txid", txid), ("hash", wtxid)):
        if name in row and _bytes(row, name, 32, 32, where)[::-1] not in (digest, txid):
            raise _wrong(where + name, f"the hash of its data, {digest[::-1].hex()}", row[name])
    return Transaction(data, txid, wtxid)


def _agrees(fields: Mapping[str, object], template: Template) -> None:
    """The node's own witness commitment, where there is one and segwit is on, is the one that we compute."""
    own = fields.get("default_witness_commitment")
    if template.segwit and own is not None:
        commitment = template.commitment() or b""
        if not isinstance(own, str) or own.lower() != commitment.hex():
            raise _wrong("default_witness_commitment", f"that of its transactions, {commitment.hex()}", own)
