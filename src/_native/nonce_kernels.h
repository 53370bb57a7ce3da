/* The Bitcoin nonce search: kernels, their table, and the loop around them.
 *
 * A kernel takes a batch of consecutive nonces and writes one bit a nonce: may the most significant word of its
 * double SHA-256 be at most the target's?  All 256 bits of those few are then compared here, in plain C, which
 * also makes the answer independent of the kernel.  The loop works in chunks of at most a few milliseconds and
 * looks at the caller's stop byte before each one.
 *
 * The x86 kernels are generated assembly (nonce_generate.py, which tells how they are fast); one block of memory
 * holds their constants, nonces and scratch, at offsets that the generator chose.  Nothing here allocates.
 */
#ifndef TASKSPRINT_NONCE_KERNELS_H
#define TASKSPRINT_NONCE_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define NONCE_CHUNK 32768   /* nonces between two looks at the stop byte, at most */
#define NONCE_MEMORY 16384  /* bytes that any generated kernel may need; checked below */

struct nonce_row { uint16_t offset; uint8_t symbol; uint32_t number; };

#include "nonce_generated_symbols.h"

struct nonce_work {
  _Alignas(64) uint8_t memory[NONCE_MEMORY];
  _Alignas(64) uint8_t found[NONCE_CHUNK / 8 + 64];  /* one bit a nonce, after the kernel's delay */
  uint32_t symbols[NONCE_SYMBOLS];
  uint32_t first[4];   /* the words of the header behind the midstate; [3] is not used */
  uint8_t target[32];  /* little-endian */
};

struct nonce_kernel {
  const char *name;
  uint32_t lanes;  /* nonces in a batch */
  uint32_t delay;  /* batches of nothing that come before the first bit */
  uint32_t chunk;  /* nonces between two looks at the stop byte: at most about 5 ms */
  uint32_t nonces; /* offset of the vector of nonces in memory */
  const struct nonce_row *rows;
  size_t row_count;
  int (*usable)(void);
  void (*run)(struct nonce_work *work, uint32_t first, size_t batches);
};

struct nonce_hit { uint32_t nonce; uint8_t hash[32]; };

/* --- SHA-256 in plain C ------------------------------------------------------------------------------------ */
static const uint32_t nonce_k[64] = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
  0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
  0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
  0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
  0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
  0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
static const uint32_t nonce_initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static inline uint32_t nonce_ror(uint32_t x, int n) { return x >> n | x << (32 - n); }
static inline uint32_t nonce_s0(uint32_t x) { return nonce_ror(x, 7) ^ nonce_ror(x, 18) ^ x >> 3; }
static inline uint32_t nonce_s1(uint32_t x) { return nonce_ror(x, 17) ^ nonce_ror(x, 19) ^ x >> 10; }

static inline uint32_t nonce_swap(uint32_t x) {
  return x >> 24 | (x >> 8 & 0xff00) | (x << 8 & 0xff0000) | x << 24;
}

