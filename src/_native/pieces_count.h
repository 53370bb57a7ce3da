/* Counting words.
 *
 * Text is classified 64 bytes at a time into a bit mask of white space, from which the first and last
 * bytes of words follow by shifts.  A batch of words is first turned into keys (the bytes of a word of up
 * to 15, zero-padded, its length in the last byte: two 64-bit numbers that are equal exactly when the
 * words are), then hashed and prefetched, then looked up: the table is far larger than the first caches,
 * and the distance between prefetch and use hides that.  Longer words are rare and live in a second
 * table, their bytes in an arena.
 *
 * Nothing here needs the interpreter; everything that can fail returns a negative number. */
#ifndef TASKSPRINT_PIECES_COUNT_H
#define TASKSPRINT_PIECES_COUNT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define SHORT_WORD 15 /* bytes; longer words go to the second table */
#define BATCH 512     /* bytes of text whose words are looked up together */
#define BATCH_WORDS (BATCH / 2 + 2)
#define FIRST_CAPACITY 4096

enum { PIECES_OK = 0, PIECES_NO_MEMORY = -1, PIECES_BAD = -2 };

typedef struct {
    uint64_t low, high; /* bytes 0-7 and 8-14 of the word, its length in byte 15; high == 0: free */
    uint64_t count;
    uint64_t unused; /* a slot never crosses a cache line */
} ShortSlot;

typedef struct {
    uint64_t hash, offset, length, count; /* length == 0: free; offset into the arena */
} LongSlot;

typedef struct {
    ShortSlot *slots;
    size_t capacity, used;
    LongSlot *long_slots;
    size_t long_capacity, long_used;
    uint8_t *arena;
    size_t arena_size, arena_used;
    uint64_t words;
} Counter;

/* ---- words and white space --------------------------------------------------------------------- */

static inline int is_space(uint8_t byte) { return byte == 0x20 || (uint8_t)(byte - 9) <= 4; }

/* Bit i of the answer: byte i of these 64 is white space. */
static inline uint64_t space_mask(const uint8_t *text) {
    uint64_t mask = 0;
#if defined(__SSE2__)
    const __m128i blank = _mm_set1_epi8(0x20), nine = _mm_set1_epi8(9), four = _mm_set1_epi8(4);
    for (int i = 0; i < 4; i++) {
        __m128i block = _mm_loadu_si128((const __m128i *)(text + 16 * i));
        __m128i shifted = _mm_sub_epi8(block, nine);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(shifted, four), shifted);
        __m128i space = _mm_or_si128(control, _mm_cmpeq_epi8(block, blank));
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(space) << (16 * i);
    }
#elif defined(__aarch64__)
    static const uint8_t bit_of_lane[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t bits = vld1q_u8(bit_of_lane);
    for (int i = 0; i < 4; i++) {
        uint8x16_t block = vld1q_u8(text + 16 * i);
        uint8x16_t control = vcleq_u8(vsubq_u8(block, vdupq_n_u8(9)), vdupq_n_u8(4));
        uint8x16_t space = vandq_u8(vorrq_u8(control, vceqq_u8(block, vdupq_n_u8(0x20))), bits);
        uint64_t sixteen = vaddv_u8(vget_low_u8(space)) | (uint64_t)vaddv_u8(vget_high_u8(space)) << 8;
        mask |= sixteen << (16 * i);
    }
#else
    for (int i = 0; i < 64; i++) mask |= (uint64_t)is_space(text[i]) << i;
#endif
    return mask;
}

static uint8_t keep_bytes[SHORT_WORD + 1][16]; /* by length: 0xff for each byte of the word */
static uint8_t length_byte[SHORT_WORD + 1][16];
static uint32_t crc_table[256];

static void pieces_prepare(void) {
    for (int length = 0; length <= SHORT_WORD; length++) {
        memset(keep_bytes[length], 0xff, (size_t)length);
        length_byte[length][15] = (uint8_t)length;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0);
        crc_table[byte] = crc;
    }
}

