/* Serialising distinct words, by part and then by bytes.
 *
 * A word goes to part (CRC-32 of it * parts) >> 32 and is written as the MessagePack array
 * [bin word, uint count], words ascending: the bytes depend on the counts alone. */
#ifndef TASKSPRINT_PIECES_SORT_H
#define TASKSPRINT_PIECES_SORT_H

#include "pieces_count.h"

typedef struct {
    const uint8_t *bytes;
    uint64_t length, count;
} Entry;

typedef struct {
    uint64_t prefix; /* the first eight bytes, zero-padded, big-endian: it compares as the bytes do */
    uint32_t part, entry;
} SortKey;

typedef struct {
    Entry *entries;
    SortKey *keys;
    uint64_t *part_bytes; /* of each part, when it is written */
    size_t used;
    uint32_t parts;
} Sorted;

static inline uint64_t prefix_of(const uint8_t *bytes, size_t length) {
    uint8_t padded[8] = {0};
    memcpy(padded, bytes, length < 8 ? length : 8);
    uint64_t prefix = 0;
    for (int i = 0; i < 8; i++) prefix = prefix << 8 | padded[i];
    return prefix;
}

static inline int compare_bytes(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length) {
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static inline size_t record_bytes(uint64_t length, uint64_t count) {
    size_t word = length <= 0xFF ? 2 : length <= 0xFFFF ? 3 : 5;
    size_t number = count <= 0x7F ? 1 : count <= 0xFF ? 2 : count <= 0xFFFF ? 3 : count <= 0xFFFFFFFFu ? 5 : 9;
    return 1 + word + length + number;
}

static inline uint8_t *put_number(uint8_t *out, uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; i--) *out++ = (uint8_t)(value >> (8 * i));
    return out;
}

static uint8_t *put_record(uint8_t *out, const uint8_t *bytes, uint64_t length, uint64_t count) {
    int width = length <= 0xFF ? 0 : length <= 0xFFFF ? 1 : 2;
    *out++ = 0x92;
    *out++ = (uint8_t)(0xC4 + width);
    out = put_number(out, length, 1 << width);
    memcpy(out, bytes, length);
    out += length;
    if (count <= 0x7F) {
        *out++ = (uint8_t)count;
        return out;
    }
    width = count <= 0xFF ? 0 : count <= 0xFFFF ? 1 : count <= 0xFFFFFFFFu ? 2 : 3;
    *out++ = (uint8_t)(0xCC + width);
    return put_number(out, count, 1 << width);
}

static void sorted_free(Sorted *sorted) {
    free(sorted->entries);
    free(sorted->keys);
    free(sorted->part_bytes);
    memset(sorted, 0, sizeof *sorted);
}

static inline void add_entry(Sorted *sorted, const uint8_t *bytes, uint64_t length, uint64_t count) {
    uint32_t part = part_of(bytes, length, sorted->parts);
    sorted->entries[sorted->used] = (Entry){bytes, length, count};
    sorted->keys[sorted->used] = (SortKey){prefix_of(bytes, length), part, (uint32_t)sorted->used};
    sorted->part_bytes[part] += record_bytes(length, count);
    sorted->used++;
}

#define DIGITS 10 /* bytes of a sort key: eight of the prefix, two of the part */

static inline uint32_t digit_of(const SortKey *key, int digit) {
    return (digit < 8 ? key->prefix >> (8 * digit) : key->part >> (8 * (digit - 8))) & 0xFF;
}

/* Stable counting sort by one byte of the key.  `counts` are those of its values. */
static void sort_by_digit(const SortKey *from, SortKey *to, size_t used, int digit, const uint32_t *counts) {
    uint32_t place[256], next = 0;
    for (int value = 0; value < 256; value++) {
        place[value] = next;
        next += counts[value];
    }
    for (size_t i = 0; i < used; i++) to[place[digit_of(&from[i], digit)]++] = from[i];
}

static int compare_keys_of(const Entry *entries, const SortKey *a, const SortKey *b) {
    const Entry *left = &entries[a->entry], *right = &entries[b->entry];
    return compare_bytes(left->bytes, left->length, right->bytes, right->length);
}

