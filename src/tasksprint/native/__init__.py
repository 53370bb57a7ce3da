"""The documented face and the plain twin of each compiled module.

`pieces`: counting words and merging counts.  `genome`: the genetic operators of the root finder.  `nonce`: the search
of the miner.  `syncer`: writes that are on the disk, made by a thread without the interpreter's lock.  Only a face
imports its compiled module (`_pieces`, made of src/_native/pieces.pyx); the plain twin (`pieces_plain`) says the same
in Python, and every test runs on both.

Promises: both twins give the same bytes; hot loops run without the interpreter's lock; nothing here opens a file,
a socket or a process, or knows the time (the syncer writes to files that others opened, and says how long it took).
"""
