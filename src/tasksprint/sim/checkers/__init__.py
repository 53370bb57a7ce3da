"""One checker a file, one invariant a checker: what must hold at every moment of every simulated run.

Promises: a checker only watches; it changes nothing and draws no chance, so that a run with it and a run
without it are the same run.
"""
