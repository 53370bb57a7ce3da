"""Counting words, and merging the counts: the face of the compiled module `_pieces`.

A word is a run of bytes other than the six ASCII white spaces (space, \\t, \\n, \\v, \\f, \\r); nothing
else is assumed about the text.  Counts travel as *pieces*: the MessagePack arrays `[bin word, uint count]`
one after another, words ascending bytewise, so that equal counts give equal bytes and any MessagePack
reader, `msgpack.Unpacker` for one, reads them.  A word's part is `(CRC-32 of it * parts) >> 32`.

    class WordCounter:
        feed(data, final=False) -> int   count the words that end inside `data` (any object with a
                                         contiguous buffer) and, when `final`, the one that ends with it.
                                         Returns how many bytes are done with: all of them, or those
                                         before the unfinished last word, which the caller passes in
                                         again with what follows it.
        words, distinct: int             counted so far
        parts(parts) -> list[bytes]      the counts as `parts` pieces (1 to 65,536).  The counter keeps
                                         them: more may be fed afterwards.

    class WordMerger(pieces, top=0):     merges pieces; holds their buffers.  A piece that is not one
                                         raises ValueError with the piece's place, the reason, and the offset,
                                         here or in `lines`, whenever it is reached.
        lines(limit=1 MiB) -> bytes      the next lines `word TAB count LF`, words ascending bytewise,
                                         of at most `limit` bytes unless one line is longer; b"" at the end
        words, distinct: int             merged so far
        top() -> list[(word, count)]     the `top` (at most 10,000) most frequent words merged so far; of
                                         equally frequent ones the lesser bytes come first

Both release the interpreter's lock while they work; one object serves one thread at a time.  `pieces_plain`
has the same two classes in plain Python, and every test runs on both; where nothing was compiled it stands
in, some thirty times slower, and `COMPILED` is false.
"""

from tasksprint.native import pieces_plain

try:
    from tasksprint.native import _pieces as _kernel
except ImportError:
    _kernel = pieces_plain  # type: ignore[misc]

COMPILED = _kernel is not pieces_plain
WordCounter = _kernel.WordCounter
WordMerger = _kernel.WordMerger

__all__ = ["COMPILED", "WordCounter", "WordMerger"]
