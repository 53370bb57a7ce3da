/* Merging sorted pieces: a heap of cursors.  Every byte that is read is checked first. */
#ifndef TASKSPRINT_PIECES_MERGE_H
#define TASKSPRINT_PIECES_MERGE_H

#include "pieces_sort.h"

typedef struct {
    const uint8_t *begin, *at, *end; /* the piece; `at` is behind the current record */
    const uint8_t *bytes;            /* the current word; NULL: the piece is at its end */
    uint64_t prefix, length, count;
    size_t record; /* offset of the current record */
} Cursor;

typedef struct {
    Cursor *cursors;
    uint32_t *heap; /* cursors that are not at their end, the one with the least word first */
    size_t pieces, live;
    Entry *top; /* the most frequent words so far: count falling, then words ascending */
    size_t top_used, top_room;
    uint64_t words, distinct;
    const char *reason; /* what is wrong ... */
    size_t bad_piece, bad_offset;
} Merger;

static int refuse(Merger *merger, size_t piece, size_t offset, const char *reason) {
    merger->reason = reason;
    merger->bad_piece = piece;
    merger->bad_offset = offset;
    return PIECES_BAD;
}

static int take_number(const uint8_t **at, const uint8_t *end, int bytes, uint64_t *value) {
    if (end - *at < bytes) return 0;
    *value = 0;
    for (int i = 0; i < bytes; i++) *value = *value << 8 | *(*at)++;
    return 1;
}

/* The next record of a piece: [bin, uint] with a word that comes after the one before it. */
static int cursor_next(Merger *merger, size_t piece) {
    Cursor *cursor = &merger->cursors[piece];
    const uint8_t *at = cursor->at, *end = cursor->end, *before = cursor->bytes;
    uint64_t before_length = cursor->length, before_prefix = cursor->prefix;
    cursor->record = (size_t)(at - cursor->begin);
    if (at == end) {
        cursor->bytes = NULL;
        return PIECES_OK;
    }
    if (*at++ != 0x92) return refuse(merger, piece, cursor->record, "not an array of two");
    if (at == end) return refuse(merger, piece, cursor->record, "cut short");
    uint8_t kind = *at++;
    if (kind < 0xC4 || kind > 0xC6) return refuse(merger, piece, cursor->record, "the word is not of type bin");
    if (!take_number(&at, end, 1 << (kind - 0xC4), &cursor->length) || cursor->length > (uint64_t)(end - at))
        return refuse(merger, piece, cursor->record, "cut short");
    if (cursor->length == 0) return refuse(merger, piece, cursor->record, "an empty word");
    cursor->bytes = at;
    cursor->prefix = prefix_of(at, cursor->length);
    at += cursor->length;
    if (at == end) return refuse(merger, piece, cursor->record, "cut short");
    kind = *at++;
    if (kind <= 0x7F) {
        cursor->count = kind;
    } else if (kind < 0xCC || kind > 0xCF) {
        return refuse(merger, piece, cursor->record, "the count is not of type uint");
    } else if (!take_number(&at, end, 1 << (kind - 0xCC), &cursor->count)) {
        return refuse(merger, piece, cursor->record, "cut short");
    }
    if (cursor->count == 0) return refuse(merger, piece, cursor->record, "a count of 0");
    cursor->at = at;
    if (before && before_prefix >= cursor->prefix &&
        (before_prefix > cursor->prefix || compare_bytes(before, before_length, cursor->bytes, cursor->length) >= 0))
        return refuse(merger, piece, cursor->record, "words are not in ascending order");
    return PIECES_OK;
}

static inline int cursor_less(const Merger *merger, uint32_t a, uint32_t b) {
    const Cursor *left = &merger->cursors[a], *right = &merger->cursors[b];
    if (left->prefix != right->prefix) return left->prefix < right->prefix;
    return compare_bytes(left->bytes, left->length, right->bytes, right->length) < 0;
}

static void sift_down(Merger *merger, size_t at) {
    uint32_t moving = merger->heap[at];
    for (size_t child; (child = 2 * at + 1) < merger->live; at = child) {
        if (child + 1 < merger->live && cursor_less(merger, merger->heap[child + 1], merger->heap[child])) child++;
        if (!cursor_less(merger, merger->heap[child], moving)) break;
        merger->heap[at] = merger->heap[child];
    }
    merger->heap[at] = moving;
}