static inline uint32_t nonce_load_big(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void nonce_store_big(uint8_t *p, uint32_t x) {
  p[0] = (uint8_t)(x >> 24); p[1] = (uint8_t)(x >> 16); p[2] = (uint8_t)(x >> 8); p[3] = (uint8_t)x;
}

/* Rounds first..last-1 of the working variables v; w is a ring of 16 words that grows from round 16 on. */
static inline __attribute__((always_inline)) void nonce_rounds(uint32_t v[8], uint32_t w[16], int first, int last) {
  for (int t = first; t < last; t++) {
    if (t >= 16) w[t & 15] += nonce_s1(w[(t - 2) & 15]) + w[(t - 7) & 15] + nonce_s0(w[(t - 15) & 15]);
    uint32_t e = v[4], a = v[0];
    uint32_t one = v[7] + (nonce_ror(e, 6) ^ nonce_ror(e, 11) ^ nonce_ror(e, 25)) + (((v[5] ^ v[6]) & e) ^ v[6]) +
                   nonce_k[t] + w[t & 15];
    uint32_t two = (nonce_ror(a, 2) ^ nonce_ror(a, 13) ^ nonce_ror(a, 22)) + ((a & v[1]) | (v[2] & (a | v[1])));
    v[7] = v[6]; v[6] = v[5]; v[5] = e; v[4] = v[3] + one;
    v[3] = v[2]; v[2] = v[1]; v[1] = a; v[0] = one + two;
  }
}

static void nonce_compress(uint32_t state[8], uint32_t w[16]) {
  uint32_t v[8];
  memcpy(v, state, sizeof v);
  nonce_rounds(v, w, 0, 64);
  for (int i = 0; i < 8; i++) state[i] += v[i];
}

/* The double SHA-256 of the header with this nonce, in hashing order. */
static void nonce_hash(const struct nonce_work *work, uint32_t nonce, uint8_t hash[32]) {
  uint32_t w[16] = {work->first[0], work->first[1], work->first[2], nonce_swap(nonce), 0x80000000};
  uint32_t state[8];
  w[15] = 640;
  memcpy(state, work->symbols + NONCE_MID0, sizeof state);
  nonce_compress(state, w);
  memset(w, 0, sizeof w);
  memcpy(w, state, sizeof state);
  w[8] = 0x80000000;
  w[15] = 256;
  memcpy(state, nonce_initial, sizeof state);
  nonce_compress(state, w);
  for (int i = 0; i < 8; i++) nonce_store_big(hash + 4 * i, state[i]);
}

static int nonce_at_most(const uint8_t hash[32], const uint8_t target[32]) {
  for (int i = 31; i >= 0; i--)
    if (hash[i] != target[i]) return hash[i] < target[i];
  return 1;
}

/* --- portable kernel ----------------------------------------------------------------------------------------- */
static int nonce_always(void) { return 1; }

static void nonce_run_portable(struct nonce_work *work, uint32_t first, size_t batches) {
  const uint32_t *state = work->symbols + NONCE_STATE0, *middle = work->symbols + NONCE_MID0;
  const uint32_t limit = work->symbols[NONCE_TARGET];
  for (size_t batch = 0; batch < batches; batch++) {
    unsigned bits = 0;
    for (uint32_t lane = 0; lane < 8; lane++) {
      uint32_t word = nonce_swap(first + (uint32_t)batch * 8 + lane), v[8];
      uint32_t w[16] = {work->first[0], work->first[1], work->first[2], word, 0x80000000};
      w[15] = 640;
      memcpy(v, state, sizeof v);
      v[0] += word;
      v[4] += word;
      nonce_rounds(v, w, 4, 64);
      for (int i = 0; i < 8; i++) { w[i] = v[i] + middle[i]; w[i + 8] = 0; v[i] = nonce_initial[i]; }
      w[8] = 0x80000000;
      w[15] = 256;
      nonce_rounds(v, w, 0, 61);
      bits |= (unsigned)(nonce_swap(v[4] + nonce_initial[7]) <= limit) << lane;
    }
    work->found[batch] = (uint8_t)bits;
  }
}

#include "nonce_kernels_arm.h"
#include "nonce_kernels_x86.h"

static const struct nonce_kernel nonce_kernels[] = {
  NONCE_X86_KERNELS
  NONCE_ARM_KERNELS
  {"portable", 8, 0, 4096, 0, NULL, 0, nonce_always, nonce_run_portable},
};
enum { NONCE_KERNELS = sizeof nonce_kernels / sizeof nonce_kernels[0] };

/* --- the loop ------------------------------------------------------------------------------------------------ */
static void nonce_prepare(struct nonce_work *work, const struct nonce_kernel *kernel, const uint8_t header[80],
                          const uint8_t target[32]) {
  uint32_t w[16], v[8], *symbols = work->symbols, state[8];
  memcpy(state, nonce_initial, sizeof state);
  for (int i = 0; i < 16; i++) w[i] = nonce_load_big(header + 4 * i);
  nonce_compress(state, w);
  for (int i = 0; i < 3; i++) work->first[i] = nonce_load_big(header + 64 + 4 * i);
  memcpy(work->target, target, 32);

  uint32_t words[16] = {work->first[0], work->first[1], work->first[2], 0, 0x80000000};
  words[15] = 640;
  uint32_t w16 = nonce_s0(words[1]) + words[0];
  uint32_t w17 = nonce_s1(640) + nonce_s0(words[2]) + words[1];
  symbols[NONCE_ZERO] = 0;
  symbols[NONCE_W16] = w16;
  symbols[NONCE_W17] = w17;
  symbols[NONCE_SUM18] = nonce_s1(w16) + words[2];
  symbols[NONCE_SUM19] = nonce_s1(w17) + nonce_s0(words[4]);
  symbols[NONCE_SUM31] = nonce_s0(w16) + words[15];
  symbols[NONCE_SUM32] = nonce_s0(w17) + w16;
  symbols[NONCE_TARGET] = (uint32_t)target[31] << 24 | (uint32_t)target[30] << 16 | (uint32_t)target[29] << 8 | target[28];
  memcpy(symbols + NONCE_MID0, state, sizeof state);
  memcpy(v, state, sizeof v);
  nonce_rounds(v, words, 0, 4); /* with a nonce of 0: it is added to a and e later */
  memcpy(symbols + NONCE_STATE0, v, sizeof v);

  memset(work->memory, 0, sizeof work->memory);
  for (size_t i = 0; i < kernel->row_count; i++) {
    uint32_t value = kernel->rows[i].number + symbols[kernel->rows[i].symbol];
    memcpy(work->memory + kernel->rows[i].offset, &value, 4);
  }
}

/* Searches count nonces from start on.  Returns how many were done: less than count after a stop, or just behind
 * the last hit that there was room for.  Which nonces are done is always a prefix of the range. */
static uint64_t nonce_search(struct nonce_work *work, const struct nonce_kernel *kernel, uint32_t start, uint64_t count,
                             const volatile uint8_t *stop, struct nonce_hit *hits, size_t room, size_t *hit_count) {
  uint64_t done = 0;
  *hit_count = 0;
  while (done < count) {
    if (stop && *stop) return done;
    uint32_t first = start + (uint32_t)done;
    uint32_t size = count - done < kernel->chunk ? (uint32_t)(count - done) : kernel->chunk;
    for (uint32_t lane = 0; lane < kernel->lanes && kernel->rows; lane++) {
      uint32_t nonce = first + lane;
      memcpy(work->memory + kernel->nonces + 4 * lane, &nonce, 4);
    }
    kernel->run(work, first, (size + kernel->lanes - 1) / kernel->lanes + kernel->delay);
    const uint8_t *found = work->found + kernel->delay * (kernel->lanes / 8);
    for (uint32_t byte = 0; byte < (size + 7) / 8; byte++) {
      for (unsigned bits = found[byte]; bits; bits &= bits - 1) {
        uint32_t index = 8 * byte + (uint32_t)__builtin_ctz(bits);
        if (index >= size) break;
        if (stop && *stop) return done + index;
        struct nonce_hit *hit = hits + *hit_count;
        hit->nonce = first + index;
        nonce_hash(work, hit->nonce, hit->hash);
        if (nonce_at_most(hit->hash, work->target) && ++*hit_count == room) return done + index + 1;
      }
    }
    done += size;
  }
  return done;
}

static double nonce_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