/* Heap sort: keys of one part with one prefix; in place, and never quadratic. */
static void sort_run(const Entry *entries, SortKey *keys, size_t used) {
    size_t heap = used / 2, end = used;
    while (end > 1) {
        if (heap > 0) {
            heap--;
        } else {
            SortKey largest = keys[0];
            keys[0] = keys[--end];
            keys[end] = largest;
        }
        size_t at = heap, child;
        SortKey moving = keys[at];
        while ((child = 2 * at + 1) < end) {
            if (child + 1 < end && compare_keys_of(entries, &keys[child], &keys[child + 1]) < 0) child++;
            if (compare_keys_of(entries, &moving, &keys[child]) >= 0) break;
            keys[at] = keys[child];
            at = child;
        }
        keys[at] = moving;
    }
}

static int sort_keys(Sorted *sorted) {
    uint32_t counts[DIGITS][256] = {{0}};
    SortKey *spare = malloc((sorted->used + 1) * sizeof *spare);
    if (!spare) return PIECES_NO_MEMORY;
    for (size_t i = 0; i < sorted->used; i++)
        for (int digit = 0; digit < DIGITS; digit++) counts[digit][digit_of(&sorted->keys[i], digit)]++;
    for (int digit = 0; digit < DIGITS; digit++) {
        if (sorted->used == 0 || counts[digit][digit_of(&sorted->keys[0], digit)] == sorted->used) continue; /* all agree */
        sort_by_digit(sorted->keys, spare, sorted->used, digit, counts[digit]);
        SortKey *keys = sorted->keys;
        sorted->keys = spare;
        spare = keys;
    }
    free(spare);
    const SortKey *keys = sorted->keys;
    for (size_t begin = 0, end; begin < sorted->used; begin = end) {
        end = begin + 1;
        while (end < sorted->used && keys[end].prefix == keys[begin].prefix && keys[end].part == keys[begin].part) end++;
        if (end - begin > 1) sort_run(sorted->entries, sorted->keys + begin, end - begin);
    }
    return PIECES_OK;
}

/* The counter must not change while `sorted` is in use: entries point into its tables. */
static int counter_sort(const Counter *counter, uint32_t parts, Sorted *sorted) {
    size_t used = counter->used + counter->long_used;
    memset(sorted, 0, sizeof *sorted);
    if (used > 0xFFFFFFFFu) return PIECES_NO_MEMORY;
    sorted->parts = parts;
    sorted->entries = malloc((used + 1) * sizeof *sorted->entries);
    sorted->keys = malloc((used + 1) * sizeof *sorted->keys);
    sorted->part_bytes = calloc(parts, sizeof *sorted->part_bytes);
    if (!sorted->entries || !sorted->keys || !sorted->part_bytes) return PIECES_NO_MEMORY;
    for (size_t i = 0; i < counter->capacity; i++) {
        const uint8_t *bytes = (const uint8_t *)&counter->slots[i];
        if (counter->slots[i].high) add_entry(sorted, bytes, bytes[15], counter->slots[i].count);
    }
    for (size_t i = 0; i < counter->long_capacity; i++) {
        const LongSlot *slot = &counter->long_slots[i];
        if (slot->length > 0xFFFFFFFFu) return PIECES_BAD;
        if (slot->length) add_entry(sorted, counter->arena + slot->offset, slot->length, slot->count);
    }
    return sort_keys(sorted);
}

#define AHEAD 12 /* words: their order is not that of the memory that they lie in */

/* Each out[part] has part_bytes[part] bytes of room. */
static void sorted_write(const Sorted *sorted, uint8_t **out) {
    for (size_t i = 0; i < sorted->used; i++) {
        const SortKey *key = &sorted->keys[i];
        const Entry *entry = &sorted->entries[key->entry];
        if (i + 2 * AHEAD < sorted->used) {
            __builtin_prefetch(&sorted->entries[key[2 * AHEAD].entry]);
            __builtin_prefetch(sorted->entries[key[AHEAD].entry].bytes);
        }
        out[key->part] = put_record(out[key->part], entry->bytes, entry->length, entry->count);
    }
}

#endif