static void merger_free(Merger *merger) {
    free(merger->cursors);
    free(merger->heap);
    free(merger->top);
    memset(merger, 0, sizeof *merger);
}

static int merger_room(Merger *merger, size_t pieces, size_t top) {
    merger->pieces = pieces;
    merger->top_room = top;
    merger->cursors = calloc(pieces + 1, sizeof *merger->cursors);
    merger->heap = calloc(pieces + 1, sizeof *merger->heap);
    merger->top = calloc(top + 1, sizeof *merger->top);
    return merger->cursors && merger->heap && merger->top ? PIECES_OK : PIECES_NO_MEMORY;
}

/* Once, when each cursor's begin, at and end are set. */
static int merger_start(Merger *merger) {
    for (size_t piece = 0; piece < merger->pieces; piece++) {
        if (cursor_next(merger, piece)) return PIECES_BAD;
        if (merger->cursors[piece].bytes) merger->heap[merger->live++] = (uint32_t)piece;
    }
    for (size_t at = merger->live / 2; at-- > 0;) sift_down(merger, at);
    return PIECES_OK;
}

static void offer_to_top(Merger *merger, const Entry *entry) {
    size_t at = merger->top_used;
    if (at == merger->top_room) { /* words come ascending: a later one must be more frequent to get in */
        if (at == 0 || entry->count <= merger->top[at - 1].count) return;
        at--;
    } else {
        merger->top_used++;
    }
    for (; at > 0 && merger->top[at - 1].count < entry->count; at--) merger->top[at] = merger->top[at - 1];
    merger->top[at] = *entry;
}

static int check_word(Merger *merger, size_t piece) {
    const Cursor *cursor = &merger->cursors[piece];
    for (uint64_t i = 0; i < cursor->length; i++)
        if (is_space(cursor->bytes[i])) return refuse(merger, piece, cursor->record, "white space in a word");
    return PIECES_OK;
}

/* The least word of all pieces with the sum of its counts.  Call only while merger->live > 0. */
static int merger_next(Merger *merger, Entry *entry) {
    const Cursor *first = &merger->cursors[merger->heap[0]];
    if (check_word(merger, merger->heap[0])) return PIECES_BAD;
    uint64_t prefix = first->prefix;
    *entry = (Entry){first->bytes, first->length, 0};
    while (merger->live > 0) {
        uint32_t piece = merger->heap[0];
        const Cursor *cursor = &merger->cursors[piece];
        if (cursor->prefix != prefix || cursor->length != entry->length) break;
        if (memcmp(cursor->bytes, entry->bytes, entry->length)) break;
        if (__builtin_add_overflow(entry->count, cursor->count, &entry->count) ||
            __builtin_add_overflow(merger->words, cursor->count, &merger->words))
            return refuse(merger, piece, cursor->record, "the counts do not fit into 64 bits");
        if (cursor_next(merger, piece)) return PIECES_BAD;
        if (!cursor->bytes) merger->heap[0] = merger->heap[--merger->live];
        if (merger->live) sift_down(merger, 0);
    }
    merger->distinct++;
    offer_to_top(merger, entry);
    return PIECES_OK;
}

/* The bytes that the next line may need; 0 at the end. */
static size_t next_line_bytes(const Merger *merger) {
    return merger->live ? merger->cursors[merger->heap[0]].length + 22 : 0;
}

/* `word TAB count` lines, as many as surely fit.  Returns the bytes written. */
static int64_t merger_lines(Merger *merger, uint8_t *out, size_t room) {
    uint8_t *begin = out, digits[20];
    while (merger->live && next_line_bytes(merger) <= room - (size_t)(out - begin)) {
        Entry entry;
        if (merger_next(merger, &entry)) return PIECES_BAD;
        memcpy(out, entry.bytes, entry.length);
        out += entry.length;
        *out++ = '\t';
        int used = 0;
        for (uint64_t count = entry.count; count || !used; count /= 10) digits[used++] = (uint8_t)('0' + count % 10);
        while (used) *out++ = digits[--used];
        *out++ = '\n';
    }
    return out - begin;
}

#endif
