"""The client of a machine: runs nodes, keeps results, serves them to others, reports.

`core` (pure) turns what changed in the view into fetches, starts, cancels and reports; `session` (pure) keeps the
conversation with the coordinators; `effects` is what they ask of `agent`, the shell.

Promises: a report is sent until it is acknowledged, and takes effect once; a cancelled attempt reports nothing; a
result is served only whole and with its digest; whatever a node does becomes the outcome of its task alone.
"""