static inline uint64_t load64(const void *from) {
    uint64_t value;
    memcpy(&value, from, 8);
    return value;
}

static inline uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xC2B2AE3D27D4EB4Fu);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_long(const uint8_t *bytes, size_t length) {
    uint64_t hash = length;
    size_t i = 0;
    for (; i + 16 <= length; i += 16) hash = mix(load64(bytes + i) ^ hash, load64(bytes + i + 8));
    return mix(hash ^ load64(bytes + length - 16), load64(bytes + length - 8)); /* length > 15 */
}

static uint32_t part_of(const uint8_t *bytes, size_t length, uint32_t parts) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < length; i++) crc = (crc >> 8) ^ crc_table[(crc ^ bytes[i]) & 0xFF];
    return (uint32_t)(((uint64_t)(crc ^ 0xFFFFFFFFu) * parts) >> 32);
}

/* ---- the two tables ---------------------------------------------------------------------------- */

static void counter_free(Counter *counter) {
    free(counter->slots);
    free(counter->long_slots);
    free(counter->arena);
    memset(counter, 0, sizeof *counter);
}

static int grow_short(Counter *counter) {
    size_t capacity = counter->capacity ? 2 * counter->capacity : FIRST_CAPACITY;
    ShortSlot *slots = calloc(capacity, sizeof *slots);
    if (!slots) return PIECES_NO_MEMORY;
    for (size_t i = 0; i < counter->capacity; i++) {
        if (!counter->slots[i].high) continue;
        size_t at = mix(counter->slots[i].low, counter->slots[i].high) & (capacity - 1);
        while (slots[at].high) at = (at + 1) & (capacity - 1);
        slots[at] = counter->slots[i];
    }
    free(counter->slots);
    counter->slots = slots;
    counter->capacity = capacity;
    return PIECES_OK;
}

static int grow_long(Counter *counter) {
    size_t capacity = counter->long_capacity ? 2 * counter->long_capacity : 256;
    LongSlot *slots = calloc(capacity, sizeof *slots);
    if (!slots) return PIECES_NO_MEMORY;
    for (size_t i = 0; i < counter->long_capacity; i++) {
        if (!counter->long_slots[i].length) continue;
        size_t at = counter->long_slots[i].hash & (capacity - 1);
        while (slots[at].length) at = (at + 1) & (capacity - 1);
        slots[at] = counter->long_slots[i];
    }
    free(counter->long_slots);
    counter->long_slots = slots;
    counter->long_capacity = capacity;
    return PIECES_OK;
}

static int keep_in_arena(Counter *counter, const uint8_t *bytes, size_t length) {
    if (counter->arena_size - counter->arena_used < length) {
        size_t size = 2 * counter->arena_size + length + 4096;
        uint8_t *arena = realloc(counter->arena, size);
        if (!arena) return PIECES_NO_MEMORY;
        counter->arena = arena;
        counter->arena_size = size;
    }
    memcpy(counter->arena + counter->arena_used, bytes, length);
    counter->arena_used += length;
    return PIECES_OK;
}

static int count_long(Counter *counter, const uint8_t *bytes, size_t length) {
    if (2 * (counter->long_used + 1) > counter->long_capacity && grow_long(counter)) return PIECES_NO_MEMORY;
    uint64_t hash = hash_long(bytes, length);
    size_t mask = counter->long_capacity - 1, at = hash & mask;
    for (; counter->long_slots[at].length; at = (at + 1) & mask) {
        LongSlot *slot = &counter->long_slots[at];
        if (slot->hash == hash && slot->length == length && !memcmp(counter->arena + slot->offset, bytes, length)) {
            slot->count++;
            return PIECES_OK;
        }
    }
    size_t offset = counter->arena_used;
    if (keep_in_arena(counter, bytes, length)) return PIECES_NO_MEMORY;
    counter->long_slots[at] = (LongSlot){hash, offset, length, 1};
    counter->long_used++;
    return PIECES_OK;
}

/* ---- counting ---------------------------------------------------------------------------------- */

