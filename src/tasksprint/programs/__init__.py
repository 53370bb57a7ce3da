"""Programs: the only room that starts processes.

- `child`: one process on pipes: clean environment, own session and process group, limits, bounded buffers.
- `keeper`: a tiny shell that ends every registered process group when its owner dies, even by ``kill -9``.
- `user_process`: the life that both kinds of program share.  `node_process`: a node's.  `scheduler_process`: a
  scheduler's.
- `check`: talks to any program and says what it gets wrong.

Promises: nothing that a program does (crash, hang, garbage, a gigabyte line, deafness to ``cancel``, never
reading its input) raises in its owner or takes more than a bounded amount of memory; it becomes one typed
outcome with the end of the program's stderr.  A process group that was started here ends with its owner.
Callbacks only, from the loop's thread; nothing here waits.
"""
