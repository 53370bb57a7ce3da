"""What of a template must be known to search and to pay, as plain JSON: small, whatever is in the block.  Pure.

The transactions themselves stay where the template was fetched (the piece `body`); they are needed only once, by
whoever submits.  `identity` ties the two together: a body of another template is noticed before it does harm.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from tasksprint.apps.miner import block
from tasksprint.apps.miner.coinbase import Coinbase, coinbase
from tasksprint.apps.miner.template import Template

Work = dict[str, Any]


def work_of(template: Template, pay_to: bytes, message: bytes, harder: int) -> Work:
    """`harder`: search for a hash 2**harder times rarer than the network asks for."""
    commitment = template.commitment()
    # so that a coinbase that cannot be is refused where the template is fetched
    coinbase(template.height, template.value, pay_to, 0, message=message, flags=template.flags, commitment=commitment)
    return {
        "identity": identity([transaction.data for transaction in template.transactions]),
        "height": template.height,
        "version": template.version,
        "previous": block.displayed(template.previous),
        "bits": template.bits,
        "target": f"{max(template.target >> harder, 1):064x}",
        "difficulty": block.difficulty(template.target),
        "value": template.value,
        "time": template.time,
        "pay_to": pay_to.hex(),
        "message": message.hex(),
        "flags": template.flags.hex(),
        "commitment": commitment.hex() if commitment is not None else "",
        "branch": [each.hex() for each in template.branch()],
        "transactions": len(template.transactions),
        "longpoll": template.longpoll,
        "workid": template.work_id,
    }


def identity(transactions: list[bytes]) -> str:
    """Names the transactions of a block."""
    digest = sha256()
    for each in transactions:
        digest.update(sha256(each).digest())
    return digest.hexdigest()[:32]


def paid(work: Work, extranonce: int) -> Coinbase:
    """The coinbase with this extranonce."""
    return coinbase(
        work["height"],
        work["value"],
        bytes.fromhex(work["pay_to"]),
        extranonce,
        message=bytes.fromhex(work["message"]),
        flags=bytes.fromhex(work["flags"]),
        commitment=bytes.fromhex(work["commitment"]) or None,
    )


def header(work: Work, extranonce: int) -> bytes:
    """The header to search, with nonce 0."""
    root = block.root_from_branch(paid(work, extranonce).txid, [bytes.fromhex(each) for each in work["branch"]])
    previous = bytes.fromhex(work["previous"])[::-1]
    return block.header_of(work["version"], previous, root, work["time"], work["bits"])
