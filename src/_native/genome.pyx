# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The genetic operators on fixed-point genomes.

A population is a C-contiguous table of unsigned words, one row an individual, one word a coordinate. One generation is
selection, averaging and flips. Two things make it fast. Random numbers are counted, not carried: the i-th number of a
stream is a hash of (key, i), so that the loop has no chain from one draw to the next and the processor overlaps the
random gathers. Flips are found by geometric skips: the distance from one flipped bit to the next is one draw, looked up
in a table of thresholds, so the cost follows the flips (n * d * bits * p of them) and not the bits.

`tasksprint.native.genome_plain` has the same functions in plain numpy, with the same output for the same keys.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cdef extern from "genome.h" nogil:
    uint64_t genome_mix(uint64_t value)
    uint64_t genome_draw(uint64_t key, uint64_t counter)
    uint32_t genome_shift(uint64_t window)

ctypedef fused word:
    uint32_t
    uint64_t


cdef inline uint32_t _winner(const double* fitness, uint32_t size, uint64_t draw) noexcept nogil:
    """The fitter of two: each half of the draw names one individual; the first wins a tie."""
    cdef uint32_t one = <uint32_t>(((draw >> 32) * size) >> 32)
    cdef uint32_t two = <uint32_t>(((draw & 0xFFFFFFFFu) * size) >> 32)
    return one ^ ((one ^ two) & (<uint32_t>0 - <uint32_t>(fitness[two] > fitness[one])))  # no branch: it is a coin's toss


cdef void _select(const double* fitness, uint32_t size, uint64_t key, int64_t count, uint32_t* parents) noexcept nogil:
    cdef int64_t i
    for i in range(count):
        parents[i] = _winner(fitness, size, genome_draw(key, <uint64_t>i))


cdef void _average(const word* genomes, int64_t width, const uint32_t* one, const uint32_t* two, int64_t count,
                   int64_t stride, word* out) noexcept nogil:
    cdef int64_t i, j
    cdef const word* a
    cdef const word* b
    for i in range(count):
        a = genomes + width * <int64_t>one[i * stride]
        b = genomes + width * <int64_t>two[i * stride]
        for j in range(width):
            out[i * width + j] = (a[j] & b[j]) + ((a[j] ^ b[j]) >> 1)


cdef void _breed_narrow(const word* genomes, const double* fitness, uint32_t size, uint64_t key, word* out) noexcept nogil:
    """Selection and averaging in one pass, one coordinate."""
    cdef int64_t i
    cdef word a, b
    for i in range(<int64_t>size):
        a = genomes[_winner(fitness, size, genome_draw(key, <uint64_t>(2 * i)))]
        b = genomes[_winner(fitness, size, genome_draw(key, <uint64_t>(2 * i + 1)))]
        out[i] = (a & b) + ((a ^ b) >> 1)


cdef void _breed(const word* genomes, const double* fitness, uint32_t size, int64_t width, uint64_t key,
                 word* out) noexcept nogil:
    cdef int64_t i, j
    cdef const word* a
    cdef const word* b
    for i in range(<int64_t>size):
        a = genomes + width * <int64_t>_winner(fitness, size, genome_draw(key, <uint64_t>(2 * i)))
        b = genomes + width * <int64_t>_winner(fitness, size, genome_draw(key, <uint64_t>(2 * i + 1)))
        for j in range(width):
            out[i * width + j] = (a[j] & b[j]) + ((a[j] ^ b[j]) >> 1)


cdef inline uint64_t _skip(const uint64_t* thresholds, const uint16_t* guide, uint64_t draw) noexcept nogil:
    """How many thresholds the draw has passed; the last one is a sentinel that no draw passes.

    The guide starts the count by the upper bits of the draw; the first step from there is taken without a branch, and
    a second one is so rare that the branch is foreseen.
    """
    cdef uint64_t k = guide[draw >> 52]
    k += draw > thresholds[k]
    while draw > thresholds[k]:
        k += 1
    return k


cdef inline word _changed(word old, word bit, uint64_t draw, bint carry) noexcept nogil:
    """The bit flipped; or, with carries, half the time added or taken away, and held at the ends of the range."""
    cdef word new
    if not (carry and draw & 1):
        return old ^ bit
    if draw & 2:
        new = old + bit
        return new if new >= old else <word>~<word>0
    new = old - bit
    return new if new <= old else <word>0


cdef int64_t _flip(word* cells, uint64_t words, uint32_t low, uint64_t window, uint64_t key, const uint64_t* thresholds,
                   const uint16_t* guide, uint64_t longest, bint carry) noexcept nogil:
    """Walk over the bits in the window of all words as one line, from flip to flip."""
    cdef uint64_t end = words * window, position = 0, counter = 0, draw, skip, cell
    cdef uint32_t shift = genome_shift(window)
    cdef int64_t flips = 0
    while True:
        draw = genome_draw(key, counter)
        counter += 1
        skip = _skip(thresholds, guide, draw)
        position += skip
        if position >= end:
            return flips
        if skip == longest:
            continue
        cell = position >> shift if shift else position // window
        cells[cell] = _changed(cells[cell], <word>((<word>1) << (low + position - cell * window)), draw, carry)
        flips += 1
        position += 1


cdef void _draws(uint64_t key, uint64_t first, int64_t count, uint64_t* out) noexcept nogil:
    cdef int64_t i
    for i in range(count):
        out[i] = genome_draw(key, first + <uint64_t>i)


def mix(value):
    return genome_mix(value)


def draws(uint64_t key, uint64_t first, uint64_t[::1] out not None):
    if out.shape[0]:
        with nogil:
            _draws(key, first, out.shape[0], &out[0])


def select(const double[::1] fitness not None, uint64_t key, uint32_t[::1] parents not None):
    if parents.shape[0]:
        with nogil:
            _select(&fitness[0], <uint32_t>fitness.shape[0], key, parents.shape[0], &parents[0])


def average(const word[:, ::1] genomes not None, const uint32_t[::1] one not None, const uint32_t[::1] two not None,
            word[:, ::1] out not None):
    if out.shape[0]:
        with nogil:
            _average(&genomes[0, 0], genomes.shape[1], &one[0], &two[0], out.shape[0], 1, &out[0, 0])


def flip(word[:, ::1] genomes not None, uint32_t low, uint64_t window, uint64_t key,
         const uint64_t[::1] thresholds not None, const uint16_t[::1] guide not None, bint carry):
    cdef int64_t flips
    with nogil:
        flips = _flip(&genomes[0, 0], <uint64_t>(genomes.shape[0] * genomes.shape[1]), low, window, key, &thresholds[0],
                      &guide[0], <uint64_t>(thresholds.shape[0] - 1), carry)
    return flips


def breed(const word[:, ::1] genomes not None, const double[::1] fitness not None, uint64_t key,
          word[:, ::1] out not None):
    if genomes.shape[1] == 1:
        with nogil:
            _breed_narrow(&genomes[0, 0], &fitness[0], <uint32_t>genomes.shape[0], key, &out[0, 0])
    else:
        with nogil:
            _breed(&genomes[0, 0], &fitness[0], <uint32_t>genomes.shape[0], genomes.shape[1], key, &out[0, 0])