typedef struct {
    uint64_t low[BATCH_WORDS], high[BATCH_WORDS], at[BATCH_WORDS];
    size_t used;
} Batch;

/* Keys of the batch are looked up; there is room for all of them (see count_words). */
static void count_batch(Counter *counter, Batch *batch) {
    ShortSlot *slots = counter->slots;
    size_t mask = counter->capacity - 1, used = 0;
    for (size_t i = 0; i < batch->used; i++) {
        uint64_t low = batch->low[i], high = batch->high[i];
        size_t at = batch->at[i];
        while (slots[at].high != high || slots[at].low != low) {
            if (!slots[at].high) {
                slots[at].low = low;
                slots[at].high = high;
                used++;
                break;
            }
            at = (at + 1) & mask;
        }
        slots[at].count++;
    }
    counter->used += used;
    batch->used = 0;
}

/* `readable`: bytes that may be read from `bytes` on. */
static inline int add_word(Counter *counter, Batch *batch, const uint8_t *bytes, size_t length, size_t readable) {
    uint8_t copy[16];
    counter->words++;
    if (length > SHORT_WORD) return count_long(counter, bytes, length);
    if (readable < 16) {
        memset(copy, 0, 16);
        memcpy(copy, bytes, length);
        bytes = copy;
    }
    uint64_t low = load64(bytes) & load64(keep_bytes[length]);
    uint64_t high = (load64(bytes + 8) & load64(keep_bytes[length] + 8)) | load64(length_byte[length] + 8);
    size_t at = mix(low, high) & (counter->capacity - 1);
    __builtin_prefetch(&counter->slots[at], 1);
    batch->low[batch->used] = low;
    batch->high[batch->used] = high;
    batch->at[batch->used++] = at;
    return PIECES_OK;
}

/* Count the words that end inside text[0:size] (and, when `final`, the one that ends with it).
 * Returns the number of bytes that are done with: all, or up to the start of the unfinished word. */
static int64_t count_words(Counter *counter, const uint8_t *text, size_t size, int final) {
    Batch batch;
    batch.used = 0;
    size_t word = 0;    /* where the current word began */
    uint64_t after = 1; /* the byte before this block was white space */
    for (size_t begin = 0; begin < size; begin += 64) {
        if (begin % BATCH == 0) {
            count_batch(counter, &batch);
            if (2 * (counter->used + BATCH_WORDS) > counter->capacity && grow_short(counter)) return PIECES_NO_MEMORY;
        }
        uint64_t space, valid = ~(uint64_t)0;
        if (size - begin >= 64) {
            space = space_mask(text + begin);
        } else {
            uint8_t rest[64] = {0};
            memcpy(rest, text + begin, size - begin);
            space = space_mask(rest);
            valid = ((uint64_t)1 << (size - begin)) - 1;
        }
        uint64_t before = space << 1 | after;
        uint64_t edges = (space ^ before) & valid; /* the first bytes of words, and of white space */
        if (!after && edges) {                     /* a word from an earlier block ends here */
            size_t end = begin + (size_t)__builtin_ctzll(edges);
            if (add_word(counter, &batch, text + word, end - word, size - word)) return PIECES_NO_MEMORY;
            edges &= edges - 1;
        }
        while (edges) {
            word = begin + (size_t)__builtin_ctzll(edges);
            edges &= edges - 1;
            if (!edges) break;
            size_t end = begin + (size_t)__builtin_ctzll(edges);
            edges &= edges - 1;
            if (add_word(counter, &batch, text + word, end - word, size - word)) return PIECES_NO_MEMORY;
        }
        after = space >> 63;
    }
    count_batch(counter, &batch);
    if (size == 0 || is_space(text[size - 1])) return (int64_t)size;
    if (!final) return (int64_t)word;
    if (2 * (counter->used + 1) > counter->capacity && grow_short(counter)) return PIECES_NO_MEMORY;
    if (add_word(counter, &batch, text + word, size - word, size - word)) return PIECES_NO_MEMORY;
    count_batch(counter, &batch);
    return (int64_t)size;
}

#endif
