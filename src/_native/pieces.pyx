# cython: language_level=3
"""The word count's hot loops; `tasksprint.native.pieces` is the documented face."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "pieces_merge.h" nogil:
    ctypedef struct Counter:
        size_t used, long_used
        uint64_t words

    ctypedef struct Entry:
        const uint8_t *bytes
        uint64_t length, count

    ctypedef struct Sorted:
        uint64_t *part_bytes

    ctypedef struct Cursor:
        const uint8_t *begin
        const uint8_t *at
        const uint8_t *end

    ctypedef struct Merger:
        Cursor *cursors
        Entry *top
        size_t top_used, bad_piece, bad_offset
        uint64_t words, distinct
        const char *reason

    const int PIECES_NO_MEMORY
    const int PIECES_BAD

    void pieces_prepare()
    void counter_free(Counter *counter)
    int64_t count_words(Counter *counter, const uint8_t *text, size_t size, int final)
    int counter_sort(const Counter *counter, uint32_t parts, Sorted *sorted_)
    void sorted_write(const Sorted *sorted_, uint8_t **out)
    void sorted_free(Sorted *sorted_)
    void merger_free(Merger *merger)
    int merger_room(Merger *merger, size_t pieces, size_t top)
    int merger_start(Merger *merger)
    size_t next_line_bytes(const Merger *merger)
    int64_t merger_lines(Merger *merger, uint8_t *out, size_t room)


pieces_prepare()


@cython.final
cdef class WordCounter:
    cdef Counter counter
    cdef bint busy

    def __dealloc__(self):
        counter_free(&self.counter)

    cdef int enter(self) except -1:
        """Another thread may call in while the lock of the interpreter is released."""
        if self.busy:
            raise RuntimeError("a WordCounter is used by two threads at once")
        self.busy = True
        return 0

    def feed(self, data, bint final=False):
        cdef Py_buffer view
        cdef int64_t done
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.enter()
            with nogil:
                done = count_words(&self.counter, <const uint8_t *> view.buf, <size_t> view.len, final)
            self.busy = False
        finally:
            PyBuffer_Release(&view)
        if done < 0:
            raise MemoryError("no memory for more distinct words")
        return done

    @property
    def words(self):
        return self.counter.words

    @property
    def distinct(self):
        return self.counter.used + self.counter.long_used

    def parts(self, uint32_t parts):
        cdef Sorted sorted_
        cdef int outcome
        if parts < 1 or parts > 65536:
            raise ValueError(f"parts must be 1 to 65,536, not {parts}")
        self.enter()
        try:
            with nogil:
                outcome = counter_sort(&self.counter, parts, &sorted_)
            try:
                if outcome == PIECES_NO_MEMORY:
                    raise MemoryError("no memory to sort the words")
                if outcome == PIECES_BAD:
                    raise ValueError("a word is longer than 4 GiB")
                return write_parts(&sorted_, parts)
            finally:
                sorted_free(&sorted_)
        finally:
            self.busy = False


cdef list write_parts(const Sorted *sorted_, uint32_t parts):
    cdef uint8_t **out = <uint8_t **> PyMem_Malloc(parts * sizeof(uint8_t *))
    cdef list written = []
    cdef uint32_t part
    if out is NULL:
        raise MemoryError()
    try:
        for part in range(parts):
            piece = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> sorted_.part_bytes[part])
            out[part] = <uint8_t *> PyBytes_AS_STRING(piece)
            written.append(piece)
        with nogil:
            sorted_write(sorted_, out)
    finally:
        PyMem_Free(out)
    return written


@cython.final
cdef class WordMerger:
    cdef Merger merger
    cdef Py_buffer *views
    cdef size_t held
    cdef bint busy

    def __init__(self, pieces, size_t top=0):
        cdef int outcome
        if self.views is not NULL:
            raise RuntimeError("a WordMerger is made once")
        if top > 10000:
            raise ValueError(f"top must be at most 10,000, not {top}")
        pieces = tuple(pieces)
        self.views = <Py_buffer *> PyMem_Malloc((len(pieces) + 1) * sizeof(Py_buffer))
        if self.views is NULL or merger_room(&self.merger, len(pieces), top):
            raise MemoryError()
        for piece in pieces:
            PyObject_GetBuffer(piece, &self.views[self.held], PyBUF_SIMPLE)
            self.merger.cursors[self.held].begin = <const uint8_t *> self.views[self.held].buf
            self.merger.cursors[self.held].at = self.merger.cursors[self.held].begin
            self.merger.cursors[self.held].end = self.merger.cursors[self.held].begin + self.views[self.held].len
            self.held += 1
        with nogil:
            outcome = merger_start(&self.merger)
        if outcome:
            self.refuse()

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.held):
            PyBuffer_Release(&self.views[i])
        PyMem_Free(self.views)
        merger_free(&self.merger)

    cdef refuse(self):
        reason = (<bytes> self.merger.reason).decode()
        raise ValueError(f"piece {self.merger.bad_piece} is no word count: {reason} (byte {self.merger.bad_offset})")

    def lines(self, size_t limit=1 << 20):
        cdef size_t room = max(limit, next_line_bytes(&self.merger))
        cdef int64_t used
        if self.merger.reason is not NULL:
            self.refuse()
        if self.busy:
            raise RuntimeError("a WordMerger is used by two threads at once")
        if next_line_bytes(&self.merger) == 0:
            return b""
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> room)
        cdef uint8_t *place = <uint8_t *> PyBytes_AS_STRING(out)
        self.busy = True
        with nogil:
            used = merger_lines(&self.merger, place, room)
        self.busy = False
        if used < 0:
            self.refuse()
        return out[:used]

    @property
    def words(self):
        return self.merger.words

    @property
    def distinct(self):
        return self.merger.distinct

    def top(self):
        cdef size_t i
        return [
            (self.merger.top[i].bytes[:self.merger.top[i].length], self.merger.top[i].count)
            for i in range(self.merger.top_used)
        ]
