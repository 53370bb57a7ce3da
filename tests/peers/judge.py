"""Bitcoin Core's own validation code, in a process of its own: is every one of these blocks valid?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.peers.fetching import needed

PROGRAM = """
import sys, pbk
context_options = pbk.ContextOptions()
context_options.set_chainparams(pbk.ChainParameters(pbk.ChainType.REGTEST))
context = pbk.Context(context_options)
options = pbk.ChainstateManagerOptions(context, sys.argv[1], sys.argv[1] + "/blocks")
manager = pbk.ChainstateManager(options)
for line in sys.stdin:
    manager.process_block(pbk.Block(bytes.fromhex(line)))
chain = manager.get_active_chain()
print(chain.height, chain.block_tree_entries[-1].block_hash)
"""


def judged(blocks: list[str], folder: Path) -> tuple[int, str]:
    """(height, hash of the tip) of the chain that Core makes of these blocks; an invalid block is not in it."""
    environment = {**os.environ, "PYTHONPATH": str(needed("judge"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        input="\n".join(blocks) + "\n",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    height, tip = done.stdout.split()[-2:]
    return int(height), tip
