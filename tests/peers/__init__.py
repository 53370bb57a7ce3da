"""Programs that nobody here wrote, which the miner is tested against: two Bitcoin nodes and Bitcoin Core's own judge.

They are fetched into a cache folder outside of this tree the first time that they are needed, and never shipped.  Where
one cannot be had, the tests that need it fail; with TASKSPRINT_WITHOUT_PEERS=1 they are left out, and say so.
Everything listens on 127.0.0.1 alone.
"""
