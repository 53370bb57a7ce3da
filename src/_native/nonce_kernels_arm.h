/* ARMv8 SHA2: four interleaved streams, so that each instruction's latency hides behind the other three. */
#if defined(__aarch64__) && defined(__GNUC__)

#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#if defined(__ARM_FEATURE_SHA2) || defined(__ARM_FEATURE_CRYPTO)
#define NONCE_ARM_TARGET
#elif defined(__clang__)
#define NONCE_ARM_TARGET __attribute__((target("sha2")))
#else
#define NONCE_ARM_TARGET __attribute__((target("+crypto")))
#endif

enum { NONCE_ARM_STREAMS = 4 };

static int nonce_has_arm_sha2(void) {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) & 1u << 6) != 0; /* HWCAP_SHA2 */
#elif defined(__APPLE__)
  return 1; /* every one of them has it */
#else
  return 0;
#endif
}

struct nonce_arm_streams {
  uint32x4_t abcd[NONCE_ARM_STREAMS], efgh[NONCE_ARM_STREAMS], words[NONCE_ARM_STREAMS][4];
};

/* Four rounds a group, groups first..15 of each stream; words[i & 3] holds the words of group i. */
NONCE_ARM_TARGET static inline __attribute__((always_inline)) void nonce_arm_rounds(struct nonce_arm_streams *s,
                                                                                    int first) {
#pragma GCC unroll 16
  for (int group = first; group < 16; group++) {
    uint32x4_t k = vld1q_u32(nonce_k + 4 * group);
#pragma GCC unroll 4
    for (int i = 0; i < NONCE_ARM_STREAMS; i++) {
      uint32x4_t *words = s->words[i];
      if (group >= 4)
        words[group & 3] = vsha256su1q_u32(vsha256su0q_u32(words[group & 3], words[(group + 1) & 3]),
                                           words[(group + 2) & 3], words[(group + 3) & 3]);
      uint32x4_t sum = vaddq_u32(words[group & 3], k), abcd = s->abcd[i];
      s->abcd[i] = vsha256hq_u32(abcd, s->efgh[i], sum);
      s->efgh[i] = vsha256h2q_u32(s->efgh[i], abcd, sum);
    }
  }
}

/* One bit a stream, for the nonces from first on. */
NONCE_ARM_TARGET static inline __attribute__((always_inline)) unsigned nonce_arm_four(const struct nonce_work *work,
                                                                                      uint32_t first) {
  struct nonce_arm_streams s;
  const uint32x4_t zero = vdupq_n_u32(0), one = vsetq_lane_u32(0x80000000, zero, 0);
  const uint32x4_t front = vld1q_u32(work->first);
  const uint32x4_t state[2] = {vld1q_u32(work->symbols + NONCE_STATE0), vld1q_u32(work->symbols + NONCE_STATE4)};
  const uint32x4_t middle[2] = {vld1q_u32(work->symbols + NONCE_MID0), vld1q_u32(work->symbols + NONCE_MID4)};
  unsigned bits = 0;
#pragma GCC unroll 4
  for (int i = 0; i < NONCE_ARM_STREAMS; i++) {
    uint32_t word = nonce_swap(first + (uint32_t)i);
    uint32x4_t both = vsetq_lane_u32(word, zero, 0); /* a and e lack the nonce's word */
    s.words[i][0] = vsetq_lane_u32(word, front, 3);
    s.words[i][1] = one;
    s.words[i][2] = zero;
    s.words[i][3] = vsetq_lane_u32(640, zero, 3);
    s.abcd[i] = vaddq_u32(state[0], both);
    s.efgh[i] = vaddq_u32(state[1], both);
  }
  nonce_arm_rounds(&s, 1);
#pragma GCC unroll 4
  for (int i = 0; i < NONCE_ARM_STREAMS; i++) {
    s.words[i][0] = vaddq_u32(s.abcd[i], middle[0]);
    s.words[i][1] = vaddq_u32(s.efgh[i], middle[1]);
    s.words[i][2] = one;
    s.words[i][3] = vsetq_lane_u32(256, zero, 3);
    s.abcd[i] = vld1q_u32(nonce_initial);
    s.efgh[i] = vld1q_u32(nonce_initial + 4);
  }
  nonce_arm_rounds(&s, 0);
#pragma GCC unroll 4
  for (int i = 0; i < NONCE_ARM_STREAMS; i++) {
    uint32_t last = vgetq_lane_u32(s.efgh[i], 3) + nonce_initial[7];
    bits |= (unsigned)(nonce_swap(last) <= work->symbols[NONCE_TARGET]) << i;
  }
  return bits;
}

NONCE_ARM_TARGET static void nonce_run_arm_sha2(struct nonce_work *work, uint32_t first, size_t batches) {
  for (size_t batch = 0; batch < batches; batch++, first += 8)
    work->found[batch] = (uint8_t)(nonce_arm_four(work, first) | nonce_arm_four(work, first + 4) << 4);
}

#define NONCE_ARM_KERNELS {"arm_sha2", 8, 0, 16384, 0, NULL, 0, nonce_has_arm_sha2, nonce_run_arm_sha2},

#else
#define NONCE_ARM_KERNELS
#endif
