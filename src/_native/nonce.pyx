# cython: language_level=3
"""The nonce search; `tasksprint.native.nonce` is the documented face, and checks the arguments."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t


cdef extern from "nonce_kernels.h" nogil:
    ctypedef struct Work "struct nonce_work":
        pass

    ctypedef struct Kernel "struct nonce_kernel":
        const char *name
        int (*usable)()

    ctypedef struct Hit "struct nonce_hit":
        uint32_t nonce
        uint8_t *hash

    const int NONCE_KERNELS
    const Kernel *nonce_kernels

    void nonce_prepare(Work *work, const Kernel *kernel, const uint8_t *header, const uint8_t *target)
    uint64_t nonce_search(
        Work *work, const Kernel *kernel, uint32_t start, uint64_t count,
        const uint8_t *stop, Hit *hits, size_t room, size_t *hit_count,
    )


cdef enum:
    ALIGNMENT = 4096  # of the kernel's memory: where its buffers lie in the cache does not change from run to run
    FOUND_AT_ONCE = 4096  # hits that are gathered before Python objects are made of them


def kernels():
    """The names of the compiled kernels that this processor can run, most specialised first."""
    return [nonce_kernels[i].name.decode() for i in range(NONCE_KERNELS) if nonce_kernels[i].usable()]


cdef const Kernel *kernel_named(str name) except NULL:
    cdef int i
    for i in range(NONCE_KERNELS):
        if nonce_kernels[i].name.decode() == name and nonce_kernels[i].usable():
            return &nonce_kernels[i]
    raise ValueError(f"no kernel {name!r} on this processor; it has {', '.join(kernels())}")


def search(bytes header, uint32_t start, uint64_t count, bytes target, str kernel, stop, size_t max_hits):
    """(hits, hashes done); header is 80 bytes, target 32 bytes little-endian, max_hits at least 1."""
    cdef const Kernel *chosen = kernel_named(kernel)
    cdef const uint8_t *header_bytes = header
    cdef const uint8_t *target_bytes = target
    cdef const uint8_t *stop_byte = NULL
    cdef size_t room = min(max_hits, <size_t> FOUND_AT_ONCE)
    cdef size_t found = 0
    cdef size_t i
    cdef size_t total = 0
    cdef uint64_t done = 0
    cdef uint64_t step
    cdef Py_buffer view
    if len(header) != 80 or len(target) != 32 or max_hits < 1:
        raise ValueError("search needs 80 bytes of header, 32 of target, and room for a hit")
    cdef void *block = PyMem_Malloc(sizeof(Work) + ALIGNMENT + room * sizeof(Hit))
    if block is NULL:
        raise MemoryError()
    cdef Work *work = <Work *> (((<uintptr_t> block) + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT)
    cdef Hit *hits = <Hit *> (<uint8_t *> work + sizeof(Work))
    result = []
    try:
        if stop is not None:
            PyObject_GetBuffer(stop, &view, PyBUF_SIMPLE)
            if view.len < 1:
                PyBuffer_Release(&view)
                raise ValueError("stop must have a byte")
            stop_byte = <const uint8_t *> view.buf
        try:
            with nogil:
                nonce_prepare(work, chosen, header_bytes, target_bytes)
            while done < count:
                room = min(room, max_hits - total)
                with nogil:
                    step = nonce_search(
                        work, chosen, start + <uint32_t> done, count - done, stop_byte, hits, room, &found
                    )
                done += step
                for i in range(found):
                    result.append((hits[i].nonce, (<uint8_t *> hits[i].hash)[:32]))
                total += found
                if found < room or total == max_hits:
                    break
        finally:
            if stop_byte is not NULL:
                PyBuffer_Release(&view)
    finally:
        PyMem_Free(block)
    return result, done
