"""The multiple root finder: all the roots of a function or a system of equations in a box, without first guesses.

What it promises: the same seed and budget give the same table, byte for byte, however many clients take part and in
whatever order their tasks end; never more evaluations than the budget; a point is called a root only when the residual
falls to nothing around it, so that poles, jumps and near misses are not.

How it is built: `expression` turns text into vectorised numpy without ever evaluating it; `problem` is what is
searched; `tasks` are pure functions of (arguments, inputs, seed), and `search` is the state machine that decides on
the next ones from their results. `local` runs both in one process; `scheduler` and `node` run them on a cluster.
"""
