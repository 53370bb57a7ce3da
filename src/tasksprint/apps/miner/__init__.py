"""The Bitcoin miner: blocks from a full node's templates, found by every client's cores.

`block`, `transaction`, `coinbase`, `address` and `template` are pure: the bytes of blocks and what a node says about
them.  Promises: what a node sends is checked before it is used, and a refusal names the field; hashes are in hashing
order everywhere inside.
"""
