/* Counter-based random numbers: the i-th number of a stream is a hash of (key, i). */
#ifndef TASKSPRINT_GENOME_H
#define TASKSPRINT_GENOME_H

#include <stdint.h>

/* The finaliser of splitmix64 with Stafford's constants (variant 13): each input bit reaches each output bit. */
static inline uint64_t genome_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94D049BB133111EB);
    return value ^ (value >> 31);
}

static inline uint64_t genome_draw(uint64_t key, uint64_t counter)
{
    return genome_mix(key + (counter + 1) * UINT64_C(0x9E3779B97F4A7C15));
}

/* The shift that divides by a window of 32 or 64 bits, 0 for every other: a division costs more than the flip itself. */
static inline uint32_t genome_shift(uint64_t window)
{
    return window == 32 ? 5 : window == 64 ? 6 : 0;
}

#endif
