/* Prints what each kernel of this processor finds: header, target (both hex), start and count as arguments. */
#include <stdio.h>
#include <stdlib.h>

#include "nonce_kernels.h"

static void parse(const char *hex, uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) {
    unsigned byte;
    if (sscanf(hex + 2 * i, "%2x", &byte) != 1) exit(2);
    bytes[i] = (uint8_t)byte;
  }
}

int main(int argc, char **argv) {
  static struct nonce_work work;
  static struct nonce_hit hits[65536];
  uint8_t header[80], target[32];
  if (argc != 5) return 2;
  parse(argv[1], header, sizeof header);
  parse(argv[2], target, sizeof target);
  for (int k = 0; k < NONCE_KERNELS; k++) {
    size_t found = 0;
    if (!nonce_kernels[k].usable()) continue;
    nonce_prepare(&work, &nonce_kernels[k], header, target);
    uint64_t done = nonce_search(&work, &nonce_kernels[k], (uint32_t)strtoull(argv[3], NULL, 10),
                                 strtoull(argv[4], NULL, 10), NULL, hits, 65536, &found);
    printf("%s %llu", nonce_kernels[k].name, (unsigned long long)done);
    for (size_t i = 0; i < found; i++) {
      printf(" %u:", hits[i].nonce);
      for (int j = 0; j < 32; j++) printf("%02x", hits[i].hash[j]);
    }
    puts("");
  }
  return 0;
}
