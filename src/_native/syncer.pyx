# cython: language_level=3
"""Synced writes by a thread without the interpreter's lock; `tasksprint.native.syncer` is the documented face."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.stdint cimport int64_t


cdef extern from "syncer.h" nogil:
    ctypedef struct SyncThread:
        pass

    const int SYNCER_SUPPORTED

    SyncThread *syncer_new()
    int syncer_event(const SyncThread *thread)
    void syncer_begin(SyncThread *thread, int file, int64_t offset, const char *data, size_t size)
    int syncer_ended(const SyncThread *thread)
    int syncer_error(const SyncThread *thread)
    double syncer_seconds(const SyncThread *thread)
    void syncer_show(SyncThread *thread, int wanted)
    void syncer_clear(SyncThread *thread)
    void syncer_wait(SyncThread *thread)
    void syncer_free(SyncThread *thread)


if not SYNCER_SUPPORTED:
    raise ImportError("no eventfd on this system")


cdef class Syncer:
    cdef SyncThread *thread
    cdef bytes data  # what the thread reads

    def __cinit__(self):
        self.thread = syncer_new()
        if self.thread is NULL:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        if self.thread is not NULL:
            syncer_free(self.thread)

    cdef int check(self) except -1:
        if self.thread is NULL:
            raise ValueError("the syncer is closed")
        return 0

    def fileno(self):
        self.check()
        return syncer_event(self.thread)

    def begin(self, int file, int64_t offset, bytes data not None):
        self.check()
        if self.data is not None:
            raise RuntimeError("a write is under way")
        self.data = data
        syncer_begin(self.thread, file, offset, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    def result(self):
        self.check()
        if self.data is None or not syncer_ended(self.thread):
            return None
        self.data = None
        return syncer_error(self.thread), syncer_seconds(self.thread)

    def show(self, bint wanted):
        self.check()
        syncer_show(self.thread, wanted)

    def clear(self):
        self.check()
        syncer_clear(self.thread)

    def wait(self):
        self.check()
        if self.data is not None:
            with nogil:
                syncer_wait(self.thread)

    def close(self):
        cdef SyncThread *thread = self.thread
        self.thread = NULL
        if thread is not NULL:
            with nogil:
                syncer_free(thread)
            self.data = None
