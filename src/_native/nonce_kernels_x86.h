/* The x86 kernels: loops around the generated bodies, and what a processor must have for each. */
#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>

#include "nonce_generated_x86.h"

#define NONCE_LOW "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
    "xmm12", "xmm13", "xmm14", "xmm15"
#define NONCE_HIGH "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", \
    "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1"

#define NONCE_X86(name, features, ...)                                                                           \
  __attribute__((target(features), noinline)) static void nonce_run_##name(struct nonce_work *work, uint32_t first, \
                                                                           size_t batches) {                     \
    uint8_t *found = work->found;                                                                                \
    (void)first;                                                                                                 \
    __asm__ volatile(".p2align 6\n1:\n" name##_BODY "dec %[n]\njnz 1b\nvzeroupper\n"                             \
                     : [n] "+r"(batches), [found] "+r"(found)                                                    \
                     : [m] "r"(work->memory)                                                                     \
                     : "rax", "cc", "memory", __VA_ARGS__);                                                      \
  }

NONCE_X86(avx512_sha, "avx512f,avx512bw,avx512vl,avx512dq", NONCE_LOW, NONCE_HIGH)
NONCE_X86(avx512_sha_wide, "avx512f,avx512bw,avx512vl,avx512dq", NONCE_LOW, NONCE_HIGH)
NONCE_X86(avx512, "avx512f,avx512bw", NONCE_LOW, NONCE_HIGH)
NONCE_X86(sha_ni, "avx2", NONCE_LOW)
NONCE_X86(avx2, "avx2", NONCE_LOW)

/* What the processor has and the operating system saves.  gcc 12's __builtin_cpu_supports does not know "sha". */
static unsigned nonce_x86_features(void) {
  enum { avx2 = 1, avx512 = 2, sha = 4 };
  unsigned a, b, c, d, low, high, features = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX)) return 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  if (b & bit_AVX2) features |= avx2;
  if ((low & 0xe0) == 0xe0 && b & bit_AVX512F && b & bit_AVX512BW && b & bit_AVX512VL && b & bit_AVX512DQ)
    features |= avx512;
  if (b & 1u << 29) features |= sha;
  return features;
}

static int nonce_has_avx512_sha(void) { return (nonce_x86_features() & 7) == 7; }
static int nonce_has_avx512_sha_wide(void) { return nonce_has_avx512_sha(); }
static int nonce_has_avx512(void) { return (nonce_x86_features() & 3) == 3; }
static int nonce_has_sha_ni(void) { return (nonce_x86_features() & 5) == 5; }
static int nonce_has_avx2(void) { return (nonce_x86_features() & 1) == 1; }

#define NONCE_X86_ENTRY(name, chunk)                                                                             \
  {#name, name##_lanes, name##_delay, chunk, name##_nonces, name##_rows, sizeof name##_rows / sizeof name##_rows[0], \
   nonce_has_##name, nonce_run_##name},
#define NONCE_X86_KERNELS                 \
  NONCE_X86_ENTRY(avx512_sha, 32768)      \
  NONCE_X86_ENTRY(avx512_sha_wide, 32768) \
  NONCE_X86_ENTRY(avx512, 32768)     \
  NONCE_X86_ENTRY(sha_ni, 32768)   \
  NONCE_X86_ENTRY(avx2, 32768)

#else
#define NONCE_X86_KERNELS
#endif
