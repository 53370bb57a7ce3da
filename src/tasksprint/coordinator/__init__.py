"""A coordinator: one replica of the replicated state machine, with its copies of the users' schedulers.

`core` (pure) is Paxos, the view and the schedulers' answers put together; `copies` compares what the copies say with
the log; `requests` is who waits for an answer; `effects` is what the core asks of `server`, the shell.

Promises: an answer leaves only when what it depends on is durable on a majority; only a leader whose own Begin is
applied serves; a scheduler's fault fails its own job and nothing else; a replica whose state differs stops.
"""
